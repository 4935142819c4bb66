"""Embedded fluorescence images with masks: `er-like`, `mito-like`, `nuc-like`, a function of (seed, index) alone.

Each set draws a mask of its own and images it with one model of a wide-field microscope: uneven staining, blur,
out-of-focus haze, fall-off of illumination, shot noise, read noise, 16-bit camera. The constants were set once, towards
the paper's Otsu and adaptive-Gaussian scores on ER and towards a contact sheet of real nuclei, before any network was
trained on these sets, and never after its results.
"""

from zlib import crc32

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import Voronoi
from skimage.draw import ellipse, line, polygon

_BORDER_PX = 32  # structures are drawn on a larger canvas, so that none ends at the image border


def render(name, seed, index, size=256):
    """Image number `index` of an embedded set: (image (size, size) uint16, mask (size, size) uint8 in {0, 1})."""
    rng = np.random.default_rng([seed, index, crc32(name.encode())])
    canvas = size + 2 * _BORDER_PX
    draw, optics = SETS[name]
    mask = draw(rng, canvas)
    image = _microscope(mask, rng, **optics)
    inside = slice(_BORDER_PX, -_BORDER_PX)
    return image[inside, inside], mask[inside, inside].astype(np.uint8)


def _er_mask(rng, n):
    """Tubules along the ridges of a Voronoi diagram, bent by a smooth displacement, with sheets where they are dense."""
    cells = Voronoi(rng.uniform(0, n, (int(n * n / rng.uniform(330, 620)), 2)))
    tubules, sheets = np.zeros((n, n), bool), np.zeros((n, n), bool)
    for ridge in cells.ridge_vertices:
        if -1 not in ridge and rng.random() > 0.2:
            _set(tubules, line(*np.round(np.clip(cells.vertices[ridge], -n, 2 * n)).astype(int).ravel()))
    crowding = _smooth_noise(rng, n, 25)
    for corners in (cells.vertices[region] for region in cells.regions if len(region) > 2 and -1 not in region):
        y, x = np.clip(corners.mean(axis=0), 0, n - 1).astype(int)
        if crowding[y, x] > 1 and rng.random() < 0.5:
            _set(sheets, polygon(*corners.T, shape=(n, n)))
    distance = _bend(ndi.distance_transform_edt(~(tubules | sheets)), rng, sigma_px=12, shift_px=2.2)
    radius = np.clip(1.55 + 0.35 * _smooth_noise(rng, n, 15) + 0.15 * rng.normal(), 1.0, 2.6)
    return distance < radius


def _mito_mask(rng, n):
    """Bent rods, 3 to 6 px wide and 8 to 60 px long, crowded around one side of an empty nucleus."""
    mask = np.zeros((n, n), bool)
    centre, radius = rng.uniform(0.2, 0.8, 2) * n, rng.uniform(18, 34)
    for _ in range(int(n * n / rng.uniform(420, 800))):
        place = rng.normal(centre, 0.33 * n)
        if np.hypot(*(place - centre)) > radius:
            steps = rng.integers(8, 60)
            angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, steps))
            path = place + np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0)
            _set(mask, tuple(np.round(path).astype(int).T))
    width = np.clip(1.9 + 0.3 * _smooth_noise(rng, n, 10) + 0.15 * rng.normal(), 1.3, 2.9)
    return ndi.distance_transform_edt(~mask) < width


def _nuc_mask(rng, n):
    """Nuclei: ellipses with uneven outlines, of one typical size per image, scattered, now and then touching."""
    typical_px = rng.lognormal(np.log(9), 0.35)
    mask = np.zeros((n, n), bool)
    for _ in range(1 + rng.poisson(n * n * rng.uniform(0.03, 0.12) / (np.pi * typical_px**2))):
        radius = typical_px * rng.lognormal(0, 0.18)
        radii, centre = (radius, radius * rng.uniform(0.65, 1.0)), rng.uniform(0, n, 2)
        _set(mask, ellipse(*centre, *radii, shape=(n, n), rotation=rng.uniform(-np.pi, np.pi)))
    signed = ndi.distance_transform_edt(mask) - ndi.distance_transform_edt(~mask)
    return _bend(signed, rng, sigma_px=5, shift_px=1.2) > 0


def _microscope(mask, rng, stain, spread, blur_px, haze, other_plane, offset, photons):
    """16-bit camera image (H, W) of a mask.

    stain and spread: variation of brightness inside an object and between objects; haze and other_plane: light from out
    of focus against that in focus; photons: range of the mean count at brightness 1.
    """
    n = len(mask)
    objects, count = ndi.label(mask)
    staining = mask * np.clip(1 + stain * _smooth_noise(rng, n, 5), 0.25, 2.5)
    staining *= rng.lognormal(0, spread, count + 1)[objects]
    elsewhere = np.roll(staining[::-1], rng.integers(n), axis=1)  # another plane of the same specimen
    light = ndi.gaussian_filter(staining, blur_px) + haze * ndi.gaussian_filter(staining, 9)
    light += other_plane * ndi.gaussian_filter(elsewhere, 6) * np.clip(0.6 + 0.5 * _smooth_noise(rng, n, 25), 0, 2)
    body = haze * rng.uniform(0.3, 1.6)  # of the cell
    light += body * _spot(n, rng.uniform(0.1, 0.9, 2), rng.uniform(0.1, 0.24))
    light = (light + offset) * (0.35 + 0.65 * _spot(n, rng.uniform(0.2, 0.8, 2), rng.uniform(0.45, 0.8)))
    gain = rng.uniform(*photons)
    counts = rng.poisson(light * gain) + rng.normal(0, 0.05 * gain, (n, n))
    return np.clip(counts * (6000 / gain) + 1500, 0, 65535).astype(np.uint16)


def _smooth_noise(rng, n, sigma_px):
    """Gaussian random field (n, n) of mean near 0 and standard deviation 1."""
    field = ndi.gaussian_filter(rng.normal(size=(n, n)), sigma_px, mode="wrap")
    return field / field.std()


def _bend(image, rng, sigma_px, shift_px):
    """The image displaced by a smooth random field of `shift_px` root mean square per axis."""
    n = len(image)
    shift = [shift_px * _smooth_noise(rng, n, sigma_px) for _ in range(2)]
    return ndi.map_coordinates(image, np.mgrid[:n, :n] + shift, order=1, mode="reflect")


def _spot(n, centre, sigma):
    """Gaussian spot (n, n) of height 1; centre (2,) and sigma as fractions of n."""
    along = [np.exp(-((np.arange(n) / n - c) ** 2) / (2 * sigma**2)) for c in centre]
    return np.outer(*along)


def _set(mask, places):
    """Set pixels (rows, columns) that lie inside the mask."""
    rows, columns = places
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    mask[rows[inside], columns[inside]] = True


SETS = {
    "er-like": (
        _er_mask,
        dict(stain=0.35, spread=0.0, blur_px=1.2, haze=0.9, other_plane=0.8, offset=0.1, photons=(20, 50)),
    ),
    "mito-like": (
        _mito_mask,
        dict(stain=0.35, spread=0.2, blur_px=1.2, haze=0.6, other_plane=0.4, offset=0.1, photons=(15, 40)),
    ),
    "nuc-like": (
        _nuc_mask,
        dict(stain=0.3, spread=0.5, blur_px=1.5, haze=0.08, other_plane=0.03, offset=0.04, photons=(40, 120)),
    ),
}
