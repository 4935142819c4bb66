"""A network trained on one's own masks."""

import numpy as np
import pytest
import torch

from metalib import _labels
from metalib.apps import supervised
from metalib.networks import losses
from metalib.unsupervised import igtt
from metalib.unsupervised.config import preset

CHOICES = dict(model="unet_light", width=4, epochs=40, batch=4, lr=0.1)


def test_a_network_learns_masks_also_under_noise(discs):
    images, masks = discs
    for recipe in ("cl", "rcl_flip:0.2"):
        network, taken = supervised.fit(images, masks, preset("improved", **CHOICES), recipe, device="cpu")
        found = igtt.predict(network, images, device="cpu") > 0.5
        assert 2 * (found & (masks == 1)).sum() / (found.sum() + masks.sum()) > 0.9
        assert len(taken) == 40
        assert taken[-1] < taken[0]


def test_a_seed_fixes_the_network_and_the_global_generator_is_left_alone(discs):
    images, masks = discs
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    config = preset("improved", **CHOICES | dict(epochs=2))
    first, again = (supervised.fit(images, masks, config, device="cpu")[1] for _ in range(2))
    assert first == again
    assert torch.equal(before, torch.random.get_rng_state())


def test_noise_reaches_the_labels_and_an_empty_recipe_is_named(discs, monkeypatch):
    images, masks = discs
    seen, config = [], preset("improved", **CHOICES | dict(epochs=1, turns=False))
    loss = losses.cross_entropy

    def spied(logits, labels):
        seen.append(labels.clone())
        return loss(logits, labels)

    monkeypatch.setattr(losses, "cross_entropy", spied)
    supervised.fit(images, masks, config, "rcl_sample:0.25", device="cpu")
    assert 0.2 < float((seen[0] != _labels.IGNORE).float().mean()) < 0.3
    with pytest.raises(ValueError, match="leaves no labelled pixel"):
        supervised.fit(images, masks, config, "rcl_sample:0", device="cpu")


def test_fewer_images_than_a_batch_are_named(discs):
    images, masks = discs
    with pytest.raises(ValueError, match="batch is 4, there are 3 images to train on: choose a smaller batch"):
        supervised.fit(images[:3], masks[:3], preset("improved", **CHOICES), device="cpu")


def test_a_training_that_diverges_is_named(discs):
    images, masks = discs
    config = preset("improved", **CHOICES | dict(lr=1e30, epochs=8))
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) in step \d+: lower lr=1e\+30"):
        supervised.fit(images, np.asarray(masks), config, device="cpu")
