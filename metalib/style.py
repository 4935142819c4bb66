"""Colours, sizes and saving of figures. Hue = label family, line style = variant, lightness = noise level."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb, to_rgba_array

from metalib import records
from metalib.labels import IGNORE, RECIPES, family, parse

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


def name(recipe):
    """A recipe as text for a figure: `rcl_flip:0.45` -> `RCL, 0.45 flipped`."""
    key, value = parse(recipe)
    return RECIPES[key].title.format(recipe.partition(":")[2] if key == "rcl_matrix" else value)


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
        place = dict(
            xytext=(x + (1.5 * (right - x) if reach is None else reach), y),
            va="center",
            color=ink,
            annotation_clip=False,
        )
        ax.annotate(text, (x, end), arrowprops=leader | {"color": ink}, **place)


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
