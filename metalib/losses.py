"""Loss functions over labelled pixels: logits (B, K, H, W) against labels (B, H, W), IGNORE left out."""

import torch
from torch.nn import functional as F

from metalib.labels import IGNORE


def cross_entropy(logits, labels):
    """Mean cross-entropy over the pixels that are not IGNORE, a float32 scalar; 0 with zero gradient where none is left.

    K = 1 means two classes (binary cross-entropy on the logit of class 1), K > 1 softmax cross-entropy.
    logits (B, K, H, W) float, labels (B, H, W) integer. ValueError: shapes that do not fit.
    """
    if logits.ndim != 4 or labels.shape != logits[:, 0].shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} do not fit: expected (B, K, H, W) and (B, H, W)"
        )
    known = labels != IGNORE
    loss = (
        _two_classes(logits, labels)
        if logits.shape[1] == 1
        else F.cross_entropy(logits.float(), labels.long(), ignore_index=IGNORE, reduction="none")
    )
    # A masked sum needs no gather and no synchronisation with the device, unlike boolean indexing.
    return torch.where(known, loss, 0).sum() / known.sum().clamp(min=1)


def _two_classes(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0].float(), (labels == 1).float(), reduction="none")
