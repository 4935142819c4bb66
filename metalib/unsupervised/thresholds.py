"""Thresholds of the image itself: Otsu and adaptive Gaussian (paper, Table 3), and what a new method must beat besides.

Images are float (N, 1, H, W) in [0, 1], scores float32 (N, H, W) in [0, 1]; bright is foreground, where a score is above 0.5.
A score is 0.5 + arctan(d) / pi, strictly increasing in d: how far a pixel lies above its threshold, in standard deviations
of its image, so that one AUC over all pixels makes sense and a hot pixel does not stretch the scale. Single precision makes
a tie of |d| < 1e-7, far below a grey level of 16 bit: an even area, whose local mean differs by rounding, is no foreground.
Labels play no part, except in what is named an oracle. An image without any contrast scores 0 everywhere: no foreground.
All functions raise ValueError for images that are not (N, 1, H, W), or not finite, see `standardise.check_grey`.
"""

from itertools import product
from numbers import Real

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_local, threshold_otsu

from metalib import _checks
from metalib._labels import confusion_matrix
from metalib.data.standardise import check_grey, z_score
from metalib.unsupervised import pseudo_labels

# Paper: gives neither block nor offset. Of 1/16 to 1/2 of the shorter side, half of it was the strongest on validation images
# of every embedded set at 112 and 256 px; a weaker opponent would flatter the networks.
BLOCK_SHARE = 1 / 2
ORACLE_SHARES = (1 / 16, 1 / 8, 1 / 6, 1 / 4, 1 / 3, BLOCK_SHARE, 2 / 3, 1)
ORACLE_OFFSETS = tuple(np.arange(-16, 9) / 8)


def otsu(images, sigma_px=0):
    """Scores of Otsu's threshold, one for each image, after a Gaussian of sigma_px (0: the image as it is)."""
    return _scores(_margins(_z_scores(images, sigma_px), _otsu_threshold))


def adaptive_gaussian(images, block_px=None, offset=0.0, sigma_px=0):
    """Scores against the local mean under a Gaussian window, after a Gaussian of sigma_px (0: the image as it is).

    block_px: odd width of the window, 1 + six of its standard deviations, from 3 to the shorter side; by default the largest
    within BLOCK_SHARE of that side. offset: lowers the threshold, as in scikit-image, here in standard deviations
    of the image; a negative one asks for more contrast.
    """
    scaled = _z_scores(images, sigma_px)
    side = min(scaled[0].shape)
    block = _block_px(side, BLOCK_SHARE) if block_px is None else block_px
    if not isinstance(block, Real) or block % 2 != 1 or not 3 <= block <= side:
        raise ValueError(f"block_px is {block!r}, expected an odd width from 3 to the image's shorter side, {side} px")
    return _scores(_local_margins(scaled, block) + _checks.number(offset, "offset"))


def adaptive_gaussian_oracle(images, labels, sigma_px=0):
    """Scores of `adaptive_gaussian` with the best block and offset, found on these very labels: an upper bound, no method.

    labels (N, H, W) uint8 in {0, 1, IGNORE}. Returns (scores, {"block_px", "offset"}): the largest Dice, pooled over all
    pixels, among blocks of ORACLE_SHARES of the shorter side and ORACLE_OFFSETS. ValueError: labels without foreground or
    of another shape.
    """
    if not np.any(np.asarray(labels) == 1):
        raise ValueError("labels hold no foreground: there is nothing to choose a threshold by")
    scaled = _z_scores(images, sigma_px)
    blocks = sorted({_block_px(min(scaled[0].shape), share) for share in ORACLE_SHARES})
    margins = {block: _local_margins(scaled, block) for block in blocks}
    dice = {
        (block, offset): _dice(labels, _scores(margins[block] + offset))
        for block, offset in product(blocks, ORACLE_OFFSETS)
    }
    block, offset = max(dice, key=dice.get)
    return _scores(margins[block] + offset), {"block_px": block, "offset": float(offset)}


def mean_threshold(images):
    """Scores of the image's mean as threshold: what iGTT's choice of labels comes to on a network's output.

    The |det| of its mutual information is n0 n1 |m1 - m0| (pixels and means on both sides), largest at the mean.
    """
    return _scores(_margins(_z_scores(images), lambda image: 0.0))


def evidence(images):
    """Scores of Otsu's threshold on `pseudo_labels.evidence`, smoothed by 1 px: one of the thresholds from which iGTT+ starts.

    Not of the paper.
    """
    return otsu(pseudo_labels.evidence(images)[:, None], sigma_px=1)


METHODS = {
    "otsu": otsu,
    "adaptive_gaussian": adaptive_gaussian,
    "mean_threshold": mean_threshold,
    "evidence": evidence,
}


def _z_scores(images, sigma_px=0):
    """The images (H, W) float64 after a Gaussian, each in its standard deviations from its mean; zeros without contrast."""
    images = check_grey(images)[:, 0]
    _checks.number(sigma_px, "sigma_px", 0, max(images.shape[1:]))
    return [z_score(ndi.gaussian_filter(image.astype(np.float64), sigma_px)) for image in images]


def _margins(scaled, threshold):
    """Standard deviations (N, H, W) float64 above threshold(z-scored image); -inf throughout an image without contrast."""
    return np.stack([image - threshold(image) if image.any() else np.full(image.shape, -np.inf) for image in scaled])


def _local_margins(scaled, block_px):
    return _margins(scaled, lambda image: threshold_local(image, int(block_px), method="gaussian"))


def _block_px(side, share):
    """The largest odd width within a share of the shorter side, at least 3."""
    return max(3, 2 * int((share * side - 1) / 2) + 1)


def _otsu_threshold(image):
    # Every value is a bin of its own: the 256 bins that are usual for floats would merge grey levels of 16 bit.
    # The counts are summed in single precision there, which is exact up to 2^24 pixels an image.
    values, counts = np.unique(image, return_counts=True)
    return threshold_otsu(hist=(counts, values))


def _scores(margins):
    return (0.5 + np.arctan(margins) / np.pi).astype(np.float32)


def _dice(labels, scores):
    (_, false_positive), (false_negative, true_positive) = confusion_matrix(labels, (scores > 0.5).astype(np.uint8), 2)
    return 2 * true_positive / (2 * true_positive + false_positive + false_negative)
