"""Labels against a few clean masks, and the answers of a network that has learned them."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from metalib._labels import IGNORE
from metalib.diagnosis import clean_masks, structure
from metalib.noise import designs, effective, recipes, transition

PRIOR = np.array([0.26, 0.42, 0.32])
MIXED, SHARED = (recipes.matrix(recipe, 3) for recipe in designs.RANK_TWO.values())


@pytest.fixture
def clean():
    """Six masks (6, 64, 64) of a square of 24 to 34 px."""
    masks = np.zeros((6, 64, 64), np.uint8)
    for place, mask in enumerate(masks):
        mask[10 : 34 + 2 * place, 12 : 36 + 2 * place] = 1
    return masks


def test_the_matrix_is_that_of_transition(clean, rng):
    kept = recipes.sample(clean, 0.5, rng) != IGNORE
    noisy = np.where(kept, recipes.flip(clean, 0.3, rng), np.uint8(IGNORE))
    found = clean_masks.compare(clean, noisy, 2)
    assert found.matrix == pytest.approx(transition.estimate(clean, noisy, 2))
    known = noisy != IGNORE
    assert found.wrong == pytest.approx((clean != noisy)[known].mean())
    assert found.pixels == known.sum()
    assert found.information == pytest.approx(
        transition.information(found.matrix, transition.prior(clean[known][None]))
    )


def from_matrix(matrix, prior):
    """`Comparison` of a known matrix: of so many pixels, all far from boundaries, that nothing of the estimate is noise."""
    prior = np.asarray(prior)
    exact = np.zeros((len(matrix), clean_masks.LEVELS, len(matrix)))
    exact[:, -1] = prior[:, None] * matrix * 1e12
    return clean_masks._described(exact, prior > 0, 0, structure.Estimate(0.0, 0.0))


def test_a_known_matrix_gives_the_closed_form():
    """signal / (1 - signal) = 4f(1 - f) effective_share(p) for two classes; signal = lambda^2 for three balanced ones."""
    p, f = 0.3, 0.2
    found = from_matrix(transition.flip_matrix(p), [1 - f, f])
    assert found.signal / (1 - found.signal) == pytest.approx(4 * f * (1 - f) * effective.effective_share(p))
    three = from_matrix(transition.flip_matrix(p, 3), np.full(3, 1 / 3))
    assert three.signal == pytest.approx(three.eigenvalue**2) == pytest.approx((1 - p * 3 / 2) ** 2)
    assert (three.bias, three.rank) == (0, 3)
    assert from_matrix(transition.random_matrix(0.1), [0.7, 0.3]).rank == 1


def test_flips_do_not_look_like_displaced_boundaries(clean, rng):
    drawn = [clean_masks.compare(clean, recipes.flip(clean, 0.2, rng), 2) for _ in range(60)]
    found = drawn[0]
    assert {(each.bias, each.shift_px) for each in drawn} == {(0, 0)}
    assert found.eigenvalue == pytest.approx(0.6, abs=4 * found.eigenvalue_error)
    assert np.std([each.eigenvalue for each in drawn]) == pytest.approx(found.eigenvalue_error, rel=0.3)
    assert found.wrong_by_distance == pytest.approx(np.full(clean_masks.LEVELS, 0.2), abs=0.03)


def test_a_dilation_displaces_the_boundary_by_a_pixel(clean):
    found = clean_masks.compare(clean, recipes.dilate(clean), 2)
    assert found.shift_px == pytest.approx(1, abs=0.05)
    assert found.wrong_by_distance[0] > 0.4
    assert not found.wrong_by_distance[1:].any()
    assert found.between + found.boundary == pytest.approx(1, abs=1e-3)  # every pixel follows from class and distance
    assert found.bias == pytest.approx(found.boundary, rel=1e-2)
    assert found.signal == 1 - structure.CURVED
    twice = clean_masks.compare(clean, recipes.dilate(clean, 2), 2)
    assert twice.bias > found.bias > 0.1


def test_a_class_that_is_only_near_its_boundary_has_its_own_rate(rng):
    """Lines of 1 px, labelled 3 px wide, and a tenth flipped: two pixels a line beyond the flips, over 1.5 px of boundary."""
    clean = np.zeros((6, 96, 96), np.uint8)
    clean[:, :, 8::16] = 1
    found = clean_masks.compare(clean, recipes.flip(recipes.dilate(clean), 0.1, rng), 2)
    assert found.shift_px == pytest.approx(2 * (0.9 - 0.1) / 1.5, abs=0.04)


def test_labels_without_a_clean_class_take_no_part(clean, rng):
    noisy = recipes.flip(clean, 0.1, rng)
    clean[:, :20] = IGNORE
    first, second = (clean_masks.compare(clean, np.where(clean == IGNORE, of, noisy), 2) for of in (noisy, 0 * noisy))
    assert first.pixels == (clean != IGNORE).sum()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_eigenvalue_is_that_of_the_matrix_whatever_the_class_shares(clean, rng):
    found = clean_masks.compare(clean, recipes.corrupt(clean, [[0.9, 0.1], [0.4, 0.6]], rng), 2)
    assert found.eigenvalue == pytest.approx(0.5, abs=4 * found.eigenvalue_error)


def test_random_labels_explain_nothing_in_any_draw(rng):
    """Also of few pixels and rare classes: the variance that classes explain is unbiased, the rank 1."""
    clean = np.zeros((4, 16, 16), np.uint8)
    clean[:, 3:6, 3:7] = 1
    drawn = [clean_masks.compare(clean, recipes.random_labels(clean.shape, 0.4, rng), 2) for _ in range(300)]
    assert np.mean([each.between for each in drawn]) == pytest.approx(0, abs=4 * np.sqrt(2 / 300) / clean.size)
    assert np.mean([each.signal == 0 for each in drawn]) > 0.99
    assert {each.rank for each in drawn} == {1}


def test_skeletons_are_misleading_structure(clean):
    found = clean_masks.compare(clean, recipes.skeleton(clean), 2)
    assert found.bias > 0.5


def test_random_labels_have_no_signal_and_swapped_ones_are_inverted(clean, rng):
    random = clean_masks.compare(clean, recipes.random_labels(clean.shape, 0.4, rng), 2)
    assert (random.signal, random.rank, random.inverted) == (0, 1, False)
    swapped = clean_masks.compare(clean, recipes.flip(clean, 0.8, rng), 2)
    assert swapped.inverted
    assert swapped.eigenvalue == pytest.approx(-0.6, abs=0.05)


def test_distance_levels_are_those_of_growing_squares(clean):
    level = clean_masks._distance(clean[0])
    row, inside = level[20], clean[0][20]
    edge = np.flatnonzero(np.diff(inside.astype(int)))[0]  # last pixel of background
    assert row[edge - 4 : edge + 6].tolist() == [3, 3, 2, 1, 0, 0, 1, 2, 3, 3]


def test_a_class_without_clean_pixels_has_no_row(clean, rng):
    noisy = recipes.flip(clean, 0.1, rng, classes=3)
    found = clean_masks.compare(clean, noisy, 3)
    assert np.isnan(found.matrix[2]).all()
    assert np.isfinite([found.information, found.eigenvalue, found.wrong]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: (c, c[:, :8]),
            r"6 clean masks and 6 labels, of sizes \[\(8, 64\), \(64, 64\)\], must be of the same",
        ),
        (lambda c: (c, c[:2]), "6 clean masks and 2 labels"),
        (lambda c: (c[:0], c[:0]), "at least one"),
        (lambda c: (c * 1.0, c), "clean mask 0 is float64"),
        (lambda c: (c, -c.astype(int)), "label 0 is int64"),
        (lambda c: (np.zeros_like(c), c), r"hold 1 class\(es\)"),
        (lambda c: (c, np.full_like(c, IGNORE)), r"hold 0 class\(es\)"),
        (lambda c: (c, np.full_like(c, 3)), "label 0 holds the value 3, expected 0 to 1"),
    ],
)
def test_wrong_pairs_are_refused(change, message, clean):
    with pytest.raises(ValueError, match=message):
        clean_masks.compare(*change(clean), 2)


# Answers of a network that has learned noisy labels without error.


@given(classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_full_rank_is_decoded_without_error(classes, seed):
    matrix = np.random.default_rng(seed).dirichlet(np.ones(classes), classes)
    if np.linalg.cond(matrix) < 1e6:
        np.testing.assert_array_equal(clean_masks.decoded_answers(matrix), np.arange(classes))


@example(classes=4, seed=95)  # the first and the third row are alike, and their most frequent labels differ
@given(classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_by_argmax_each_class_gets_the_answer_of_the_first_like_it(classes, seed):
    matrix = np.random.default_rng(seed).dirichlet(np.ones(classes), classes)
    for row, answer in zip(matrix, clean_masks.argmax_answers(matrix, doubt=0), strict=True):
        limit = (max(row) - 1 / classes) / 2
        assert answer == next(first.argmax() for first in matrix if max(abs(first - row)) < limit)


def test_by_argmax_the_most_frequent_label_is_said():
    matrix = transition.replacement_matrix(0.75, (1, 0, 0))
    assert clean_masks.argmax_answers(matrix).tolist() == [0, 0, 0]
    assert clean_masks.decoded_answers(matrix).tolist() == [0, 1, 2]
    critical = transition.flip_matrix(2 / 3, 3)
    assert clean_masks.argmax_answers(critical).tolist() == [0, 1, 2]  # a tie is no wrong answer
    assert clean_masks.argmax_answers([[0.8, 0.1, 0.1]] * 3).tolist() == [0, 0, 0]
    assert clean_masks.argmax_answers(MIXED).tolist() == [0, 1, 1]
    assert clean_masks.argmax_answers(SHARED).tolist() == [0, 0, 2]
    assert clean_masks.argmax_answers([[0.49, 0.51], [0.3, 0.7]], doubt=[0.05, 0.05]).tolist() == [0, 1]
    doubtful = transition.flip_matrix(0.75, 6), np.full(6, 0.1)  # rows that differ by less than is known of them
    assert clean_masks.argmax_answers(*doubtful).tolist() == list(range(6))
    assert clean_masks.argmax_answers([[0.49, 0.51], [0.3, 0.7]]).tolist() == [1, 1]


def test_without_full_rank_classes_are_said_to_be_others():
    assert clean_masks.decoded_answers(MIXED).tolist() == [0, 1, 1]
    miou = (1 + 0.42 / (0.42 + 0.32)) / 3  # class 0 is right, class 1 takes class 2 as well
    expected = (miou - 0.42 / 3) / (1 - 0.42 / 3)
    assert clean_masks.score(clean_masks.decoded_answers(MIXED), PRIOR) == pytest.approx(expected)
    assert clean_masks.decoded_answers(SHARED).tolist() == [0, 0, 2]
    noisy = MIXED + 1e-4 * np.array([[0, 0, 0], [0, 1, -1], [0, -1, 1]])  # estimated: of full rank but for noise
    assert clean_masks.decoded_answers(noisy).tolist() == [0, 1, 2]
    assert clean_masks.decoded_answers(noisy, rank=2).tolist() == [0, 1, 1]


@given(answers=st.lists(st.integers(0, 3), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_learnability_is_the_library_s_miou_between_its_ends(answers, seed):
    counts = np.random.default_rng(seed).integers(1, 40, 4)
    truth = np.repeat(np.arange(4), counts)
    prior = counts / counts.sum()
    miou = jaccard_score(truth, np.array(answers)[truth], average="macro", labels=range(4), zero_division=0)
    least = prior.max() / 4
    expected = max(0, (miou - least) / (1 - least))
    assert clean_masks.score(np.array(answers), prior) == pytest.approx(expected)


def test_absent_classes_do_not_count():
    assert clean_masks.score(np.array([0, 1, 0]), np.array([0.5, 0.5, 0])) == 1
