"""Reading a folder `<split>/{images,labels}` of PNG, TIFF or JPEG files, with every file checked.

Masks are binary, 0/1 or 0/255; where the folder holds `classes.json`, class ids with 255 for void pixels.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from metalib import _files
from metalib._labels import IGNORE
from metalib.data import image_files

SPLITS = ("train", "val", "test")
BINARY = ("background", "foreground")
_FIELDS_FORM = "expected a list of lists of file names, one a field of view, or no such file"
_CLASSES_FORM = '{"classes": [names of three or more classes, by id], "ignore_index": 255}'


class Source(NamedTuple):
    """A real set: what it is, where to get it and, for an official layout, images a split, side and depth of each.

    mixed: its files lie in order of films, so that the first few would be of one film.
    """

    what: str
    get: str
    counts: dict | None = None
    side_px: int | None = None
    dtype: type | None = None
    mixed: bool = True


def read(where, split, source=None, *, size=None, limit=None):
    """One split of a folder: a call that reads its pairs, see `agreeing`, their ids (N,), and class names (K,).

    source: the named set that the folder holds, checked against its counts, side and depth. limit: that many images,
    the first, or of a mixed source a mix. ValueError or FileNotFoundError name the folder or the file.
    """
    names = _class_names(where / "classes.json")
    pairs = _pairs(where, split)
    if not pairs:
        raise ValueError(f"split {split!r} of {where} is empty: its fields of view are too few to be split")
    if source:
        _check_count(len(pairs), source, where, split)
        pairs = mixed(pairs) if source.mixed else pairs
    pairs = pairs[:limit]
    draw = partial(agreeing, pairs, partial(_read_pair, names=names, size=size, source=source))
    return draw, tuple(image.stem for image, _ in pairs), names or BINARY


def files(where):
    """Every file of a folder that `read` may depend on, sorted."""
    found = [where / "fields.json", where / "classes.json"]
    found += [file for split in SPLITS for file in (where / split).rglob("*")]
    return sorted(file for file in found if file.is_file())


def reduce(image, labels, size, path, *, binary):
    """Image (C, H, W) and labels (H, W) reduced by one whole factor, so that the shorter side has `size` px.

    Images by block means; binary masks by majority; class ids by one pixel of each block, so that none is invented.
    ValueError names the path and the sizes that can be had.
    """
    (height, width), side = labels.shape, min(labels.shape)
    factors = {side // n: n for n in range(1, side + 1) if height % n == width % n == 0}  # by the size that each gives
    if (size or side) not in factors:
        sizes = ", ".join(map(str, list(factors)[:6]))
        raise ValueError(
            f"{path} is {height} x {width} px, its sides are not a multiple of size={size} by one factor: "
            f"choose a size of {sizes}, or crop the images"
        )
    if (factor := factors[size or side]) == 1:
        return image, labels
    blocks = (height // factor, factor, width // factor, factor)
    small = image.reshape(-1, *blocks).mean(axis=(2, 4))
    if binary:
        return small, (labels.reshape(blocks).mean(axis=(1, 3)) >= 0.5).astype(np.uint8)
    return small, labels[factor // 2 :: factor, factor // 2 :: factor].copy()  # a view would keep the large array


def agreeing(pairs, read):
    """Image (H, W, C) float32 and labels (H, W) uint8 of each of the pairs of files, one by one.

    read: a function of a pair that gives an image (C, H, W) and labels. ValueError names the first image of another shape.
    """
    shape = None
    for path, *other in pairs:
        image, labels = read(path, *other)
        shape = shape or image.shape
        if image.shape != shape:
            raise ValueError(
                f"{path} has shape {image.shape}, {pairs[0][0]} has {shape}: images of a split must agree, crop them"
            )
        yield np.moveaxis(image, 0, -1), labels


def mixed(pairs):
    """(image, mask) paths in an order fixed by a checksum of the image's name, which is as good as random."""
    return sorted(pairs, key=_place)


def _place(pair):
    return crc32(pair[0].stem.encode())


def _class_names(path):
    """Names from `classes.json`, or None where there is no such file."""
    if not path.is_file():
        return None
    found = _files.read_json(path, f"expected {_CLASSES_FORM}, or no such file for masks 0/1 or 0/255")
    names = found.get("classes") if isinstance(found, dict) else None
    told = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    if not told or not 3 <= len(names) <= IGNORE or found.get("ignore_index") != IGNORE:
        raise ValueError(f"{path} is incomplete: expected {_CLASSES_FORM}; for two classes leave the file out")
    return tuple(names)


