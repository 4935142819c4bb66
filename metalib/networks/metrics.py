"""Scores against labels in one pass: Dice at every threshold, AUC, accuracy and mIoU, pooled over pixels and per image.

Scores are compared through a histogram of 16,384 bins between their smallest and largest value, so results are exact to
1/16,384 of that range however narrow it is, and memory does not grow with the number of images.
Empty masks: Dice of an empty prediction against an empty mask is 1; AUC of one class alone is nan and left out of means,
and so is an image whose every pixel is IGNORE.
"""

import numpy as np

from metalib._labels import IGNORE, confusion_matrix

BINS = 16384


def evaluate(scores, labels, threshold=None):
    """Metrics of scores (N, H, W) float, a pixel being foreground above a threshold, against labels (N, H, W) in {0, 1, IGNORE}.

    Returns a dict of floats. Pooled over all pixels: `dice_half`, `acc` (threshold 0.5), `dice_best`,
    `threshold_best` (the best threshold on these very labels: an oracle on test data), `auc`, and `balanced`, the balanced
    accuracy (TPR + TNR) / 2 at threshold 0.5, which is the AUC of that hard mask; with `threshold` also `dice_at`,
    `acc_at`. The same with `_image` at the end: the mean over images (`dice_best_image`: one shared threshold).
    ValueError: shapes differ, scores are not finite, labels hold other values or no known pixel.
    """
    scores, labels = _check(scores, labels)
    low, high = np.float64(scores.min()), np.float64(scores.max())  # float32 would round thresholds onto scores
    pooled, curve, aucs, masks = np.zeros((2, BINS), np.int64), np.zeros(BINS + 1), [], []
    thresholds = [comparable(at, scores.dtype) for at in (0.5, threshold) if at is not None]
    for image_scores, image_labels in zip(scores, labels, strict=True):
        counts = _histogram(image_scores, image_labels, low, high)
        below = _below(counts)
        pooled += counts
        curve += _dice_curve(below)
        aucs.append(_auc(counts, below))
        masks.append([_confusion(image_scores > at, image_labels) for at in thresholds])
    below = _below(pooled)
    of_pooled = _dice_curve(below)
    best = int(of_pooled.argmax())
    result = {
        "dice_best": float(of_pooled[best]),
        "threshold_best": _threshold(best, below, low, high),
        "dice_best_image": float(curve.max() / len(scores)),
        "auc": _auc(pooled, below),
        "auc_image": _mean(aucs),
    }
    half, *chosen = np.transpose(masks, (1, 2, 0))  # each (4, N)
    result |= _of_mask(half, "dice_half", "acc") | _balanced(half)
    return result | (_of_mask(*chosen, "dice_at", "acc_at") if chosen else {})


def evaluate_classes(predicted, labels, classes):
    """Pixel accuracy and intersection over union of class ids (N, H, W) against labels (N, H, W), IGNORE left out.

    Returns a dict of floats, pooled over all pixels: `miou`, the mean of `iou_0`, `iou_1`, ... over the classes that occur
    in labels or prediction (the others are nan), and `acc`. ValueError: shapes differ, or ids that are no class.
    """
    counts = confusion_matrix(labels, predicted, classes)
    iou = _iou(counts)
    result = {"miou": float(np.nanmean(iou)), "acc": float(counts.diagonal().sum() / counts.sum())}
    return result | {f"iou_{label}": float(value) for label, value in enumerate(iou)}


def leave_one_out(scores, labels, threshold):
    """`dice_half`, `dice_at` and `auc` of `evaluate` over all images but one: a dict of lists, a value for each left out.

    Their spread is what a jackknife takes for the error that comes from having these test images and no others. An image
    without a known pixel is none. ValueError as of `evaluate`, and where there is but one image.
    """
    scores, labels = _check(scores, labels)
    _check_several(len(labels))
    low, high = np.float64(scores.min()), np.float64(scores.max())
    pooled = sum(_histogram(*image, low, high) for image in zip(scores, labels, strict=True))
    thresholds = [comparable(at, scores.dtype) for at in (0.5, threshold)]
    aucs, masks = [], []
    for image_scores, image_labels in zip(scores, labels, strict=True):
        others = pooled - _histogram(image_scores, image_labels, low, high)
        aucs.append(_auc(others, _below(others)))
        masks.append([_confusion(image_scores > at, image_labels) for at in thresholds])
    tp, fp, fn, _ = (of.sum(axis=0) - of for of in np.transpose(masks, (2, 0, 1)))  # each (N, 2)
    half, chosen = _dice(tp, fp, fn).T
    return {"dice_half": half.tolist(), "dice_at": chosen.tolist(), "auc": aucs}


def leave_one_out_classes(predicted, labels, classes):
    """`miou` of `evaluate_classes` over all images but one: a list, a value for each left out, see `leave_one_out`."""
    known = (labels != IGNORE).any(axis=(1, 2))
    _check_several(np.count_nonzero(known))
    each = np.array([confusion_matrix(*image, classes) for image in zip(labels[known], predicted[known], strict=True)])
    return [float(np.nanmean(_iou(others))) for others in each.sum(axis=0) - each]


