"""Pairs of labels are counted as scikit-learn counts them."""

import numpy as np
import pytest
import sklearn.metrics

from metalib import _labels
from metalib._labels import IGNORE


@pytest.mark.parametrize("classes", [2, 5])
def test_confusion_counts_pairs_of_known_pixels(rng, classes):
    first, second = (rng.integers(0, classes, (3, 20, 20)).astype(np.uint8) for _ in range(2))
    first[0, :5], second[1, :7] = IGNORE, IGNORE
    known = (first != IGNORE) & (second != IGNORE)
    theirs = sklearn.metrics.confusion_matrix(first[known], second[known], labels=range(classes))
    np.testing.assert_array_equal(_labels.confusion_matrix(first, second, classes), theirs)
