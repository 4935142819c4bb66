"""Masks are chosen by how much they shorten the description of an image: against closed forms and a brute force."""

import numpy as np
import pytest
from scipy import ndimage as ndi
from small_igtt import bright_discs

from metalib.data import datasets
from metalib.data.standardise import z_score
from metalib.unsupervised import selection
from metalib.unsupervised.selection import Base, Choice

ALWAYS = Choice(False, True, 0.3, 0.1, 0.1, 0.3)


def discs(count=4, size=96, noise=0.1):
    images, masks = bright_discs(count, size, noise=noise)
    return np.stack([z_score(image.astype(np.float64)) for image in images[:, 0]]), masks > 0


def gaussian_noise(rng, sigma_px, shape=(4, 256, 256)):
    white = rng.normal(size=shape)
    blurred = ndi.gaussian_filter(white, (0, sigma_px, sigma_px), mode="wrap") if sigma_px else white
    return np.stack([z_score(image) for image in blurred])


def test_levels_are_weighted_means_of_either_side(rng):
    image, mask = rng.normal(size=(40, 40)), rng.random((40, 40)) < 0.4
    rows, columns = np.mgrid[:40, :40]
    found = selection.residual(image, mask)
    for y, x in [
        (20, 20),
        (19, 22),
        (21, 17),
    ]:  # further than the truncated window from any border is none: half a window is
        window = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * selection.LEVELS_PX**2))
        side = mask == mask[y, x]
        level = (window * side * image).sum() / (window * side).sum()
        assert found[y, x] == pytest.approx(image[y, x] - level, abs=0.1)


def test_an_empty_mask_saves_nothing_and_a_full_one_no_more(rng):
    image = gaussian_noise(rng, 1)[0]
    empty = np.zeros(image.shape, bool)
    assert selection.saving(image, empty) == 0
    assert selection.saving(image, ~empty) == pytest.approx(0, abs=0.01)


def test_a_saving_is_half_the_logarithm_of_what_is_explained_less_the_outline():
    (image,), (mask,) = discs(1)
    outline = (mask & ~ndi.binary_erosion(mask, border_value=1)).mean()
    explained = np.log(np.var(image - ndi.gaussian_filter(image, 8)) / np.var(selection.residual(image, mask)))
    expected = explained / 2 - selection.OUTLINE_NATS * outline
    assert selection.saving(image, mask) == pytest.approx(expected, rel=0.01)


def test_the_true_mask_saves_more_than_what_is_wrong_with_it(rng):
    images, masks = discs()
    for image, mask in zip(images, masks, strict=True):
        wrong = [
            ndi.binary_dilation(mask),
            ndi.binary_erosion(mask),
            np.roll(mask, 2, axis=1),
            mask | (rng.random(mask.shape) < 0.02),
            mask & (rng.random(mask.shape) < 0.9),
            mask & (np.arange(96) < 48),
        ]
        true = selection.saving(image, mask)
        assert all(selection.saving(image, of) < true for of in wrong)


