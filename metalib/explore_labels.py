"""Sliders of notebook 01: kind of noise, its level and a window, answered by noisy labels and their density."""

import numpy as np
from ipywidgets import Dropdown, FloatSlider, IntSlider, dlink

from metalib import datasets, density, explore, labels, style, transition

RECIPES = {
    "sampled": "rcl_sample:{share}",
    "flipped": "rcl_flip:{share}",
    "dilation": "pcl_dilation:{passes}",
    "erosion": "pcl_erosion:{passes}",
    "skeleton": "pcl_skeleton",
    "random": "rl:{share}",
}


def show(noise, share, passes, window_px, sliders=None):
    """The panel that begins at these values; sliders: see `explore.show`."""
    controls = {
        "noise": Dropdown(value=noise, options=list(RECIPES), description="noise"),
        "share": FloatSlider(share, min=0, max=1, step=0.01, description="share"),
        "passes": IntSlider(passes, min=1, max=5, description="passes"),
        "window_px": IntSlider(window_px, min=1, max=101, step=2, description="window, px"),
    }
    for level in ("share", "passes"):
        dlink((controls["noise"], "value"), (controls[level], "disabled"), lambda of, level=level: not _has(of, level))
    return explore.show(answer, controls, sliders)


def answer(noise, share, passes, window_px):
    """An er-like image, its mask, noisy labels and the density of their foreground: PNG bytes by title, and a line of text."""
    test = datasets.load("er-like", "test", size=explore.FOURTH_PX, limit=2)
    image, clean = test.images[1, 0], test.labels[1]  # tubules beside one sheet
    recipe = RECIPES[noise].format(share=share, passes=passes)
    # The same random numbers at every level: a pixel that is flipped stays flipped as the share grows.
    noisy = labels.make(recipe, clean, labels.generator("explore", 0))
    pictures = {
        "image": explore.png(explore.scaled(image, image.min(), np.quantile(image, 0.99)), explore.GRAY),
        "clean mask": explore.png(clean, explore.LABELS),
        "noisy labels": explore.png(noisy, explore.LABELS),
        "density of foreground": explore.png(_density(noisy, window_px), explore.VIRIDIS),
    }
    return pictures, _text(recipe, clean, noisy)


def _has(noise, level):
    """Whether a kind of noise has this level."""
    return f"{{{level}}}" in RECIPES[noise]


def _density(noisy, window_px):
    """Density of foreground as places in a palette; the lowest everywhere if there is none.

    The scale has at least six standard errors on both sides of the mean, so that chance alone looks even.
    """
    if not (noisy == 1).any():
        return np.zeros_like(noisy)
    found = density.density_map(noisy, window_px)
    middle, reach = found.mean(), 6 * np.median(density.standard_error(noisy, window_px))
    return explore.scaled(found, min(found.min(), middle - reach), max(found.max(), middle + reach))


def _text(recipe, clean, noisy):
    """What the recipe did to the labels, counted, and what its matrix says."""
    labelled = noisy != labels.IGNORE
    wrong = np.count_nonzero(labelled & (noisy != clean)) / max(np.count_nonzero(labelled), 1)
    counted = f"{style.name(recipe)}: {labelled.mean():.1%} of pixels are labelled, {wrong:.1%} of these wrong."
    if recipe.startswith("pcl"):
        return f"{counted} No matrix: where the errors are depends on the mask's outline."
    matrix = transition.matrix(recipe)
    bits = transition.labelled_share(recipe) * transition.information(matrix, transition.prior(clean))
    return f"{counted} Matrix of rank {transition.rank(matrix)}, {bits:.4f} bits per pixel."
