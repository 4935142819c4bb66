"""Lemma 1, Lemma 2 and the window law: closed forms and loops over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage as ndi
from scipy import stats

from metalib.noise import density, recipes, theory, transition


@st.composite
def matrices(draw, sizes=(2, 3, 4)):
    classes = draw(st.sampled_from(sizes))
    rows = draw(
        st.lists(st.lists(st.integers(0, 6), min_size=classes, max_size=classes), min_size=classes, max_size=classes)
    )
    counts = np.array(rows) + np.eye(classes) * (np.sum(rows, axis=1, keepdims=True) == 0)
    return counts / counts.sum(axis=1, keepdims=True)


def test_shapes_have_the_classes_and_areas_they_say():
    assert theory.circle(64).mean() == pytest.approx(np.pi * 64**2 / 256**2, rel=0.01)
    assert theory.halves().mean(axis=0).tolist() == [0] * 128 + [1] * 128
    np.testing.assert_allclose(transition.prior(theory.bands(4), 4), np.array([1, 2, 4, 8]) / 15, atol=0.004)
    for classes in range(2, 7):
        rings = theory.rings(classes)
        areas = np.bincount(rings.ravel())
        assert len(areas) == classes
        assert len(set(areas)) == classes
        assert all(ndi.label(rings >= inner)[1] == 1 for inner in range(1, classes))
        middles = np.array([ndi.center_of_mass(rings >= inner) for inner in range(1, classes)])
        assert (np.diff(middles, axis=0) < -5).all()  # none in the middle of the next
    assert np.unique(theory.thin_lines()).tolist() == [0, 1, 2]
    lines = theory.thin_lines() == 1
    assert recipes.erode(lines.astype(np.uint8), 1).any()  # wider than 2 px
    assert recipes.erode(lines.astype(np.uint8), 3).sum() < 0.05 * lines.sum()  # narrower than 7 px, crossings apart


def test_every_draw_and_every_kind_of_noise_has_numbers_of_its_own():
    clean, half = theory.circle(64), transition.random_matrix(0.5)
    first, second = theory.draw("a", clean, half, 2)
    assert (first != second).mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(theory.draw("a", clean, half, 1)[0], first)
    assert (theory.draw("b", clean, half, 1)[0] != first).mean() == pytest.approx(0.5, abs=0.02)


def test_maps_and_predictions_are_in_units_of_the_uniform_density(rng):
    noisy = rng.integers(0, 3, (2, 20, 30)).astype(np.uint8)
    np.testing.assert_allclose(theory.maps(noisy, 5, 2)[1], 600 * density.density_map(noisy[1], 5, 2))
    mean, _ = theory.predicted(noisy[0], transition.flip_matrix(2 / 3, 3), 5)
    np.testing.assert_allclose(mean, 1)


def test_a_residual_is_undefined_where_nothing_is_random(rng):
    clean = np.repeat([[0, 1]], 16, axis=1).repeat(24, axis=0).astype(np.uint8)
    matrix = np.array([[1.0, 0.0], [0.5, 0.5]])
    noisy = recipes.corrupt(clean, matrix, rng)
    found = theory.residual(noisy, theory.predicted(clean, matrix, 3), 3)
    assert np.isnan(found[:, :15]).all()
    assert np.isfinite(found[:, 15:]).all()
    row, column = 12, 20  # away from border and boundary
    count, chance = noisy[row - 1 : row + 2, column - 1 : column + 2].sum(), 0.5
    n, variance = 0.5 * 384, 0.25 * 384
    share, total = count / 9, noisy.sum()
    error = np.sqrt(0.25 / 9 - 2 * chance / n * 0.25 + (chance / n) ** 2 * variance) / n
    assert found[row, column] == pytest.approx((share / total - chance / n) / error)


def test_coverage_is_the_share_of_pixels_of_all_labels(rng):
    clean, matrix = rng.integers(0, 3, (12, 12)).astype(np.uint8), transition.flip_matrix(0.4, 3)
    noisy = np.stack([recipes.corrupt(clean, matrix, rng) for _ in range(3)])
    parts = [theory.predicted(clean, matrix, 5, label) for label in range(3)]
    inside = [
        [np.abs(theory.maps(noisy[[i]], 5, m)[0] - parts[m].mean) <= 1.96 * parts[m].standard_error for m in range(3)]
        for i in range(3)
    ]
    np.testing.assert_allclose(
        theory.coverage(noisy, clean, matrix, 5), 100 * np.mean(inside, axis=(1, 2, 3)), atol=0.3
    )


def test_the_error_in_a_corner_is_that_of_a_quarter_of_the_window(rng):
    noisy = (rng.random((300, 64, 64)) < 0.5).astype(np.uint8)
    found = theory.corner_error(theory.maps(noisy, 9), 1.0, 9).mean()
    assert found == pytest.approx(2 * 9 / 10, rel=0.05)  # 9^2 px in the middle against 5^2 in a corner


@pytest.mark.parametrize("row", [(0.9, 0.1), (0.45, 0.55)])
def test_the_errors_of_two_areas_are_those_of_their_binomials(row):
    clean, matrix = theory.halves(), np.array([[0.9, 0.1], row])
    found = theory.error_ratio(theory.draw("x", clean, matrix, 20), clean, matrix, 9).mean()
    assert found == pytest.approx(np.sqrt(row[0] * row[1] / 0.09), rel=0.03)


def test_contrast_is_that_of_whole_windows():
    maps = np.ones((2, 40, 40))
    maps[:, :, 20:] = 3
    maps[:, :, 17:23] = 100  # windows across the boundary do not count
    maps[:, :3] = maps[:, -3:] = 100  # nor do those across the border
    maps[:, :, :3] = maps[:, :, -3:] = 100
    clean = np.repeat([[0, 1]], 20, axis=1).repeat(40, axis=0)
    np.testing.assert_allclose(theory.contrast(maps, clean, 7), [2, 2])


@pytest.mark.parametrize("p", [0.2, 0.4])
def test_separation_grows_with_the_width_of_the_window(rng, p):
    clean = theory.halves()
    noisy = np.stack([recipes.flip(clean, p, rng) for _ in range(3)])
    widths, values = theory.separations(noisy, clean, 4)
    assert widths.tolist() == [0, *range(1, widths[-1] + 1, 2)]
    assert values[-1] >= 4 > values[-2]
    np.testing.assert_allclose(values, widths * (1 - 2 * p) / np.sqrt(p * (1 - p)), rtol=0.05)


def test_a_separation_is_that_of_a_loop_over_windows(rng):
    clean = np.repeat([[0, 1]], 8, axis=1).repeat(10, axis=0).astype(np.uint8)
    noisy = np.stack([recipes.flip(clean, 0.3, rng) for _ in range(2)])
    of_areas = [
        [draw[y - 1 : y + 2, x - 1 : x + 2].mean() for draw in noisy for y in range(1, 9) for x in columns]
        for columns in (range(1, 7), range(9, 15))
    ]
    expected = (np.mean(of_areas[1]) - np.mean(of_areas[0])) / np.sqrt(np.mean(np.var(of_areas, axis=1)))
    assert theory.separation(noisy, clean, 3) == pytest.approx(abs(expected), rel=1e-5)


def test_areas_of_windows_between_widths_lie_on_a_line():
    widths, values = np.array([0, 1, 3, 5]), np.array([0.0, 2.0, 6.0, 5.0])
    assert [theory.window_area(widths, values, z) for z in (1, 2, 4, 6)] == pytest.approx([0.25, 1, 4, 9])
    assert theory.law_area(0.45, 3) == pytest.approx(222.75)
    assert [density.smallest_window_px(p, 5) for p in (0.3, 0.4)] == [7, 13]
    assert [np.sqrt(theory.law_area(p, 5)) for p in (0.3, 0.4)] == pytest.approx([5.73, 12.25], abs=0.01)


def test_areas_that_no_window_separates_are_named():
    clean = np.repeat([[0, 1]], 20, axis=1).repeat(9, axis=0).astype(np.uint8)
    with pytest.raises(ValueError, match="no window inside an area separates them by z = 3: lower z"):
        theory.separations(np.zeros((1, 9, 40), np.uint8), clean, 3)
    assert theory.separation(clean[None], clean, 3) == np.inf  # labels without noise


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(lambda n: n[0] + n[1] and n[2] + n[3]))
def test_the_z_of_two_areas_is_the_root_of_chi_square(counts):
    first, second = np.array(counts[:2]), np.array(counts[2:])
    found = theory._z_of_shares(first, second)
    if (first + second).all():
        chi_square = stats.chi2_contingency([first, second], correction=False).statistic
        np.testing.assert_allclose(found**2, chi_square, atol=1e-9)
    else:
        np.testing.assert_array_equal(found, 0)


def image_of(counts):
    """Clean areas, and noisy labels with the given counts [area][label]."""
    clean = np.repeat(np.arange(len(counts)), np.sum(counts, axis=1)).astype(np.uint8)
    noisy = np.concatenate([np.repeat(np.arange(len(of)), of) for of in counts]).astype(np.uint8)
    return noisy[None], clean[None]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([[700, 300], [700, 300]], 1),
        ([[700, 300], [300, 700]], 2),
        ([[700, 300, 0], [300, 700, 0], [300, 700, 0]], 2),
        ([[500, 500, 0], [540, 460, 0], [640, 360, 0]], 2),
        ([[500, 500, 0], [540, 460, 0], [590, 410, 0]], 1),  # first and last differ, but each is like the middle
        ([[500, 250, 250], [500, 0, 500], [500, 500, 0]], 3),  # one label alone tells nothing, the others do
    ],
)
def test_areas_told_apart_by_their_counts(counts, expected):
    assert theory.areas_apart(*image_of(counts), len(counts), level=0.01) == expected


def test_an_area_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="class 2 has no area in the clean labels"):
        theory.areas_apart(*image_of([[10, 10], [5, 15]]), 3)
    with pytest.raises(ValueError, match="class 1 has no area in the clean labels"):
        theory.areas_apart(*image_of([[10, 0, 10], [0, 0, 0], [5, 15, 0]]), 3)


def test_areas_of_equal_density_are_rarely_told_apart(rng):
    clean = np.repeat(np.arange(2), 600).reshape(30, 40).astype(np.uint8)
    found = [theory.areas_apart(rng.integers(0, 2, clean.shape).astype(np.uint8), clean, 2, 0.1) for _ in range(400)]
    assert np.mean(np.array(found) > 1) == pytest.approx(0.05, abs=0.025)  # the two labels are one test, counted twice


@given(matrices(sizes=(2,)))
def test_with_two_classes_the_rank_is_the_number_of_distinct_rows(matrix):
    assert theory.distinct_rows(matrix) == transition.rank(matrix)


@given(matrices())
def test_the_rank_is_never_above_the_number_of_distinct_rows(matrix):
    assert transition.rank(matrix) <= theory.distinct_rows(matrix)


def test_families_hold_both_kinds_of_lost_rank():
    known = {name: (transition.rank(of), theory.distinct_rows(of), len(of)) for name, of in theory.FAMILIES.items()}
    two, three = [(2, 2, 2), (1, 1, 2)], [(3, 3, 3), (3, 3, 3), (3, 3, 3), (1, 1, 3), (2, 2, 3), (2, 3, 3)]
    assert sorted(known.values()) == sorted([*two, *three, (2, 5, 5), (3, 5, 5)])
    for matrix in theory.FAMILIES.values():
        transition.check_matrix(matrix)


def test_clean_shares_come_back_through_the_inverse():
    noisy, _ = image_of([[10, 20, 70]])
    swap = np.eye(3)[[1, 2, 0]]  # class 0 is labelled 1, 1 is 2, 2 is 0
    np.testing.assert_allclose(theory.recovered_shares(noisy, swap), [0.2, 0.7, 0.1])
    mixed = np.array([[0.8, 0.2, 0], [0.1, 0.8, 0.1], [0, 0.4, 0.6]])
    clean = np.array([0.5, 0.25, 0.25])
    noisy, _ = image_of([np.round(4000 * clean @ mixed).astype(int)])
    np.testing.assert_allclose(theory.recovered_shares(noisy, mixed), clean, atol=1e-9)
    error = theory.recovery_error(noisy[None], image_of([[2000, 1000, 1000]])[0], mixed)
    np.testing.assert_allclose(error, [0], atol=1e-6)
    np.testing.assert_allclose(theory.recovery_error(noisy[None], image_of([[1600, 1400, 1000]])[0], mixed), [10])