@pytest.mark.parametrize("sigma_px", [0.0, 0.7, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("ground", ["even", "sloping", "shot"])
def test_noise_has_nothing_to_be_found_and_whatever_a_network_shows_is_not_used(sigma_px, ground, rng):
    images = gaussian_noise(rng, sigma_px)
    if ground == "sloping":
        images = images + np.linspace(0, 5, 256)
    if ground == "shot":
        photons = rng.poisson(10, images.shape).astype(float)
        images = np.stack([z_score(of) for of in ndi.gaussian_filter(photons, (0, sigma_px, sigma_px))])
    found = selection.base(images)
    assert set(found.names) == {selection.NOTHING}
    how = selection.choice(found, images, rng.random(images.shape))
    for image in images:
        for given in (how, ALWAYS) if ground != "shot" else (how,):  # of one image alone shot noise is not always told
            scores, whose = selection.chosen(image, rng.random(image.shape), given)
            assert (whose, scores.max()) == (selection.NOTHING, 0)


@pytest.mark.parametrize("darken", [lambda image: image, lambda image: (image - image.min()) ** 0.5])
def test_structures_that_fill_half_of_an_image_are_no_noise_though_they_have_no_skew(darken, rng):
    field = ndi.gaussian_filter(rng.normal(size=(4, 128, 128)), (0, 3, 3))
    images = np.stack([z_score(darken(4.0 * (of > 0) + rng.normal(size=of.shape))) for of in field])
    assert abs(np.mean([selection.contrast_shape(image)[0] for image in images])) < selection.LEAST_SKEW
    assert not selection.is_noise(images)


def test_objects_in_one_of_many_images_are_found(rng):
    images = gaussian_noise(rng, 0.0, (40, 128, 128))
    images[0, 20:30, 20:30] += 8
    images[0] = z_score(images[0])
    found = selection.base(images)
    assert found.names[0] != selection.NOTHING
    assert found.scores[0][20:30, 20:30].min() > 0.5
    assert set(found.names[1:]) == {selection.NOTHING}


def test_dark_gaps_between_dense_structures_are_no_noise(rng):
    field = ndi.gaussian_filter(rng.normal(size=(4, 128, 128)), (0, 3, 3))
    gaps = field > np.quantile(field, 0.85)
    images = np.stack([z_score(image) for image in rng.normal(size=gaps.shape) - 4.0 * gaps])
    assert np.mean([selection.contrast_shape(image)[0] for image in images]) < -selection.LEAST_SKEW
    assert not selection.is_noise(images)


@pytest.mark.parametrize("name", ["er-like", "mito-like", "nuc-like"])
def test_the_skew_of_local_contrast_tells_bright_structures_from_dark_ones_and_none(name):
    for image in datasets.load(name, "val", limit=6).images[:, 0].astype(np.float64):
        found = selection.contrast_shape(image)[0]
        assert found > selection.LEAST_DARK
        assert selection.contrast_shape(1 - image)[0] == pytest.approx(-found, rel=1e-3)
    assert selection.contrast_shape(np.full((32, 32), 0.3)) == (0, 0)


def test_the_base_is_of_each_image_and_black_where_there_is_nothing(rng):
    images, masks = discs()
    images[2] = gaussian_noise(rng, 1, (1, 96, 96))[0]
    found = selection.base(images)
    assert found.names[2] == selection.NOTHING
    assert found.saved[2] == 0
    assert not found.scores[2].any()
    for at in (0, 1, 3):
        of, mask = found.scores[at] > 0.5, masks[at]
        assert 2 * (of & mask).sum() / (of.sum() + mask.sum()) > 0.85
        assert found.saved[at] == pytest.approx(selection.saving(images[at], of))
        each_alone = [method(images[at][None, None])[0] > 0.5 for method in selection.THRESHOLDS.values()]
        every = [*each_alone, np.sum(each_alone, axis=0) >= 2]
        most = max(selection.saving(images[at], each) for each in every)
        assert selection.saving(images[at], every[-1]) <= found.saved[at] <= most


def test_a_threshold_that_saves_more_by_shallow_outlines_does_not_take_the_place_of_the_majority(monkeypatch):
    """A mask of a bright block and of a slope beside it explains more than that of the block, whose edge is the steeper."""
    image, (mask,) = np.zeros((1, 64, 64)), np.zeros((1, 64, 64), bool)
    mask[8:24, 8:24] = True
    image[0] = (
        4.0 * mask
        + 3.0 * np.exp(-(((np.arange(64) - 46) / 8.0) ** 2))
        + 0.1 * np.random.default_rng(0).normal(size=(64, 64))
    )
    image = np.stack([z_score(image[0])])
    more = mask | (np.abs(np.arange(64) - 46) < 8)
    masks = {"Otsu": mask, "adaptive Gaussian": more, "local contrast": mask}
    monkeypatch.setattr(
        selection, "THRESHOLDS", {name: lambda _, of=of: of[None].astype(float) for name, of in masks.items()}
    )
    assert selection.saving(image[0], more) > (1 + selection.MORE) * selection.saving(image[0], mask)
    assert selection.base(image).names == [selection.PLAIN]
    monkeypatch.setattr(selection, "_is_steeper", lambda *_: True)
    assert selection.base(image).names == ["adaptive Gaussian"]


def blocks(count=12, side=48):
    """Z-scored images (N, H, W) of a bright block, a dim one and noise, with the masks of both, of the bright, of the dim one."""
    bright, dim = np.zeros((2, side, side), bool)
    bright[8:20, 8:20], dim[28:40, 28:40] = True, True
    rng = np.random.default_rng(0)
    images = [z_score(4.0 * bright + 2.0 * dim + 0.1 * rng.normal(size=bright.shape)) for _ in range(count)]
    return np.stack(images), *(np.repeat(mask[None], count, axis=0) for mask in (bright | dim, bright, dim))


def as_base(masks, names=None):
    return Base(names or ["Otsu"] * len(masks), masks.astype(float), np.ones(len(masks)))


def test_slopes_across_outlines_are_those_of_the_edges_they_lie_on():
    """Across the outline of a blurred block the slope is its height times the slope of its blurred mask, weighted by that."""
    images, _, bright, dim = blocks()
    found = selection.choice(as_base(dim), images, bright.astype(float))
    assert found.network
    assert found.added / found.dropped == pytest.approx(2, rel=0.05)
    assert found.low < found.added - found.dropped < found.high
    other = selection.choice(as_base(bright), images, dim.astype(float))
    assert not other.network
    assert (other.added, other.dropped) == pytest.approx((found.dropped, found.added))


def test_where_nothing_is_added_or_dropped_all_outlines_of_before_stand_in():
    images, both, bright, _ = blocks()
    grown = selection.choice(as_base(bright), images, both.astype(float))  # adds what is dimmer than what there was
    assert not grown.network
    assert grown.added < grown.dropped
    cleaned = selection.choice(as_base(both), images, bright.astype(float))  # drops what is dimmer than the mean
    assert cleaned.network
    same = selection.choice(as_base(both), images, both.astype(float))
    assert not same.network
    assert same.added == same.dropped


def test_outlines_that_differ_by_less_than_two_pixels_are_the_same():
    images, both, *_ = blocks()
    grown = np.stack([ndi.binary_dilation(mask, iterations=2) for mask in both])
    found = selection.choice(as_base(both), images, grown.astype(float))
    assert found.added == found.dropped


def test_a_network_is_used_only_if_that_is_sure_over_images():
    images, _, bright, dim = blocks()
    mixed = np.where(np.arange(12)[:, None, None] < 8, bright, dim)  # better in eight images, worse in four
    found = selection.choice(as_base(np.where(mixed == bright, dim, bright)), images, mixed.astype(float))
    assert found.low < 0 < found.added - found.dropped
    assert not found.network


def test_few_images_are_not_enough_and_images_without_anything_do_not_count():
    images, _, bright, dim = blocks()
    few = selection.choice(as_base(dim[:7]), images[:7], bright[:7].astype(float))
    assert (few.network, few.low, few.high) == (False, None, None)
    assert few.added > few.dropped
    assert selection.choice(as_base(dim[:8]), images[:8], bright[:8].astype(float)).network
    of = as_base(dim, ["Otsu"] * 7 + [selection.NOTHING] * 5)
    assert selection.choice(of, images, bright.astype(float)) == few
    none = selection.choice(as_base(dim, [selection.NOTHING] * 12), images, bright.astype(float))
    assert (none.noise, none.network) == (True, False)


def test_masks_of_an_admitted_network_are_taken_where_they_say_anything():
    (image,), (mask,) = discs(1)
    network = mask.astype(np.float32)
    assert selection.chosen(image, network, ALWAYS)[1] == selection.NETWORK
    for nothing in (np.zeros_like(network), np.random.default_rng(0).random(network.shape)):
        assert selection.chosen(image, nothing, ALWAYS)[1] in (selection.PLAIN, *selection.THRESHOLDS)
    left_out = ALWAYS._replace(network=False)
    assert selection.chosen(image, None, left_out)[1] in (selection.PLAIN, *selection.THRESHOLDS)
