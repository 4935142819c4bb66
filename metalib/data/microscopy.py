"""Embedded fluorescence images with masks: `er-like`, `mito-like`, `nuc-like`, a function of (seed, index) alone.

Each set draws a mask of its own and images it with one model of a wide-field microscope: uneven staining, blur,
out-of-focus haze, fall-off of illumination, shot noise, read noise, 16-bit camera. The masks of `ambiguous-er-like` are
not what was imaged, but what a person might draw over the image, so that no network can be near perfect. The constants
were set once, towards the paper's Otsu and adaptive-Gaussian scores on ER and towards a contact sheet of real nuclei,
before any network was trained on these sets, and never after its results.
"""

from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage as ndi
from scipy.spatial import Voronoi
from skimage.draw import ellipse

from metalib.data.fields import blurred, smooth_noise

_BORDER_PX = 24  # structures are drawn on a larger canvas, so that none ends at the image border


def render(name, seed, index, size=256):
    """Image number `index` of an embedded set: (image (size, size) uint16, mask (size, size) uint8 in {0, 1})."""
    rng = np.random.default_rng([seed, index, crc32(name.encode())])
    draw, optics = SETS[name]
    mask = draw(rng, size + 2 * _BORDER_PX)
    inside = (slice(_BORDER_PX, -_BORDER_PX),) * 2
    image, label = _microscope(mask, inside, rng, **optics), mask[inside]
    if name in BY_HAND:
        label = _by_hand(label, image, rng, **BY_HAND[name])
    return image, label.astype(np.uint8)


def _er_mask(rng, n):
    """Tubules along the ridges of a Voronoi diagram, bent by a smooth displacement, with sheets where they are dense."""
    beyond = 12  # px: there cells have no neighbours, and lack tubules
    cells = Voronoi(rng.uniform(-beyond, n + beyond, (int((n + 2 * beyond) ** 2 / rng.uniform(330, 620)), 2)))
    canvas = Image.new("L", (n, n))
    pen = ImageDraw.Draw(canvas)
    ridges = np.array([ridge for ridge in cells.ridge_vertices if -1 not in ridge])
    for ends in np.clip(cells.vertices[ridges[rng.random(len(ridges)) > 0.2]], -n, 2 * n):
        pen.line(ends.ravel().tolist(), 1)
    x, y = np.clip(cells.points, 0, n - 1).astype(int).T
    dense = (smooth_noise(rng, (n, n), 25)[y, x] > 1) & (rng.random(len(x)) < 0.5)
    for region in (cells.regions[of] for of in cells.point_region[dense]):
        if -1 not in region:
            pen.polygon(cells.vertices[region].ravel().tolist(), 1)
    drawn = np.asarray(canvas) > 0
    distance = _bend(ndi.distance_transform_edt(~drawn), rng, sigma_px=12, shift_px=2.2)
    radius = np.clip(1.55 + 0.35 * smooth_noise(rng, (n, n), 15) + 0.15 * rng.normal(), 1.0, 2.6)
    return distance < radius


def _mito_mask(rng, n):
    """Bent rods, 3 to 6 px wide and 8 to 60 px long, crowded around one side of an empty nucleus."""
    mask = np.zeros((n, n), bool)
    centre, radius = rng.uniform(0.2, 0.8, 2) * n, rng.uniform(18, 34)
    places = rng.normal(centre, 0.33 * n, (int(n * n / rng.uniform(420, 800)), 2))
    places = places[np.hypot(*(places - centre).T) > radius]
    lengths, shape = rng.integers(8, 60, len(places)), (len(places), 60)
    angles = rng.uniform(0, 2 * np.pi, len(places))[:, None] + np.cumsum(rng.normal(0, 0.12, shape), axis=1)
    paths = places[:, None] + np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=-1), axis=1)
    _set(mask, np.round(paths[np.arange(60) < lengths[:, None]]).astype(int).T)
    width = np.clip(1.9 + 0.3 * smooth_noise(rng, (n, n), 10) + 0.15 * rng.normal(), 1.3, 2.9)
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


