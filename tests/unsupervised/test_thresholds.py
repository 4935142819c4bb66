import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage as ndi
from skimage.filters import threshold_local, threshold_otsu

from metalib._labels import IGNORE
from metalib.data import microscopy
from metalib.networks import metrics
from metalib.unsupervised import thresholds

EVERY = pytest.mark.parametrize("method", thresholds.METHODS.values(), ids=thresholds.METHODS)


def camera(name="er-like", size=64, count=2):
    """16-bit images (N, H, W), the same as float32 (N, 1, H, W) in [0, 1], and their masks (N, H, W)."""
    raw, masks = (
        np.stack(part) for part in zip(*(microscopy.render(name, 9, i, size) for i in range(count)), strict=True)
    )
    return raw, to_unit(raw), masks


def to_unit(raw):
    return (raw / 65535).astype(np.float32)[:, None]


def squares(low, high, spread, rng):
    truth = np.zeros((2, 48, 48), np.uint8)
    truth[0, 8:20, 8:20] = truth[1, 24:40, 20:36] = 1
    raw = np.where(truth == 1, high, low) + rng.integers(0, spread + 1, truth.shape)
    return to_unit(raw), truth


def dice(scores, truth):
    found, known = scores > 0.5, truth != IGNORE
    return 2 * (found & (truth == 1)).sum() / (found[known].sum() + truth[known].sum())


@pytest.mark.parametrize("name", microscopy.SETS)
def test_otsu_is_scikit_image_on_the_16_bit_image(name):
    raw, images, _ = camera(name)
    theirs = np.stack([image > threshold_otsu(image) for image in raw])
    np.testing.assert_array_equal(thresholds.otsu(images) > 0.5, theirs)


@given(raw=arrays(np.uint16, (1, 5, 5), elements=st.sampled_from([0, 1, 2, 3, 700, 701, 40000, 65534, 65535])))
def test_otsu_maximises_the_variance_between_classes(raw):
    def variance(mask):
        inside = raw[mask].astype(float), raw[~mask].astype(float)
        return mask.mean() * (1 - mask.mean()) * (inside[0].mean() - inside[1].mean()) ** 2

    search = max((variance(raw > level) for level in np.unique(raw)[:-1]), default=None)
    mask = thresholds.otsu(to_unit(raw)) > 0.5
    assert not mask.any() if search is None else variance(mask) == pytest.approx(search, rel=1e-5)


@pytest.mark.parametrize(("block_px", "offset"), [(3, 0.0), (15, 0.25), (31, -0.5), (63, 0.0)])
def test_adaptive_gaussian_is_scikit_image(block_px, offset):
    _, images, _ = camera()
    scores = thresholds.adaptive_gaussian(images, block_px, offset)
    for found, image in zip(scores, images[:, 0].astype(float), strict=True):
        above = image - threshold_local(image, block_px, method="gaussian", offset=offset * image.std())
        np.testing.assert_array_equal(found > 0.5, above > 0)
        np.testing.assert_allclose(found, 0.5 + np.arctan(above / image.std()) / np.pi, atol=1e-6)


@pytest.mark.parametrize(("side", "block_px"), [(112, 55), (50, 25), (3, 3)])
def test_the_default_block_is_odd_and_half_the_shorter_side(rng, side, block_px):
    images = rng.random((1, 1, side, side + 7))
    np.testing.assert_array_equal(thresholds.adaptive_gaussian(images), thresholds.adaptive_gaussian(images, block_px))


def test_mean_and_evidence_are_their_formulas():
    _, images, _ = camera()
    x = images[:, 0].astype(float)
    for image, by_mean, by_evidence in zip(
        x, thresholds.mean_threshold(images), thresholds.evidence(images), strict=True
    ):
        np.testing.assert_array_equal(by_mean > 0.5, image > image.mean())
        fine, wide = ndi.gaussian_filter(image, 1), ndi.gaussian_filter(image, 10)
        mixed = fine / fine.std() + 0.5 * (fine - wide) / (fine - wide).std()
        mixed = ndi.gaussian_filter(mixed, 1)
        above = (mixed - threshold_otsu(mixed, nbins=65536)) / mixed.std()
        np.testing.assert_allclose(by_evidence, 0.5 + np.arctan(above) / np.pi, atol=1e-4)


@pytest.mark.parametrize("method", [thresholds.otsu, thresholds.adaptive_gaussian, thresholds.adaptive_gaussian_oracle])
def test_sigma_smooths_before_anything_else(method):
    _, images, masks = camera()
    smooth = ndi.gaussian_filter(images.astype(float), (0, 0, 1.5, 1.5))
    labels = [masks] if method is thresholds.adaptive_gaussian_oracle else []
    mine, theirs = method(images, *labels, sigma_px=1.5), method(smooth, *labels)
    np.testing.assert_array_equal(*((mine[0], theirs[0]) if labels else (mine, theirs)))


@EVERY
@settings(max_examples=20)
@given(gain=st.floats(0.01, 1), shift=st.floats(0, 1), seed=st.integers(0, 1000))
def test_brightness_and_gain_of_the_camera_change_nothing(method, gain, shift, seed):
    images = np.random.default_rng(seed).normal(size=(1, 1, 24, 24)) ** 2
    np.testing.assert_allclose(method(gain * images + shift), method(images), atol=1e-6)


