"""Power laws of what was measured at several sizes, and what they say of the paper's size, far beyond."""

import numpy as np

from metalib.claims.estimates import Estimate


def power_law(x, samples):
    """samples (seeds,), one for each of x (n,), are about factor * x^exponent: (exponent, factor, law), n at least 3.

    A line through the logarithms of the means, each weighted by how well it is known; a mean of nothing or less has no
    logarithm and is taken for its standard error. law(x): the `Estimate` of the logarithm (base 10) there. Where means lie
    further from the line than seeds explain, the error is that of the misfit.
    """
    means, errors = np.array([(np.mean(of), np.std(of, ddof=1) / np.sqrt(len(of))) for of in samples]).T
    means = np.maximum(means, np.maximum(errors, 1e-3))
    spread = np.maximum(errors / means, 0.02) / np.log(10)  # of a logarithm; no seed knows a mean better than to 2%
    design, y = np.stack([np.ones(len(means)), np.log10(x)], axis=1), np.log10(means)
    weighted = design / spread[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    line = covariance @ weighted.T @ (y / spread)
    dof, seeds = len(y) - 2, min(map(len, samples))
    covariance *= max(1.0, np.sum(((y - design @ line) / spread) ** 2) / dof)

    def law(at):
        place = np.array([1.0, np.log10(at)])
        return Estimate(float(place @ line), float(place @ covariance @ place), 0.0, seeds, 0, dof)

    return float(line[1]), float(10 ** line[0]), law
