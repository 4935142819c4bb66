"""Sliders of notebooks 01, 06 and 07, each with a function of their values that answers: pictures, and a line of text.

Noise, its level and a window, answered by noisy labels and their density; flips, window and number of classes, answered by
labels, their density and Lemma 1's prediction; a threshold and a smoothing, answered by mask, labels after EMS, and the
threshold's place on L_DMI.
"""

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import Dropdown, FloatSlider, IntSlider, dlink
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage as ndi

from metalib._labels import IGNORE
from metalib.data import datasets
from metalib.noise import density, recipes, theory, transition
from metalib.plots import panel, style
from metalib.unsupervised import pseudo_labels, thresholds

_NATS = 5  # of the loss above its lowest that are shown
_WHITE = dict(facecolor="w", edgecolor="none", pad=1)
_NOISES = {
    "sampled": "rcl_sample:{share}",
    "flipped": "rcl_flip:{share}",
    "dilation": "pcl_dilation:{passes}",
    "erosion": "pcl_erosion:{passes}",
    "skeleton": "pcl_skeleton",
    "random": "rl:{share}",
}


def explore_noise(noise, share, passes, window_px, sliders=None):
    """The panel that begins at these values; sliders: see `panel.show`."""
    controls = {
        "noise": Dropdown(value=noise, options=list(_NOISES), description="noise"),
        "share": FloatSlider(share, min=0, max=1, step=0.01, description="share"),
        "passes": IntSlider(passes, min=1, max=5, description="passes"),
        "window_px": IntSlider(window_px, min=1, max=101, step=2, description="window, px"),
    }
    for level in ("share", "passes"):  # only that which the kind of noise has can be moved
        without = [kind for kind, recipe in _NOISES.items() if f"{{{level}}}" not in recipe]
        dlink((controls["noise"], "value"), (controls[level], "disabled"), without.__contains__)
    return panel.show(noise_pictures, controls, sliders)


def noise_pictures(noise, share, passes, window_px):
    """An er-like image, its mask, noisy labels and the density of their foreground: PNG bytes by title, and a line of text."""
    test = datasets.load("er-like", "test", size=panel.FOURTH_PX, limit=2)
    image, clean = test.images[1, 0], test.labels[1]  # tubules beside one sheet
    recipe = _NOISES[noise].format(share=share, passes=passes)
    # The same random numbers at every level: a pixel that is flipped stays flipped as the share grows.
    noisy = recipes.make(recipe, clean, recipes.generator("explore", 0))
    pictures = {
        "image": panel.png(panel.scaled(image, image.min(), np.quantile(image, 0.99)), panel.GRAY),
        "clean mask": panel.png(clean, panel.LABELS),
        "noisy labels": panel.png(noisy, panel.LABELS),
        "density of foreground": panel.png(_density(noisy, window_px), panel.VIRIDIS),
    }
    return pictures, _noise_text(recipe, clean, noisy)


def _density(noisy, window_px):
    """Density of foreground as places in a palette; the lowest everywhere if there is none.

    The scale has at least six standard errors on both sides of the mean, so that chance alone looks even.
    """
    if not (noisy == 1).any():
        return np.zeros_like(noisy)
    found = density.density_map(noisy, window_px)
    middle, reach = found.mean(), 6 * np.median(density.standard_error(noisy, window_px))
    return panel.scaled(found, min(found.min(), middle - reach), max(found.max(), middle + reach))


def _noise_text(recipe, clean, noisy):
    """What the recipe did to the labels, counted, and what its matrix says."""
    labelled = noisy != IGNORE
    wrong = np.count_nonzero(labelled & (noisy != clean)) / max(np.count_nonzero(labelled), 1)
    counted = f"{recipes.title(recipe)}: {labelled.mean():.1%} of pixels are labelled, {wrong:.1%} of these wrong."
    if recipe.startswith("pcl"):
        return f"{counted} No matrix: where the errors are depends on the mask's outline."
    matrix = recipes.matrix(recipe)
    bits = recipes.labelled_share(recipe) * transition.information(matrix, transition.prior(clean))
    return f"{counted} Matrix of rank {transition.rank(matrix)}, {bits:.4f} bits per pixel."


