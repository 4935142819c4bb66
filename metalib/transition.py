"""Noise transition matrices Q(y*|y) of label noise: rank, eigenvalues and the information that is left.

A matrix is (M, M) float64; rows are the clean class, columns the noisy one (paper, "Theoretical Analysis", Figure 6).
"""

from numbers import Real

import numpy as np

from metalib import checks
from metalib.labels import IGNORE, check, check_matrix, confusion, parse


def flip_matrix(p, classes=2):
    """Uniform flips: 1 - p on the diagonal, p / (M - 1) elsewhere; eigenvalues 1 and 1 - p M / (M - 1)."""
    off = checks.ratio(p, "p") / (checks.whole(classes, "classes", 2, IGNORE) - 1)
    return np.full((classes, classes), off) + (1 - p - off) * np.eye(classes)


def random_matrix(p):
    """Random labels RL(p): both rows are (1 - p, p), so the rank is 1."""
    p = checks.ratio(p, "p")
    return np.array([[1 - p, p], [1 - p, p]])


def replacement_matrix(share, by):
    """A `share` of the labels is replaced by draws from class fractions `by` (M,): (1 - share) I + share 1 by^T.

    Its rank is full below share = 1, its eigenvalues are 1 and 1 - share. `by` = (1/2, 1/2) makes symmetric flips of
    share / 2; one class alone makes noise that only ever adds to that class.
    """
    by = np.asarray(by, dtype=float)
    if by.ndim != 1:
        raise ValueError(f"by has the shape {by.shape}, expected the shares of the classes (M,)")
    return check_matrix((1 - checks.ratio(share, "share")) * np.eye(len(by)) + share * by)


def matrix(recipe, classes=2, *, one_sided=False):
    """The matrix of a random recipe. Sampling keeps the labels that it keeps, so its matrix is the identity.

    one_sided: the official code's sampling, which turns foreground that is not kept into background (see `labels.sample`).

    ValueError for PCL recipes: they move boundaries and have no matrix that is the same for every pixel.
    """
    name, value = parse(recipe)
    checks.whole(classes, "classes", 2, IGNORE)
    if name == "rcl_flip":
        return flip_matrix(value, classes)
    if name == "rcl_matrix" and len(value) == classes:
        return np.array(value)
    if name == "rcl_sample" and one_sided and classes == 2:
        return np.array([[1, 0], [1 - value, value]])
    if name == "rl" and classes == 2:
        return random_matrix(value)
    if name == "cl" or (name == "rcl_sample" and not one_sided):
        return np.eye(classes)
    raise ValueError(f"recipe {recipe!r} has no transition matrix for {classes} classes: use transition.estimate")


def recipe(matrix):
    """The recipe `rcl_matrix:...` that draws labels with a matrix, its entries to six digits."""
    rows = check_matrix(matrix).tolist()
    return "rcl_matrix:" + "; ".join(" ".join(f"{value:g}" for value in row) for row in rows)


def estimate(clean, noisy, classes=2):
    """Relative frequency of noisy classes (columns) given the clean class (rows), over pixels where neither is IGNORE."""
    counts = confusion(clean, noisy, classes)
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
    """Fraction of each class (M,) among the pixels that are not IGNORE."""
    check(labels, classes)
    counts = np.bincount(np.ravel(labels), minlength=256)[:classes]
    if not counts.any():
        raise ValueError(f"labels hold {IGNORE} alone, which is no class: give some with a label")
    return counts / counts.sum()


def pixel_error(matrix, prior):
    """Expected share of wrong pixels, sum_i prior_i (1 - Q_ii), in [0, 1]."""
    matrix = check_matrix(matrix)
    return float(np.dot(_check_prior(prior, matrix), 1 - np.diag(matrix)))


def information(matrix, prior):
    """Mutual information I(Y; Y*) in bits per labelled pixel, for class fractions `prior` (M,)."""
    matrix = check_matrix(matrix)
    joint = _check_prior(prior, matrix)[:, None] * matrix
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return max(0.0, float(np.sum(joint[some] * np.log2(joint[some] / independent[some]))))


def labelled_share(recipe):
    """The share of pixels that a recipe labels: what sampling keeps, else 1."""
    name, value = parse(recipe)
    return value if name == "rcl_sample" else 1.0


def squared_correlation(matrix, prior):
    """Squared correlation of the clean with the noisy label of two classes, in [0, 1]; 0 where the rank is one.

    It is the share of the noisy label's variance that the clean label explains. For symmetric flips of two equally
    frequent classes it is (1 - 2p)^2, and r / (1 - r) is their `effective_share`.
    """
    matrix = check_matrix(matrix)
    prior = _check_prior(prior, matrix)
    if len(matrix) != 2:
        raise ValueError(f"the correlation is that of two classes, the matrix has {len(matrix)}")
    noisy = prior @ matrix
    between = prior.prod() * (matrix[1, 1] - matrix[0, 1]) ** 2
    return float(between / noisy.prod()) if noisy.prod() else 0.0


def effective_share(p):
    """Signal-to-noise ratio of one label under binary flips `p` in (0, 0.5): (1 - 2p)^2 / (4p(1 - p)); 1 at p = 0.146.

    It is the squared difference of the label's mean between the classes over four times its variance. n labels have n
    times this ratio: their effective pixels. ValueError outside (0, 0.5).
    """
    if not isinstance(p, Real) or not 0 < p < 0.5:
        raise ValueError(f"p is {p!r}, expected a flip probability in (0, 0.5)")
    return (1 - 2 * p) ** 2 / (4 * p * (1 - p))


def flip_of_share(share):
    """The flip probability in (0, 0.5) of an effective share > 0; inverse of `effective_share`."""
    if not isinstance(share, Real) or not share > 0:
        raise ValueError(f"share is {share!r}, expected a number above 0")
    return (1 - np.sqrt(share / (1 + share))) / 2


def _check_prior(prior, matrix):
    prior = np.asarray(prior, dtype=float)
    if prior.shape != (len(matrix),) or np.any(prior < 0) or not np.isclose(prior.sum(), 1):
        raise ValueError(f"prior must be {len(matrix)} fractions that sum to one, got {prior}")
    return prior
