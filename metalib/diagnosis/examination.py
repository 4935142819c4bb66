"""Can a network learn from these labels? An examination says so before training.

From the labels alone: how much spatial structure they hold, the level of flips that would explain the rest, and how well
a network is expected to do. With clean masks of a few of the images: the kind of noise, and a surer expectation.
Everything is read one mask at a time.
"""

from itertools import chain
from math import ceil
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from metalib.data import unsplit
from metalib.diagnosis import clean_masks, learnability, structure
from metalib.noise import transition

KINDS = ("clean", "flipped", "perturbed boundary", "skeleton-like", "misnamed", "inverted", "random")
_CLEAN = 0.01  # share of wrong pixels that counts as clean: two annotators of one image differ by more
_BIAS = 0.1  # share of misleading structure that counts: below it the model takes off a hundredth or so
_THIN = 0.9  # share of the foreground that lies in no 2 x 2 block
_THIN_STRUCTURE = 0.25  # share of structure from which thin labels are taken for skeletons
# Labelled neighbours: with fewer the 95% interval of lambda^2, 1.96 sqrt(5 / pairs), is wider than 0.1. Also the pixels
# under clean masks, which tell the share of wrong ones to 2 points then.
_PAIRS = 2000


class Diagnosis(NamedTuple):
    """What labels hold. kind: one of KINDS; sampled: labels are missing one by one; flips: (p, low, high) of uniform flips.

    shape, masks, classes: of the labels; labelled: share of pixels; shares (K,): of the classes; widths, windows: widths in
    px, `structure.Estimate` of each, and by_chance (W,) its error for labels without structure; structured: share of the
    variance that is structure; effective_px of all masks; bits: information an image has about its clean mask;
    against: `clean_masks.Comparison`, None without clean masks; expected, low, high: learnability and its interval; decoded:
    the same of answers decoded by the matrix, nan without clean masks; more: how many times as many images reach
    `learnability.GOAL` (inf: none do).
    """

    kind: str
    sampled: bool
    flips: tuple
    masks: int
    shape: tuple
    classes: int
    labelled: float
    shares: np.ndarray
    widths: tuple
    windows: list
    by_chance: np.ndarray
    structured: float
    effective_px: float
    bits: float
    against: clean_masks.Comparison | None
    expected: float
    low: float
    high: float
    decoded: float
    more: float


def read_folder(folder, clean=None, classes=2):
    """What `diagnose` takes of a folder of labels, and of one of clean masks of some of them, named alike, or none.

    FileNotFoundError and ValueError name the folder or the file that cannot work, see `unsplit.LabelFolder`.
    """
    masks = unsplit.LabelFolder(folder, classes)
    return masks, unsplit.paired(unsplit.LabelFolder(clean, classes), masks) if clean else None


def diagnose(masks, classes=2, clean=None, *, model=None, progress=False):
    """`Diagnosis` of N masks (H, W) uint8 of class ids, 255 where there is no label.

    masks: any iterable, read once. clean: (clean masks, labels of the same images), two (n, H, W), n at least 1.
    model: `learnability.Model`, that of the committed record by default.
    ValueError: values that are no class, one class alone, no label at all, too few of them (it says how many are needed).
    """
    masks = iter(tqdm(masks, desc="masks", unit="mask") if progress else masks)
    first = next(masks, None)
    if first is None:
        raise ValueError("there is no mask: give at least two")
    shape = np.shape(first)
    widths = structure.window_widths(shape)
    counts = structure.count(chain([first], masks), classes, widths)
    _check_enough(counts)
    if clean is not None and len(clean) != 2:
        raise ValueError(f"clean has {len(clean)} parts, expected two: clean masks, and the labels of the same images")
    against = _compared(*clean, classes) if clean is not None else None
    return Diagnosis(
        kind=_kind_alone(counts) if against is None else _kind_known(against),
        sampled=structure.scattered(counts),
        flips=structure.flip_probability(counts),
        masks=len(counts.pixels),
        shape=shape,
        classes=classes,
        labelled=structure.labelled_share(counts),
        shares=structure.shares(counts),
        widths=widths,
        windows=structure.window_share(counts),
        by_chance=structure.chance_errors(counts)[1:],
        bits=_bits(counts, against),
        against=against,
        **_expected(counts, against, model or learnability.load()),
    )


