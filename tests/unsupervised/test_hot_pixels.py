"""Pixels that stand out are put right, and nothing else."""

import numpy as np
import pytest
from scipy import ndimage as ndi
from small_igtt import bright_discs

from metalib.data import datasets
from metalib.unsupervised import hot_pixels, thresholds


@pytest.mark.parametrize("name", ["er-like", "mito-like", "nuc-like"])
def test_images_of_a_microscope_stay_as_they_are(name):
    images = datasets.load(name, "val", limit=6).images
    assert (hot_pixels.removed(images) != images).mean() < 1e-5


@pytest.mark.parametrize("value", [30.0, -30.0])
def test_what_stands_out_is_put_to_the_median_around_it(value, rng):
    images = bright_discs(3, 64)[0]
    places = rng.permutation(64 * 64)[:10]
    spoilt = images.copy()
    spoilt.reshape(3, -1)[:, places] = value
    spoilt[:, :, 20:22, 20:22] = value  # four that touch
    found = hot_pixels.removed(spoilt)
    assert found.dtype == spoilt.dtype
    hot = spoilt == value
    np.testing.assert_array_equal(found[~hot], spoilt[~hot])
    around = np.stack([ndi.median_filter(image, 3) for image in spoilt[:, 0]])[:, None]
    np.testing.assert_array_equal(found[hot], around[hot])
    assert np.abs(found).max() < 2


def test_a_threshold_finds_the_same_without_them(rng):
    images, masks = bright_discs(3, 64)
    spoilt = images.copy()
    spoilt.reshape(3, -1)[:, rng.permutation(64 * 64)[:10]] = 30
    for each, least in ((spoilt, 0), (hot_pixels.removed(spoilt), 0.9)):
        found = thresholds.otsu(each, sigma_px=1) > 0.5
        dice = 2 * (found & (masks > 0)).sum() / (found.sum() + masks.sum())
        assert (dice > 0.9) == (least > 0)


@pytest.mark.parametrize("share", [0.001, 0.005])
def test_images_without_contrast_are_left_as_they_are(share, rng):
    """The pixels that differ are all that there is in them."""
    images = (rng.random((2, 1, 64, 64)) < share).astype(np.float32)
    images[:, 0, 5, 5] = 1
    np.testing.assert_array_equal(hot_pixels.removed(images), images)
