"""Power laws against exact ones, and their intervals against what they should cover."""

import numpy as np

from metalib.claims import laws

X = np.array([1e4, 2e4, 4e4, 8e4])


def test_an_exact_law_comes_back_and_is_followed_far_beyond():
    exponent, factor, law = laws.power_law(X, [np.full(3, 5 * x**-0.5) for x in X])
    np.testing.assert_allclose((exponent, factor), (-0.5, 5))
    found = law(1e8)
    np.testing.assert_allclose(10**found.mean, 5e-4)
    assert (found.seeds, found.images, found.dof) == (3, 0, 2)


def test_an_interval_covers_a_value_far_beyond_the_points(rng):
    inside = 0
    for _ in range(400):
        samples = [5 * x**-0.5 * 10 ** rng.normal(0, 0.05, 5) for x in X]
        low, high = laws.power_law(X, samples)[2](1e8).interval()
        inside += low <= np.log10(5e-4) <= high
    assert inside / 400 > 0.93


def test_points_that_lie_on_no_line_widen_the_interval(rng):
    on = [np.full(3, x) + rng.normal(0, 0.01 * x, 3) for x in X]
    bent = [of * factor for of, factor in zip(on, (1, 1.5, 1.5, 1), strict=True)]
    widths = [np.diff(laws.power_law(X, samples)[2](1e8).interval())[0] for samples in (on, bent)]
    assert widths[1] > 5 * widths[0]


def test_a_cost_of_nothing_or_less_is_taken_for_its_standard_error():
    samples = [np.array([4.0, 5, 6]), np.array([2.0, 2.5, 3]), np.array([1.0, 1.2, 1.4]), np.array([-0.2, 0.0, 0.2])]
    exponent, _, law = laws.power_law(X, samples)
    assert exponent < 0
    assert np.isfinite(law(1e8).interval()).all()
