"""What a network says that has learned noisy labels without error, and how much of it is right.

It knows the probabilities of the noisy classes, row i of the transition matrix where clean class i lies. As it is, it
answers with the most likely of them; decoded, with the class that the inverse of the matrix makes most likely, as
`training.predict_classes` does. Each function takes a matrix (K, K) and returns, or takes, answers (K,): the class said
where each clean class lies.
"""

import numpy as np

from metalib.labels import check_matrix


def as_it_is(matrix, doubt=1e-9):
    """The most frequent label of each class; its own where that is less frequent by no more than `doubt`, (K,) or a float.

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


def decoded(matrix, rank=None):
    """The class that the pseudo-inverse gives for each class: its own where the rank is full.

    rank: of an estimated matrix, whose smallest singular values are noise; by default that of `numpy.linalg.matrix_rank`.
    """
    matrix = check_matrix(matrix)
    left, *_ = np.linalg.svd(matrix)
    kept = left[:, : np.linalg.matrix_rank(matrix) if rank is None else rank]
    projection = kept @ kept.T  # the matrix times its pseudo-inverse
    return projection.round(9).argmax(axis=1)  # classes that are one to it get one answer, whatever the last digits


def learnability(answers, prior):
    """The share of the way from the most frequent class everywhere to every class right that mIoU goes, in [0, 1].

    prior: shares of the classes (K,); classes of share zero count as absent.
    """
    prior = np.asarray(prior, float)
    classes = np.flatnonzero(prior)
    said = np.bincount(answers, weights=prior, minlength=len(prior))
    right = prior * (answers == np.arange(len(prior)))
    iou = (right / np.where(prior, prior + said - right, 1))[classes].mean()
    least = prior.max() / len(classes)
    return float(np.clip((iou - least) / (1 - least), 0, 1))
