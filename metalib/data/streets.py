"""Embedded street scenes in six classes: `street-like` and its merged forms, a function of (seed, index, size) alone.

A street runs to a vanishing point between blocks of buildings, with trees, cars and poles; it stands in for Cityscapes
and CamVid. Lengths are fractions of the picture's height, so that a scene looks the same at every size. The constants
were set once, by eye, before any network was trained on these sets, and never after its results.
"""

from zlib import crc32

import numpy as np
from scipy import ndimage as ndi
from skimage.draw import polygon

from metalib.data.fields import smooth_noise

CLASSES = ("sky", "building", "road", "tree", "car", "pole")
MERGED = {  # from the class ids above to the ids of a set
    "street-like": (0, 1, 2, 3, 4, 5),
    "street-like-3": (0, 1, 2, 1, 2, 1),
    "street-like-2": (0, 1, 0, 1, 1, 1),
}
NAMES = tuple(MERGED)

_SKY, _BUILDING, _ROAD, _TREE, _CAR, _POLE = range(len(CLASSES))
_SKIES = ((0.45, 0.64, 0.9), (0.6, 0.74, 0.9), (0.76, 0.8, 0.85), (0.6, 0.62, 0.65), (0.88, 0.78, 0.7))
_WALLS = ((0.43, 0.43, 0.44), (0.48, 0.37, 0.29), (0.62, 0.36, 0.29), (0.76, 0.69, 0.58), (0.5, 0.58, 0.66))
_LEAVES = ((0.22, 0.34, 0.17), (0.33, 0.39, 0.18), (0.17, 0.26, 0.19), (0.46, 0.36, 0.19))
_POLES = ((0.2, 0.2, 0.22), (0.42, 0.43, 0.44), (0.36, 0.27, 0.2), (0.68, 0.68, 0.66))
_GRAIN = np.float32([0.01, 0.05, 0.04, 0.22, 0.04, 0.03])  # texture by class, relative to brightness
_NEAREST = 0.13  # distance |x - vanishing point| at which the street's far end closes


def class_names(name):
    """Names of the classes of a set by id, such as ("sky+road", "building+tree+car+pole")."""
    ids = MERGED[name]
    groups = [[CLASSES[k] for k, merged in enumerate(ids) if merged == group] for group in range(max(ids) + 1)]
    return tuple("+".join(group) for group in groups)


def render(name, seed, index, size=128):
    """Image number `index`: (image (size, 2 size, 3) uint8 RGB, labels (size, 2 size) uint8 ids of `class_names(name)`).

    The sets share their images and differ in the labels alone.
    """
    rng = np.random.default_rng([seed, index, crc32(b"street-like")])
    scene = _Scene(rng, size)
    scene.draw_ground(rng)
    scene.draw_buildings(rng)
    for distance in np.sort(rng.uniform(0.25, 1, rng.integers(2, 7))):  # far to near
        scene.draw_tree(rng, distance)
    for distance in np.sort(rng.uniform(0.25, 1, rng.integers(0, 4))):
        scene.draw_pole(rng, distance)
    for depth in np.sort(rng.uniform(0.07, 0.28, rng.integers(1, 6))):
        scene.draw_car(rng, depth)
    return _camera(scene.image, scene.labels, rng), np.array(MERGED[name], np.uint8)[scene.labels]


