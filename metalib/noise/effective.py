"""How test scores grow with what noisy labels tell: power laws, and pixels counted by their signal and noise.

x and scores are arrays (n,), a value a set of labels; scores in percent.
"""

from numbers import Real

import numpy as np
from scipy import optimize

from metalib.noise import transition


def power_law(x, a, b, c):
    """a - b x^-c: a with labels without end, b lost at x = 1, c how fast it is made up for."""
    return a - b * x**-c


def fit(x, scores):
    """Parameters (a, b, c) of the power law through scores at x > 0, by least squares."""
    found, _ = optimize.curve_fit(power_law, x, scores, p0=(90, 10, 0.5), bounds=((0, 0, 0.01), (100, 200, 3)))
    return found


def residuals(x, scores):
    """Scores minus the power law that is fitted to them."""
    return scores - power_law(x, *fit(x, scores))


def effective_px(labelled_px, correlation, explained=1.0):
    """Labelled pixels times the signal-to-noise ratio of a label, given the image.

    correlation: squared correlation of clean and noisy labels (see `squared_correlation`), or the share of their variance
    that is structure; explained, in (0, 1]: the share of the clean label's variance that the image explains. The noise does
    not look at the image, so that the image explains the share correlation * explained of the noisy label; the ratio is
    that share over the rest.
    """
    share = np.multiply(correlation, explained)
    return labelled_px * share / (1 - share)


def fit_explained(labelled_px, correlation, scores):
    """The `explained` for which all scores lie best on one power law of their `effective_px`."""

    def misfit(explained):
        return np.sum(residuals(effective_px(labelled_px, correlation, explained), scores) ** 2)

    return float(optimize.minimize_scalar(misfit, bounds=(0.3, 0.99), method="bounded").x)


def effective_share(p):
    """Signal-to-noise ratio of one label under binary flips `p` in (0, 0.5): (1 - 2p)^2 / (4p(1 - p)); 1 at p = 0.146.

    It is the squared difference of the label's mean between the classes over four times its variance. n labels have n
    times this ratio: their effective pixels. ValueError outside (0, 0.5).
    """
    if not isinstance(p, Real) or not 0 < p < 0.5:
        raise ValueError(f"p is {p!r}, expected a flip probability in (0, 0.5)")
    return (1 - 2 * p) ** 2 / (4 * p * (1 - p))


def flip_of_share(share):
    """The flip probability in (0, 0.5) of an effective share > 0; inverse of `effective_share`. ValueError for others."""
    if not isinstance(share, Real) or not share > 0:
        raise ValueError(f"share is {share!r}, expected a number above 0")
    return (1 - np.sqrt(share / (1 + share))) / 2


def squared_correlation(matrix, prior):
    """Squared correlation of the clean with the noisy label of two classes, in [0, 1]; 0 where the rank is one.

    It is the share of the noisy label's variance that the clean label explains. For symmetric flips of two equally
    frequent classes it is (1 - 2p)^2, and r / (1 - r) is their `effective_share`. ValueError for more than two classes.
    """
    matrix = transition.check_matrix(matrix)
    prior = transition.check_prior(prior, matrix)
    if len(matrix) != 2:
        raise ValueError(f"the correlation is that of two classes, the matrix has {len(matrix)}")
    noisy = prior @ matrix
    between = prior.prod() * (matrix[1, 1] - matrix[0, 1]) ** 2
    return float(between / noisy.prod()) if noisy.prod() else 0.0
