"""Crops, light and turns of the batches."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import chisquare
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
    found, (of_labels,), upright = augmentation.augmented(
        labels[:, None], (labels,), SimpleNamespace(integers=drawn.get), turns=True
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


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 12), st.integers(0, 9))
def test_crops_are_the_same_squares_of_images_and_labels(height, width, side, seed):
    labels = torch.arange(3 * height * width).reshape(3, height, width)
    images, found = augmentation.cropped((labels[:, None], labels), np.random.default_rng(seed), side)
    torch.testing.assert_close(images[:, 0], found)
    assert found.shape == (3, min(side, height), min(side, width))
    for number, crop in enumerate(found):
        top, left = np.argwhere(labels[number].numpy() == crop[0, 0].item())[0]
        assert torch.equal(crop, labels[number, top : top + side, left : left + side])


def test_crops_lie_anywhere_and_each_image_has_its_own(rng):
    places = torch.arange(36).reshape(1, 6, 6).expand(4, 6, 6)
    corners = torch.cat([augmentation.cropped((places,), rng, 4)[0][:, 0, 0] for _ in range(60)])
    counts = np.unique_counts(corners.numpy())
    assert set(counts.values.tolist()) == {6 * top + left for top in range(3) for left in range(3)}
    assert chisquare(counts.counts).pvalue > 1e-3
    assert (corners.reshape(-1, 4) != corners[::4, None]).any()


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [((256, 256), 128, 4), ((96, 96), 128, 1), ((64, 256), 128, 2), ((100, 100), 60, 3), ((50, 50), None, 1)],
)
def test_an_epoch_shows_each_image_as_often_as_crops_cover_it(shape, side, expected):
    config = preset("improved", batch=3, epochs=2, crop_px=side)
    batches, per_epoch = augmentation.batches(config, np.empty((6, 1, *shape)))
    assert (per_epoch, len(batches)) == (2 * expected, 4 * expected)
    for epoch in range(2):
        seen = np.concatenate(batches[epoch * per_epoch :][:per_epoch])
        assert np.bincount(seen).tolist() == [expected] * 6