def change_point(values):
    """The index at which a curve (n,) changes from one level and spread to another: the second part starts there.

    Maximum of the likelihood of two normal distributions, each part at least 3 values long; ValueError for n < 6.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 6:
        raise ValueError(f"a change point needs a curve of at least 6 values, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a change point needs a curve of finite values, got NaN or infinite ones")
    tiny = 1e-4 + 1e-2 * values.std()  # a part that is constant to the last digit must not win by that alone
    cost = [
        sum(len(part) * np.log(part.std() + tiny) for part in np.split(values, [place]))
        for place in range(3, len(values) - 2)
    ]
    return 3 + int(np.argmin(cost))


def comparable(threshold, dtype):
    """The threshold in the type of scores, none of which tells it from the one in double precision.

    Scores above the one are above the other, and scores up to it as well; numpy compares like types at twice the speed.
    """
    if dtype.kind != "f":
        return np.float64(threshold)
    with np.errstate(over="ignore"):
        rounded = dtype.type(threshold)
    return np.nextafter(rounded, dtype.type(-np.inf)) if rounded > np.float64(threshold) else rounded


def all_foreground_dice(fraction):
    """Dice of a mask that is foreground everywhere, for a foreground fraction f: 2f / (1 + f); the floor of `dice_best`."""
    return 2 * fraction / (1 + fraction)


def _check_several(images):
    if images < 2:
        raise ValueError("one image cannot be left out where there is no other: take two or more")


def _iou(counts):
    """Intersection over union (K,) of the classes of a confusion matrix (K, K), nan of those that do not occur."""
    right = counts.diagonal()
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    return np.divide(right, union, out=np.full(len(counts), np.nan), where=union > 0)


def _check(scores, labels):
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 3 or not scores.size:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must both be (N, H, W), and not empty")
    if scores.dtype.kind not in "buif":
        raise ValueError(f"scores have dtype {scores.dtype}, expected numbers")
    if not np.isfinite([scores.min(), scores.max()]).all():
        image = int(np.argmin(np.isfinite(scores).all(axis=(1, 2))))
        raise ValueError(f"scores hold NaN or infinite values in image {image}")
    known = labels != IGNORE
    if (known & (labels != 0) & (labels != 1)).any() or not known.any():
        raise ValueError("labels must hold 0, 1 and IGNORE, and not IGNORE alone")
    seen = known.any(axis=(1, 2))
    return (scores, labels) if seen.all() else (scores[seen], labels[seen])


def _histogram(scores, labels, low, high):
    """Counts (2, BINS) of one image by class and score bin; bin 0 holds `low`, the last one `high`."""
    # A little more than bins a score, so that rounding puts `high` into no lower bin.
    scale = (BINS - 1) / (high - low) * (1 + 4e-16) if high - low > np.finfo(float).tiny else 0.0
    bins = np.subtract(scores, low, dtype=np.float64)
    bins *= scale
    places = bins.astype(np.intp)
    places += np.multiply(np.minimum(labels, 2), BINS, dtype=np.intp)  # IGNORE comes behind
    return np.bincount(places.ravel(), minlength=2 * BINS)[: 2 * BINS].reshape(2, BINS)


def _below(counts):
    """How many (2, BINS + 1) of the counts (2, BINS) lie below each bin, and below the end."""
    below = np.zeros((2, BINS + 1), np.int64)
    np.cumsum(counts, axis=1, out=below[:, 1:])
    return below


def _threshold(index, below, low, high):
    """A score just under the lower edge of bin `index`; `high`, which no score exceeds, where none lies in it or above."""
    if (below[:, index] == below[:, -1]).all():
        return float(high)
    edge, width = low + index * (high - low) / (BINS - 1), (high - low) / (BINS - 1)
    # A millionth of a bin is more than the rounding of scores on an edge, but for ranges of a few last digits.
    return float(min(edge - 1e-6 * width, np.nextafter(edge, -np.inf)))


def _dice_curve(below):
    """Dice (BINS + 1,) when the foreground is every bin from k on, of `_below`."""
    negative, positive = below[:, -1]
    missed = below[1]
    total = (2 * positive + negative) - below.sum(axis=0)  # of the pixels of both masks
    return 2 * (positive - missed) / total if positive else (total == 0).astype(float)


def _auc(counts, below):
    """Probability that a foreground pixel scores above a background pixel, ties counting one half; nan for one class."""
    if not below[:, -1].all():
        return np.nan
    negative, positive = below[:, -1].tolist()
    return 1 - int(counts[0] @ (below[1, :-1] + below[1, 1:])) / (2 * negative * positive)


def _confusion(predicted, labels):
    """True and false positives, false and true negatives of the mask of one image, without IGNORE."""
    parts = [(np.count_nonzero(predicted & of), np.count_nonzero(of)) for of in (labels == 1, labels == 0)]
    (tp, positive), (fp, negative) = parts
    return tp, fp, positive - tp, negative - fp


def _mean(values):
    """The mean of those that are a number; nan where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan


def _dice(true_positive, false_positive, false_negative):
    total = 2 * true_positive + false_positive + false_negative
    return np.where(total > 0, 2 * true_positive / np.maximum(total, 1), 1.0)


def _balanced(confusions):
    """Balanced accuracy of masks with confusions (4, N), pooled, and its mean over the images that have both classes."""
    tp, fp, fn, tn = confusions
    right, pixels = np.stack([tn, tp]), np.stack([tn + fp, tp + fn])
    both = pixels.all(axis=0)
    pooled = np.divide(right.sum(axis=1), pixels.sum(axis=1), out=np.full(2, np.nan), where=pixels.any(axis=1))
    each = (right[:, both] / pixels[:, both]).mean() if both.any() else np.nan
    return {"balanced": float(pooled.mean()), "balanced_image": float(each)}


def _of_mask(confusions, dice, acc):
    """Dice and accuracy of masks with confusions (4, N), pooled and as means over images, under these names."""
    tp, fp, fn, tn = confusions
    right, pixels = tp + tn, confusions.sum(axis=0)
    return {
        dice: float(_dice(tp.sum(), fp.sum(), fn.sum())),
        f"{dice}_image": float(_dice(tp, fp, fn).mean()),
        acc: float(right.sum() / pixels.sum()),
        f"{acc}_image": float((right / pixels).mean()),
    }
