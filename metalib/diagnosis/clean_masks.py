"""What a few clean masks tell about labels: transition matrix and rank, wrong pixels, and whether boundaries are shifted.

The variance of the noisy label splits into what the clean classes explain (all that the transition matrix of Lemma 1
keeps), other spatial structure, which misleads a network however many images it sees (PCL), and the rest, noise that
hits pixels wherever they lie and averages out over many of them. Structure is what neighbours share (`structure`); where
it follows the distance from the clean boundary, it is measured by that, which is the more precise.

A network that has learned noisy labels without error knows the probabilities of the noisy classes, row i of the transition
matrix where clean class i lies. Asked for the most likely class, it gives `argmax_answers`; decoded, as by
`networks.training.predict_classes`, the class that the inverse of the matrix makes most likely, `decoded_answers`.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from metalib._labels import IGNORE
from metalib.diagnosis import structure
from metalib.diagnosis.structure import ERRORS
from metalib.noise import transition
from metalib.noise.transition import check_matrix

LEVELS = 4  # distances told apart, in px: 1, 2, 3, and 4 or more; the noise of annotators is of a few pixels


class Comparison(NamedTuple):
    """Noisy against clean labels of the same pixels, K classes.

    masks, pixels: how many were compared; prior (K,): shares of the clean classes; matrix (K, K): estimated transition
    matrix, NaN in the rows of classes that the clean masks lack; rank: of the other rows, up to the noise of the estimate;
    wrong: share of wrong pixels; information: bits per labelled pixel; eigenvalue: (trace - 1) / (K - 1) and its standard
    error, lambda of uniform flips, negative where classes are swapped; wrong_by_distance (LEVELS,): share of wrong pixels 1, 2, ... px from the clean boundary;
    shift_px: pixels that are wrong beyond the lowest rate that their class has at any distance, per px of boundary, 0 where
    `boundary` is; between, boundary: shares of the variance of the labels; structured: `structure.structured_share` of the
    same pixels.
    """

    masks: int
    pixels: int
    prior: np.ndarray
    matrix: np.ndarray
    rank: int
    wrong: float
    information: float
    eigenvalue: float
    eigenvalue_error: float
    wrong_by_distance: np.ndarray
    shift_px: float
    between: float
    boundary: float
    structured: structure.Estimate

    @property
    def signal(self):
        """Share of the variance that is no noise of single pixels, in [0, 1 - CURVED]; 0 where classes explain nothing."""
        if self.between * self.pixels < ERRORS**2:  # what one degree of freedom explains by chance, times n, is chi2
            return 0.0
        return float(np.clip(self.between + self.misleading, 0, 1 - structure.CURVED))

    @property
    def misleading(self):
        """Share of the variance that is spatial structure other than that of the clean classes, where that is sure."""
        beyond = self.structured.value - self.between
        return max(self.boundary, beyond if beyond > ERRORS * self.structured.error else 0.0)

    @property
    def bias(self):
        """Share of all structure that misleads, in [0, 1]: no number of images averages it out."""
        return self.misleading / (max(self.between, 0.0) + self.misleading) if self.misleading else 0.0

    @property
    def inverted(self):
        """Whether the labels tell of other classes more than of the right one, by `ERRORS` standard errors."""
        return self.eigenvalue < -ERRORS * self.eigenvalue_error

    @property
    def threshold(self):
        """Two classes: the probability of class 1 from which a network trained on these labels is to call a pixel that.

        It is what the labels are where both clean classes are equally likely; one half for symmetric flips.
        """
        return float(self.matrix[:, 1].mean())

    @property
    def answers(self):
        """The class (K,) that a network without error says where each clean class lies; its own unless that is surely not.

        Two classes are told apart by `threshold`, so that only `inverted` ones are said wrongly.
        """
        if len(self.prior) == 2:
            return np.array([1, 0] if self.inverted else [0, 1])
        own, most = np.diag(self._known), self._known.max(axis=1)
        return argmax_answers(self._known, ERRORS * np.sqrt((own + most) / np.maximum(self.prior * self.pixels, 1)))

    @property
    def argmax_score(self):
        """Learnability of a network without error that is asked for the most likely class, in [0, 1]."""
        return score(self.answers, self.prior)

    @property
    def decoded_score(self):
        """The same of its classes decoded by the matrix: under 1 where the rank is not full."""
        absent = np.isnan(self.matrix[:, 0]).sum()
        return score(decoded_answers(self._known, self.rank + absent), self.prior)

    @property
    def _known(self):
        """The matrix, with classes that the clean masks lack as if they were clean: their share is zero."""
        return np.where(np.isnan(self.matrix), np.eye(len(self.matrix)), self.matrix)


def compare(clean, noisy, classes):
    """`Comparison` of a few clean masks (N, H, W) with the noisy labels of the same images; IGNORE takes no part.

    ValueError: sizes differ, values that are no class, no common labelled pixel, a single clean class.
    """
    of_names = {"clean mask": clean, "label": noisy}
    clean, noisy = ([mask for mask, _ in structure.checked(of, classes, name)] for name, of in of_names.items())
    shapes = {masks[0].shape for masks in (clean, noisy) if masks}
    if len(clean) != len(noisy) or len(shapes) != 1:
        raise ValueError(
            f"{len(clean)} clean masks and {len(noisy)} labels, of sizes {sorted(shapes)}, must be of the same pixels: "
            "(N, H, W) each, at least one"
        )
    counts = sum(_profile(*pair, classes) for pair in zip(clean, noisy, strict=True)).astype(float)
    present = counts.sum(axis=(1, 2)) > 0
    if present.sum() < 2:
        raise ValueError(
            f"the clean masks hold {present.sum()} class(es) where the labels are known, two are needed: "
            f"give masks with more of them; the foreground is 1, {IGNORE} is no label"
        )
    widths = structure.window_widths(clean[0].shape)[:1]
    known = (np.where(pair[0] == IGNORE, np.uint8(IGNORE), pair[1]) for pair in zip(clean, noisy, strict=True))
    return _described(counts, present, len(clean), structure.structured_share(structure.count(known, classes, widths)))


def argmax_answers(matrix, doubt=1e-9):
    """The most frequent label of each class of a matrix (K, K), (K,) int.

    Its own where that is less frequent by no more than `doubt`, (K,) or a float.
    Classes are one to the network, and get the answer of the first, where their rows surely differ by less than half of
    what the most frequent label stands out by.
    """
    matrix = check_matrix(matrix)
    doubt = np.broadcast_to(doubt, len(matrix))
    own = np.diag(matrix) >= matrix.max(axis=1) - doubt
    said = np.where(own, np.arange(len(matrix)), matrix.argmax(axis=1))
    difference = np.abs(matrix[:, None] - matrix).max(axis=-1) + doubt[:, None] + doubt
    alike = difference < (matrix.max(axis=1) - 1 / len(matrix))[:, None] / 2
    return said[(alike | np.eye(len(matrix), dtype=bool)).argmax(axis=1)]


def decoded_answers(matrix, rank=None):
    """The class that the pseudo-inverse of a matrix (K, K) gives for each class, (K,) int: its own where the rank is full.

    rank: of an estimated matrix, whose smallest singular values are noise; by default that of `numpy.linalg.matrix_rank`.
    """
    matrix = check_matrix(matrix)
    left, *_ = np.linalg.svd(matrix)
    kept = left[:, : np.linalg.matrix_rank(matrix) if rank is None else rank]
    projection = kept @ kept.T  # the matrix times its pseudo-inverse
    return projection.round(9).argmax(axis=1)  # classes that are one to it get one answer, whatever the last digits


def score(answers, prior):
    """The share of the way from the most frequent class everywhere to every class right that mIoU goes, in [0, 1].

    answers (K,): the class said where each clean class lies; prior (K,): shares of the classes, absent ones being zero.
    """
    prior = np.asarray(prior, float)
    classes = np.flatnonzero(prior)
    said = np.bincount(answers, weights=prior, minlength=len(prior))
    right = prior * (answers == np.arange(len(prior)))
    iou = (right / np.where(prior, prior + said - right, 1))[classes].mean()
    least = prior.max() / len(classes)
    return float(np.clip((iou - least) / (1 - least), 0, 1))


def _described(counts, present, masks, structured):
    """The fields of `Comparison` from counts (clean class, distance, noisy class)."""
    joint, n = counts.sum(axis=1), counts.sum()
    classes = len(joint)
    matrix = joint / np.where(present, joint.sum(axis=1), np.nan)[:, None]
    rows, sizes = matrix[present], joint[present].sum(axis=1)
    # Weighted by the root of their class share, all rows are equally noisy, and a matrix of noise has a norm near 2 / sqrt(n).
    weighted = rows * np.sqrt(sizes / n)[:, None]
    right = np.diag(matrix)[present]
    prior, at_distance = joint.sum(axis=1) / n, counts.sum(axis=(0, 2))
    between, boundary = _parts(counts)
    return Comparison(
        masks=masks,
        pixels=int(n),
        prior=prior,
        matrix=matrix,
        rank=int(np.linalg.matrix_rank(weighted, tol=ERRORS / np.sqrt(n))),
        wrong=float(1 - np.trace(joint) / n),
        information=transition.information(np.where(np.isnan(matrix), 1 / classes, matrix), prior),
        eigenvalue=float((classes * right.mean() - 1) / (classes - 1)),
        eigenvalue_error=float(classes / (classes - 1) * np.sqrt((right * (1 - right) / sizes).sum()) / len(right)),
        wrong_by_distance=1 - np.einsum("cdc->d", counts) / np.where(at_distance, at_distance, np.nan),
        shift_px=_shift(counts) if boundary else 0.0,
        between=between,
        boundary=boundary,
        structured=structured,
    )


def _profile(clean, noisy, classes):
    """Counts (clean class, distance from the clean boundary, noisy class) of one mask, int64 (K, LEVELS, K)."""
    known = (clean != IGNORE) & (noisy != IGNORE)
    pairs = (clean[known].astype(np.intp) * LEVELS + _distance(clean)[known]) * classes + noisy[known]
    return np.bincount(pairs, minlength=classes * LEVELS * classes).reshape(classes, LEVELS, classes)


def _distance(clean):
    """Distance level 0 to LEVELS - 1 of every pixel: of the squares of 3, 5, 7 px around it, how many hold one class."""
    extremes = ndi.minimum_filter, ndi.maximum_filter
    sides = range(3, 2 * LEVELS, 2)
    return sum(np.equal(*(of(clean, side, mode="nearest") for of in extremes)).astype(np.intp) for side in sides)


def _parts(counts):
    """Shares of the variance of the noisy label between clean classes, and within them between distances; unbiased."""
    n, of_noisy = counts.sum(), counts.sum(axis=(0, 1))
    total = 1 - ((of_noisy / n) ** 2).sum()
    if total == 0:
        return 0.0, 0.0
    whole, in_classes, in_cells = (_within(of, n) for of in (of_noisy, counts.sum(axis=1), counts))
    between, boundary = whole - in_classes, in_classes - in_cells
    by_chance = ERRORS * np.sqrt(2 * counts[..., 0].size) / n  # a chi2 a cell
    return between / total, boundary / total if boundary > by_chance else 0.0


def _within(counts, n):
    """Variance of the noisy label (last axis) inside groups (the others), as a share of n pixels; unbiased for groups."""
    size = counts.sum(axis=-1, keepdims=True)
    squares = (counts**2 / np.maximum(size, 1)).sum(axis=-1)
    size = size[..., 0]
    # The factor n / (n - 1) of a sample variance, a group: without it every small group would seem to explain something.
    return float(((size - squares) * size / np.maximum(size - 1, 1)).sum() / n)


def _shift(counts):
    """Wrong pixels beyond the lowest rate of their class at any distance, over the length of the clean boundary in px."""
    pixels = counts.sum(axis=2)
    wrong = pixels - np.einsum("cdc->cd", counts)
    lowest = np.min(np.divide(wrong, pixels, out=np.ones_like(wrong), where=pixels > 0), axis=1)
    length = pixels[:, 0].sum() / 2  # both sides of a boundary lie at distance 1
    return float((wrong.sum() - lowest @ pixels.sum(axis=1)) / length) if length else 0.0
