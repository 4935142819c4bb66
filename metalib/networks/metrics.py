"""Scores against labels in one pass: Dice at every threshold, AUC, accuracy and mIoU, pooled over pixels and per image.

Scores are compared through a histogram of 65,536 bins between their smallest and largest value, so results are exact to
1/65,536 of that range however narrow it is, and memory does not grow with the number of images.
Empty masks: Dice of an empty prediction against an empty mask is 1; AUC of one class alone is nan and left out of means,
and so is an image whose every pixel is IGNORE.
"""

import numpy as np

from metalib._labels import IGNORE, confusion_matrix

BINS = 65536


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
    pooled, curves, aucs = np.zeros((2, BINS), np.int64), np.zeros(BINS + 1), []
    for image_scores, image_labels in zip(scores, labels, strict=True):
        counts = _histogram(image_scores, image_labels, low, high)
        pooled += counts
        bins = np.flatnonzero(counts.any(axis=0))  # an image fills few of them, between which nothing changes
        counts = counts[:, bins]
        curves += np.repeat(_dice_curve(counts), np.diff(bins, prepend=-1, append=BINS))
        aucs += [_auc(counts)] * _both(counts)
    curve = _dice_curve(pooled)
    best = int(curve.argmax())
    result = {
        "dice_best": float(curve[best]),
        "threshold_best": _threshold(best, low, high),
        "dice_best_image": float(curves.max() / len(scores)),
        "auc": _auc(pooled),
        "auc_image": float(np.mean(aucs)) if aucs else np.nan,
    }
    result |= _at_threshold(scores, labels, 0.5, ("dice_half", "acc")) | _balanced(scores > 0.5, labels)
    if threshold is not None:
        result |= _at_threshold(scores, labels, threshold, ("dice_at", "acc_at"))
    return result


def evaluate_classes(predicted, labels, classes):
    """Pixel accuracy and intersection over union of class ids (N, H, W) against labels (N, H, W), IGNORE left out.

    Returns a dict of floats, pooled over all pixels: `miou`, the mean of `iou_0`, `iou_1`, ... over the classes that occur
    in labels or prediction (the others are nan), and `acc`. ValueError: shapes differ, or ids that are no class.
    """
    counts = confusion_matrix(labels, predicted, classes)
    right = counts.diagonal()
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    iou = np.divide(right, union, out=np.full(classes, np.nan), where=union > 0)
    result = {"miou": float(np.nanmean(iou)), "acc": float(right.sum() / counts.sum())}
    return result | {f"iou_{label}": float(value) for label, value in enumerate(iou)}


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


def all_foreground_dice(fraction):
    """Dice of a mask that is foreground everywhere, for a foreground fraction f: 2f / (1 + f); the floor of `dice_best`."""
    return 2 * fraction / (1 + fraction)


def _check(scores, labels):
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 3:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must both be (N, H, W)")
    if scores.dtype.kind not in "buif":
        raise ValueError(f"scores have dtype {scores.dtype}, expected numbers")
    if not np.isfinite(scores).all():
        image = int(np.argmin(np.isfinite(scores).all(axis=(1, 2))))
        raise ValueError(f"scores hold NaN or infinite values in image {image}")
    if not np.isin(labels, (0, 1, IGNORE)).all() or (labels == IGNORE).all():
        raise ValueError("labels must hold 0, 1 and IGNORE, and not IGNORE alone")
    known = (labels != IGNORE).any(axis=(1, 2))
    return scores[known], labels[known]


def _histogram(scores, labels, low, high):
    """Counts (2, BINS) of one image by class and score bin; bin 0 holds `low`, the last one `high`."""
    known = labels != IGNORE
    scale = (BINS - 1) / (high - low) if high - low > np.finfo(float).tiny else 0.0
    bins = ((scores[known] - low) * scale).astype(np.intp)
    return np.bincount(labels[known] * np.intp(BINS) + bins, minlength=2 * BINS).reshape(2, BINS)


def _threshold(index, low, high):
    """A score just under the lower edge of bin `index`: foreground is every bin from there on (none for index BINS)."""
    return float(high if index == BINS else np.nextafter(low + index * (high - low) / (BINS - 1), -np.inf))


def _dice_curve(counts):
    """Dice (n + 1,) when the foreground is every one of n bins from k on, of counts (2, n)."""
    false_positive, true_positive = np.pad(counts[:, ::-1].cumsum(axis=1)[:, ::-1], ((0, 0), (0, 1)))
    return _dice(true_positive, false_positive, counts[1].sum() - true_positive)


def _dice(true_positive, false_positive, false_negative):
    total = 2 * true_positive + false_positive + false_negative
    return np.where(total > 0, 2 * true_positive / np.maximum(total, 1), 1.0)


def _auc(counts):
    """Probability that a foreground pixel scores above a background pixel, ties counting one half."""
    if not _both(counts):
        return np.nan
    negative, positive = counts.astype(float)
    below = negative.cumsum() - negative / 2
    # Not a dot product: that would wake a pool of threads, which several training processes would then compete for.
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def _both(counts):
    return bool(counts.any(axis=1).all())


def _balanced(predicted, labels):
    """Balanced accuracy of a mask, pooled, and its mean over the images that have both classes; nan where none has."""
    right = np.stack([((labels == of) & (predicted == of)).sum(axis=(1, 2)) for of in (0, 1)])
    pixels = np.stack([(labels == of).sum(axis=(1, 2)) for of in (0, 1)])
    both = pixels.all(axis=0)
    pooled = np.divide(right.sum(axis=1), pixels.sum(axis=1), out=np.full(2, np.nan), where=pixels.any(axis=1))
    each = (right[:, both] / pixels[:, both]).mean() if both.any() else np.nan
    return {"balanced": float(pooled.mean()), "balanced_image": float(each)}


def _at_threshold(scores, labels, threshold, names):
    known, predicted, true = labels != IGNORE, scores > np.float64(threshold), labels == 1
    tp, fp, fn, right, pixels = (
        np.count_nonzero(chosen & known, axis=(1, 2))
        for chosen in (predicted & true, predicted & ~true, ~predicted & true, predicted == true, known)
    )
    dice, acc = names
    return {
        dice: float(_dice(tp.sum(), fp.sum(), fn.sum())),
        f"{dice}_image": float(_dice(tp, fp, fn).mean()),
        acc: float(right.sum() / pixels.sum()),
        f"{acc}_image": float((right / pixels).mean()),
    }