def _expected(counts, against, model):
    """Fields of `Diagnosis` that follow from the share of structure: effective pixels, and what the model expects of them."""
    if against is None:
        mode, signal, bias, reached = learnability.MODES[0], structure.certain_share(counts), 0.0, (1.0, np.nan)
    else:
        mode, signal, bias = learnability.MODES[1], against.signal, against.bias
        reached = against.argmax_score, against.decoded_score
    effective_px = structure.effective_px(counts, signal)
    expected, decoded = (float(model.predict(effective_px, bias, of)) for of in reached)
    low, high = model.interval(expected, mode)
    return dict(
        structured=signal,
        effective_px=effective_px,
        expected=expected,
        low=low,
        high=high,
        decoded=decoded,
        more=model.images_needed(effective_px, bias, learnability.GOAL),
    )


def _check_enough(counts):
    """ValueError where labels are too few, or of one class alone."""
    labelled = counts.labelled.sum(axis=0)
    if (labelled > 0).sum() < 2:
        only = int(labelled.argmax())
        raise ValueError(f"the labels hold class {only} alone: two are needed; is the foreground 1 or 255?")
    neighbours, masks = counts.pairs.sum(axis=0).min(), np.count_nonzero(counts.labelled.sum(axis=1))
    if neighbours < _PAIRS or masks < 2:
        needed = max(2, ceil(masks * _PAIRS / neighbours))
        raise ValueError(
            f"{masks} masks with labels hold {neighbours:.0f} pairs of labelled neighbours, at least {_PAIRS} and two masks "
            f"are needed: give about {needed} masks labelled as densely"
        )


def _compared(clean, noisy, classes):
    """`clean_masks.Comparison`; ValueError where it rests on too few pixels, which would make any labels look random."""
    against = clean_masks.compare(clean, noisy, classes)
    if against.pixels < _PAIRS:
        raise ValueError(
            f"{against.masks} clean masks and their labels have {against.pixels} labelled pixels in common, at least {_PAIRS} "
            f"are needed: give about {ceil(against.masks * _PAIRS / against.pixels)} clean masks"
        )
    return against


def _kind_alone(counts):
    """What labels look like without a clean mask; inverted labels and displaced boundaries cannot be seen."""
    share = structure.certain_share(counts)
    if share == 0:
        return "random"
    # Labels that were dropped one by one leave no block either.
    two = counts.labelled.shape[1] == 2 and not structure.scattered(counts)
    if two and structure.thin_share(counts) > _THIN and share > _THIN_STRUCTURE:
        return "skeleton-like"
    return "flipped" if structure.flip_probability(counts)[1] > _CLEAN else "clean"


def _kind_known(against):
    if against.signal == 0:
        return "random"
    if against.inverted:
        return "inverted"
    if against.argmax_score < 1:
        return "misnamed"
    if against.bias > _BIAS:
        return "perturbed boundary"
    return "flipped" if against.wrong > _CLEAN else "clean"


def _bits(counts, against):
    """Information of the labels of an image about its clean mask, in bits."""
    labelled = counts.labelled.sum() / len(counts.pixels)
    if against is not None:
        return against.information * labelled
    p, classes = structure.flip_probability(counts)[0], counts.labelled.shape[1]
    value = 1 - p * classes / (classes - 1)
    if structure.certain_share(counts) == 0 or value == 0:
        return 0.0
    clean = np.clip((structure.shares(counts) - (1 - value) / classes) / value, 0, None)  # shares before the flips
    return transition.information(transition.flip_matrix(p, classes), clean / clean.sum()) * labelled
