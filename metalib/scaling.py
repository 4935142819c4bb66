"""How test scores grow with what noisy labels tell: power laws, and pixels counted by their signal and noise.

x and scores are arrays (n,), a value a set of labels; scores in percent.
"""

import numpy as np
from scipy import optimize


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


def effective_px(labelled_px, correlation, told):
    """Labelled pixels times the signal-to-noise ratio of a label, given the image.

    correlation: squared correlation of clean and noisy labels (see `transition.squared_correlation`); told, in (0, 1):
    the share of the clean label's variance that the image explains. The noise does not look at the image, so that the
    image explains the share correlation * told of the noisy label; the ratio is that share over the rest.
    """
    explained = np.multiply(correlation, told)
    return labelled_px * explained / (1 - explained)


def fit_told(labelled_px, correlation, scores):
    """The `told` for which all scores lie best on one power law of their `effective_px`."""

    def misfit(told):
        return np.sum(residuals(effective_px(labelled_px, correlation, told), scores) ** 2)

    return float(optimize.minimize_scalar(misfit, bounds=(0.3, 0.99), method="bounded").x)
