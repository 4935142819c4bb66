"""What `segment` found, to look at: outlines on an image, a figure of some images, and a page."""

import html
import io
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from skimage.segmentation import mark_boundaries

from metalib import _files
from metalib.apps import pages
from metalib.plots import style
from metalib.unsupervised import selection

OUTLINE = (1.0, 0.45, 0.0)
SHOWN = 4  # images in the figure
NAMES = {"igtt": "iGTT+", "supervised": "U-Net"}  # of methods, in figures and tables
TOLD = {
    "igtt": "Segmented without any label, by iGTT+: a network trained on masks that a threshold and then it itself proposed.",
    "supervised": "Trained on masks under the recipe {recipe}, every fourth image held out.",
}


def overlay(image, mask):
    """An image (H, W) in [0, 1], its contrast stretched, with the outlines of a mask (H, W); uint8 (H, W, 3)."""
    low, high = np.percentile(image, (0.5, 99.5))
    stretched = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.round(255 * mark_boundaries(stretched, mask, OUTLINE, mode="inner")).astype(np.uint8)


def overview(figure, found, scores, thresholds, method):
    """Fill a figure with the first images: as they are, with the outlines of each method and of their masks."""
    count = min(SHOWN, len(found.images))
    titles = ["", NAMES[method], *thresholds] + ["mask"] * bool(found.masks)
    figure.set_size_inches(style.PAGE_IN, (style.PAGE_IN / len(titles) + 0.2) * count)
    for number, row in enumerate(figure.subplots(count, len(titles), squeeze=False)):
        image = found.images[number]
        masks = [np.zeros(image.shape, bool), scores[number] > 0.5]
        masks += [threshold(image[None, None])[0] > 0.5 for threshold in thresholds.values()]
        masks += [found.masks[number]] if found.masks else []
        for ax, mask, title in zip(row, masks, titles, strict=True):
            style.show(ax, overlay(image, mask) / 255, title if number == 0 else "")
        row[0].set_title(found.paths[number].stem)


def page(found, scores, thresholds, rows, report):
    """The page as HTML, its figure within it; it needs no network."""
    picture = io.BytesIO()
    with plt.style.context(style.SHEET):
        figure = Figure()  # none of pyplot, which shows its own in a notebook
        overview(figure, found, scores, thresholds, report["method"])
        figure.savefig(picture, format="png")
    files = ("masks: PNG, 0 and 255", "scores: TIFF in [0, 1], foreground above 0.5", "overlays: outlines on the image")
    told = " ".join(
        filter(
            None,
            (
                TOLD[report["method"]].format(**report),
                report["labels"],
                _account(report["choice"], rows),
                _summary(rows),
            ),
        )
    )
    return pages.page(
        f"Segmentation of {len(rows)} images",
        f"<p>{html.escape(told)}</p>",
        pages.image(picture.getvalue(), "png", "Images with the outlines of what each method found in them."),
        f"<h2>By image</h2>\n{_table(rows, found.about)}",
        f"<h2>Files</h2>\n<ul>{''.join(f'<li>{file}</li>' for file in (*files, 'model.safetensors, report.json'))}</ul>",
    )


def _account(choice, rows):
    """Sentences on whose masks are used, and why; empty where there was no choice."""
    if choice is None:
        return ""
    won = Counter(row["by"] for row in rows)
    empty = won.pop(selection.NOTHING, 0)
    nothing = f"In {empty} of {len(rows)} images nothing stands out from noise: their masks are empty." * bool(empty)
    if empty == len(rows):
        return nothing
    used = "used" if choice["network"] else "not used, as they are not surely better"
    interval = (
        ""
        if choice["low"] is None
        else f" (90% interval of the difference {choice['low']:.2f} to {choice['high']:.2f})"
    )
    why = (
        f"Masks of the network are {used}: across outlines that it adds to those of the best threshold of each image, brightness "
        f"rises by {choice['added']:.2f} standard deviations per pixel, across those that it drops by {choice['dropped']:.2f}{interval}."
    )
    whose = ", ".join(f"{name} {count}" for name, count in won.most_common())
    return f"{why} Masks by method: {whose}. {nothing}".rstrip()


def summary(out):
    """What the page in a folder of `segment` says of it, in a sentence."""
    return _summary(_files.read_json(out / "report.json", "segment the images anew")["images"])


def _summary(rows):
    """A sentence on the Dice of each method, over held-out images if there are some."""
    measured = [row for row in rows if row.get("held_out")] or [row for row in rows if "dice" in row]
    if not measured:
        return "Without masks nothing says how good this is: look at the outlines."
    where = f"{'held-out ' * measured[0]['held_out']}image{'s' * (len(measured) > 1)}"
    means = (f"{name} {_mean([row['dice'][name] for row in measured])}" for name in measured[0]["dice"])
    return f"Mean Dice over {len(measured)} {where}: {', '.join(means)}."


def _mean(values):
    """A mean as text, with its 95% interval by Student's t where there are enough values for one."""
    if len(values) < 3 or np.ptp(values) == 0:
        return f"{np.mean(values):.3f}"
    low, high = np.clip(stats.ttest_1samp(values, 0).confidence_interval(), 0, 1)
    return f"{np.mean(values):.3f} (95% interval {low:.3f} to {high:.3f})"


def _table(rows, about):
    methods = list(rows[0].get("dice", ()))
    head = ["file", "foreground", "by", *(f"Dice, {method}" for method in methods)] + ["held out"] * bool(methods)
    lines = []
    for row, text in zip(rows, about, strict=True):
        cells = [text, f"{row['foreground']:.1%}", row["by"], *(f"{row['dice'][method]:.3f}" for method in methods)]
        lines.append(cells + ["yes" if row.get("held_out") else ""] * bool(methods))
    return pages.table(head, lines)
