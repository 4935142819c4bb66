"""Answers of a network that has learned noisy labels without error."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from metalib import decoding, grids, transition

PRIOR = np.array([0.26, 0.42, 0.32])
MIXED, SHARED = (transition.matrix(recipe, 3) for recipe in grids.RANK_TWO.values())


@given(classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_full_rank_is_decoded_without_error(classes, seed):
    matrix = np.random.default_rng(seed).dirichlet(np.ones(classes), classes)
    if np.linalg.cond(matrix) < 1e6:
        np.testing.assert_array_equal(decoding.decoded(matrix), np.arange(classes))


@example(classes=4, seed=95)  # the first and the third row are alike, and their most frequent labels differ
@given(classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_as_it_is_each_class_gets_the_answer_of_the_first_like_it(classes, seed):
    matrix = np.random.default_rng(seed).dirichlet(np.ones(classes), classes)
    for row, answer in zip(matrix, decoding.as_it_is(matrix, doubt=0), strict=True):
        limit = (max(row) - 1 / classes) / 2
        assert answer == next(first.argmax() for first in matrix if max(abs(first - row)) < limit)


def test_as_it_is_the_most_frequent_label_is_said():
    matrix = transition.replacement_matrix(0.75, (1, 0, 0))
    assert decoding.as_it_is(matrix).tolist() == [0, 0, 0]
    assert decoding.decoded(matrix).tolist() == [0, 1, 2]
    assert decoding.as_it_is(transition.flip_matrix(2 / 3, 3)).tolist() == [0, 1, 2]  # a tie is no wrong answer
    assert decoding.as_it_is([[0.8, 0.1, 0.1]] * 3).tolist() == [0, 0, 0]
    assert decoding.as_it_is(MIXED).tolist() == [0, 1, 1]
    assert decoding.as_it_is(SHARED).tolist() == [0, 0, 2]
    assert decoding.as_it_is([[0.49, 0.51], [0.3, 0.7]], doubt=[0.05, 0.05]).tolist() == [0, 1]
    doubtful = transition.flip_matrix(0.75, 6), np.full(6, 0.1)  # rows that differ by less than is known of them
    assert decoding.as_it_is(*doubtful).tolist() == list(range(6))
    assert decoding.as_it_is([[0.49, 0.51], [0.3, 0.7]]).tolist() == [1, 1]


def test_without_full_rank_classes_are_said_to_be_others():
    assert decoding.decoded(MIXED).tolist() == [0, 1, 1]
    miou = (1 + 0.42 / (0.42 + 0.32)) / 3  # class 0 is right, class 1 takes class 2 as well
    expected = (miou - 0.42 / 3) / (1 - 0.42 / 3)
    assert decoding.learnability(decoding.decoded(MIXED), PRIOR) == pytest.approx(expected)
    assert decoding.decoded(SHARED).tolist() == [0, 0, 2]
    noisy = MIXED + 1e-4 * np.array([[0, 0, 0], [0, 1, -1], [0, -1, 1]])  # estimated: of full rank but for noise
    assert decoding.decoded(noisy).tolist() == [0, 1, 2]
    assert decoding.decoded(noisy, rank=2).tolist() == [0, 1, 1]


@given(answers=st.lists(st.integers(0, 3), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_learnability_is_the_library_s_miou_between_its_ends(answers, seed):
    counts = np.random.default_rng(seed).integers(1, 40, 4)
    truth = np.repeat(np.arange(4), counts)
    prior = counts / counts.sum()
    miou = jaccard_score(truth, np.array(answers)[truth], average="macro", labels=range(4), zero_division=0)
    least = prior.max() / 4
    expected = max(0, (miou - least) / (1 - least))
    assert decoding.learnability(np.array(answers), prior) == pytest.approx(expected)


def test_absent_classes_do_not_count():
    assert decoding.learnability(np.array([0, 1, 0]), np.array([0.5, 0.5, 0])) == 1
