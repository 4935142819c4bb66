"""Thresholds against a brute force written from Eq. 2-5, and EMS against what it promises."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from metalib._labels import IGNORE
from metalib.unsupervised import pseudo_labels
from metalib.unsupervised.pseudo_labels import best_threshold, dmi_losses, extract_meta_structure

quick = settings(max_examples=40)
SIDES = st.tuples(st.integers(2, 12), st.integers(2, 12))
uniform = arrays(np.float32, SIDES, elements=st.floats(0, 1, width=32))
few_values = arrays(np.float32, SIDES, elements=st.sampled_from([0, 0.125, 0.5, 1]))
seeds = st.integers(0, 2**32)
masks = arrays(bool, st.tuples(st.integers(3, 24), st.integers(3, 24)), elements=st.booleans())


@st.composite
def drawn(draw):
    """Maps as networks make them: bimodal, skewed, nearly constant."""
    rng, shape = np.random.default_rng(draw(seeds)), draw(SIDES)
    kind = draw(st.sampled_from(["bimodal", "skewed", "narrow"]))
    if kind == "bimodal":
        return np.where(rng.random(shape) < 0.2, rng.normal(0.9, 0.02, shape), rng.normal(0.1, 0.02, shape))
    if kind == "skewed":
        return rng.beta(0.3, 3, shape)
    return 0.5 + 1e-5 * rng.random(shape)


maps = st.one_of(uniform, few_values, drawn())


def determinant(probabilities, mask):
    """det Q of Eq. 5."""
    p, s = np.asarray(probabilities, np.float64).ravel(), np.asarray(mask, np.float64).ravel()
    return np.linalg.det(np.stack([p, 1 - p]) @ np.stack([s, 1 - s]).T)


def grid(probabilities, k):
    """Eq. 2-3."""
    low, high = float(probabilities.min()), float(probabilities.max())
    return [low + number * (high - low) / (k - 1) for number in range(k)]


def resolution(probabilities):
    """What `determinant` may be wrong by: it subtracts products of the order of the pixels squared."""
    return 1e-13 * probabilities.size**2


@quick
@given(probabilities=maps, k=st.integers(3, 40))
@example(np.array([[0.1, 0.7], [0.1, 0.1]]), 30)
def test_the_best_threshold_attains_the_determinant_of_a_brute_force(probabilities, k):
    found = best_threshold(probabilities, k)
    if np.ptp(probabilities) == 0:
        assert np.isnan(found)
        return
    best = max(abs(determinant(probabilities, probabilities > t)) for t in grid(probabilities, k)[1:-1])
    attained = abs(determinant(probabilities, probabilities > found))
    assert attained == pytest.approx(best, rel=1e-6, abs=resolution(probabilities))
    assert 0 < (probabilities > found).mean() < 1
    assert np.isclose(grid(probabilities, k)[1:-1], found, rtol=1e-12, atol=0).any()


@quick
@given(probabilities=maps, k=st.integers(3, 40))
def test_the_determinant_is_the_covariance_and_its_best_threshold_the_mean(probabilities, k):
    p = np.asarray(probabilities, np.float64)
    for t in grid(p, k):
        expected = p.size * (p - p.mean())[p > t].sum()
        assert determinant(p, p > t) == pytest.approx(expected, abs=resolution(p))
    at_mean = abs(determinant(p, p > p.mean()))
    every = [abs(determinant(p, p > t)) for t in np.unique(p)]  # all masks that any threshold can give
    assert at_mean >= max(every) - resolution(p)


def test_the_best_threshold_is_the_mean_and_not_that_of_otsu(rng):
    skewed = rng.beta(0.3, 3, (64, 64))
    assert best_threshold(skewed, 20_001) == pytest.approx(skewed.mean(), abs=2e-4)
    assert threshold_otsu(skewed) > skewed.mean() + 0.1


@pytest.mark.parametrize("floor", [0, 1e-3, 10])
@quick
@given(probabilities=maps, k=st.integers(3, 40))
def test_losses_are_those_of_a_brute_force(floor, probabilities, k):
    found = dmi_losses(probabilities, k, floor)
    thresholds = pseudo_labels.candidate_thresholds(probabilities, k)
    assert found.shape == thresholds.shape == (k,)
    np.testing.assert_allclose(thresholds, grid(probabilities, k), rtol=1e-12)
    for loss, t in zip(found, thresholds, strict=True):
        expected = abs(determinant(probabilities, probabilities > t)) + floor
        assert np.exp(-loss) == pytest.approx(expected, rel=1e-9, abs=resolution(probabilities))
    # The mask over the maximum is empty, that over the minimum is not full.
    assert found[-1] == (np.inf if floor == 0 else -np.log(floor))


def test_maps_of_a_stack_do_not_see_each_other(rng):
    stack = np.stack([rng.random((9, 7)), rng.beta(0.3, 3, (9, 7)), np.full((9, 7), 0.3)])
    for function in (best_threshold, dmi_losses, pseudo_labels.candidate_thresholds):
        np.testing.assert_array_equal(function(stack), [function(each) for each in stack])


@quick
@given(probabilities=maps)
def test_foreground_and_background_are_alike_to_the_criterion(probabilities):
    p = np.asarray(probabilities, np.float64)
    if np.ptp(p) == 0:
        return
    t, mirrored = best_threshold(p), best_threshold(1 - p)
    first, second = (abs(determinant(q, q > edge)) for q, edge in [(p, t), (1 - p, mirrored)])
    assert second == pytest.approx(first, abs=resolution(p))
    assert determinant(1 - p, p > t) == pytest.approx(-determinant(p, p > t), abs=resolution(p))


def test_the_threshold_of_the_mirrored_map_is_mirrored(rng):
    p = rng.beta(0.3, 3, (32, 32))
    assert best_threshold(1 - p) == pytest.approx(1 - best_threshold(p))


@pytest.mark.parametrize("value", [0, 0.1, 0.3, 1])
def test_a_constant_map_has_no_threshold(value):
    constant = np.full((7, 11), value, np.float32)
    assert np.isnan(best_threshold(constant))
    assert (dmi_losses(constant) == np.inf).all()
    np.testing.assert_allclose(dmi_losses(constant, floor=1e-3), -np.log(1e-3))


def test_two_neighbouring_numbers_are_no_constant_map():
    p = np.array([[0.5, 0.5], [0.5, np.nextafter(0.5, 1)]])
    assert (p > best_threshold(p)).sum() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("function", [best_threshold, dmi_losses, pseudo_labels.candidate_thresholds])
def test_maps_that_are_not_finite_are_refused(function, value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        function(np.array([[0.1, value], [0.2, 0.3]]))


def test_bad_shapes_and_numbers_of_thresholds_are_named():
    for shape in [(4,), (1, 1, 4, 4), (0, 4, 4)]:
        with pytest.raises(ValueError, match=r"expected \(N, H, W\) or \(H, W\)"):
            best_threshold(np.zeros(shape))
    ramp = np.linspace(0, 1, 16).reshape(1, 4, 4)
    for refused in (lambda: best_threshold(ramp, 2), lambda: pseudo_labels.edge_threshold(ramp, ramp, 2)):
        with pytest.raises(ValueError, match="k is 2, expected a whole number, at least 3"):
            refused()


def disc(size, radius, centre=None):
    rows, columns = np.mgrid[:size, :size] - (size // 2 if centre is None else centre)
    return rows**2 + columns**2 <= radius**2


@pytest.mark.parametrize("monotone", [lambda x: x**3, np.sqrt, lambda x: 1 / (1 + np.exp(-4 * x))])
def test_masks_of_the_edge_threshold_end_at_the_edges(monotone):
    discs = np.stack([disc(64, radius) for radius in (9, 14)])
    images = ndi.gaussian_filter(discs.astype(float), (0, 1.5, 1.5))
    p = monotone(images)
    t = pseudo_labels.edge_threshold(p, pseudo_labels.edges(images), 200)
    assert isinstance(t, float)
    assert (p > t).sum() == pytest.approx(discs.sum(), rel=0.04)


@quick
@given(p=arrays(np.float64, (2, 5, 5), elements=st.floats(0, 1)), seed=seeds)
def test_the_edge_threshold_is_that_of_a_brute_force(p, seed):
    weights = np.random.default_rng(seed).normal(size=p.shape)
    fluxes = {t: weights[p > t].sum() for t in np.linspace(p.min(), p.max(), 30)[1:-1]}
    found = pseudo_labels.edge_threshold(p, weights)
    if max(fluxes.values()) <= 1e-9:
        assert np.isnan(found) or abs(weights[p > found].sum()) < 1e-9
    else:
        assert weights[p > found].sum() == pytest.approx(max(fluxes.values()))


def test_edges_change_their_sign_at_an_edge():
    half = np.zeros((1, 20, 40))
    half[..., 20:] = 1
    found = pseudo_labels.edges(ndi.gaussian_filter(half, (0, 2, 2)))[0, 10]
    assert (found[16:20] < 0).all()  # outside
    assert (found[20:24] > 0).all()  # inside
    assert abs(found[:8]).max() < 1e-3


def test_without_edges_there_is_no_threshold(rng):
    p = rng.random((2, 8, 8))
    assert np.isnan(pseudo_labels.edge_threshold(p, np.zeros_like(p)))
    assert np.isnan(pseudo_labels.edge_threshold(np.full_like(p, 0.4), np.ones_like(p)))
    # Nor one where all objects are dark: there a threshold would be put around their surroundings.
    dark = -ndi.gaussian_filter(disc(32, 8).astype(float), 1.5)[None]
    assert np.isnan(pseudo_labels.edge_threshold(-dark, pseudo_labels.edges(dark)))


def test_evidence_is_the_sum_of_two_z_scores(rng):
    image = rng.random((1, 1, 24, 20))
    fine, wide = (ndi.gaussian_filter(image[0, 0], sigma) for sigma in (1, 5))
    scores = [(part - part.mean()) / part.std() for part in (fine, fine - wide)]
    np.testing.assert_allclose(pseudo_labels.evidence(image, 1, 5, 0.25)[0], scores[0] + 0.25 * scores[1])
    np.testing.assert_allclose(
        pseudo_labels.evidence(3 * image + 7), pseudo_labels.evidence(image), atol=1e-9
    )  # light does not matter
    assert (pseudo_labels.evidence(np.full((1, 1, 8, 8), 0.3)) == 0).all()
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\).*average the channels"):
        pseudo_labels.evidence(np.zeros((1, 3, 8, 8)))


CHOICES = st.fixed_dictionaries({name: st.booleans() for name in ("skeleton", "exact", "square", "clamp")})


@quick
@given(mask=masks, radius=st.integers(0, 5), keep=st.floats(0, 1, exclude_min=True), seed=seeds, choices=CHOICES)
def test_meta_structures_stay_near_the_skeleton_and_follow_their_seed(mask, radius, keep, seed, choices):
    before = mask.copy()
    first, again = (
        extract_meta_structure(mask, radius, keep, np.random.default_rng(seed), **choices) for _ in range(2)
    )
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(first, again)
    assert (first.shape, first.dtype) == (mask.shape, np.uint8)
    assert np.isin(first, (0, 1)).all()
    source = skeletonize(mask) if choices["skeleton"] else mask
    assert first.sum() <= source.sum()
    if not source.any():
        assert not first.any()
        return
    measure = ndi.distance_transform_cdt if choices["square"] else ndi.distance_transform_edt
    distance = measure(~source, **(dict(metric="chessboard") if choices["square"] else {}))
    assert (distance[first > 0] <= radius).all()  # put on the border, a pixel comes only closer


@quick
@given(mask=masks, seed=seeds)
def test_without_steps_and_with_all_pixels_the_source_comes_back(mask, seed):
    for exact in (False, True):
        for choices, source in [({}, skeletonize(mask)), ({"skeleton": False}, mask)]:
            found = extract_meta_structure(mask, 0, 1, np.random.default_rng(seed), exact=exact, **choices)
            np.testing.assert_array_equal(found, source)


@quick
@given(n=st.integers(1, 200), percent=st.integers(1, 100), seed=seeds)
@example(100, 55, 0)
def test_exact_counts_are_those_of_integer_arithmetic(n, percent, seed):
    mask = np.zeros((1, 201), bool)
    mask[0, :n] = True
    options = dict(skeleton=False, exact=True, clamp=True)
    still = extract_meta_structure(mask, 0, percent / 100, np.random.default_rng(seed), **options)
    assert still.sum() == -(-n * percent // 100)
    moved = extract_meta_structure(mask, 2, percent / 100, np.random.default_rng(seed), **options)
    assert 1 <= moved.sum() <= still.sum()


def test_each_pixel_is_kept_with_the_given_probability(rng):
    mask = np.ones((100, 100), bool)
    counts = [extract_meta_structure(mask, 0, 0.1, rng, skeleton=False).sum() for _ in range(20)]
    assert abs(np.mean(counts) - 1000) < 4 * np.sqrt(900 / 20)
    assert np.std(counts) > 10
    exact = [extract_meta_structure(mask, 0, 0.1, rng, skeleton=False, exact=True).sum() for _ in range(20)]
    assert set(exact) == {1000}


@pytest.mark.parametrize(("square", "places"), [(False, 13), (True, 25)])
def test_steps_are_uniform_over_a_disc_or_a_square(rng, square, places):
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    counts = sum(extract_meta_structure(mask, 2, 1, rng, square=square).astype(int) for _ in range(2000))
    assert (counts > 0).sum() == places
    assert (counts > 0)[2:7, 2:7].sum() == places
    assert counts.sum() == 2000
    assert abs(counts[counts > 0] - 2000 / places).max() < 5 * np.sqrt(2000 / places)


def test_pixels_beyond_the_border_are_dropped_or_put_on_it(rng):
    mask = np.zeros((9, 200), bool)
    mask[0] = True
    dropped, clamped = (
        np.mean(
            [extract_meta_structure(mask, 1, 1, rng, skeleton=False, square=True, clamp=clamp) for _ in range(40)],
            axis=(0, 2),
        )
        for clamp in (False, True)
    )
    # Of the steps, a third each goes out, stays and goes in; 3 columns may fall on one pixel.
    once, twice = 1 - (1 - 1 / 9) ** 3, 1 - (1 - 2 / 9) ** 3
    np.testing.assert_allclose(dropped[:3], [once, once, 0], atol=0.02)
    np.testing.assert_allclose(clamped[:3], [twice, once, 0], atol=0.02)


@pytest.mark.parametrize("square", [False, True])
def test_a_radius_beyond_the_image_is_no_error(square, rng):
    mask = np.zeros((6, 8), bool)
    mask[2:4, 1:7] = True
    dropped = [extract_meta_structure(mask, 50, 1, rng, square=square) for _ in range(30)]
    clamped = [extract_meta_structure(mask, 50, 1, rng, square=square, clamp=True) for _ in range(30)]
    assert min(each.sum() for each in dropped) == 0
    assert min(each.sum() for each in clamped) > 0
    assert not np.array(clamped)[:, 1:-1, 1:-1].sum() > np.array(clamped).sum() / 4


@pytest.mark.parametrize("keep", [0, -0.1, 1.001, np.nan])
def test_shares_outside_the_unit_interval_are_named(keep, rng):
    with pytest.raises(ValueError, match=r"keep is .*expected a share in \(0, 1\]"):
        extract_meta_structure(np.ones((4, 4)), 1, keep, rng)


@pytest.mark.parametrize("radius", [-1, 0.5])
def test_radii_that_are_no_number_of_pixels_are_named(radius, rng):
    with pytest.raises(ValueError, match=f"radius_px is {radius}, expected a whole number"):
        extract_meta_structure(np.ones((4, 4)), radius, 1, rng)


@quick
@given(mask=masks, share=st.floats(0.05, 2))
def test_insides_are_those_of_objects_that_a_disc_fills(mask, share):
    objects, count = ndi.label(mask)
    expected = np.zeros(mask.shape, bool)
    background = np.argwhere(~mask)
    for number in range(1, count + 1):
        points = np.argwhere(objects == number)
        if not len(background):
            return  # a mask without a border has no radius
        depth = np.sqrt(((points[:, None] - background) ** 2).sum(axis=2).min(axis=1))
        if np.pi * depth.max() ** 2 >= share * len(points):
            expected[tuple(points[depth > 1].T)] = True
    np.testing.assert_array_equal(pseudo_labels.insides(mask, share), expected)


def test_discs_are_compact_and_wires_are_not():
    rows, columns = np.mgrid[:64, :64]
    disc, wire = (rows - 20) ** 2 + (columns - 20) ** 2 < 81, (abs(rows - 50) < 3) & (columns > 5)
    found = pseudo_labels.insides(disc | wire, 0.5)
    np.testing.assert_array_equal(found, ndi.binary_erosion(disc))


@quick
@given(mask=masks, structure=masks, band=st.integers(0, 4))
def test_a_band_leaves_the_pixels_beside_the_structure_open(mask, structure, band):
    structure = np.resize(structure, mask.shape).astype(np.uint8)
    found = pseudo_labels.with_band(structure, mask, band)
    assert found.dtype == np.uint8
    near = mask | (structure > 0)
    steps = ndi.distance_transform_cdt(~near, metric="taxicab") if near.any() else np.full(mask.shape, 99)
    expected = np.where(structure, 1, np.where(steps <= band, IGNORE, 0))
    np.testing.assert_array_equal(found, expected)


def test_a_negative_band_is_named():
    with pytest.raises(ValueError, match="band_px is -1"):
        pseudo_labels.with_band(np.ones((4, 4), np.uint8), np.ones((4, 4)), -1)
