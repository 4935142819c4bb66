"""Noise transition matrices Q(y*|y) of label noise: rank, eigenvalues and the information that is left.

A matrix is (M, M) float64; rows are the clean class, columns the noisy one (paper, "Theoretical Analysis", Figure 6).
"""

import numpy as np

from metalib import _checks, _labels
from metalib._labels import IGNORE


def flip_matrix(p, classes=2):
    """Uniform flips: 1 - p on the diagonal, p / (M - 1) elsewhere; eigenvalues 1 and 1 - p M / (M - 1)."""
    off = _checks.ratio(p, "p") / (_checks.whole(classes, "classes", 2, IGNORE) - 1)
    return np.full((classes, classes), off) + (1 - p - off) * np.eye(classes)


def random_matrix(p):
    """Random labels RL(p): both rows are (1 - p, p), so the rank is 1."""
    p = _checks.ratio(p, "p")
    return np.array([[1 - p, p], [1 - p, p]])


def replacement_matrix(share, by):
    """A `share` of the labels is replaced by draws from class fractions `by` (M,): (1 - share) I + share 1 by^T.

    Its rank is full below share = 1, its eigenvalues are 1 and 1 - share. `by` = (1/2, 1/2) makes symmetric flips of
    share / 2; one class alone makes noise that only ever adds to that class. ValueError: a share outside [0, 1], or
    fractions that do not sum to one.
    """
    by = np.asarray(by, dtype=float)
    if by.ndim != 1:
        raise ValueError(f"by has the shape {by.shape}, expected the shares of the classes (M,)")
    return check_matrix((1 - _checks.ratio(share, "share")) * np.eye(len(by)) + share * by)


def check_matrix(matrix):
    """The matrix as float64 (M, M); ValueError unless it is square and row-stochastic."""
    try:
        matrix = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a transition matrix is square and holds probabilities ({error})") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"a transition matrix is square with at least two classes, got shape {matrix.shape}")
    if not np.all(matrix >= 0):
        raise ValueError(f"a transition matrix holds probabilities, got the entry {matrix.min()}")
    sums = matrix.sum(axis=1)
    if not np.allclose(sums, 1, atol=1e-8):
        row = int(np.abs(sums - 1).argmax())
        raise ValueError(
            f"row {row} of the transition matrix sums to {sums[row]:.6g}, expected 1: divide each row by its sum"
        )
    return matrix


def estimate(clean, noisy, classes=2):
    """Relative frequency (M, M) of noisy classes (columns) given the clean one (rows), over pixels where neither is IGNORE.

    clean, noisy: uint8 of one shape. ValueError: shapes that differ, ids that are no class, a class that does not occur.
    """
    counts = _labels.confusion_matrix(clean, noisy, classes)
    absent = np.flatnonzero(counts.sum(axis=1) == 0)
    if len(absent):
        raise ValueError(f"class {absent[0]} does not occur in the clean labels: its row cannot be estimated")
    return counts / counts.sum(axis=1, keepdims=True)


def rank(matrix, tol=None):
    """Rank of a transition matrix. An estimated one is almost surely of full rank: give `tol`, its singular-value noise."""
    return int(np.linalg.matrix_rank(check_matrix(matrix), tol=tol))


def eigenvalues(matrix):
    """Eigenvalues, largest modulus first; the first is always 1."""
    values = np.linalg.eigvals(check_matrix(matrix))
    return values[np.argsort(-np.abs(values), kind="stable")]


def prior(labels, classes=2):
    """Fraction of each class (M,) among the pixels that are not IGNORE; ValueError where all are."""
    _labels.check(labels, classes)
    counts = np.bincount(np.ravel(labels), minlength=256)[:classes]
    if not counts.any():
        raise ValueError(f"labels hold {IGNORE} alone, which is no class: give some with a label")
    return counts / counts.sum()


def pixel_error(matrix, prior):
    """Expected share of wrong pixels, sum_i prior_i (1 - Q_ii), in [0, 1]."""
    matrix = check_matrix(matrix)
    return float(np.dot(check_prior(prior, matrix), 1 - np.diag(matrix)))


def information(matrix, prior):
    """Mutual information I(Y; Y*) in bits per labelled pixel, for class fractions `prior` (M,)."""
    matrix = check_matrix(matrix)
    joint = check_prior(prior, matrix)[:, None] * matrix
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return max(0.0, float(np.sum(joint[some] * np.log2(joint[some] / independent[some]))))


def check_prior(prior, matrix):
    """Class fractions as float64 (M,); ValueError unless they are as many as the matrix has classes, and sum to one."""
    prior = np.asarray(prior, dtype=float)
    if prior.shape != (len(matrix),) or np.any(prior < 0) or not np.isclose(prior.sum(), 1):
        raise ValueError(f"prior must be {len(matrix)} fractions that sum to one, got {prior}")
    return prior
