import numpy as np
import pytest

from metalib.data import microscopy
from metalib.unsupervised import thresholds


@pytest.mark.parametrize("name", microscopy.SETS)
def test_an_image_is_a_function_of_seed_and_index(name):
    first, again, other, elsewhere = (microscopy.render(name, *key, 64) for key in ((0, 3), (0, 3), (0, 4), (1, 3)))
    for part, dtype in zip(first, (np.uint16, np.uint8), strict=True):
        assert (part.shape, part.dtype) == ((64, 64), dtype)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], elsewhere[0])


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("er-like", 0.26, 0.36), ("ambiguous-er-like", 0.26, 0.36), ("mito-like", 0.1, 0.2), ("nuc-like", 0.05, 0.12)],
)
def test_foreground_fraction_and_brightness_of_a_set(name, low, high):
    images, masks = (
        np.stack(part) for part in zip(*(microscopy.render(name, 0, i, 128) for i in range(24)), strict=True)
    )
    assert low < masks.mean() < high
    brighter = [image[mask == 1].mean() > image[mask == 0].mean() for image, mask in zip(images, masks, strict=True)]
    assert all(brighter)
    assert (images.max(axis=(1, 2)) < 65535).mean() > 0.9  # hardly any saturated image


def test_masks_by_hand_leave_thresholds_the_scores_of_the_papers_table_3():
    pictures = [microscopy.render("ambiguous-er-like", 2, index, 256) for index in range(40)]
    images, masks = (np.stack(part) for part in zip(*pictures, strict=True))
    images = images[:, None].astype(np.float32) / 65535
    for method, told in ((thresholds.otsu, 69.5), (thresholds.adaptive_gaussian, 76.2)):
        found = method(images).reshape(masks.shape) > 0.5
        assert 200 * (found & (masks == 1)).sum() / (found.sum() + masks.sum()) == pytest.approx(told, abs=2)


def test_a_hand_overlooks_some_and_is_off_at_the_outline():
    rng, mask = np.random.default_rng(0), np.zeros((128, 128), bool)
    mask[20:24, 10:118] = mask[80:84, 10:118] = True
    image = 1000 + 4000 * mask
    image[80:84] = np.where(mask[80:84], 1500, 1000)  # a faint tubule
    drawn = microscopy._by_hand(mask, image, rng, faint=0.5, hand_px=0.5, thick_px=0.5)
    assert drawn[18:26].any()
    assert drawn[78:86].mean() < 0.3 * drawn[18:26].mean()
    assert not np.array_equal(drawn[18:26], mask[18:26])
