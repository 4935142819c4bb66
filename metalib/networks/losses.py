"""Loss functions over labelled pixels: logits (B, K, H, W) against labels (B, H, W), IGNORE left out."""

import torch
from torch.nn import functional as F

from metalib import _checks
from metalib._labels import IGNORE


def cross_entropy(logits, labels):
    """Mean cross-entropy over the pixels that are not IGNORE, a float32 scalar; 0 with zero gradient where none is left.

    K = 1 means two classes (binary cross-entropy on the logit of class 1), K > 1 softmax cross-entropy.
    logits (B, K, H, W) float, labels (B, H, W) integer. ValueError: shapes that do not fit.
    """
    _check_shapes(logits, labels, "K")
    known = labels != IGNORE
    if logits.shape[1] == 1:
        loss = _two_classes(logits, labels)
    else:
        loss = F.cross_entropy(logits.float(), labels.long(), ignore_index=IGNORE, reduction="none")
    # A masked sum needs no gather and no synchronisation with the device, unlike boolean indexing.
    return torch.where(known, loss, 0).sum() / known.sum().clamp(min=1)


def dmi(logits, labels, floor=1e-3):
    """-log(|det Q| + floor) of each image, averaged over the batch (paper, Eq. 4-6): Q is the joint count of prediction and label.

    logits (B, 1, H, W), labels (B, H, W) in {0, 1, IGNORE}; a float32 scalar. With n pixels that are not IGNORE, |det Q| is
    n |sum of (p - mean p) over the foreground|, 0 for labels of one class and for a constant p: there the gradient is 0.
    """
    # Paper: no floor; the official code adds 0.001 to the determinant, which is of the order of the pixels squared.
    probability, foreground, known = _two_class_maps(logits, labels)
    pixels = known.sum(dim=(1, 2)).clamp(min=1)
    # The determinant does not depend on this shift, after which a constant p is exactly 0 and not a rounding error.
    probability = probability - torch.where(known > 0, probability, 1).detach().amin(dim=(1, 2), keepdim=True)
    mean = (probability * known).sum(dim=(1, 2)) / pixels
    covariance = (foreground * (probability - mean[:, None, None])).sum(dim=(1, 2))
    one_class = (foreground.sum(dim=(1, 2)) == 0) | (foreground.sum(dim=(1, 2)) == pixels)
    determinant = torch.where(one_class, 0, pixels * covariance).abs()
    # The logarithm of 0, if there is no floor, would be infinite and its gradient no number.
    return -(determinant.clamp(min=torch.finfo(torch.float32).tiny) + floor).log().mean()


def soft_iou(logits, labels, power=1, over="image"):
    """1 - sum(p y) / sum(p^power + y - p y) (Huang et al. 2019; paper, Eq. 6), over each image, or over the whole batch.

    logits (B, 1, H, W), labels (B, H, W) in {0, 1, IGNORE}; a float32 scalar in [0, 1]; its gradient is 0 for black labels.
    """
    _checks.one_of(over, ("image", "batch"), "choice of over")
    probability, foreground, known = _two_class_maps(logits, labels)
    dims = (1, 2) if over == "image" else (0, 1, 2)
    both = (probability * foreground).sum(dim=dims)
    either = ((probability**power + foreground) * known).sum(dim=dims) - both
    return (1 - both / (either + 1e-10)).mean()


def area_cross_entropy(logits, labels, share):
    """Binary cross-entropy, the mean of each class weighted by the square root of its area: `share` in [0, 1] of the pixels.

    Labels may be a thin sample of their class, such as a skeleton of it. Weights like the areas would let a rare class
    shrink, equal weights would let it grow. logits (B, 1, H, W), labels (B, H, W) in {0, 1, IGNORE}; share: a number, or a
    tensor () on their device, which is not checked; a float32 scalar; a class without a pixel counts nothing.
    """
    _check_shapes(logits, labels, 1)
    if not torch.is_tensor(share):
        _checks.ratio(share, "share")
    entropy, known = _two_classes(logits, labels), labels != IGNORE
    weights, loss = (share**0.5, (1 - share) ** 0.5), 0
    for weight, members in zip(weights, (labels == 1, known & (labels != 1)), strict=True):
        loss = loss + weight / sum(weights) * torch.where(members, entropy, 0).sum() / members.sum().clamp(min=1)
    return loss


def _two_class_maps(logits, labels):
    """Probability, foreground and known pixels, each float32 (B, H, W)."""
    _check_shapes(logits, labels, 1)
    return logits[:, 0].float().sigmoid(), (labels == 1).float(), (labels != IGNORE).float()


def _check_shapes(logits, labels, channels):
    """ValueError unless logits (B, K, H, W) fit labels (B, H, W); channels: 1, or "K" for any number."""
    if logits.ndim != 4 or channels not in ("K", logits.shape[1]) or labels.shape != logits[:, 0].shape:
        given = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)}"
        raise ValueError(f"{given} do not fit: expected (B, {channels}, H, W) and (B, H, W)")


def _two_classes(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0].float(), (labels == 1).float(), reduction="none")