def _pairs(where, split):
    """(image, mask) paths of one split; regrouped by field of view where `fields.json` tells which images share one."""
    if (where / "fields.json").is_file():
        fields = _fields(where / "fields.json")
        return _grouped_split([pair for part in SPLITS for pair in _pairs_in(where / part)], fields)[split]
    return _pairs_in(where / split)


def _fields(path):
    """Groups of file names from `fields.json`."""
    fields = _files.read_json(path, _FIELDS_FORM)
    groups = fields if isinstance(fields, list) else [None]
    if not all(isinstance(group, list) and all(isinstance(name, str) for name in group) for group in groups):
        raise ValueError(f"{path} is incomplete: {_FIELDS_FORM}")
    return fields


def _pairs_in(part):
    for folder in (part / "images", part / "labels"):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing: a data set is a folder of <split>/images and <split>/labels")
    images = image_files.by_stem(part / "images", "image")
    labels = image_files.by_stem(part / "labels", "label", lossless=True)
    for found, other, where in ((images, labels, "labels"), (labels, images, "images")):
        alone = sorted(found.keys() - other.keys())
        if alone:
            raise FileNotFoundError(f"{found[alone[0]]} has no partner of the same stem in {part / where}")
    return [(images[stem], labels[stem]) for stem in images]


def _grouped_split(pairs, fields):
    """70/10/20 percent by whole fields of view, in an order fixed by a checksum: no field stands on two sides."""
    field_of = {Path(name).stem: f"field-{number}" for number, group in enumerate(fields) for name in group}
    groups = {}
    for image, mask in pairs:
        groups.setdefault(field_of.get(image.stem, image.stem), []).append((image, mask))
    quota = {"test": 0.2 * len(pairs), "val": 0.1 * len(pairs), "train": len(pairs)}
    split = {part: [] for part in quota}
    for group in sorted(groups.values(), key=lambda group: _place(min(group))):
        part = next(part for part in quota if len(split[part]) < quota[part])
        split[part] += group
    # Inside a split images are mixed, so that the first few of them come from many fields.
    return {part: mixed(chosen) for part, chosen in split.items()}


def _read_pair(image_path, mask_path, names, size, source):
    image, mask = image_files.read_image(image_path), image_files.read_image(mask_path)
    if mask.ndim != 2:
        raise ValueError(f"{mask_path} is a mask of shape {mask.shape}: save it as one gray channel")
    channels = image_files.to_unit(image, image_path)
    if channels.shape[1:] != mask.shape:
        raise ValueError(f"{image_path} is {image.shape[:2]} px, its mask {mask_path} is {mask.shape}: they must agree")
    if source and source.counts:
        _check_official(image, image_path, mask, mask_path, source)
    ids = _to_ids(mask, names, mask_path) if names else image_files.to_binary(mask, mask_path)
    return reduce(channels, ids, size, image_path, binary=not names)


def _to_ids(mask, names, path):
    """The mask, once its values are known to be class ids or IGNORE."""
    if mask.dtype != np.uint8:
        raise ValueError(f"{path} is a mask of {mask.dtype}, expected class ids as uint8")
    wrong = [value for value in np.unique(mask).tolist() if len(names) <= value != IGNORE]
    if wrong:
        raise ValueError(
            f"{path} holds the value {wrong[0]}, more classes than classes.json lists: it names 0 to {len(names) - 1}, void is {IGNORE}"
        )
    return mask


def _check_count(found, source, where, split):
    expected = (source.counts or {}).get(split, found)
    told = f"{where / split} holds {found} images, expected {expected}"
    if found == 6 * expected:
        copies = "these are the six copies of the official augmentation; metalib augments by itself"
        raise ValueError(f"{told}: {copies}, so keep the originals alone")
    if found != expected:
        raise ValueError(f"{told}: get the set anew from {source.get}")


def _check_official(image, image_path, mask, mask_path, source):
    side = (source.side_px, source.side_px)
    if image.shape != side or image.dtype != source.dtype:
        raise ValueError(
            f"{image_path} is {image.shape} px of {image.dtype}, the official images are {side} px of "
            f"{np.dtype(source.dtype)}: get the file anew from {source.get}, or give your own set as a folder"
        )
    values = np.unique(mask)
    if not np.isin(values, (0, 255)).all():
        raise ValueError(
            f"{mask_path} is a mask with the values {values[:5].tolist()}, the official masks hold 0 and 255"
        )