def _microscope(mask, inside, rng, stain, spread, blur_px, haze, other_plane, offset, photons):
    """16-bit camera image of what lies `inside` a mask (n, n).

    stain and spread: variation of brightness inside an object and between objects; haze and other_plane: light from out
    of focus against that in focus; photons: range of the mean count at brightness 1.
    """
    n = len(mask)
    objects, count = ndi.label(mask)
    staining = mask * np.clip(1 + stain * smooth_noise(rng, (n, n), 5), 0.25, 2.5)
    staining *= rng.lognormal(0, spread, count + 1).astype(np.float32)[objects]
    elsewhere = np.roll(staining[::-1], rng.integers(n), axis=1)  # another plane of the same specimen
    light = blurred(staining, (1, blur_px), (haze, 9))
    light += other_plane * blurred(elsewhere, (1, 6)) * np.clip(0.6 + 0.5 * smooth_noise(rng, (n, n), 25), 0, 2)
    body = haze * rng.uniform(0.3, 1.6)  # of the cell
    light += body * _spot(n, rng.uniform(0.1, 0.9, 2), rng.uniform(0.1, 0.24))
    light = (light + offset) * (0.35 + 0.65 * _spot(n, rng.uniform(0.2, 0.8, 2), rng.uniform(0.45, 0.8)))
    gain, seen = rng.uniform(*photons), light[inside].clip(0)
    counts = rng.poisson(seen * gain) + rng.normal(0, 0.05 * gain, seen.shape)
    return np.clip(counts * (6000 / gain) + 1500, 0, 65535).astype(np.uint16)


def _by_hand(mask, image, rng, faint, hand_px, thick_px):
    """What a person might annotate of a mask (H, W), who sees its image.

    The share `faint` with the least contrast is overlooked, and the outline of the rest is off by a smooth error of
    `hand_px` root mean square per axis, and too far out by `thick_px`.
    """
    light = ndi.gaussian_filter(image.astype(np.float32), 1.5)
    contrast = light / ndi.gaussian_filter(light, 10)
    area = mask.astype(np.float32)
    # Over some pixels of the mask alone, so that pieces of tubules are lost, not single pixels.
    along = ndi.gaussian_filter(contrast * area, 4) / np.maximum(ndi.gaussian_filter(area, 4), 0.02)
    seen = mask & (along >= np.quantile(along[mask], faint)) if mask.any() else mask
    signed = ndi.distance_transform_edt(seen) - ndi.distance_transform_edt(~seen)
    return _bend(signed, rng, sigma_px=6, shift_px=hand_px) > -thick_px


def _bend(image, rng, sigma_px, shift_px):
    """The image displaced by a smooth random field of `shift_px` root mean square per axis."""
    n = len(image)
    shift = [shift_px * smooth_noise(rng, (n, n), sigma_px) for _ in range(2)]
    return ndi.map_coordinates(image, np.mgrid[:n, :n] + shift, order=1, mode="reflect")


def _spot(n, centre, sigma):
    """Gaussian spot (n, n) of height 1; centre (2,) and sigma as fractions of n."""
    along = [np.exp(-((np.arange(n, dtype=np.float32) / n - c) ** 2) / (2 * sigma**2)) for c in centre]
    return np.outer(*along)


def _set(mask, places):
    """Set pixels (rows, columns) that lie inside the mask."""
    rows, columns = places
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    mask[rows[inside], columns[inside]] = True


_ER_OPTICS = dict(stain=0.35, spread=0.0, blur_px=1.2, haze=0.9, other_plane=0.8, offset=0.1, photons=(20, 50))
SETS = {
    "er-like": (_er_mask, _ER_OPTICS),
    "ambiguous-er-like": (_er_mask, _ER_OPTICS | dict(haze=0.6)),
    "mito-like": (
        _mito_mask,
        dict(stain=0.35, spread=0.2, blur_px=1.2, haze=0.6, other_plane=0.4, offset=0.1, photons=(15, 40)),
    ),
    "nuc-like": (
        _nuc_mask,
        dict(stain=0.3, spread=0.5, blur_px=1.5, haze=0.08, other_plane=0.03, offset=0.04, photons=(40, 120)),
    ),
}
# Towards Otsu's and the adaptive Gaussian score of Table 3 (69.5 and 76.2), and the share of foreground that follows from
# them (0.313), with a hand that is off by less than a pixel.
BY_HAND = {"ambiguous-er-like": dict(faint=0.1, hand_px=0.8, thick_px=0.8)}
