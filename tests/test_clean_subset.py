"""Labels against a few clean masks."""

import numpy as np
import pytest

from metalib import clean_subset, labels, transition
from metalib.labels import IGNORE


@pytest.fixture
def clean():
    """Six masks (6, 64, 64) of a square of 24 to 34 px."""
    masks = np.zeros((6, 64, 64), np.uint8)
    for place, mask in enumerate(masks):
        mask[10 : 34 + 2 * place, 12 : 36 + 2 * place] = 1
    return masks


def test_the_matrix_is_that_of_transition(clean, rng):
    kept = labels.sample(clean, 0.5, rng) != IGNORE
    noisy = np.where(kept, labels.flip(clean, 0.3, rng), np.uint8(IGNORE))
    found = clean_subset.compare(clean, noisy, 2)
    assert found.matrix == pytest.approx(transition.estimate(clean, noisy, 2))
    known = noisy != IGNORE
    assert found.wrong == pytest.approx((clean != noisy)[known].mean())
    assert found.pixels == known.sum()
    assert found.information == pytest.approx(
        transition.information(found.matrix, transition.prior(clean[known][None]))
    )


def test_a_known_matrix_gives_the_closed_form():
    """signal / (1 - signal) = 4f(1 - f) effective_share(p) for two classes; signal = lambda^2 for three balanced ones."""
    p, f = 0.3, 0.2
    found = clean_subset.from_matrix(transition.flip_matrix(p), [1 - f, f])
    assert found.signal / (1 - found.signal) == pytest.approx(4 * f * (1 - f) * transition.effective_share(p))
    three = clean_subset.from_matrix(transition.flip_matrix(p, 3), np.full(3, 1 / 3))
    assert three.signal == pytest.approx(three.eigenvalue**2) == pytest.approx((1 - p * 3 / 2) ** 2)
    assert (three.bias, three.rank) == (0, 3)
    assert clean_subset.from_matrix(transition.random_matrix(0.1), [0.7, 0.3]).rank == 1


def test_flips_do_not_look_like_displaced_boundaries(clean, rng):
    found = clean_subset.compare(clean, labels.flip(clean, 0.2, rng), 2)
    assert (found.bias, found.shift_px) == (0, 0)
    assert found.eigenvalue == pytest.approx(0.6, abs=4 * found.eigenvalue_error)
    assert found.wrong_by_distance == pytest.approx(np.full(clean_subset.LEVELS, 0.2), abs=0.03)


def test_a_dilation_displaces_the_boundary_by_a_pixel(clean):
    found = clean_subset.compare(clean, labels.dilate(clean), 2)
    assert found.shift_px == pytest.approx(1, abs=0.05)
    assert found.wrong_by_distance[0] > 0.4
    assert not found.wrong_by_distance[1:].any()
    assert found.between + found.boundary == pytest.approx(1, abs=1e-3)  # every pixel follows from class and distance
    twice = clean_subset.compare(clean, labels.dilate(clean, 2), 2)
    assert twice.bias > found.bias > 0.1


def test_skeletons_are_misleading_structure(clean):
    found = clean_subset.compare(clean, labels.skeleton(clean), 2)
    assert found.bias > 0.5


def test_random_labels_have_no_signal_and_swapped_ones_are_inverted(clean, rng):
    random = clean_subset.compare(clean, labels.random(clean.shape, 0.4, rng), 2)
    assert (random.signal, random.rank, random.inverted) == (0, 1, False)
    swapped = clean_subset.compare(clean, labels.flip(clean, 0.8, rng), 2)
    assert swapped.inverted
    assert swapped.eigenvalue == pytest.approx(-0.6, abs=0.05)


def test_distance_levels_are_those_of_growing_squares(clean):
    level = clean_subset._distance(clean[0])
    row, inside = level[20], clean[0][20]
    edge = np.flatnonzero(np.diff(inside.astype(int)))[0]  # last pixel of background
    assert row[edge - 4 : edge + 6].tolist() == [3, 3, 2, 1, 0, 0, 1, 2, 3, 3]


def test_a_class_without_clean_pixels_has_no_row(clean, rng):
    noisy = labels.flip(clean, 0.1, rng, classes=3)
    found = clean_subset.compare(clean, noisy, 3)
    assert np.isnan(found.matrix[2]).all()
    assert np.isfinite([found.information, found.eigenvalue, found.wrong]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: (c, c[:, :8]), "must be of the same pixels"),
        (lambda c: (np.zeros_like(c), c), r"hold 1 class\(es\)"),
        (lambda c: (c, np.full_like(c, IGNORE)), r"hold 0 class\(es\)"),
        (lambda c: (c, np.full_like(c, 3)), "class ids below classes=2"),
    ],
)
def test_wrong_pairs_are_refused(change, message, clean):
    with pytest.raises(ValueError, match=message):
        clean_subset.compare(*change(clean), 2)


def test_a_matrix_with_negative_entries_is_refused():
    with pytest.raises(ValueError, match=r"got the entry -0\.2"):
        clean_subset.from_matrix([[1.2, -0.2], [0, 1]], [0.5, 0.5])
