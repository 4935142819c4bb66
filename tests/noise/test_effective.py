"""Effective pixels, and the power law of scores in them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metalib.noise import effective, transition

LAW = (90.0, 40.0, 0.4)
X = np.geomspace(10, 1000, 6)


def test_a_power_law_is_found_again():
    np.testing.assert_allclose(effective.power_law(np.array([1.0, 16.0]), 90, 40, 0.5), [50, 80])
    scores = effective.power_law(X, *LAW)
    np.testing.assert_allclose(effective.fit(X, scores), LAW, rtol=1e-4)
    np.testing.assert_allclose(effective.residuals(X, scores), 0, atol=1e-4)


@given(p=st.floats(0.01, 0.49))
def test_symmetric_flips_of_balanced_classes_have_their_effective_share(p):
    """With images that tell the class for certain: the same number as notebook 10's."""
    correlation = effective.squared_correlation(transition.flip_matrix(p), [0.5, 0.5])
    assert effective.effective_px(100, correlation, 1) == pytest.approx(100 * effective.effective_share(p), rel=1e-6)


def test_what_the_image_explains_is_found_from_scores():
    px = np.array([4096.0] * 6 + [409.6, 40.96, 4.096])
    correlation = np.array([1, 0.8, 0.4, 0.1, 0.02, 0.005, 1, 1, 1])
    scores = effective.power_law(effective.effective_px(px, correlation, 0.8), *LAW)
    assert effective.fit_explained(px, correlation, scores) == pytest.approx(0.8, abs=1e-3)


def test_the_effective_share_has_its_closed_form_and_inverse():
    assert effective.effective_share(0.45) == pytest.approx(0.01 / 0.99)
    for p in (0.1, 0.3, 0.45, 0.49):
        assert effective.flip_of_share(effective.effective_share(p)) == pytest.approx(p)


@pytest.mark.parametrize("p", [0, 0.5, 0.7])
def test_the_effective_share_is_told_where_it_is_undefined(p):
    with pytest.raises(ValueError, match="expected a flip probability in"):
        effective.effective_share(p)


@given(p=st.floats(0, 1), q=st.floats(0, 1), f=st.floats(0.05, 0.95))
def test_squared_correlation_is_that_of_drawn_labels(p, q, f):
    matrix, prior = np.array([[1 - p, p], [q, 1 - q]]), np.array([1 - f, f])
    joint = prior[:, None] * matrix  # as weights of the four pairs of labels
    assume((joint.sum(axis=0) > 1e-6).all())
    pairs = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    (clean, both), (_, noisy) = np.cov(pairs, aweights=joint.ravel(), ddof=0)
    expected = both**2 / (clean * noisy)
    assert effective.squared_correlation(matrix, prior) == pytest.approx(expected, abs=1e-9)


def test_squared_correlation_of_flips_gives_their_effective_share():
    found = effective.squared_correlation(transition.flip_matrix(0.45), [0.5, 0.5])
    assert found / (1 - found) == pytest.approx(effective.effective_share(0.45))
    assert effective.squared_correlation([[1, 0], [1, 0]], [0.5, 0.5]) == 0
    with pytest.raises(ValueError, match="two classes, the matrix has 3"):
        effective.squared_correlation(np.eye(3), np.ones(3) / 3)
