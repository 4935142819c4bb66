"""A picture of iGTT, drawn: the stages of one round on an image, and the way back (paper, appendix D.2 is not public)."""

import matplotlib.pyplot as plt

from metalib import style


def igtt(stages, way_back):
    """A figure of stages, (title, what leads to it, image or labels (H, W)), with arrows between them, and one back to the first."""
    figure, axes = plt.subplots(1, len(stages), figsize=(style.PAGE_IN, 1.75), layout="none")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.86, bottom=0.3, wspace=0.55)
    for ax, (title, _, shown) in zip(axes, stages, strict=True):
        style.show(ax, shown, title)
    boxes = [ax.get_position() for ax in axes]
    arrow = dict(arrowstyle="-|>", color="k", linewidth=1, mutation_scale=9, shrinkA=2, shrinkB=2)
    middle = (boxes[0].y0 + boxes[0].y1) / 2
    for before, after, (_, step, _) in zip(boxes, boxes[1:], stages[1:], strict=False):
        figure.add_artist(_arrow(figure, (before.x1, middle), (after.x0, middle), arrow))
        figure.text((before.x1 + after.x0) / 2, middle + 0.03, step, ha="center", va="bottom", fontsize=6)
    start, end = ((boxes[place].x0 + boxes[place].x1) / 2 for place in (-1, 0))
    floor, low = boxes[0].y0 - 0.01, boxes[0].y0 - 0.14
    figure.add_artist(plt.Line2D([start, start, end], [floor, low, low], color="k", linewidth=1))
    figure.add_artist(_arrow(figure, (end, low), (end, floor), arrow))
    figure.text((start + end) / 2, low - 0.02, way_back, ha="center", va="top", fontsize=7)
    return figure


def _arrow(figure, start, end, looks):
    from matplotlib.patches import FancyArrowPatch

    return FancyArrowPatch(start, end, transform=figure.transFigure, **looks)
