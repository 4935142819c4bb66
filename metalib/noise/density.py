"""Spatial density maps of labels, the paper's definition of meta-structures (Lemma 1, Eq. 7-9; Figure 6).

A map turns labels (H, W) into f (H, W): the pixels of one class in a window around each position, divided by the
window's area inside the image (edge correction) and by the number N of such pixels in the image. Sum of f over
an image is close to 1, its unit is 1/px^2.
"""

from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from metalib import _checks
from metalib._labels import IGNORE, check
from metalib.noise.transition import check_matrix

KERNELS = ("box", "gaussian")


class Prediction(NamedTuple):
    """What Lemma 1 says about a map before any label is drawn: mean and standard error, both (H, W)."""

    mean: np.ndarray
    standard_error: np.ndarray


def density_map(labels, window_px, label=1, kernel="box"):
    """Density of `label` (paper, Eq. 8 in two dimensions): labels (H, W) integer, returns (H, W) float64.

    window_px: odd width of the box. The Gaussian kernel takes the standard deviation of that box, sqrt((w^2 - 1) / 12).
    ValueError: window even or wider than the image, unknown kernel, labels that are no class ids, no pixel of the class.
    """
    # Paper: Eq. 8 writes 1/(2Nh), the one-dimensional constant; on a pixel grid it is 1/(N window area).
    points = _present(labels, label)
    return _share(points, window_px, kernel, unit=np.count_nonzero(points))


def standard_error(labels, window_px, label=1, kernel="box"):
    """Standard error (H, W) of `density_map` for independent pixels, from the noisy labels alone.

    The local share of the class is plugged into the binomial variance. Where a window crosses a boundary this
    overstates the error, as share (1 - share) is concave.
    """
    points = _present(labels, label)
    share = _share(points, window_px, kernel)
    variance = share * (1 - share)
    of_share = variance * _variance_of_share(np.ones_like(share), window_px, kernel)
    return _ratio_error(share, of_share, variance, variance.sum(), np.count_nonzero(points))


def predict(clean, matrix, window_px, label=1, kernel="box"):
    """Eq. 7: the density of `label` expected when clean labels (H, W) pass through a transition matrix (M, M).

    Returns a `Prediction` in 1/px^2. ValueError: clean labels that are no classes of the matrix, a label that it never gives.
    """
    # Paper: Lemma 1 calls the sampling error a constant delta; it is binomial, and varies with the place.
    matrix = check_matrix(matrix)
    check(clean, len(matrix))
    if label not in range(len(matrix)) or np.ndim(clean) != 2 or (clean == IGNORE).any():
        raise ValueError(
            f"label {label} and every clean label must be one of the {len(matrix)} classes of the matrix, which {IGNORE} is "
            f"not, in one image (H, W): got the shape {np.shape(clean)}"
        )
    chance = matrix[:, label][clean]  # P(y* = label | y) of every pixel
    variance = chance * (1 - chance)
    if not chance.any():
        raise ValueError(f"label {label} does not occur in any noisy labels of this matrix: its density is undefined")
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
    ValueError: shapes that differ, a set without the label, a window that does not fit into an image.
    """
    # Paper: Theorem 1 speaks of "more perturbation" without a measure; this one is ours.
    if np.shape(first) != np.shape(second) or np.ndim(first) != 3:
        raise ValueError(f"labels {np.shape(first)} and {np.shape(second)} must both be (N, H, W)")
    pairs = zip(*(_densities(labels, window_px, label) for labels in (first, second)), strict=True)
    return float(sum(np.abs(one - other).sum() for one, other in pairs) / 2)


def _densities(labels, window_px, label):
    """The density over all images (N, H, W), made one by one, so that memory does not grow with their number."""
    covered = _coverage(np.shape(labels)[1:], window_px, "box")
    # Each pixel of the label counts in the total with the sum of what it adds to windows.
    rows, columns = (ndi.uniform_filter1d(1 / of, window_px, mode="constant") for of in covered)
    total = sum(float(rows @ _indicator(of, label) @ columns) for of in labels)
    if total == 0:
        raise _absent(labels, label)
    return (_share(_indicator(of, label), window_px, "box", total) for of in labels)


def smallest_window_px(p, z=3.0):
    """Odd width of the box in which two classes under binary flips `p` differ by `z` standard errors: S >= z^2 p(1-p)/(1-2p)^2.

    ValueError at p = 0.5, where no window is large enough.
    """
    if not isinstance(p, Real) or not 0 <= p < 0.5:
        raise ValueError(f"p is {p!r}, expected a flip probability in [0, 0.5): at 0.5 no window shows the structure")
    _checks.number(z, "z", 0, 1e6)
    side = int(np.ceil(np.sqrt(z**2 * p * (1 - p)) / (1 - 2 * p)))
    return max(1, side + (side + 1) % 2)


def _present(labels, label):
    """`_indicator`; ValueError where it has no pixel."""
    points = _indicator(labels, label)
    if not points.any():
        raise _absent(labels, label)
    return points


def _indicator(labels, label):
    """Where labels (H, W) hold the class, (H, W) bool; ValueError unless they are class ids, and it is one."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be an integer image (H, W), got shape {labels.shape} of {labels.dtype}")
    if label not in range(IGNORE):
        raise ValueError(f"label is {label}, expected a class id from 0 to {IGNORE - 1}: {IGNORE} marks ignored pixels")
    if labels.dtype != np.uint8 and labels.size and not 0 <= labels.min() <= labels.max() <= IGNORE:
        raise ValueError(f"labels hold values from {labels.min()} to {labels.max()}, expected class ids: map them")
    return labels == label


