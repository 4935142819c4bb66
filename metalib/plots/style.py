"""Colours, sizes, parts and saving of figures. Hue = label family, line style = variant, lightness = noise level."""

import io
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.patches import FancyArrowPatch

from metalib import _files
from metalib._labels import IGNORE
from metalib.noise.recipes import family

COLUMN_IN, PAGE_IN = 3.3, 7.0
SHEET = Path(__file__).parent / "metalib.mplstyle"
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
# Classes of street scenes, by id: enough for the 19 of Cityscapes; neighbours in the list differ in lightness.
CLASSES = (
    *("#9ECAE1", "#7F4F24", "#4D4D4D", "#2E8B57", "#D62728", "#FFD92F", "#8C6BB1", "#F4A582", "#1F3A93", "#E78AC3"),
    *("#B3DE69", "#00A1A1", "#A6761D", "#CCEBC5", "#810F7C", "#FB6A4A", "#6BAED6", "#BDBDBD", "#253494"),
)
NO_CLASS = "#FFFFFF"


def use():
    """Apply the project's style sheet to matplotlib."""
    plt.style.use(SHEET)


def colour(recipe, lightness=0.0):
    """Colour of a recipe's family, mixed with `lightness` (0 to 1) of white."""
    return tuple(np.array(to_rgb(COLOURS[family(recipe)])) * (1 - lightness) + lightness)


def epochs(ax):
    """An axis of epochs: whole numbers at its ticks."""
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)


def shades(recipes):
    """{recipe: colour}, within each family from light to full in the order given."""
    families = {}
    for recipe in recipes:
        families.setdefault(family(recipe), []).append(recipe)
    return {
        recipe: colour(recipe, lightness=0.6 * (1 - (place + 1) / len(members)))
        for members in families.values()
        for place, recipe in enumerate(members)
    }


def band(ax, x, curves, colour, linestyle="-"):
    """Median of curves (seeds, len(x)) with a band from the smallest to the largest; returns the median (len(x),)."""
    middle = np.median(curves, axis=0)
    ax.fill_between(x, np.min(curves, axis=0), np.max(curves, axis=0), color=colour, alpha=0.2, linewidth=0)
    ax.plot(x, middle, color=colour, linestyle=linestyle)
    return middle


def curves(ax, lines, gap):
    """A `band` for each line (x, curves (seeds, len(x)), text, colour, linestyle), its text beside its end unless empty."""
    ends = []
    for x, rows, text, ink, linestyle in lines:
        middle = band(ax, x, rows, ink, linestyle)
        ends += [(x[-1], middle[-1], text, ink)] * bool(text)
    if ends:
        label_ends(ax, ends, gap)


def label_ends(ax, ends, gap, reach=None):
    """Text beside points: ends = [(x, y, text, colour)], at least `gap` apart and above the axis.

    reach: from point to text, in units of x; by default the text stands outside the axes, for the last points of lines.
    """
    ends = sorted(ends, key=lambda end: end[1])
    wanted = np.array([y for _, y, _, _ in ends])
    steps = gap * np.arange(len(ends))
    heights = np.maximum.accumulate(wanted - steps) + steps
    heights -= (heights - wanted).mean()
    heights += max(0.0, ax.get_ylim()[0] + gap / 2 - heights[0])
    right = ax.get_xlim()[1]
    leader = dict(arrowstyle="-", linewidth=0.4, shrinkA=1, shrinkB=1, relpos=(0, 0.5))
    for (x, end, text, ink), y in zip(ends, heights, strict=True):
        place = x + (1.5 * (right - x) if reach is None else reach), y
        looks = dict(va="center", color=ink, annotation_clip=False)
        ax.annotate(text, (x, end), place, arrowprops=leader | {"color": ink}, **looks)