@EVERY
def test_classes_three_grey_levels_of_16_bit_apart_are_told_apart(rng, method):
    images, truth = squares(30000, 30003, 0, rng)
    assert dice(method(images), truth) > 0.95
    assert metrics.evaluate(method(images), truth)["auc"] > 0.99


@EVERY
def test_bright_squares_are_found(rng, method):
    images, truth = squares(5000, 40000, 9000, rng)
    found = metrics.evaluate(method(images), truth)
    assert min(found["dice_best"], found["auc"]) > 0.9
    assert metrics.evaluate(method(1 - images), truth)["auc"] < 0.1  # bright is foreground, dark is not


@EVERY
def test_scores_are_float32_in_the_unit_interval_and_images_are_taken_one_by_one(method):
    _, images, _ = camera(count=3)
    scores = method(images)
    assert (scores.dtype, scores.shape) == (np.float32, (3, 64, 64))
    assert 0 <= scores.min() < 0.5 < scores.max() <= 1
    np.testing.assert_array_equal(method(images[1:2]), scores[1:2])


@EVERY
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_constant_image_has_no_foreground(method, value):
    _, images, _ = camera()
    images[0] = value
    scores = method(images)
    assert (scores[0] == 0).all()
    np.testing.assert_array_equal(scores[1:], method(images[1:]))


@pytest.mark.parametrize("sigma_px", [0, 1.5])
def test_neither_offset_nor_rounding_makes_foreground_of_a_constant_image(sigma_px):
    images = np.full((1, 1, 63, 41), 0.1)
    assert (thresholds.otsu(images, sigma_px) == 0).all()
    assert (thresholds.adaptive_gaussian(images, offset=2.0, sigma_px=sigma_px) == 0).all()


def test_an_even_area_is_no_foreground(rng):
    images, _ = squares(20000, 40000, 0, rng)
    assert (thresholds.adaptive_gaussian(images, 7)[0, 25:] == 0.5).all()


@pytest.mark.parametrize("name", microscopy.SETS)
def test_the_oracle_beats_every_member_of_its_grid(name):
    _, images, masks = camera(name, size=48)
    masks[0, :5] = IGNORE
    scores, choice = thresholds.adaptive_gaussian_oracle(images, masks)
    np.testing.assert_array_equal(scores, thresholds.adaptive_gaussian(images, **choice))
    grid = {
        (block, offset): dice(thresholds.adaptive_gaussian(images, block, offset), masks)
        for block in (3, 5, 7, 11, 15, 23, 31, 47)
        for offset in thresholds.ORACLE_OFFSETS
    }
    assert dice(scores, masks) == pytest.approx(max(grid.values()), abs=1e-12)
    assert grid[choice["block_px"], choice["offset"]] == pytest.approx(max(grid.values()), abs=1e-12)
    assert dice(scores, masks) >= dice(thresholds.adaptive_gaussian(images), masks)


def test_the_oracle_takes_a_score_of_one_half_for_background():
    images = np.full((1, 1, 32, 32), 0.5)
    images[0, 0, 16, 16] = 0.1
    scores, choice = thresholds.adaptive_gaussian_oracle(images, np.ones((1, 32, 32), np.uint8))
    assert choice["offset"] > 0
    assert (scores > 0.5).sum() == 32 * 32 - 1


def test_the_oracle_refuses_labels_that_cannot_choose():
    _, images, masks = camera()
    with pytest.raises(ValueError, match="labels hold no foreground"):
        thresholds.adaptive_gaussian_oracle(images, np.where(masks == 1, 0, IGNORE).astype(np.uint8))
    with pytest.raises(ValueError, match="must be those of the same pixels"):
        thresholds.adaptive_gaussian_oracle(images, masks[:1])


@EVERY
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (2, 3, 8, 8), (1, 8, 8, 1), (0, 1, 8, 8)])
def test_images_of_other_shapes_are_refused(method, shape):
    with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\)"):
        method(np.zeros(shape, np.float32))


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_image_with_a_bad_pixel_is_named(rng, method, value):
    images = rng.random((3, 1, 16, 16))
    images[1, 0, 2, 3] = value
    with pytest.raises(ValueError, match="image 1 holds NaN or infinite pixels"):
        method(images)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: thresholds.adaptive_gaussian(x, 8), "block_px is 8, expected an odd width from 3 to .* 16 px"),
        (lambda x: thresholds.adaptive_gaussian(x, 17), "block_px is 17, expected an odd width"),
        (lambda x: thresholds.adaptive_gaussian(x, 1), "block_px is 1, expected an odd width"),
        (lambda x: thresholds.adaptive_gaussian(x, 7.5), r"block_px is 7\.5, expected an odd width"),
        (lambda x: thresholds.adaptive_gaussian(x[..., :2]), "block_px is 3, .* 2 px"),
        (lambda x: thresholds.otsu(x, -1), "sigma_px is -1, expected a number from 0 to 20"),
        (lambda x: thresholds.otsu(x, np.nan), "sigma_px is nan, expected a number"),
    ],
)
def test_bad_widths_are_named(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(rng.random((1, 1, 16, 20)))