class _Scene:
    """Image (H, 2 H, 3) float32, about [0, 1], and labels (H, 2 H) uint8 of a street, painted back to front.

    A point at distance d beside the vanishing point (x0, y0) stands on the ground at y0 + slope d.
    """

    def __init__(self, rng, size):
        self.size, self.slope = size, rng.uniform(0.24, 0.36)
        self.x0, self.y0 = rng.uniform(0.6, 1.4), rng.uniform(0.48, 0.6)
        self.y, self.x = ((np.arange(n, dtype=np.float32) + 0.5) / size for n in (size, 2 * size))
        self.sky = _colour(rng, _SKIES)
        fade = np.linspace(0, rng.uniform(0.1, 0.5), size, dtype=np.float32)[:, None, None]  # paler towards the horizon
        self.image = np.broadcast_to(self.sky * (1 - fade) + 0.9 * fade, (size, 2 * size, 3)).copy()
        self.labels = np.full((size, 2 * size), _SKY, np.uint8)

    def paint(self, places, label, colour):
        """Give pixels `places`, a mask (H, 2 H) or an index, a class and a colour (3,), or one each."""
        self.labels[places], self.image[places] = label, colour

    def polygon(self, x, y, label, colour):
        corners = np.array([y, x]) * self.size - 0.5
        self.paint(polygon(*corners, self.labels.shape), label, colour)

    def ellipses(self, x, y, rx, ry, label, colours):
        """Paint ellipses one over the other: centres and radii (n,), colours (n, 3)."""
        # All at once, and in their box alone: a scene has dozens of them.
        rows, columns = _box(self.y, y, ry), _box(self.x, x, rx)
        up, along = ((of - c[:, None]) / r[:, None] for of, c, r in ((self.y[rows], y, ry), (self.x[columns], x, rx)))
        inside = up[:, :, None] ** 2 + along[:, None] ** 2 < 1  # (n, rows, columns)
        some, last = inside.any(axis=0), len(x) - 1 - inside[::-1].argmax(axis=0)
        self.labels[rows, columns][some], self.image[rows, columns][some] = label, colours[last[some]]

    def draw_ground(self, rng):
        """Road, pavement, dashed lines and the shadow of one side of the street."""
        first = np.searchsorted(self.y, self.y0)
        depth = np.maximum(self.y[first:] - self.y0, 1e-3)[:, None]
        lateral = (self.x - self.x0) * self.slope / depth  # -1 and 1 where the buildings stand
        asphalt = (rng.uniform(0.3, 0.52) + rng.normal(0, 0.015, 3)).astype(np.float32)
        pavement = np.abs(lateral) > rng.uniform(0.7, 0.85)
        ground = np.where(pavement[..., None], asphalt * rng.uniform(0.9, 1.5), asphalt)
        line = np.abs(lateral - rng.uniform(-0.15, 0.15)) < 0.02
        ground[line & (np.floor(rng.uniform(0.4, 0.9) / depth + rng.random()) % 2 == 0)] = rng.uniform(0.65, 0.9)
        shadow = lateral * int(rng.choice([-1, 1])) > rng.uniform(-0.2, 1.2)
        ground[shadow] *= rng.uniform(0.5, 0.8)
        self.paint(slice(first, None), _ROAD, ground)

    def draw_buildings(self, rng):
        """Facades along both sides, with windows that reflect the sky or are dark; some are missing, as side streets."""
        d = np.maximum(np.abs(self.x - self.x0), _NEAREST)
        plots = np.cumprod(rng.uniform(1.2, 1.75, 12)) * _NEAREST  # where a building ends and the next begins
        house = np.searchsorted(plots, d) + 13 * (self.x > self.x0) * (d > _NEAREST)  # column -> building
        height = rng.uniform(0.25, 1.05, 26) * np.repeat(rng.uniform(0.65, 1.15, 2), 13) * (rng.random(26) > 0.12)
        walls = _colours(rng, _WALLS, 26)
        up = self.slope + (self.y0 - self.y[:, None]) / d  # height above the ground where the building stands
        facade = (up > 0) & (up < (height + self.slope)[house]) & (height > 0)[house]
        self.paint(facade, _BUILDING, walls[np.broadcast_to(house, facade.shape)[facade]])
        floors, along = up / rng.uniform(0.13, 0.24, 26)[house], np.log(d) / rng.uniform(0.1, 0.22, 26)[house]
        window = facade & (floors % 1 > 0.4) & (along % 1 > rng.uniform(0.3, 0.55, 26)[house])
        floor, house = floors[window].astype(int), np.broadcast_to(house, window.shape)[window]
        column = np.broadcast_to(np.floor(along).astype(int), window.shape)[window]
        mirror = rng.random((32, 32))[floor % 32, (column + 5 * house) % 32] < rng.uniform(0.2, 0.8)
        self.paint(window, _BUILDING, np.where(mirror[:, None], self.sky * 0.95, walls[house] * 0.45))

    def draw_tree(self, rng, d):
        """A trunk with a crown of overlapping discs, lit from above, at distance d."""
        leaf, radius = _colour(rng, _LEAVES), rng.uniform(0.14, 0.26) * d**0.7
        x, foot = self.x0 + rng.choice([-1, 1]) * d, self.y0 + self.slope * d * 1.04
        crown = foot - radius * rng.uniform(1.9, 2.6)
        trunk = 0.012 + 0.02 * d
        self.polygon(x + np.array([-1, 1, 1, -1]) * trunk, [crown, crown, foot, foot], _TREE, (0.24, 0.19, 0.15))
        angle, out, part = rng.uniform((0, 0.2, 0.5), (2 * np.pi, 0.7, 0.75), (9, 3)).T
        dx, dy, discs = out * np.cos(angle), out * np.sin(angle), radius * part
        self.ellipses(x + radius * dx, crown + radius * dy, discs, discs, _TREE, leaf * (1 - 0.25 * dy[:, None]))

    def draw_pole(self, rng, d):
        """A lamp post or a bare pole at distance d, 2 px wide at a size of 64 px, before building and sky."""
        n, side, colour = self.size, rng.choice([-1, 1]), _colour(rng, _POLES)
        d = min(d, self.x0 - 0.05 if side < 0 else 1.9 - self.x0)  # inside the picture
        x, foot, top = self.x0 + side * d, self.y0 + self.slope * d * 1.08, self.y0 - rng.uniform(0.35, 0.65) * d
        width, left = rng.uniform(0.03, 0.038), round(x * n)
        rows, columns = slice(max(0, round(top * n)), round(foot * n)), slice(left, left + max(1, round(width * n)))
        self.paint((rows, columns), _POLE, colour)
        if rng.random() < 0.4:
            reach = np.array([0, -side, -side, 0]) * 0.1
            self.polygon(x + width / 2 + reach, top + np.array([0, 0, 1, 1]) * 0.03, _POLE, colour)

    def draw_car(self, rng, depth):
        """A car from the side or from behind, its wheels at `depth` below the horizon, with a shadow under it."""
        aside, tall = rng.random() < 0.5, depth * rng.uniform(0.8, 1.0)
        half = tall * (rng.uniform(1.1, 1.4) if aside else rng.uniform(0.6, 0.7))
        x, foot = self.x0 + rng.uniform(-0.9, 0.9) * (depth / self.slope - half), self.y0 + depth
        paint = rng.uniform(0.08, 0.9, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.08, 0.9))
        glass = self.sky * 0.6 if rng.random() < 0.5 else np.full(3, 0.12)
        self.ellipses(*np.array([[x], [foot], [1.1 * half], [0.12 * tall]]), _ROAD, np.full((1, 3), 0.12))
        wheels, axle, wheel = (
            np.array([-0.6, 0.6] if aside else [-0.75, 0.75]),
            foot - 0.16 * tall,
            np.full(2, 0.18 * tall),
        )
        self.ellipses(x + wheels * half, np.full(2, axle), wheel, wheel, _CAR, np.full((2, 3), 0.07))
        roof, sill = foot - tall, foot - 0.55 * tall
        cabin = np.array([-0.7, -0.45, 0.35, 0.65] if aside else [-0.9, -0.7, 0.7, 0.9]) * half
        for part, top, colour in ((1, roof, paint * 0.9), (0.8, roof + 0.1 * tall, glass)):
            self.polygon(x + part * cabin, [sill, top, top, sill], _CAR, colour)
        body = np.array([-1, -0.93, 0.93, 1, 1, 0.93, -0.93, -1]) * half
        self.polygon(x + body, foot - np.array([0.45, 0.58, 0.58, 0.45, 0.25, 0.16, 0.16, 0.25]) * tall, _CAR, paint)


