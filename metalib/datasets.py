"""Images and labels in memory: embedded sets, real nuclei, or any folder `<split>/{images,labels}` of PNG or TIFF files.

Images come as float32 (N, C, H, W) in [0, 1], 16-bit depth kept; masks as uint8 (N, H, W) class ids.
"""

import hashlib
import json
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from metalib import synthetic

SPLITS = ("train", "val", "test")
# Paper: the appendix with the split is not public; 157/28/38 images of 256x256 are those of the authors' ER set.
EMBEDDED_COUNTS = {"train": 157, "val": 28, "test": 38}
REAL = {"nuc": "BBBC038 (Data Science Bowl 2018), fluorescence images as PNG in nuc/<split>/{images,labels}"}
_SUFFIXES = (".png", ".tif", ".tiff")


class Dataset(NamedTuple):
    """One split: images (N, C, H, W) float32 in [0, 1], labels (N, H, W) uint8, ids (N,) str, number of classes."""

    images: np.ndarray
    labels: np.ndarray
    ids: tuple
    classes: int


def load(name_or_folder, split, root=None, *, size=None, limit=None):
    """One split of an embedded set, of a real set under `root`, or of a folder.

    size: side in px. An embedded set is drawn at this size (default 256); images of a folder are reduced to it by block
    means and masks by majority, so their sides must be a multiple of it. limit: at most this many images.
    ValueError or FileNotFoundError name the set, the folder or the file, and what to do.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}, expected one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least one image")
    if size is not None and size < 1:
        raise ValueError(f"size is {size} px, expected at least 1")
    if name_or_folder in synthetic.NAMES:
        return _embedded(name_or_folder, split, size or 256, limit or EMBEDDED_COUNTS[split])
    pairs = _pairs(folder(name_or_folder, root), split)[:limit]
    if not pairs:
        raise ValueError(f"split {split!r} of {name_or_folder} is empty: its fields of view are too few to be split")
    read = [_read_pair(image, mask, size) for image, mask in pairs]
    _check_same_size([image.shape for image, _ in read], pairs)
    images, masks = (np.stack(arrays) for arrays in zip(*read, strict=True))
    return Dataset(images, masks, tuple(image.stem for image, _ in pairs), 2)


def fingerprint(name_or_folder, root=None):
    """A short text that changes with the data: a hash of its files; for an embedded set its name, as it has only code."""
    if name_or_folder in synthetic.NAMES:
        return name_or_folder
    digest = hashlib.sha256()
    where = folder(name_or_folder, root)
    files = [where / "fields.json", *(file for split in SPLITS for file in (where / split).rglob("*"))]
    for file in sorted(file for file in files if file.is_file()):
        digest.update(str(file.relative_to(where)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def augment(data):
    """Six copies of a split: as it is, flipped both ways, and turned by 90, 180 and 270 degrees; images must be square."""
    turns = (
        lambda x: x,
        *(partial(np.flip, axis=axis) for axis in (-1, -2)),
        *(partial(np.rot90, k=k, axes=(-2, -1)) for k in (1, 2, 3)),
    )
    images, masks = (np.concatenate([turn(part) for turn in turns]) for part in (data.images, data.labels))
    return Dataset(images, masks, tuple(f"{name}-{i}" for i in range(len(turns)) for name in data.ids), data.classes)


def standardise(images, ids):
    """Per-image z-score of (N, C, H, W) float32; ValueError names the id of an image that is constant or holds NaN."""
    # Paper: silent on intensities; the official code does the same.
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    deviation = images.std(axis=(1, 2, 3), keepdims=True)
    bad = np.flatnonzero(~np.isfinite(deviation) | (deviation < 1e-7))
    if len(bad):
        what = "constant" if np.isfinite(deviation[bad[0]]) else "NaN or infinite in places"
        raise ValueError(f"image {ids[bad[0]]} is {what}: it cannot be standardised, remove it from the set")
    return (images - mean) / deviation


def folder(name_or_folder, root=None):
    """Where a set lies: below `root`, else METALIB_DATA or ../shared/data, for the name of a real set; else the folder."""
    if str(name_or_folder) not in REAL:
        found = Path(name_or_folder)
        if not found.is_dir():
            known = ", ".join((*synthetic.NAMES, *REAL))
            raise FileNotFoundError(f"no data set or folder {str(name_or_folder)!r}: give one of {known}, or a folder")
        return found
    beside = Path(__file__).parents[2] / "shared" / "data"
    roots = [root] if root else [os.environ.get("METALIB_DATA"), beside]
    places = [Path(place) / name_or_folder for place in roots if place]
    for place in places:
        if place.is_dir():
            return place
    what = REAL[name_or_folder]
    raise FileNotFoundError(f"{places[0]} is missing: put {what} there, or set METALIB_DATA to the folder above it")


@lru_cache(maxsize=8)
def _embedded(name, split, size, count):
    seed = SPLITS.index(split)
    images, masks = zip(*(synthetic.render(name, seed, index, size) for index in range(count)), strict=True)
    scaled, masks = np.stack(images)[:, None].astype(np.float32) / 65535, np.stack(masks)
    scaled.flags.writeable = masks.flags.writeable = False  # the cache hands out the same arrays again
    return Dataset(scaled, masks, tuple(f"{name}-{split}-{index}" for index in range(count)), 2)


def _pairs(where, split):
    """(image, mask) paths of one split; regrouped by field of view where `fields.json` tells which images share one."""
    if (where / "fields.json").is_file():
        every = [pair for part in SPLITS for pair in _pairs_in(where / part)]
        return _grouped_split(every, _read_fields(where / "fields.json"))[split]
    return _pairs_in(where / split)


def _read_fields(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}): expected a list of lists of file names, or no such file"
        ) from error


def _pairs_in(part):
    found = {}
    for kind in ("images", "labels"):
        if not (part / kind).is_dir():
            raise FileNotFoundError(
                f"{part / kind} is missing: a data set is a folder of <split>/images and <split>/labels"
            )
        files = [file for file in sorted((part / kind).iterdir()) if file.suffix.lower() in _SUFFIXES]
        found[kind] = {file.stem: file for file in files}
        twice = [file for file in files if found[kind][file.stem] != file]
        if twice:
            raise ValueError(f"{twice[0]} and {found[kind][twice[0].stem].name} share a stem: remove one of them")
    for kind, other in (("images", "labels"), ("labels", "images")):
        alone = sorted(found[kind].keys() - found[other].keys())
        if alone:
            raise FileNotFoundError(f"{found[kind][alone[0]]} has no partner of the same stem in {part / other}")
    if not found["images"]:
        raise FileNotFoundError(f"{part / 'images'} holds no PNG or TIFF file")
    return [(found["images"][stem], found["labels"][stem]) for stem in found["images"]]


def _grouped_split(pairs, fields):
    """70/10/20 percent by whole fields of view, in an order fixed by a checksum: no field stands on two sides."""
    field_of = {Path(name).stem: f"field-{number}" for number, group in enumerate(fields) for name in group}
    groups = {}
    for image, mask in pairs:
        groups.setdefault(field_of.get(image.stem, image.stem), []).append((image, mask))
    quota = {"test": 0.2 * len(pairs), "val": 0.1 * len(pairs), "train": len(pairs)}
    split = {part: [] for part in quota}
    for name in sorted(groups, key=lambda name: crc32(min(groups[name])[0].stem.encode())):
        part = next(part for part in quota if len(split[part]) < quota[part])
        split[part] += groups[name]
    # Inside a split images are mixed, so that the first few of them come from many fields.
    return {part: sorted(chosen, key=lambda pair: crc32(pair[0].stem.encode())) for part, chosen in split.items()}


def _read_pair(image_path, mask_path, size):
    image, mask = _read(image_path), _read(mask_path)
    if mask.ndim != 2:
        raise ValueError(f"{mask_path} is a mask of shape {mask.shape}: save it as one gray channel")
    if image.shape[:2] != mask.shape:
        raise ValueError(f"{image_path} is {image.shape[:2]} px, its mask {mask_path} is {mask.shape}: they must agree")
    return _reduce(_to_unit(image, image_path), _to_classes(mask, mask_path), size, image_path)


def _read(path):
    import imageio.v3 as iio  # here, so that embedded data needs no image reader

    try:
        return iio.imread(path)
    except Exception as error:  # every plugin raises its own kinds
        raise ValueError(f"{path} cannot be read as an image ({error}): it may be truncated, copy it again") from error


def _to_unit(image, path):
    """(C, H, W) float32 in [0, 1] from 8- or 16-bit gray or colour."""
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} holds {image.dtype} pixels, expected 8- or 16-bit unsigned integers")
    channels = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return channels.astype(np.float32) / np.iinfo(image.dtype).max


def _to_classes(mask, path):
    """uint8 (H, W) in {0, 1} from a mask that is 0/1 or 0/255."""
    values = np.unique(mask)
    if not (np.isin(values, (0, 1)).all() or np.isin(values, (0, 255)).all()):
        raise ValueError(f"{path} is a mask with the values {values[:5].tolist()}, expected 0/1 or 0/255")
    return (mask > 0).astype(np.uint8)


def _reduce(image, mask, size, path):
    if size is None or mask.shape == (size, size):
        return image, mask
    (height, width), factor = mask.shape, mask.shape[0] // size
    if factor < 1 or height != factor * size or width != factor * size:
        raise ValueError(
            f"{path} is {mask.shape} px, not a multiple of size={size}: crop or rescale it to a square whose side is one"
        )
    blocks = (size, factor, size, factor)
    share = mask.reshape(blocks).mean(axis=(1, 3))
    return image.reshape(-1, *blocks).mean(axis=(2, 4)), (share >= 0.5).astype(np.uint8)


def _check_same_size(shapes, pairs):
    for shape, (path, _) in zip(shapes, pairs, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"{path} has shape {shape}, {pairs[0][0]} has {shapes[0]}: images of a split must agree, crop them"
            )
