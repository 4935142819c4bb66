"""Clean labels of simple shapes, (256, 256) uint8 class ids as in Figure 6: what the theory is tested on."""

import numpy as np

from metalib import checks

SIZE_PX = 256


def circle(radius_px):
    """The paper's circle within a rectangle: (256, 256) uint8, 1 inside."""
    checks.number(radius_px, "radius_px", 1, SIZE_PX // 2)
    row, column = _offsets_px()
    return (np.hypot(row, column) < radius_px).astype(np.uint8)


def halves():
    """Two areas that meet along one straight boundary, for windows of any size: (256, 256) uint8."""
    return np.repeat([[0, 1]], SIZE_PX // 2, axis=1).repeat(SIZE_PX, axis=0).astype(np.uint8)


def bands(classes):
    """Areas side by side, each twice as wide as the one before: (256, 256) uint8 of unequal areas; up to eight fit."""
    checks.whole(classes, "classes", 2, 8)
    parts = np.cumsum(2 ** np.arange(classes))
    row = np.searchsorted(parts / parts[-1], (np.arange(SIZE_PX) + 0.5) / SIZE_PX)
    return np.tile(row, (SIZE_PX, 1)).astype(np.uint8)


def thin_lines():
    """Three classes: a net of lines 5 px wide (1), a disc (2) of another area, and background (0); (256, 256) uint8."""
    row, column = np.ogrid[:SIZE_PX, :SIZE_PX]
    net = ((row + column) % 64 < 7) | ((row - 2 * column) % 144 < 11)  # across the line both are 5 px wide
    disc = np.hypot(row - 96, column - 176) < 28
    return np.where(disc, 2, net).astype(np.uint8)


def rings(classes):
    """Discs inside one another, none in the middle of the next, of unequal areas: (256, 256) uint8; two classes are one disc."""
    checks.whole(classes, "classes", 2, 64)
    row, column = _offsets_px()
    radii = 110 * (1 - np.arange(classes - 1) / classes)
    shifts = (radii - 110) / 2  # toward one corner, and still inside the disc before
    discs = [np.hypot(row - shift, column - shift) < radius for shift, radius in zip(shifts, radii, strict=True)]
    return np.sum(discs, axis=0, dtype=np.uint8)


def _offsets_px():
    """Distance of rows (H, 1) and of columns (1, W) from the middle of the image."""
    offsets = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2
    return offsets[:, None], offsets