def _camera(image, labels, rng):
    """8-bit RGB image (H, W, 3) of a scene: texture by class, clouds, uneven light, colour cast, blur and noise."""
    size = len(image)
    tilt = rng.uniform(-0.2, 0.2, 2).astype(np.float32)
    cast = (rng.uniform(0.75, 1.15) * rng.normal(1, 0.03, 3)).astype(np.float32)
    blur, noise = rng.uniform(0.006, 0.01) * size, rng.uniform(0.015, 0.035)
    grain, cloud = (smooth_noise(rng, labels.shape, sigma * size) for sigma in (0.012, 0.06))
    texture = _GRAIN[labels] * grain + 0.04 * cloud
    y, x = np.linspace(-1, 1, size, dtype=np.float32)[:, None], np.linspace(-1, 1, 2 * size, dtype=np.float32)
    light = image * ((1 + texture) * (1 + tilt[0] * y + tilt[1] * x))[..., None] * cast
    seen = ndi.gaussian_filter(light, (blur, blur, 0)) + noise * rng.standard_normal(image.shape, np.float32)
    return (np.clip(seen, 0, 1) * 255).astype(np.uint8)


def _colour(rng, palette):
    """A colour (3,) of the palette, a little brighter or darker and shifted in hue."""
    return _colours(rng, palette, 1)[0]


def _colours(rng, palette, count):
    """So many of them, float32 (count, 3)."""
    chosen = np.array(palette)[rng.integers(len(palette), size=count)]
    varied = chosen * rng.uniform(0.8, 1.2, (count, 1)) + rng.normal(0, 0.03, (count, 3))
    return np.clip(varied, 0, 1).astype(np.float32)


def _box(places, centres, radii):
    """The slice of sorted places (n,) that are within the radii of any of the centres."""
    return slice(*np.searchsorted(places, ((centres - radii).min(), (centres + radii).max())))