def explore_density(flip, window_px, classes, sliders=None):
    """The panel that begins at these values; sliders: see `panel.show`."""
    controls = {
        "flip": FloatSlider(flip, min=0, max=1, step=0.01, description="flips"),
        "window_px": IntSlider(window_px, min=1, max=151, step=2, description="window, px"),
        "classes": IntSlider(classes, min=2, max=6, description="classes"),
    }
    return panel.show(density_pictures, controls, sliders)


def density_pictures(flip, window_px, classes):
    """Noisy labels, density of the innermost class and Lemma 1's prediction of it: PNG bytes by title, and a line of text."""
    clean, matrix = theory.rings(classes), transition.flip_matrix(flip, classes)
    noisy, label = recipes.corrupt(clean, matrix, recipes.generator("explore", 0)), classes - 1
    mean, error = theory.predicted(clean, matrix, window_px, label)
    estimate = theory.maps(noisy[None], window_px, label)[0]
    # One scale for estimate and prediction: all that the prediction expects, chance included.
    low, high = (mean - 3 * error).min(), (mean + 3 * error).max()
    pictures = {
        "noisy labels": panel.png(panel.scaled(noisy, 0, label), panel.GRAY),
        "density of the innermost class": panel.png(panel.scaled(estimate, low, high), panel.VIRIDIS),
        "Lemma 1": panel.png(panel.scaled(mean, low, high), panel.VIRIDIS),
    }
    return pictures, _density_text(estimate, mean, error, matrix)


def _density_text(estimate, mean, error, matrix):
    """What the pictures show, in numbers; z: range of the prediction in median standard errors of a window."""
    z = np.ptp(mean) / max(np.median(error), 1e-9)
    inside = 100 * np.mean(np.abs(estimate - mean) <= theory.Z_95 * error + 1e-9)
    return (
        f"Rank {transition.rank(matrix)} of {len(matrix)}, structure z = {z:.1f}, "
        f"{inside:.0f}% of pixels within 1.96 standard errors."
    )


def explore_threshold(threshold, smooth_px, sliders=None):
    """The panel that begins at these values; sliders: see `panel.show`."""
    controls = {
        "threshold": FloatSlider(threshold, min=0, max=1, step=0.01, description="threshold"),
        "smooth_px": FloatSlider(smooth_px, min=0, max=5, step=0.5, readout_format=".1f", description="smooth, px"),
    }
    return panel.show(threshold_pictures, controls, sliders)


def threshold_pictures(threshold, smooth_px):
    """A map P, its mask, labels after EMS and L_DMI over all thresholds: PNG bytes by title, and a line of text.

    P: the soft scores of the initial mask of an er-like image, after a Gaussian of smooth_px.
    """
    train = datasets.load("er-like", "train", size=panel.FOURTH_PX, limit=1)
    values = ndi.gaussian_filter(thresholds.evidence(train.images)[0].astype(float), smooth_px)
    mask = (values > threshold).astype(np.uint8)
    structure = pseudo_labels.extract_meta_structure(mask, 1, 0.1, recipes.generator("explore", 0))
    pictures = {
        "map P": panel.png(panel.scaled(values, 0, 1), panel.VIRIDIS),
        "mask of the threshold": panel.png(mask, panel.LABELS),
        "labels after EMS": panel.png(structure, panel.LABELS),
        "L_DMI of every threshold": panel.png(_curve(values, threshold)),
    }
    return pictures, _threshold_text(values, threshold, train.labels[0])


def _threshold_text(values, threshold, truth):
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
        figure = Figure(figsize=[panel.FOURTH_PX / 100] * 2, dpi=100, layout="none")
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
