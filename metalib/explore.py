"""Sliders of notebook 06: flips, window and number of classes, answered by labels, their density and Lemma 1's prediction.

Where no browser listens (papermill, nbval), the same picture stands still.
"""

import io
import os

import ipywidgets
import matplotlib as mpl
import numpy as np
from IPython import display
from PIL import Image

from metalib import checks, labels, lemmas, shapes, transition

_GRAY, _VIRIDIS = 0, 127  # where each scale of 127 colours begins in the palette
_COLOURS = [mpl.colormaps[name](np.linspace(0, 1, 127), bytes=True)[:, :3] for name in ("gray", "viridis")]
_PALETTE = np.concatenate([*_COLOURS, np.full((2, 3), 255, np.uint8)])
_GAP = np.full((shapes.SIZE_PX, 8), 254, np.uint8)  # white, behind both scales


def show(flip, window_px, classes, sliders=None):
    """The sliders, or the picture at these values. sliders: True or False; None: sliders where JupyterLab runs the kernel."""
    checks.one_of(sliders, (None, True, False), "choice of sliders")
    if sliders is None:
        sliders = "JPY_SESSION_NAME" in os.environ  # set by Jupyter's server for notebooks opened in a browser
    return panel(flip, window_px, classes) if sliders else display.Image(picture(flip, window_px, classes)[0])


def panel(flip, window_px, classes):
    """Three sliders over the picture and a line of text, which follow them."""
    controls = {
        "flip": ipywidgets.FloatSlider(flip, min=0, max=1, step=0.01, description="flips"),
        "window_px": ipywidgets.IntSlider(window_px, min=1, max=151, step=2, description="window, px"),
        "classes": ipywidgets.IntSlider(classes, min=2, max=6, description="classes"),
    }
    shown, text = ipywidgets.Image(format="png"), ipywidgets.HTML()  # a Label would cut the text off, not wrap it

    def answer(_=None):
        shown.value, text.value = picture(**{name: control.value for name, control in controls.items()})

    for control in controls.values():
        control.observe(answer, "value")
    answer()
    # In a narrow window, a slider goes to the next row; else all would shrink until their steps cannot be hit.
    row = ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([row, shown, text])


def picture(flip, window_px, classes):
    """Noisy labels, density of the innermost class and Lemma 1's prediction, side by side: PNG bytes, and a line of text."""
    clean, matrix = shapes.rings(classes), transition.flip_matrix(flip, classes)
    noisy, label = labels.apply(clean, matrix, labels.generator("explore", 0)), classes - 1
    mean, error = lemmas.predicted(clean, matrix, window_px, label)
    estimate = lemmas.maps(noisy[None], window_px, label)[0]
    # One scale for estimate and prediction: all that the prediction expects, chance included.
    low, high = (mean - 3 * error).min(), (mean + 3 * error).max()
    parts = _scaled(noisy, 0, label, _GRAY), _GAP, _scaled(estimate, low, high, _VIRIDIS), _GAP
    joined = Image.fromarray(np.hstack([*parts, _scaled(mean, low, high, _VIRIDIS)]))
    joined.putpalette(_PALETTE.tobytes())  # a byte a pixel in place of three: noise does not compress
    file = io.BytesIO()
    joined.save(file, "png", compress_level=1)
    return file.getvalue(), _text(estimate, mean, error, matrix)


def _scaled(image, low, high, first):
    """Places in the palette, (H, W) uint8, of values from low to high on the scale that begins at `first`."""
    return (first + 126.0 * (image - low) / max(high - low, 1e-9)).clip(first, first + 126).astype(np.uint8)


def _text(estimate, mean, error, matrix):
    """What the picture shows, in numbers; z: range of the prediction in median standard errors of a window."""
    z = np.ptp(mean) / max(np.median(error), 1e-9)
    inside = 100 * np.mean(np.abs(estimate - mean) <= lemmas.Z_95 * error + 1e-9)
    left, middle, right = "Left: noisy labels.", "Middle: density of the innermost class.", "Right: Lemma 1."
    return (
        f"{left} {middle} {right} Rank {transition.rank(matrix)} of {len(matrix)}, structure z = {z:.1f}, "
        f"{inside:.0f}% of pixels within 1.96 standard errors."
    )
