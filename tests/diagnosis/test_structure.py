"""Structure of labels without clean masks, against counts by brute force and closed forms."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metalib._labels import IGNORE
from metalib.data import datasets
from metalib.diagnosis import structure
from metalib.noise import effective, recipes

SMALL = arrays(np.uint8, (8, 12), elements=st.sampled_from([0, 1, 2, IGNORE]))


def blocks(count, classes, rng, side=64, block=8):
    """Masks of blocks of one class each, (count, side, side): no run is shorter than the block."""
    tiles = rng.integers(0, classes, (count, side // block, side // block))
    return tiles.repeat(block, 1).repeat(block, 2).astype(np.uint8)


def brute_pairs(mask, lag):
    pairs = agree = 0
    for y, x in np.ndindex(mask.shape):
        for v, u in ((y + lag, x), (y, x + lag)):
            if v < mask.shape[0] and u < mask.shape[1] and IGNORE not in (mask[y, x], mask[v, u]):
                pairs, agree = pairs + 1, agree + (mask[y, x] == mask[v, u])
    return pairs, agree


def brute_windows(masks, width, classes):
    """Sum over classes of the covariance of two different labelled pixels of a window, over the sum of variances."""
    windows = [
        mask[y : y + width, x : x + width].ravel()
        for mask in masks
        for y in range(0, mask.shape[0] - width + 1, width)
        for x in range(0, mask.shape[1] - width + 1, width)
    ]
    windows = [window[window != IGNORE] for window in windows]
    every = np.concatenate(windows)
    share = np.array([(every == label).mean() for label in range(classes)])
    total = pairs = 0.0
    for window in windows:
        centred = np.eye(classes)[window] - share
        products = centred @ centred.T
        total += products.sum() - np.trace(products)
        pairs += len(window) * (len(window) - 1)
    return total / pairs / (share * (1 - share)).sum()


@settings(max_examples=25)
@given(SMALL)
def test_pairs_are_counted_as_by_brute_force(mask):
    expected = [brute_pairs(mask, lag) for lag in structure.LAGS_PX]
    assume(all(pairs for pairs, _ in expected))
    counts = structure.count([mask], 3, (2,))
    assert list(zip(counts.pairs[0], counts.agree[0], strict=True)) == expected
    assert counts.labelled[0].tolist() == [(mask == label).sum() for label in range(3)]


def test_the_covariance_in_windows_is_that_of_all_pairs(rng):
    masks = rng.choice(np.array([0, 1, 2, IGNORE], np.uint8), (3, 13, 18), p=[0.4, 0.3, 0.2, 0.1])
    masks[0, :6] = 0
    widths = (2, 4, 12)
    for width, found in zip(widths, structure.window_share(structure.count(masks, 3, widths)), strict=True):
        assert found.value == pytest.approx(brute_windows(masks, width, 3))


def test_the_jackknife_of_a_mean_is_its_standard_error(rng):
    masks = recipes.random_labels((9, 8, 8), 0.4, rng)
    counts = structure.count(masks, 2, (2,))
    found = structure.jackknife(lambda total: total.labelled[..., 1] / total.pixels, counts)
    share = masks.mean(axis=(1, 2))
    assert found == pytest.approx((share.mean(), share.std(ddof=1) / 3))
    assert structure.jackknife(lambda total: total.pixels, structure.count(masks[:1], 2, (2,))).error == np.inf


@settings(max_examples=25)
@given(SMALL)
def test_thin_pixels_lie_in_no_block_of_their_class(mask):
    assume((mask[:2, :3] != IGNORE).all())  # some pairs
    thick = set()
    for y, x in np.ndindex(mask.shape[0] - 1, mask.shape[1] - 1):
        if (mask[y : y + 2, x : x + 2] == 1).all():
            thick |= {(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)}
    foreground = (mask == 1).sum()
    found = structure.thin_share(structure.count([mask], 3, (2,)))
    assert found == pytest.approx((foreground - len(thick)) / max(foreground, 1))


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("eigenvalue", [1.0, 0.6, 0.2, -0.15])
def test_flips_are_found_from_labels_alone(classes, eigenvalue, rng):
    p = (1 - eigenvalue) * (classes - 1) / classes
    noisy = recipes.flip(blocks(40, classes, rng), p, rng, classes=classes)
    counts = structure.count(noisy, classes, (2, 4))
    found = structure.eigenvalue_squared(counts)
    assert found.value == pytest.approx(eigenvalue**2, abs=4 * found.error + 0.01)
    upright = (1 - abs(eigenvalue)) * (classes - 1) / classes  # the sign cannot be seen
    estimate, low, high = structure.flip_probability(counts)
    assert low <= estimate <= high
    assert estimate == pytest.approx(upright, abs=0.02)


def test_nineteen_intervals_in_twenty_hold_the_flip_level(rng):
    clean = blocks(8, 2, rng)
    found = [
        structure.flip_probability(structure.count(recipes.flip(clean, 0.3, rng), 2, (2,)))[1:] for _ in range(150)
    ]
    inside = np.mean([low <= 0.3 <= high for low, high in found])
    assert 0.9 < inside < 1  # the upper end is 1.96 errors away, the lower a little more


def test_two_classes_agree_with_the_covariance_form(rng):
    """(1 - 2p)^2 = 4 (C0 + (m - 1/2)^2), C0 from the covariance extrapolated to lag 0."""
    noisy = recipes.flip(blocks(10, 2, rng), 0.2, rng)
    counts = structure.count(noisy, 2, (2,))
    mean = structure.shares(counts)[1]
    covariance = structure.structured_share(counts).value * mean * (1 - mean)
    assert structure.eigenvalue_squared(counts).value == pytest.approx(4 * (covariance + (mean - 0.5) ** 2))


def test_effective_pixels_are_those_of_the_flip_level(rng):
    clean = blocks(40, 2, rng)
    counts = structure.count(recipes.flip(clean, 0.3, rng), 2, (2,))
    f = clean.mean()
    expected = clean.size * 4 * f * (1 - f) * effective.effective_share(0.3)
    assert structure.effective_px(counts) == pytest.approx(expected, rel=0.05)
    cap = (1 - structure.CURVED) / structure.CURVED  # of clean labels no more can be told
    assert structure.effective_px(structure.count(clean, 2, (2,))) == pytest.approx(cap * clean.size)


def test_random_labels_have_no_structure_and_sampled_ones_keep_it(rng):
    clean = blocks(20, 2, rng)
    random = structure.count(recipes.random_labels(clean.shape, 0.3, rng), 2, (2, 4, 8))
    assert structure.certain_share(random) == structure.effective_px(random) == 0
    sampled = structure.count(recipes.sample(clean, 0.3, rng), 2, (2, 4, 8))
    assert structure.certain_share(sampled) > 0.9
    assert structure.scattered(sampled)
    assert structure.labelled_share(sampled) == pytest.approx(0.3, abs=0.01)
    clean[:, :30] = IGNORE
    assert not structure.scattered(structure.count(clean, 2, (2,)))


def test_chance_errors_are_those_of_random_labels(rng):
    drawn = []
    for _ in range(400):
        counts = structure.count(recipes.random_labels((4, 16, 16), 0.2, rng), 2, (2, 4))
        drawn.append([each.value for each in (structure.structured_share(counts), *structure.window_share(counts))])
        assert structure.certain_share(counts) == 0
    assert np.std(drawn, axis=0) == pytest.approx(structure.chance_errors(counts), rel=0.12)


def test_ignored_pixels_are_in_no_pair(rng):
    masks = recipes.flip(blocks(4, 2, rng), 0.1, rng)
    framed = np.pad(masks, ((0, 0), (8, 8), (8, 8)), constant_values=IGNORE)
    inner, outer = (structure.count(each, 2, (2, 4, 8)) for each in (masks, framed))
    for part in ("labelled", "pairs", "agree", "inside", "square", "cross", "area"):
        assert np.array_equal(getattr(inner, part), getattr(outer, part)), part


@pytest.mark.parametrize(("name", "size"), [("er-like", 96), ("mito-like", 96), ("nuc-like", 96), ("street-like", 64)])
def test_extrapolation_misses_no_more_than_it_says(name, size):
    within_the_allowance(datasets.load(name, "train", size=size, limit=12))


def test_extrapolation_on_real_nuclei(nuc):
    within_the_allowance(datasets.load("nuc", "train", size=128, limit=24))


def test_extrapolation_on_real_streets(street):
    within_the_allowance(datasets.load("street", "train", size=96, limit=12))


def within_the_allowance(data):
    found = structure.eigenvalue_squared(structure.count(data.labels, data.classes, (2,)))
    assert 1 - structure.CURVED <= found.value <= 1.001
    assert structure.flip_probability(structure.count(data.labels, data.classes, (2,)))[1] == 0


def test_memory_does_not_grow_with_masks(rng):
    mask = recipes.random_labels((256, 256), 0.5, rng)

    def peak(count):
        tracemalloc.start()
        structure.count((mask for _ in range(count)), 2, (2, 4, 8, 16))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40) - peak(10) < 30 * 8192  # an eighth of the masks themselves; a row of sums has 5 kB


@pytest.mark.parametrize(
    ("masks", "widths", "message"),
    [
        ([], (2,), "no mask"),
        (np.full((1, 8, 8), 2, np.uint8), (2,), "mask 0 holds the value 2, expected 0 to 1"),
        (
            np.pad(np.zeros((1, 2, 2), np.uint8), ((0, 0), (3, 3), (3, 3)), constant_values=IGNORE),
            (2,),
            "4 pixels with",
        ),
        (np.zeros((1, 8, 18), np.uint8), (16,), r"windows of 16 px are wider than a mask of \(8, 18\)"),
        (np.zeros((1, 8, 8)), (2,), "mask 0 is float64"),
        (
            [np.zeros((8, 8), np.uint8), np.zeros((4, 8), np.uint8)],
            (2,),
            r"mask 1 is of shape \(4, 8\), mask 0 of \(8, 8\)",
        ),
        (np.full((3, 8, 8), IGNORE, np.uint8), (2,), "3 masks hold 0 pixels with a label"),
        (np.pad(np.zeros((1, 1, 1), np.uint8), ((0, 0), (3, 4), (3, 4)), constant_values=IGNORE), (2,), "side by side"),
        (np.zeros((1, 8, 8), np.uint8), (), "multiple of the one before"),
        (np.zeros((1, 8, 8), np.uint8), (0,), "multiple of the one before"),
        (np.zeros((1, 8, 8), np.uint8), (2, 3), r"widths of windows are \(2, 3\) px"),
        (np.zeros((1, 8, 8), np.uint8), (16,), r"windows of 16 px are wider than a mask of \(8, 8\)"),
    ],
)
def test_wrong_masks_are_named(masks, widths, message):
    with pytest.raises(ValueError, match=message):
        structure.count(masks, 2, widths)


@pytest.mark.parametrize("classes", [0, 1, 256])
def test_the_number_of_classes_leaves_room_for_ignored_pixels(classes):
    with pytest.raises(ValueError, match=f"classes is {classes}, expected a whole number from 2 to 255"):
        structure.count(np.zeros((1, 8, 8), np.uint8), classes, (2,))


def test_labels_of_one_class_look_clean_and_one_labelled_mask_has_no_error(rng):
    one = structure.count(np.zeros((3, 16, 16), np.uint8), 2, (2, 4))
    assert structure.flip_probability(one) == (0, 0, 0)
    assert structure.certain_share(one) == 0
    alone = np.full((3, 64, 64), IGNORE, np.uint8)
    alone[1] = blocks(1, 2, rng)
    found = structure.flip_probability(structure.count(alone, 2, (2, 4)))
    assert found == (0, 0, 0.5)  # anything is possible where one mask is all there is


def test_widths_fit_at_least_twice():
    assert structure.window_widths((96, 128)) == (2, 4, 8, 16, 32)
    assert structure.window_widths((256, 256))[-1] == 128
    with pytest.raises(ValueError, match="at least 4 px"):
        structure.window_widths((3, 9))
