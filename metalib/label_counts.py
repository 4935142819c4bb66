"""What `structure` needs of masks, counted one at a time: pairs of pixels a lag apart, and pixels in windows."""

from typing import NamedTuple

import numpy as np

from metalib import checks
from metalib.labels import IGNORE

# Agreement falls exactly linearly from lag 0 to 2 px along rows and columns where no run of a class is one pixel long, so
# lags 1 and 2 are the longest that thin structures allow.
LAGS_PX = (1, 2)
SMALLEST_WINDOW_PX = 2


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
    _check_widths(widths)
    rows = [_count_one(mask, classes, widths) for mask in _checked(masks, classes)]
    if not rows:
        raise ValueError("there is no mask to count: give at least one")
    counts = Counts(*(np.array(part, float) for part in zip(*rows, strict=True)))
    if not counts.pairs.sum(axis=0).all():
        raise ValueError(
            f"{len(rows)} masks hold {counts.labelled.sum():.0f} pixels with a label ({IGNORE} is none), no two of them "
            f"{' and '.join(map(str, LAGS_PX))} px apart in a row or column: label pixels side by side"
        )
    return counts


def check_mask(mask, classes, name):
    """Number of pixels of each value (256,); ValueError with the name unless a mask is uint8 (H, W) of class ids or IGNORE."""
    checks.whole(classes, "classes", 2, IGNORE)
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"{name} is {mask.dtype} of shape {mask.shape}, expected uint8 (H, W) of class ids")
    found = np.bincount(mask.ravel(), minlength=256)
    wrong = [int(value) for value in np.flatnonzero(found) if classes <= value != IGNORE]
    if wrong:
        raise ValueError(
            f"{name} holds the value {wrong[0]}, expected 0 to {classes - 1}, or {IGNORE}: "
            f"map it, or raise the number of classes (to {wrong[-1] + 1} if these are class ids)"
        )
    return found


def window_widths(shape):
    """Widths in px, doubling from 2, of the windows that fit at least twice into both sides of a mask of this shape."""
    if len(shape) != 2 or min(shape) < 2 * SMALLEST_WINDOW_PX:
        raise ValueError(
            f"masks of shape {tuple(shape)} hold no two windows: (H, W) with at least 4 px a side is needed"
        )
    return tuple(SMALLEST_WINDOW_PX * 2**n for n in range(int(np.log2(min(shape))) - 1))


def _check_widths(widths):
    steps = list(zip((1, *widths), widths, strict=False))
    if not steps or any(wider < 1 or wider % width for width, wider in steps):
        raise ValueError(
            f"widths of windows are {tuple(widths)} px, each must be a multiple of the one before: as (2, 4, 8)"
        )


def _checked(masks, classes):
    """(mask, pixels of each value), one by one; ValueError names the first that is wrong, or of another size."""
    shape = None
    for place, mask in enumerate(map(np.asarray, masks)):
        found = check_mask(mask, classes, f"mask {place}")
        shape = shape or mask.shape
        if mask.shape != shape:
            raise ValueError(f"mask {place} is of shape {mask.shape}, mask 0 of {shape}: crop them to one size")
        yield mask, found


def _count_one(checked, classes, widths):
    mask, found = checked
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
    block = points[1:, 1:] & points[:-1, 1:] & points[1:, :-1] & points[:-1, :-1]
    covered = np.zeros_like(points)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            covered[rows, columns] |= block
    return np.count_nonzero(points) - np.count_nonzero(covered)


def _windows(mask, classes, widths):
    """inside, square, cross and area of `Counts` for one mask; what is left over at its right and lower side is cut."""
    if max(widths) > min(mask.shape):
        raise ValueError(f"windows of {max(widths)} px are wider than a mask of {mask.shape} px: choose smaller ones")
    counts = np.stack([_sums(mask == label, widths[0]) for label in range(classes)])
    sums = []
    for width, wider in zip(widths, (*widths[1:], 0), strict=True):
        known = counts.sum(axis=0)
        sums.append(((c := counts.reshape(classes, -1)).sum(1), (c * c).sum(1), c @ known.ravel(), (known**2).sum()))
        if wider:
            counts = np.stack([_sums(of, wider // width) for of in counts])
    return zip(*sums, strict=True)


def _sums(values, width):
    """Sums of values (H, W) over squares side by side, int64 (H // width, W // width)."""
    height, length = (side // width for side in values.shape)
    kept = values[: height * width, : length * width]
    return kept.reshape(height, width, length, width).sum(axis=(1, 3), dtype=np.int64)
