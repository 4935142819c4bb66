"""What labels tell without any clean mask: how much of them is spatial structure, and how much flips of single pixels.

Two pixels a short lag apart mostly had the same clean label, so that the share of neighbours whose labels agree, carried
on to lag 0, is the agreement of two independent noisy labels of one clean pixel. Geostatistics calls its complement the
nugget. With uniform flips of M classes and eigenvalue lambda = 1 - p M / (M - 1), that agreement is

    A = lambda^2 + (1 - lambda^2) / M,        hence        lambda^2 = (M A - 1) / (M - 1),

whatever the shares of the classes (for M = 2: (1 - 2p)^2 = 2A - 1 = 4 (C0 + (m - 1/2)^2), C0 the covariance at lag 0).
Under any noise that hits pixels independently, A - sum m_k^2 is the variance of the label that has spatial structure.
"""

from typing import NamedTuple

import numpy as np

from metalib.label_counts import Counts, count, window_widths  # noqa: F401 (callers count and estimate by one name)

# Runs of a class one pixel long make lambda^2 too small: by at most this share on the clean masks of all our sets (measured
# in the tests), which the interval takes in.
CURVED = 0.02
Z95 = 1.96
# Standard errors from zero from which a number is taken to be there. One more than the usual three, as half a dozen windows
# are looked at, and sums over few of them have long tails.
ERRORS = 4


class Estimate(NamedTuple):
    """A number from labels, and its standard error over images (jackknife)."""

    value: float
    error: float


def shares(counts):
    """Share of each class (K,) among the labelled pixels."""
    return _shares(_total(counts))


def labelled_share(counts):
    """Share of pixels that are labelled, in [0, 1]."""
    return float(counts.labelled.sum() / counts.pixels.sum())


def scattered(counts):
    """Whether the pixels without a label are missing one by one, as by sampling, and not as areas: a bool.

    The correlation of `labelled` between neighbours is 0 for the first and near 1 for the second; half is between them.
    """
    share = labelled_share(counts)
    if share == 1:
        return False
    together = counts.pairs[:, 0].sum() / (2 * counts.pixels.sum())  # but for the border, which has fewer pairs
    return bool((together - share**2) / (share * (1 - share)) < 0.5)


def eigenvalue_squared(counts):
    """lambda^2 of the flips behind the labels as an `Estimate`; not bounded to [0, 1], so that it stays unbiased."""
    return jackknife(_eigenvalue_squared, counts)


def structured_share(counts):
    """Share of the variance of the labels that is spatial structure, as an `Estimate`: (A - sum m^2) / (1 - sum m^2)."""
    return jackknife(_structured_share, counts)


def window_share(counts):
    """The same measured by windows, one `Estimate` a width: covariance of two pixels in a window over the variance.

    It is the variance of the window's share beyond that of independent pixels, m(1 - m)/n, summed over classes.
    """
    widths = counts.area.shape[1]
    return [jackknife(lambda total, w=w: _window_share(total, w), counts) for w in range(widths)]


def flip_probability(counts):
    """p of uniform flips below the critical level (M - 1) / M, from labels alone: (estimate, low, high) at 95%.

    Beyond that level 1 - p M / (M - 1) is negative, and labels alone cannot tell its sign. The interval covers the error
    over images and the bias of `CURVED`.
    """
    classes = counts.labelled.shape[1]
    found = eigenvalue_squared(counts)
    ends = found.value, (found.value + Z95 * found.error) / (1 - CURVED), found.value - Z95 * found.error
    return tuple(float((1 - np.sqrt(np.clip(end, 0, 1))) * (classes - 1) / classes) for end in ends)


def chance_errors(counts):
    """Standard errors (1 + W,) of `structured_share` and of each `window_share` for labels without any structure.

    Products of two different pixels are then uncorrelated, with variance 1 / (K - 1) in units of the labels' variance.
    """
    total = _total(counts)
    lags = np.array([4, 1]) / np.maximum(total.pairs, 1)  # 2 short - long: the squares of its coefficients
    windows = 2 / np.maximum(total.area - total.inside.sum(axis=-1), 1)  # ordered pairs are twice as many as pairs
    return np.sqrt(np.array([lags.sum(), *windows]) / (counts.labelled.shape[1] - 1))


def certain_share(counts):
    """The structured share as `effective_px` takes it: 0 where chance explains the labels.

    Under heavy noise windows tell more than neighbours, as they hold more pairs, though somewhat too little, as the pairs
    are farther apart: of all measures from lag 0 to the widest window the first that is sure is taken.
    """
    total = _total(counts)
    windows = (_window_share(total, width) for width in range(counts.area.shape[1]))
    found = np.array([_structured_share(total), *windows])
    sure = found > ERRORS * chance_errors(counts)
    return float(np.clip(found[sure.argmax()], 0, 1 - CURVED)) if sure.any() else 0.0


def effective_px(counts):
    """Effective pixels of the labels: labelled pixels times the signal-to-noise ratio of one.

    That ratio is structured over unstructured variance: for two balanced classes it is `transition.effective_share(p)`,
    and 4f(1 - f) times it where one class has the share f. No more than 1 / CURVED of it can be told from clean labels.
    """
    return effective(counts.labelled.sum(), certain_share(counts))


def effective(labelled_px, share):
    """Effective pixels of so many labelled ones, a share in [0, 1) of whose variance is structure."""
    return float(labelled_px * share / (1 - share))


def thin_share(counts):
    """Share of the pixels of class 1 that lie in no 2 x 2 block of it: near 1 for skeletons."""
    return float(counts.thin.sum() / max(counts.labelled[:, 1].sum(), 1))


def jackknife(statistic, counts):
    """`Estimate` of a statistic of summed counts: its value, and its error from leaving out one mask at a time."""
    total = _total(counts)
    n = len(counts.pixels)
    if n < 2:
        return Estimate(float(statistic(total)), np.inf)
    without = statistic(Counts(*(whole - part for whole, part in zip(total, counts, strict=True))))
    return Estimate(float(statistic(total)), float(np.sqrt((n - 1) * np.var(without))))


def _total(counts):
    return Counts(*(part.sum(axis=0) for part in counts))


def _shares(total):
    return total.labelled / np.maximum(total.labelled.sum(axis=-1, keepdims=True), 1)


def _agreement_at_0(total):
    short, long = (total.agree[..., place] / np.maximum(total.pairs[..., place], 1) for place in range(2))
    return 2 * short - long


def _eigenvalue_squared(total):
    classes = total.labelled.shape[-1]
    return (classes * _agreement_at_0(total) - 1) / (classes - 1)


def _structured_share(total):
    by_chance = (_shares(total) ** 2).sum(axis=-1)
    return (_agreement_at_0(total) - by_chance) / np.maximum(1 - by_chance, 1e-12)


def _window_share(total, width):
    """Sum over classes of the covariance of two different pixels of a window, over the sum of variances."""
    inside, square, cross = (part[..., width, :] for part in (total.inside, total.square, total.cross))
    known, area = inside.sum(axis=-1, keepdims=True), total.area[..., width, None]
    mean = inside / np.maximum(known, 1)  # left out, the only labelled mask leaves none
    both = square - 2 * mean * cross + mean**2 * area  # sum over pairs of pixels, each with itself among them
    alone = inside * (1 - 2 * mean) + known * mean**2
    variance = (mean * (1 - mean)).sum(axis=-1)
    return (both - alone).sum(axis=-1) / np.maximum((area - known)[..., 0] * variance, 1e-12)
