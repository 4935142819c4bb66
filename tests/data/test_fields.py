"""Smooth fields and blur against Gaussian filters in space."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from metalib.data import fields


@pytest.mark.parametrize("shape", [(64, 64), (48, 81)])
@pytest.mark.parametrize("sigma", [1.2, 3, 9])
def test_blur_is_that_of_filters_in_space(shape, sigma, rng):
    image = rng.random(shape, np.float32)
    expected = 0.7 * ndi.gaussian_filter(image, sigma, mode="wrap", truncate=6)
    expected += 2 * ndi.gaussian_filter(image, 4, mode="wrap", truncate=6)
    found = fields.blurred(image, (0.7, sigma), (2, 4))
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, expected, atol=1e-3
    )  # sampled in space, a Gaussian of a pixel is not quite itself


@pytest.mark.parametrize("shape", [(64, 64), (48, 81)])
@pytest.mark.parametrize("sigma", [1, 3, 12])
def test_smooth_noise_is_white_noise_under_a_gaussian(shape, sigma):
    drawn = np.stack([fields.smooth_noise(np.random.default_rng(seed), shape, sigma) for seed in range(400)])
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.std(axis=(1, 2)), 1, atol=1e-5)
    white = np.random.default_rng(0).normal(size=(400, *shape))
    filtered = ndi.gaussian_filter(white, (0, sigma, sigma), mode="wrap")
    filtered /= filtered.std(axis=(1, 2), keepdims=True)
    assert drawn.mean(axis=(1, 2)).std() == pytest.approx(filtered.mean(axis=(1, 2)).std(), rel=0.15)
    for axis in (1, 2):
        for step in (1, sigma, 2 * sigma):
            found, expected = (_correlation(of, step, axis) for of in (drawn, filtered))
            assert found == pytest.approx(expected, abs=0.04)


def _correlation(drawn, step, axis):
    """Mean correlation of fields (N, H, W) with themselves, so many pixels on."""
    centred = drawn - drawn.mean(axis=(1, 2), keepdims=True)
    return (centred * np.roll(centred, step, axis)).mean()


def test_the_seed_decides():
    first, again, other = (fields.smooth_noise(np.random.default_rng(seed), (32, 32), 5) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 0.1
