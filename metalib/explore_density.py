"""Sliders of notebook 06: flips, window and number of classes, answered by labels, their density and Lemma 1's prediction."""

import numpy as np
from ipywidgets import FloatSlider, IntSlider

from metalib import explore, labels, lemmas, shapes, transition


def show(flip, window_px, classes, sliders=None):
    """The panel that begins at these values; sliders: see `explore.show`."""
    controls = {
        "flip": FloatSlider(flip, min=0, max=1, step=0.01, description="flips"),
        "window_px": IntSlider(window_px, min=1, max=151, step=2, description="window, px"),
        "classes": IntSlider(classes, min=2, max=6, description="classes"),
    }
    return explore.show(answer, controls, sliders)


def answer(flip, window_px, classes):
    """Noisy labels, density of the innermost class and Lemma 1's prediction of it: PNG bytes by title, and a line of text."""
    clean, matrix = shapes.rings(classes), transition.flip_matrix(flip, classes)
    noisy, label = labels.apply(clean, matrix, labels.generator("explore", 0)), classes - 1
    mean, error = lemmas.predicted(clean, matrix, window_px, label)
    estimate = lemmas.maps(noisy[None], window_px, label)[0]
    # One scale for estimate and prediction: all that the prediction expects, chance included.
    low, high = (mean - 3 * error).min(), (mean + 3 * error).max()
    pictures = {
        "noisy labels": explore.png(explore.scaled(noisy, 0, label), explore.GRAY),
        "density of the innermost class": explore.png(explore.scaled(estimate, low, high), explore.VIRIDIS),
        "Lemma 1": explore.png(explore.scaled(mean, low, high), explore.VIRIDIS),
    }
    return pictures, _text(estimate, mean, error, matrix)


def _text(estimate, mean, error, matrix):
    """What the pictures show, in numbers; z: range of the prediction in median standard errors of a window."""
    z = np.ptp(mean) / max(np.median(error), 1e-9)
    inside = 100 * np.mean(np.abs(estimate - mean) <= lemmas.Z_95 * error + 1e-9)
    return (
        f"Rank {transition.rank(matrix)} of {len(matrix)}, structure z = {z:.1f}, "
        f"{inside:.0f}% of pixels within 1.96 standard errors."
    )