def dots(ax, rows):
    """Rows {text: [(values (seeds,), colour, filled)]} from top to bottom: a mark a seed, a stroke at their mean."""
    for place, samples in enumerate(rows.values()):
        for shift, (values, ink, filled) in zip(
            np.linspace(-0.18, 0.18, 2 * len(samples) + 1)[1::2], samples, strict=True
        ):
            y, face = place + shift, ink if filled else "white"
            ax.plot(values, np.full(len(values), y), "o", color=ink, markerfacecolor=face, markersize=3, alpha=0.8)
            ax.plot([np.mean(values)] * 2, [y - 0.17, y + 0.17], color=ink, linewidth=1.2)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", color="0.92", linewidth=0.6)


def show(ax, image, title):
    """A picture without axes: gray image, or labels (black 0, white 1, and blue where IGNORE)."""
    if image.dtype == np.uint8:
        shown = np.repeat((image == 1)[..., None] * 1.0, 3, axis=2)
        shown[image == IGNORE] = to_rgb(NOT_LABELLED)
        ax.imshow(shown)
    else:
        ax.imshow(image, cmap="gray")  # a colour image stays as it is
    ax.set_title(title)
    ax.set_axis_off()


def show_classes(ax, ids, title):
    """A picture of class ids (H, W) without axes; IGNORE is white."""
    palette = to_rgba_array([*CLASSES, NO_CLASS])
    ax.imshow(palette[np.minimum(ids, len(CLASSES))])
    ax.set_title(title)
    ax.set_axis_off()


def class_key(ax, names):
    """A key to the pictures of `show_classes`, in an axes of its own."""
    for ink, name in zip(CLASSES, names, strict=False):
        ax.plot([], [], "s", color=ink, label=name)
    ax.legend(loc="center", ncols=1 + (len(names) > 6), fontsize=6, handletextpad=0.1, columnspacing=0.5)
    ax.set_axis_off()


def label_key(ax):
    """A key to the label pictures of `show`, in an axes of its own."""
    inks = {"foreground": "white", "background": "black", "not labelled": NOT_LABELLED}
    for row, (text, ink) in enumerate(inks.items()):
        ax.add_patch(plt.Rectangle((0.05, 0.7 - 0.25 * row), 0.15, 0.15, facecolor=ink, edgecolor="0.5", linewidth=0.5))
        ax.text(0.27, 0.775 - 0.25 * row, text, va="center")
    ax.set_axis_off()


def cycle(stages, way_back):
    """A figure of stages that follow one another, with arrows between them, and one back to the first: a round of iGTT.

    stages: (title, what leads to it, image or labels (H, W)) of each; way_back: the text of the last arrow.
    """
    # Paper: appendix D.2 is not public.
    figure, axes = plt.subplots(1, len(stages), figsize=(PAGE_IN, 1.75), layout="none")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.86, bottom=0.3, wspace=0.55)
    for ax, (title, _, shown) in zip(axes, stages, strict=True):
        show(ax, shown, title)
    boxes = [ax.get_position() for ax in axes]
    looks = dict(arrowstyle="-|>", color="k", linewidth=1, mutation_scale=9, shrinkA=2, shrinkB=2)
    arrow = partial(FancyArrowPatch, transform=figure.transFigure, **looks)
    middle = (boxes[0].y0 + boxes[0].y1) / 2
    for before, after, (_, step, _) in zip(boxes, boxes[1:], stages[1:], strict=False):
        figure.add_artist(arrow((before.x1, middle), (after.x0, middle)))
        figure.text((before.x1 + after.x0) / 2, middle + 0.03, step, ha="center", va="bottom", fontsize=6)
    start, end = ((boxes[place].x0 + boxes[place].x1) / 2 for place in (-1, 0))
    floor, low = boxes[0].y0 - 0.01, boxes[0].y0 - 0.14
    figure.add_artist(plt.Line2D([start, start, end], [floor, low, low], color="k", linewidth=1))
    figure.add_artist(arrow((end, low), (end, floor)))
    figure.text((start + end) / 2, low - 0.02, way_back, ha="center", va="top", fontsize=7)
    return figure


def save(figure, page, part=""):
    """Write a figure of a `runs.Page`, or one part of several, to the figures folder; returns the path.

    The same figure gives the same bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path = _files.figures_folder() / f"{page.stem}{part and '_'}{part}.png"
    _files.atomic_write(path, buffer.getvalue())
    return path
