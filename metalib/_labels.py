"""What an array of labels is: uint8 class ids, two classes {0, 1} or K of them, and IGNORE where a pixel has no label."""

import numpy as np

from metalib import _checks

IGNORE = 255


def check(labels, classes=2):
    """Raise ValueError unless labels are uint8 class ids below `classes` (with IGNORE allowed beside more than two)."""
    _checks.whole(classes, "classes", 2, IGNORE)
    labels = np.asarray(labels)
    if labels.dtype != np.uint8:
        raise ValueError(f"labels have dtype {labels.dtype}, expected uint8: convert with labels.astype(numpy.uint8)")
    if labels.ndim < 2 or labels.size == 0:
        raise ValueError(f"labels have shape {labels.shape}, expected (..., H, W) with at least one pixel")
    known = np.where(labels == IGNORE, 0, labels) if classes > 2 else labels
    if known.max() >= classes:  # two fast passes; which values they are is asked only of wrong labels
        wrong = [int(value) for value in np.unique(known) if value >= classes]
        advice = "divide a 0/255 mask by 255" if wrong == [255] else f"map them to 0..{classes - 1}"
        raise ValueError(f"labels hold the values {wrong[:5]}, expected 0..{classes - 1}: {advice}")


def check_mask(mask, classes, name):
    """Number of pixels of each value (256,); ValueError with the name unless a mask is uint8 (H, W) of class ids or IGNORE."""
    _checks.whole(classes, "classes", 2, IGNORE)
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


def confusion_matrix(first, second, classes):
    """Number of pixels (classes, classes) with class i in the first labels (row) and j in the second (column).

    Pixels that are IGNORE in either are left out. ValueError: shapes differ, ids that are no class, no pixel left.
    """
    _checks.whole(classes, "classes", 2, IGNORE)
    first, second = np.asarray(first), np.asarray(second)
    if not all(np.issubdtype(part.dtype, np.integer) for part in (first, second)):
        raise ValueError(f"labels of {first.dtype} and {second.dtype} must be class ids: convert them to uint8")
    if first.shape != second.shape:
        raise ValueError(f"labels of shapes {first.shape} and {second.shape} must be those of the same pixels")
    known = (first != IGNORE) & (second != IGNORE)
    rows, columns = first[known], second[known]
    if not known.any() or min(rows.min(), columns.min()) < 0 or max(rows.max(), columns.max()) >= classes:
        raise ValueError(f"labels must hold class ids below classes={classes} in at least one pixel")
    pairs = rows.astype(np.intp) * classes + columns
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
