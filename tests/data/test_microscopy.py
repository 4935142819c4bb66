import numpy as np
import pytest

from metalib.data import microscopy


@pytest.mark.parametrize("name", microscopy.SETS)
def test_an_image_is_a_function_of_seed_and_index(name):
    first, again, other, elsewhere = (microscopy.render(name, *key, 64) for key in ((0, 3), (0, 3), (0, 4), (1, 3)))
    for part, dtype in zip(first, (np.uint16, np.uint8), strict=True):
        assert (part.shape, part.dtype) == ((64, 64), dtype)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], elsewhere[0])


@pytest.mark.parametrize(
    ("name", "low", "high"), [("er-like", 0.26, 0.36), ("mito-like", 0.1, 0.2), ("nuc-like", 0.05, 0.12)]
)
def test_foreground_fraction_and_brightness_of_a_set(name, low, high):
    images, masks = (
        np.stack(part) for part in zip(*(microscopy.render(name, 0, i, 128) for i in range(24)), strict=True)
    )
    assert low < masks.mean() < high
    brighter = [image[mask == 1].mean() > image[mask == 0].mean() for image, mask in zip(images, masks, strict=True)]
    assert all(brighter)
    assert (images.max(axis=(1, 2)) < 65535).mean() > 0.9  # hardly any saturated image