def _absent(labels, label):
    """The ValueError of labels without a class: it says what is in them, and what to do about it."""
    present = np.unique(labels).tolist()
    classes = [value for value in present if 0 <= value < IGNORE]
    advice = f"choose one of the classes they hold: {classes[:5]}"
    if present == [0, 255]:
        advice = "they hold [0, 255]: divide a 0/255 mask by 255"
    if not classes:
        advice = f"they hold {present[:5]} alone, no class: choose labels with at least one pixel that is not ignored"
    return ValueError(f"label {label} does not occur in the labels: its density is undefined; {advice}")


def _share(values, window_px, kernel, unit=1.0):
    """Weighted mean of values (H, W) over the part of the window inside the image, in units of `unit`."""
    total = _window_sum(values, window_px, kernel)
    rows, columns = _coverage(values.shape, window_px, kernel)
    # One factor a row and one a column, in place: at 2048 x 2048 every further array costs as much as the filter.
    total /= unit * rows[:, None]
    total /= columns
    return total


def _variance_of_share(variances, window_px, kernel):
    """Variance of that mean for independent pixels: sum of w^2 variance over (sum of w)^2."""
    rows, columns = _coverage(variances.shape, window_px, kernel)
    return _window_sum(variances, window_px, kernel, power=2) / np.outer(rows**2, columns**2)


def _window_sum(values, window_px, kernel, power=1):
    """Sum of w^power values, float64, where the weights w sum to one over a whole window and values are 0 outside."""
    width = check_window(window_px, values.shape)
    _checks.one_of(kernel, KERNELS, "kernel")
    if kernel == "box" or width == 1:
        total = ndi.uniform_filter(values, width, output=float, mode="constant")
        return total if power == 1 else total / width**values.ndim
    sigma = np.sqrt((width**2 - 1) / 12)
    radius = int(np.ceil(4 * sigma))
    weights = ndi.gaussian_filter1d(np.eye(1, 2 * radius + 1, radius)[0], sigma, radius=radius, mode="constant")
    # The square of a Gaussian is a Gaussian narrower by sqrt(2); what it no longer sums to is the factor behind it.
    factor = np.sum(weights**power) ** values.ndim
    narrow = sigma / np.sqrt(power)
    return factor * ndi.gaussian_filter(values, narrow, output=float, radius=radius, mode="constant")


def _coverage(shape, window_px, kernel):
    """Share of the window's weight inside the image, in (0, 1], along rows (H,) and columns (W,): their product is that of a pixel."""
    check_window(window_px, shape)
    return tuple(_window_sum(np.ones(n), window_px, kernel) for n in shape)


def check_window(window_px, shape=None):
    """The width of a window as an int; ValueError unless it is odd, and no wider than an image of this shape (H, W)."""
    if not isinstance(window_px, Real) or not (window_px >= 1 and window_px % 2 == 1):  # which refuses nan and inf, too
        raise ValueError(f"window_px is {window_px!r}, expected an odd width of at least 1 px, such as 1, 3 or 25")
    if shape and window_px > min(shape):
        raise ValueError(
            f"window_px is {window_px}, wider than the image {shape}: choose at most {min(shape) - 1 + min(shape) % 2}"
        )
    return int(window_px)
