from dataclasses import replace

import numpy as np
import pytest
import torch

from metalib import datasets, labels, training
from metalib.training import TrainConfig

TINY = TrainConfig(size=32, width=4, train=8, val=4, test=4, augment=False, epochs=2, batch=4, lr_step_epochs=1)


def test_a_run_has_a_loss_a_step_and_metrics_an_epoch():
    history = training.train(replace(TINY, epochs=3))
    assert len(history.loss) == 3 * 8 // 4
    assert {len(values) for values in history.test.values()} == {3}
    assert {"dice_half", "dice_at", "dice_best", "auc", "acc", "threshold_best"} <= history.test.keys()
    assert all(best >= at for best, at in zip(history.test["dice_best"], history.test["dice_at"], strict=True))
    assert history.device == "cpu" or torch.cuda.is_available()
    assert history.seconds > 0


def test_augmentation_multiplies_the_training_images_alone():
    history = training.train(replace(TINY, augment=True))
    assert len(history.loss) == 2 * 6 * 8 // 4


def test_a_seed_fixes_the_run_and_another_changes_it():
    first, again, other = (training.train(config) for config in (TINY, TINY, replace(TINY, seed=1)))
    assert (first.loss, first.test) == (again.loss, again.test)
    assert first.loss != other.loss


def test_the_threshold_comes_from_validation_images(monkeypatch):
    evaluate, calls = training.metrics.evaluate, []

    def spy(scores, truth, threshold=None):
        calls.append((truth, threshold, evaluate(scores, truth, threshold)))
        return calls[-1][-1]

    monkeypatch.setattr(training.metrics, "evaluate", spy)
    training.train(replace(TINY, epochs=1))
    (seen, none, chosen), (tested, threshold, _) = calls
    np.testing.assert_array_equal(seen, datasets.load("er-like", "val", size=32, limit=4).labels)
    np.testing.assert_array_equal(tested, datasets.load("er-like", "test", size=32, limit=4).labels)
    assert none is None
    assert threshold == chosen["threshold_best"]


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    training.train(TINY)
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_network_learns_bright_discs(tmp_path, rng):
    """End to end: a few steps on an easy folder reach a Dice that no constant map and no untrained network has."""
    import imageio.v3 as iio

    for split in datasets.SPLITS:
        for kind in ("images", "labels"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index in range(8):
            rows, columns = np.mgrid[:32, :32] - rng.uniform(8, 24, (2, 1, 1))
            mask = np.hypot(rows, columns) < rng.uniform(4, 8)
            image = np.clip(60 + 100 * mask + rng.normal(0, 10, mask.shape), 0, 255).astype(np.uint8)
            iio.imwrite(tmp_path / split / "images" / f"{split}{index}.png", image)
            iio.imwrite(tmp_path / split / "labels" / f"{split}{index}.png", mask.astype(np.uint8))
    config = replace(TINY, data=str(tmp_path), train=None, val=None, test=None, epochs=20, lr_step_epochs=20, batch=2)
    clean, random = (training.train(replace(config, recipe=recipe)) for recipe in ("cl", "rl:0.5"))
    assert clean.test["dice_at"][-1] > 0.9
    assert clean.test["dice_at"][-1] > random.test["dice_at"][-1] + 0.2
    assert clean.loss[-1] < 0.5 * clean.loss[0]


def test_noise_depends_on_seed_image_and_recipe_alone():
    clean = datasets.load("er-like", "train", size=32, limit=4)
    config = replace(TINY, recipe="rcl_flip:0.3")
    noisy = training.noisy_labels(config, clean)
    fewer = training.noisy_labels(config, clean._replace(labels=clean.labels[1:], ids=clean.ids[1:]))
    np.testing.assert_array_equal(noisy[1:], fewer)
    assert not np.array_equal(noisy, training.noisy_labels(replace(config, seed=1), clean))
    assert 0.25 < (noisy != clean.labels).mean() < 0.35
    sampled = training.noisy_labels(replace(config, recipe="rcl_sample:0.1"), clean)
    assert 0.85 < (sampled == labels.IGNORE).mean() < 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "rcl"}, "unknown recipe 'rcl'"),
        ({"model": "vnet"}, "unknown model 'vnet'"),
        ({"batch": 9}, "batch is 9, the training set has 8 images"),
        ({"size": 40}, "images of 40x40 px do not fit the network"),
        ({"lr": 1e30}, "lower lr=1e"),
    ],
)
def test_bad_configurations_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        training.train(replace(TINY, **changes))
