import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from metalib import labels, transition

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
    noisy = labels.flip(clean, 0.4, rng, classes=3)
    ours = transition.information(transition.estimate(clean, noisy, 3), transition.prior(clean, 3))
    assert ours == pytest.approx(mutual_info_score(clean.ravel(), noisy.ravel()) / np.log(2))


@given(p=probabilities, f=probabilities)
def test_pixel_error_in_closed_form(p, f):
    assert transition.pixel_error(transition.random_matrix(p), [1 - f, f]) == pytest.approx((1 - f) * p + f * (1 - p))
    assert transition.pixel_error(transition.flip_matrix(p), [1 - f, f]) == pytest.approx(p)


@pytest.mark.parametrize("recipe", ["cl", "rcl_sample:0.1", "rcl_flip:0.45", "rl:0.1", "rcl_matrix:0.9 0.1; 0.3 0.7"])
def test_the_matrix_of_a_recipe_is_what_its_labels_show(recipe, rng):
    clean = (rng.random((600, 600)) < 0.3).astype(np.uint8)
    estimate = transition.estimate(clean, labels.make(recipe, clean, rng))
    expected = transition.matrix(recipe)
    counts = 0.1 * clean.size * transition.prior(clean)[:, None]  # sampling keeps a tenth
    assert (np.abs(estimate - expected) <= 5 * np.sqrt(expected * (1 - expected) / counts)).all()


def test_perturbed_labels_have_no_matrix_of_their_own():
    with pytest.raises(ValueError, match=r"'pcl_dilation' has no transition matrix.*use transition.estimate"):
        transition.matrix("pcl_dilation")


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


def test_the_effective_share_has_its_closed_form_and_inverse():
    assert transition.effective_share(0.45) == pytest.approx(0.01 / 0.99)
    for p in (0.1, 0.3, 0.45, 0.49):
        assert transition.flip_of_share(transition.effective_share(p)) == pytest.approx(p)


@pytest.mark.parametrize("p", [0, 0.5, 0.7])
def test_the_effective_share_is_told_where_it_is_undefined(p):
    with pytest.raises(ValueError, match="expected a flip probability in"):
        transition.effective_share(p)


def test_one_sided_sampling_has_full_rank_and_the_determinant_of_what_is_kept():
    matrix = transition.matrix("rcl_sample:0.1", one_sided=True)
    assert np.linalg.det(matrix) == pytest.approx(0.1)
    assert transition.rank(matrix) == 2


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


def test_a_matrix_and_its_recipe_are_one():
    matrix = transition.replacement_matrix(0.95, (0.8, 0.2))
    assert transition.recipe(matrix) == "rcl_matrix:0.81 0.19; 0.76 0.24"
    np.testing.assert_allclose(transition.matrix(transition.recipe(matrix)), matrix)
    with pytest.raises(ValueError, match="no transition matrix for 3 classes"):
        transition.matrix(transition.recipe(matrix), 3)


@given(p=probabilities, q=probabilities, f=st.floats(0.05, 0.95))
def test_squared_correlation_is_that_of_drawn_labels(p, q, f):
    matrix, prior = np.array([[1 - p, p], [q, 1 - q]]), np.array([1 - f, f])
    joint = prior[:, None] * matrix  # as weights of the four pairs of labels
    assume((joint.sum(axis=0) > 1e-6).all())
    pairs = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    (clean, both), (_, noisy) = np.cov(pairs, aweights=joint.ravel(), ddof=0)
    expected = both**2 / (clean * noisy)
    assert transition.squared_correlation(matrix, prior) == pytest.approx(expected, abs=1e-9)


def test_squared_correlation_of_flips_gives_their_effective_share():
    found = transition.squared_correlation(transition.flip_matrix(0.45), [0.5, 0.5])
    assert found / (1 - found) == pytest.approx(transition.effective_share(0.45))
    assert transition.squared_correlation([[1, 0], [1, 0]], [0.5, 0.5]) == 0
    with pytest.raises(ValueError, match="two classes, the matrix has 3"):
        transition.squared_correlation(np.eye(3), np.ones(3) / 3)


def test_sampling_alone_labels_a_share_of_the_pixels():
    assert [transition.labelled_share(recipe) for recipe in ("cl", "rcl_sample:0.1", "rcl_flip:0.45")] == [1, 0.1, 1]
