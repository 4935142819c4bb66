"""Light and turns of the batches."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from small_igtt import IMAGES, SMALL

from metalib.networks import augmentation
from metalib.unsupervised import igtt
from metalib.unsupervised.config import preset


def test_turns_and_light_leave_labels_where_the_objects_are(steps):
    config = preset("improved", **{**SMALL, "epochs": 8}, light=0.2, skeleton=False, hold=1.0)
    igtt.fit(IMAGES, config)
    for step in steps:
        inside, outside = (step["images"][:, 0][step["labels"] == label].mean() for label in (1, 0))
        assert inside - outside > 1.5
    first = steps[0]["images"]
    torch.testing.assert_close(first.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(first.std((1, 2, 3)), torch.ones(4))


@pytest.mark.parametrize("mirror", [0, 1])
@pytest.mark.parametrize("turn", range(4))
def test_images_and_labels_are_turned_alike_and_maps_come_back_upright(turn, mirror, rng):
    labels = torch.from_numpy(rng.random((2, 6, 6)))
    drawn = {4: turn, 2: mirror}  # {how many choices: the one that is drawn}
    found, of_labels, upright = augmentation.augmented(
        labels[:, None], labels, SimpleNamespace(integers=drawn.get), turns=True
    )
    expected = np.rot90(labels.flip(-1) if mirror else labels, turn, (-2, -1))
    np.testing.assert_array_equal(found[:, 0], expected)
    np.testing.assert_array_equal(of_labels, expected)
    np.testing.assert_array_equal(upright(of_labels), labels)


def test_light_is_a_factor_and_an_offset_between_the_points_of_a_grid(rng):
    images, strength = torch.from_numpy(rng.random((3, 1, 9, 13), np.float32)), 0.3
    grids = np.random.default_rng(1).normal(0, strength, (2, 3, 5, 5))
    points = np.stack(np.meshgrid(np.linspace(0, 4, 9), np.linspace(0, 4, 13), indexing="ij"), axis=-1)
    for found, image, gain, offset in zip(
        augmentation.relit(images, np.random.default_rng(1), strength)[:, 0], images[:, 0].numpy(), *grids, strict=True
    ):
        gain, offset = (RegularGridInterpolator((range(5), range(5)), grid)(points) for grid in (gain, offset))
        lit = image * np.exp(gain) + 1.25 * offset
        np.testing.assert_allclose(found, (lit - lit.mean()) / lit.std(ddof=1), atol=1e-5)
