import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from metalib.noise import recipes, transition

probabilities = st.floats(0, 1)


@given(p=probabilities, classes=st.integers(2, 19))
def test_eigenvalues_of_uniform_flips(p, classes):
    values = transition.eigenvalues(transition.flip_matrix(p, classes))
    expected = np.array([1] + [1 - p * classes / (classes - 1)] * (classes - 1))
    np.testing.assert_allclose(np.sort(values.real), np.sort(expected), atol=1e-7)


@pytest.mark.parametrize(
    ("p", "classes", "rank"), [(0.49, 2, 2), (0.5, 2, 1), (0.9, 19, 19), (18 / 19, 19, 1), (0.97, 19, 19)]
)
def test_rank_is_lost_at_the_critical_level_alone(p, classes, rank):
    assert transition.rank(transition.flip_matrix(p, classes)) == rank


def test_random_labels_have_rank_one_and_no_information():
    matrix = transition.random_matrix(0.1)
    assert transition.rank(matrix) == 1
    assert transition.information(matrix, [0.7, 0.3]) == pytest.approx(0, abs=1e-15)


def test_a_matrix_can_lose_rank_without_equal_rows():
    assert transition.rank([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]) == 2


@given(p=probabilities)
def test_information_of_a_balanced_flip_is_one_minus_its_entropy(p):
    assume(0 < p < 1)
    entropy = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    assert transition.information(transition.flip_matrix(p), [0.5, 0.5]) == pytest.approx(1 - entropy, abs=1e-9)


def test_information_of_counted_labels_is_their_mutual_information(rng):
    clean = rng.integers(0, 3, (100, 100)).astype(np.uint8)
    noisy = recipes.flip(clean, 0.4, rng, classes=3)
    ours = transition.information(transition.estimate(clean, noisy, 3), transition.prior(clean, 3))
    assert ours == pytest.approx(mutual_info_score(clean.ravel(), noisy.ravel()) / np.log(2))


@given(p=probabilities, f=probabilities)
def test_pixel_error_in_closed_form(p, f):
    assert transition.pixel_error(transition.random_matrix(p), [1 - f, f]) == pytest.approx((1 - f) * p + f * (1 - p))
    assert transition.pixel_error(transition.flip_matrix(p), [1 - f, f]) == pytest.approx(p)


def test_bad_pairs_and_priors_are_named():
    mask = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="class 1 does not occur"):
        transition.estimate(mask, mask)
    with pytest.raises(ValueError, match=r"shapes \(4, 4\) and \(2, 2\) must be those of the same pixels"):
        transition.estimate(mask, mask[:2, :2])
    with pytest.raises(ValueError, match="class ids below classes=2"):
        transition.estimate(mask + 7, mask)
    with pytest.raises(ValueError, match="2 fractions that sum to one"):
        transition.information(transition.flip_matrix(0.1), [0.5, 0.6])
    with pytest.raises(ValueError, match="p is 2"):
        transition.flip_matrix(2)
    with pytest.raises(ValueError, match=r"a transition matrix is square and holds probabilities \(float"):
        transition.check_matrix({"rows": 2})


@given(share=probabilities, classes=st.integers(2, 6), seed=st.integers(0, 99))
def test_replacement_keeps_one_minus_its_share_of_every_other_eigenvalue(share, classes, seed):
    by = np.random.default_rng(seed).dirichlet(np.ones(classes))
    matrix = transition.replacement_matrix(share, by)
    values = np.sort(transition.eigenvalues(matrix).real)
    np.testing.assert_allclose(values, [1 - share] * (classes - 1) + [1], atol=1e-6)
    np.testing.assert_allclose(by @ matrix, by, atol=1e-12)


def test_replacement_by_both_classes_alike_is_flipping():
    np.testing.assert_allclose(transition.replacement_matrix(0.9, (0.5, 0.5)), transition.flip_matrix(0.45))
    with pytest.raises(ValueError, match=r"share is 1.2"):
        transition.replacement_matrix(1.2, (0.5, 0.5))
