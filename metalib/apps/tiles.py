"""Images of any size through a network: cut into tiles to train on, predicted in tiles that overlap."""

import numpy as np

from metalib.networks import engine
from metalib.unsupervised import igtt, selection

# The margin is beyond what a pixel of the U-Net sees, 94 px; both are multiples of its stride.
TILE_PX, MARGIN_PX = 1024, 96


def cut(image, side):
    """Tiles (N, side, side) that cover an image (H, W), or an array like it; the last ones of a row overlap."""
    return np.stack(
        [
            image[top : top + side, left : left + side]
            for top in _starts(image.shape[0], side)
            for left in _starts(image.shape[1], side)
        ]
    )


def predict(model, image, tile_px=TILE_PX, margin_px=MARGIN_PX):
    """Scores float32 (H, W) in [0, 1] of an image (H, W), as `igtt.predict` gives them, and whose they are.

    The network, in memory for one tile, sees each tile with a margin around it, which is thrown away: but for rounding the
    scores are those of the whole image at once. The image is standardised as a whole; in a constant one there is nothing.
    """
    if np.ptp(image) == 0:
        return np.zeros(image.shape, np.float32), selection.NOTHING
    standard = igtt.standardised(image[None, None], model.config)
    needed = model.choice is None or model.choice.network
    scores = _of_network(model.network, standard, tile_px, margin_px) if needed else None
    return (
        (scores, selection.NETWORK) if model.choice is None else selection.chosen(standard[0, 0], scores, model.choice)
    )


def _of_network(network, standard, tile_px, margin_px):
    """Scores (H, W) of one standardised image (1, 1, H, W)."""
    device, shape = next(network.parameters()).device, standard.shape[2:]
    scores = np.empty(shape, np.float32)
    for top in range(0, shape[0], tile_px):
        for left in range(0, shape[1], tile_px):
            rows, columns = (slice(max(0, at - margin_px), at + tile_px + margin_px) for at in (top, left))
            tile = np.ascontiguousarray(standard[..., rows, columns])
            found = engine.probabilities(network, tile, device, fill=True)
            inside = found[0, top - rows.start :, left - columns.start :][:tile_px, :tile_px]
            scores[top : top + tile_px, left : left + tile_px] = inside
    return scores


def _starts(length, side):
    """Where tiles begin that cover a length, evenly spread."""
    return np.linspace(0, length - side, -(-length // side)).round().astype(int)
