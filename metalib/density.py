"""Spatial density maps of labels, the paper's definition of meta-structures (Lemma 1, Eq. 7-9; Figure 6).

A map turns labels (H, W) into f (H, W): the pixels of one class in a window around each position, divided by the
window's area inside the image (edge correction) and by the number N of such pixels in the image. Sum of f over
an image is close to 1, its unit is 1/px^2.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from metalib.labels import IGNORE, check, check_matrix

KERNELS = ("box", "gaussian")


class Prediction(NamedTuple):
    """What Lemma 1 says about a map before any label is drawn: mean and standard error, both (H, W)."""

    mean: np.ndarray
    standard_error: np.ndarray


def density_map(labels, window_px, label=1, kernel="box"):
    """Density of `label` (paper, Eq. 8 in two dimensions): labels (H, W) integer, returns (H, W) float64.

    window_px: odd width of the box. The Gaussian kernel takes the standard deviation of that box, sqrt((w^2 - 1) / 12).
    ValueError: window even or wider than the image, unknown kernel, no pixel of the class.
    """
    # Paper: Eq. 8 writes 1/(2Nh), the one-dimensional constant; on a pixel grid it is 1/(N window area).
    points = _indicator(labels, label)
    return _share(points, window_px, kernel) / points.sum()


def standard_error(labels, window_px, label=1, kernel="box"):
    """Standard error (H, W) of `density_map` for independent pixels, from the noisy labels alone.

    The local share of the class is plugged into the binomial variance. Where a window crosses a boundary this
    overstates the error, as share (1 - share) is concave.
    """
    points = _indicator(labels, label)
    share = _share(points, window_px, kernel)
    variance = share * (1 - share)
    of_share = variance * _variance_of_share(np.ones_like(points), window_px, kernel)
    return _ratio_error(share, of_share, variance, variance.sum(), points.sum())


def predict(clean, matrix, window_px, label=1, kernel="box"):
    """Eq. 7: the density of `label` expected when clean labels (H, W) pass through a transition matrix (M, M)."""
    # Paper: Lemma 1 calls the sampling error a constant delta; it is binomial, and varies with the place.
    matrix = check_matrix(matrix)
    check(clean, len(matrix))
    if not 0 <= label < len(matrix) or (clean == IGNORE).any():
        raise ValueError(f"label {label} and every clean label must be one of the {len(matrix)} classes of the matrix")
    chance = matrix[:, label][clean]  # P(y* = label | y) of every pixel
    variance = chance * (1 - chance)
    _check_occurs(chance, label)
    share = _share(chance, window_px, kernel)
    of_share = _variance_of_share(variance, window_px, kernel)
    error = _ratio_error(share, of_share, _share(variance, window_px, kernel), variance.sum(), chance.sum())
    return Prediction(share / chance.sum(), error)


def _ratio_error(share, variance_of_share, covariance, variance_of_count, count):
    """Standard error of share / N by the delta method: both are random, and the window's pixels are part of the count N."""
    mean = share / count
    variance = variance_of_share - 2 * mean * covariance + mean**2 * variance_of_count
    return np.sqrt(np.maximum(variance, 0)) / count


def distance(first, second, window_px, label=1):
    """Total variation distance, in [0, 1], between the densities of `label` in two sets of labels (N, H, W).

    Each set is one density over all its images, so that an image without the label counts as empty, not as undefined.
    """
    # Paper: Theorem 1 speaks of "more perturbation" without a measure; this one is ours.
    if np.shape(first) != np.shape(second) or np.ndim(first) != 3:
        raise ValueError(f"labels {np.shape(first)} and {np.shape(second)} must both be (N, H, W)")
    densities = []
    for labels in (first, second):
        points = (np.asarray(labels) == label).astype(float)
        _check_occurs(points, label)
        share = np.stack([_share(image, window_px, "box") for image in points])
        densities.append(share / share.sum())
    return float(np.abs(densities[0] - densities[1]).sum() / 2)


def smallest_window_px(p, z=3.0):
    """Odd width of the box in which two classes under binary flips `p` differ by `z` standard errors: S >= z^2 p(1-p)/(1-2p)^2.

    ValueError at p = 0.5, where no window is large enough.
    """
    if not 0 <= p < 0.5:
        raise ValueError(f"p is {p}, expected a flip probability in [0, 0.5): at 0.5 no window shows the structure")
    side = int(np.ceil(np.sqrt(z**2 * p * (1 - p)) / (1 - 2 * p)))
    return max(1, side + (side + 1) % 2)


def _indicator(labels, label):
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be an integer image (H, W), got shape {labels.shape} of {labels.dtype}")
    points = (labels == label).astype(float)
    _check_occurs(points, label)
    return points


def _check_occurs(points, label):
    if not points.any():
        raise ValueError(f"label {label} does not occur in the labels: its density is undefined")


def _share(values, window_px, kernel):
    """Weighted mean of values (H, W) over the part of the window that lies inside the image."""
    return _window_sum(values, window_px, kernel) / _coverage(values.shape, window_px, kernel)


def _variance_of_share(variances, window_px, kernel):
    """Variance of that mean for independent pixels: sum of w^2 variance over (sum of w)^2."""
    return _window_sum(variances, window_px, kernel, power=2) / _coverage(variances.shape, window_px, kernel) ** 2


def _window_sum(values, window_px, kernel, power=1):
    """Sum of w^power values, where the weights w sum to one over a whole window and values are 0 outside the image."""
    width = _check_window(window_px, values.shape)
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}, expected one of {', '.join(KERNELS)}")
    if kernel == "box" or width == 1:
        return ndi.uniform_filter(values, width, mode="constant") / width ** (values.ndim * (power - 1))
    sigma = np.sqrt((width**2 - 1) / 12)
    radius = int(np.ceil(4 * sigma))
    weights = ndi.gaussian_filter1d(np.eye(1, 2 * radius + 1, radius)[0], sigma, radius=radius, mode="constant")
    # The square of a Gaussian is a Gaussian narrower by sqrt(2); what it no longer sums to is the factor behind it.
    total = np.sum(weights**power) ** values.ndim
    return ndi.gaussian_filter(values, sigma / np.sqrt(power), radius=radius, mode="constant") * total


def _coverage(shape, window_px, kernel):
    """Share of the window's weight inside the image, (H, W) in (0, 1]: separable, as window and image are."""
    rows, columns = (_window_sum(np.ones(n), window_px, kernel) for n in shape)
    return np.outer(rows, columns)


def _check_window(window_px, shape):
    if window_px != int(window_px) or window_px < 1 or window_px % 2 == 0:
        raise ValueError(f"window_px is {window_px}, expected an odd width of at least 1 px")
    if window_px > min(shape):
        raise ValueError(f"window_px is {window_px}, wider than the image {shape}: choose a smaller window")
    return int(window_px)
