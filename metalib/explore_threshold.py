"""Sliders of notebook 07: a threshold and a smoothing, answered by mask, labels after EMS, and the threshold's place on L_DMI."""

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import FloatSlider
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage as ndi

from metalib import baselines, datasets, explore, labels, pseudo_labels, style

_NATS = 5  # of the loss above its lowest that are shown
_WHITE = dict(facecolor="w", edgecolor="none", pad=1)


def show(threshold, smooth_px, sliders=None):
    """The panel that begins at these values; sliders: see `explore.show`."""
    controls = {
        "threshold": FloatSlider(threshold, min=0, max=1, step=0.01, description="threshold"),
        "smooth_px": FloatSlider(smooth_px, min=0, max=5, step=0.5, readout_format=".1f", description="smooth, px"),
    }
    return explore.show(answer, controls, sliders)


def answer(threshold, smooth_px):
    """A map P, its mask, labels after EMS and L_DMI over all thresholds: PNG bytes by title, and a line of text.

    P: the soft scores of the initial mask of an er-like image, after a Gaussian of smooth_px.
    """
    train = datasets.load("er-like", "train", size=explore.FOURTH_PX, limit=1)
    values = ndi.gaussian_filter(baselines.evidence(train.images)[0].astype(float), smooth_px)
    mask = (values > threshold).astype(np.uint8)
    structure = pseudo_labels.extract_meta_structure(mask, 1, 0.1, labels.generator("explore", 0))
    pictures = {
        "map P": explore.png(explore.scaled(values, 0, 1), explore.VIRIDIS),
        "mask of the threshold": explore.png(mask, explore.LABELS),
        "labels after EMS": explore.png(structure, explore.LABELS),
        "L_DMI of every threshold": explore.png(_curve(values, threshold)),
    }
    return pictures, _text(values, threshold, train.labels[0])


def _text(values, threshold, truth):
    """The chosen mask beside that of DMI, the mean of P, in numbers; Dice reads the true mask."""
    chosen, best = (
        f"{at:.3f}: {np.mean(values > at):.1%} foreground, Dice {_dice(values > at, truth):.3f}"
        for at in (threshold, values.mean())
    )
    oracle = "Dice is an oracle: it reads the true mask, which iGTT does not see."
    return f"Threshold {chosen}. DMI's best, the mean of P, {best}. {oracle}"


def _dice(mask, truth):
    return 2 * np.count_nonzero(mask & (truth == 1)) / (mask.sum() + truth.sum())


def _curve(values, threshold):
    """The loss of every threshold, with the chosen one and the mean of P: (H, W, 3) uint8, square."""
    loss = pseudo_labels.dmi_losses(values, 200)
    low = loss.min()
    with plt.style.context(style.SHEET):  # the same bytes whatever a notebook has set
        figure = Figure(figsize=[explore.FOURTH_PX / 100] * 2, dpi=100, layout="none")
        canvas, ax = FigureCanvasAgg(figure), figure.add_axes((0.04, 0.23, 0.92, 0.76))
        ax.plot(pseudo_labels.candidate_thresholds(values, 200), loss, color=style.COLOURS["CL"])
        for at, text, ink, height in (
            (values.mean(), "mean of P", style.COLOURS["iGTT"], 0.92),
            (threshold, "chosen", style.COLOURS["PCL"], 0.8),
        ):
            ax.axvline(at, color=ink)
            # In the middle, where the curve is low, whatever lines pass behind.
            ax.text(0.55, low + _NATS * height, text, color=ink, ha="center", va="center", bbox=_WHITE)
        ax.set(xlim=(0, 1), ylim=(low - 0.3, low + _NATS), yticks=[], xlabel="threshold")
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
