"""Colours, sizes and saving of figures. Hue = label family, line style = variant, lightness = noise level."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from metalib import records
from metalib.labels import IGNORE, family, parse

COLUMN_IN, PAGE_IN = 3.3, 7.0
NOT_LABELLED = "#7FA8C9"
# The smallest CIE76 distance between two of these under simulated colour blindness is 17.
COLOURS = {
    "CL": "#000000",
    "RCL": "#0072B2",
    "PCL": "#D55E00",
    "RL": "#6E6E6E",
    "iGTT": "#CC79A7",
    "Otsu": "#E69F00",
    "adaptive Gaussian": "#56B4E9",
}
_NAMES = {
    "cl": "CL",
    "rcl_sample": "RCL, {:g} sampled",
    "rcl_flip": "RCL, {:g} flipped",
    "pcl_dilation": "PCL, dilation {:g}",
    "pcl_erosion": "PCL, erosion {:g}",
    "pcl_skeleton": "PCL, skeleton",
    "rl": "RL, {:g} foreground",
}


def use():
    """Apply the project's style sheet to matplotlib."""
    plt.style.use(Path(__file__).parent / "metalib.mplstyle")


def name(recipe):
    """A recipe as text for a figure: `rcl_flip:0.45` -> `RCL, 0.45 flipped`."""
    key, value = parse(recipe)
    return _NAMES[key].format(value)


def colour(recipe, lightness=0.0):
    """Colour of a recipe's family, mixed with `lightness` (0 to 1) of white."""
    return tuple(np.array(to_rgb(COLOURS[family(recipe)])) * (1 - lightness) + lightness)


def band(ax, x, curves, colour):
    """Median of curves (seeds, len(x)) with a band from the smallest to the largest; returns the median (len(x),)."""
    middle = np.median(curves, axis=0)
    ax.fill_between(x, np.min(curves, axis=0), np.max(curves, axis=0), color=colour, alpha=0.2, linewidth=0)
    ax.plot(x, middle, color=colour)
    return middle


def label_ends(ax, ends, gap):
    """Text beside the last points of lines: ends = [(x, y, text, colour)], at least `gap` apart and above the axis."""
    ends = sorted(ends, key=lambda end: end[1])
    wanted = np.array([y for _, y, _, _ in ends])
    steps = gap * np.arange(len(ends))
    heights = np.maximum.accumulate(wanted - steps) + steps
    heights -= (heights - wanted).mean()
    heights += max(0.0, ax.get_ylim()[0] + gap / 2 - heights[0])
    right = ax.get_xlim()[1]
    leader = dict(arrowstyle="-", linewidth=0.4, shrinkA=1, shrinkB=1, relpos=(0, 0.5))
    for (x, end, text, ink), y in zip(ends, heights, strict=True):
        place = dict(xytext=(x + 1.5 * (right - x), y), va="center", color=ink, annotation_clip=False)
        ax.annotate(text, (x, end), arrowprops=leader | {"color": ink}, **place)


def show(ax, image, title):
    """A picture without axes: gray image, or labels (black 0, white 1, and blue where IGNORE)."""
    if image.dtype == np.uint8:
        shown = np.repeat((image == 1)[..., None] * 1.0, 3, axis=2)
        shown[image == IGNORE] = to_rgb(NOT_LABELLED)
        ax.imshow(shown)
    else:
        ax.imshow(image, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()


def label_key(ax):
    """A key to the label pictures of `show`, in an axes of its own."""
    for row, (ink, text) in enumerate(
        (("white", "foreground"), ("black", "background"), (NOT_LABELLED, "not labelled"))
    ):
        ax.add_patch(plt.Rectangle((0.05, 0.7 - 0.25 * row), 0.15, 0.15, facecolor=ink, edgecolor="0.5", linewidth=0.5))
        ax.text(0.27, 0.775 - 0.25 * row, text, va="center")
    ax.set_axis_off()


def save(figure, stem):
    """Write `<stem>.png` to the figures folder, the same bytes for the same figure; returns the path."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path = records.figures_folder() / f"{stem}.png"
    records.atomic_write(path, buffer.getvalue())
    return path
