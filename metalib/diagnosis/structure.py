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

from metalib import _labels
from metalib._labels import IGNORE
from metalib.noise import effective

# Agreement falls exactly linearly from lag 0 to 2 px along rows and columns where no run of a class is one pixel long, so
# lags 1 and 2 are the longest that thin structures allow.
LAGS_PX = (1, 2)
SMALLEST_WINDOW_PX = 2
# Runs of a class one pixel long make lambda^2 too small: by at most this share on the clean masks of all our sets (measured
# in the tests), which the interval takes in.
CURVED = 0.02
Z95 = 1.96  # rounded, as it is in the records
# Standard errors from zero from which a number is taken to be there. One more than the usual three, as half a dozen windows
# are looked at, and sums over few of them have long tails.
ERRORS = 4


class Counts(NamedTuple):
    """Sums over each of N masks with K classes, L lags and W window widths; pixels that are IGNORE are in none of them.

    pixels (N,): all; labelled (N, K): of each class; pairs, agree (N, L): of labelled pixels a lag apart along rows and
    columns, and those of them with one label; thin (N,): pixels of class 1 in no 2 x 2 block of that class. Of square
    windows side by side: inside (N, W, K) labelled pixels, square (N, W, K) sum of the squared counts of a class, cross
    (N, W, K) sum of count times labelled pixels, area (N, W) sum of labelled pixels squared.
    """

    pixels: np.ndarray
    labelled: np.ndarray
    pairs: np.ndarray
    agree: np.ndarray
    thin: np.ndarray
    inside: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    area: np.ndarray


def count(masks, classes, widths):
    """`Counts` of N masks (H, W) uint8, one at a time: memory does not grow with them but for a row of sums each.

    masks: any iterable; widths: of windows in px, each a multiple of the one before. ValueError names what is wrong, also
    where no labelled pixels lie side by side. Masks of one class alone look as if no pixel was flipped.
    """
    steps = list(zip((1, *widths), widths, strict=False))
    if not steps or any(wider < 1 or wider % width for width, wider in steps):
        raise ValueError(
            f"widths of windows are {tuple(widths)} px, each must be a multiple of the one before: as (2, 4, 8)"
        )
    rows = [_count_one(*of, classes, widths) for of in checked(masks, classes)]
    if not rows:
        raise ValueError("there is no mask to count: give at least one")
    counts = Counts(*(np.array(part, float) for part in zip(*rows, strict=True)))
    if not counts.pairs.sum(axis=0).all():
        raise ValueError(
            f"{len(rows)} masks hold {counts.labelled.sum():.0f} pixels with a label ({IGNORE} is none), no two of them "
            f"{' and '.join(map(str, LAGS_PX))} px apart in a row or column: label pixels side by side"
        )
    return counts


def window_widths(shape):
    """Widths in px, doubling from 2, of the windows that fit at least twice into both sides of a mask of this shape (H, W).

    ValueError below 4 px a side.
    """
    if len(shape) != 2 or min(shape) < 2 * SMALLEST_WINDOW_PX:
        raise ValueError(
            f"masks of shape {tuple(shape)} hold no two windows: (H, W) with at least 4 px a side is needed"
        )
    return tuple(SMALLEST_WINDOW_PX * 2**n for n in range(int(np.log2(min(shape))) - 1))


class Estimate(NamedTuple):
    """A number from labels, and its standard error over images (jackknife)."""

    value: float
    error: float


def shares(counts):
    """Share of each class (K,) among the labelled pixels."""
    labelled = counts.labelled.sum(axis=0)
    return labelled / labelled.sum()


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


def effective_px(counts, structured=None):
    """Effective pixels of the labels: labelled pixels times the signal-to-noise ratio of one.

    structured: the share of their variance that has structure; by default `certain_share`, from the labels alone.
    The ratio is structured over unstructured variance: for two balanced classes it is `noise.effective.effective_share(p)`,
    and 4f(1 - f) times it where one class has the share f. No more than 1 / CURVED of it can be told from clean labels.
    """
    structured = certain_share(counts) if structured is None else structured
    return float(effective.effective_px(counts.labelled.sum(), structured))


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


def _agreement_at_0(total):
    share = total.agree / np.maximum(total.pairs, 1)
    return 2 * share[..., 0] - share[..., 1]


def _eigenvalue_squared(total):
    classes = total.labelled.shape[-1]
    return (classes * _agreement_at_0(total) - 1) / (classes - 1)


def _structured_share(total):
    share = total.labelled / np.maximum(total.labelled.sum(axis=-1, keepdims=True), 1)
    by_chance = (share**2).sum(axis=-1)
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


def checked(masks, classes, name="mask"):
    """(mask, pixels of each value), one by one; ValueError names the first that is no (H, W) uint8, or of another size."""
    shape = None
    for place, mask in enumerate(map(np.asarray, masks)):
        found = _labels.check_mask(mask, classes, f"{name} {place}")
        shape = shape or mask.shape
        if mask.shape != shape:
            raise ValueError(f"{name} {place} is of shape {mask.shape}, {name} 0 of {shape}: crop them to one size")
        yield mask, found


def _count_one(mask, found, classes, widths):
    pairs, agree = zip(*(_agreement(mask, lag) for lag in LAGS_PX), strict=True)
    return mask.size, found[:classes], pairs, agree, _thin(mask), *_windows(mask, classes, widths)


def _agreement(mask, lag):
    """Pairs of labelled pixels a lag apart along rows and columns, and those that agree."""
    pairs = agree = 0
    for image in (mask, mask.T):
        first, second = image[lag:], image[:-lag]
        known = (first != IGNORE) & (second != IGNORE)
        pairs += np.count_nonzero(known)
        agree += np.count_nonzero((first == second) & known)
    return pairs, agree


def _thin(mask):
    points = mask == 1
    block = np.pad(points[1:, 1:] & points[:-1, 1:] & points[1:, :-1] & points[:-1, :-1], 1)
    covered = block[1:, 1:] | block[:-1, 1:] | block[1:, :-1] | block[:-1, :-1]
    return np.count_nonzero(points & ~covered)


def _windows(mask, classes, widths):
    """inside, square, cross and area of `Counts` for one mask; what is left over at its right and lower side is cut."""
    if max(widths) > min(mask.shape):
        raise ValueError(f"windows of {max(widths)} px are wider than a mask of {mask.shape} px: choose smaller ones")
    counts, sums = mask == np.arange(classes)[:, None, None], []
    for narrower, width in zip((1, *widths[:-1]), widths, strict=True):
        counts = _sums(counts, width // narrower)
        of_class, known = counts.reshape(classes, -1), counts.sum(axis=0).ravel()
        sums.append((of_class.sum(axis=1), (of_class**2).sum(axis=1), of_class @ known, known @ known))
    return zip(*sums, strict=True)


def _sums(values, width):
    """Sums of values (K, H, W) over squares side by side, int64 (K, H // width, W // width)."""
    height, length = (side // width for side in values.shape[1:])
    kept = values[:, : height * width, : length * width]
    return kept.reshape(-1, height, width, length, width).sum(axis=(2, 4), dtype=np.int64)
