"""Reading a folder `<split>/{images,labels}` of PNG, TIFF or JPEG files, with every file checked.

Masks are binary, 0/1 or 0/255; where the folder holds `classes.json`, class ids with 255 for void pixels.
"""

from functools import partial
from math import gcd
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from metalib import records
from metalib.image_files import LOSSY, images_in, read_image, to_unit
from metalib.labels import IGNORE

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
    if source and source.mixed:
        pairs = sorted(pairs, key=lambda pair: checksum(pair[0].stem))
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
    factors = [n for n in range(1, side + 1) if gcd(height, width) % n == 0]
    factor = side // (size or side)
    if factor not in factors or side != factor * (size or side):
        sizes = ", ".join(str(side // n) for n in factors[:6])
        raise ValueError(
            f"{path} is {height} x {width} px, its sides are not a multiple of size={size} by one factor: "
            f"choose a size of {sizes}, or crop the images"
        )
    if factor == 1:
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


def checksum(stem):
    """A fixed number that stands for a random place in the order."""
    return crc32(stem.encode())


def _class_names(path):
    """Names from `classes.json`, or None where there is no such file."""
    if not path.is_file():
        return None
    found = records.read_json(path, f"expected {_CLASSES_FORM}, or no such file for masks 0/1 or 0/255")
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
    fields = records.read_json(path, _FIELDS_FORM)
    groups = fields if isinstance(fields, list) else [None]
    if not all(isinstance(group, list) and all(isinstance(name, str) for name in group) for group in groups):
        raise ValueError(f"{path} is incomplete: {_FIELDS_FORM}")
    return fields


def _pairs_in(part):
    found = {kind: _by_stem(part / kind) for kind in ("images", "labels")}
    for kind, other in (("images", "labels"), ("labels", "images")):
        alone = sorted(found[kind].keys() - found[other].keys())
        if alone:
            raise FileNotFoundError(f"{found[kind][alone[0]]} has no partner of the same stem in {part / other}")
    if not found["images"]:
        raise FileNotFoundError(f"{part / 'images'} holds no PNG, TIFF or JPEG file")
    return [(found["images"][stem], found["labels"][stem]) for stem in found["images"]]


def _by_stem(kind):
    """{stem: file} of the images in a folder."""
    if not kind.is_dir():
        raise FileNotFoundError(f"{kind} is missing: a data set is a folder of <split>/images and <split>/labels")
    every = images_in(kind)
    found = {file.stem: file for file in every}
    for file in every:
        if found[file.stem] != file:
            raise ValueError(f"{file} and {found[file.stem].name} share a stem: remove one of them")
        if kind.name == "labels" and file.suffix.lower() in LOSSY:
            raise ValueError(f"{file} is a JPEG, whose compression changes labels: save them anew as PNG or TIFF")
    return found


def _grouped_split(pairs, fields):
    """70/10/20 percent by whole fields of view, in an order fixed by a checksum: no field stands on two sides."""
    field_of = {Path(name).stem: f"field-{number}" for number, group in enumerate(fields) for name in group}
    groups = {}
    for image, mask in pairs:
        groups.setdefault(field_of.get(image.stem, image.stem), []).append((image, mask))
    quota = {"test": 0.2 * len(pairs), "val": 0.1 * len(pairs), "train": len(pairs)}
    split = {part: [] for part in quota}
    for name in sorted(groups, key=lambda name: checksum(min(groups[name])[0].stem)):
        part = next(part for part in quota if len(split[part]) < quota[part])
        split[part] += groups[name]
    # Inside a split images are mixed, so that the first few of them come from many fields.
    return {part: sorted(chosen, key=lambda pair: checksum(pair[0].stem)) for part, chosen in split.items()}


def _read_pair(image_path, mask_path, names, size, source):
    image, mask = read_image(image_path), read_image(mask_path)
    if mask.ndim != 2:
        raise ValueError(f"{mask_path} is a mask of shape {mask.shape}: save it as one gray channel")
    channels = to_unit(image, image_path)
    if channels.shape[1:] != mask.shape:
        raise ValueError(f"{image_path} is {image.shape[:2]} px, its mask {mask_path} is {mask.shape}: they must agree")
    if source and source.counts:
        _check_official(image, image_path, mask, mask_path, source)
    ids = _to_ids(mask, names, mask_path) if names else _to_binary(mask, mask_path)
    return reduce(channels, ids, size, image_path, binary=not names)


def _to_binary(mask, path):
    """uint8 (H, W) in {0, 1} from a mask that is 0/1 or 0/255."""
    values = np.unique(mask)
    if not (np.isin(values, (0, 1)).all() or np.isin(values, (0, 255)).all()):
        raise ValueError(
            f"{path} is a mask with the values {values[:5].tolist()}, expected 0/1 or 0/255 (several classes need classes.json)"
        )
    return (mask > 0).astype(np.uint8)


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
    if found == 6 * expected:
        raise ValueError(
            f"{where / split} holds {found} images, expected {expected}: these are the six copies of the official "
            "augmentation; metalib augments by itself, so keep the originals alone"
        )
    if found != expected:
        raise ValueError(
            f"{where / split} holds {found} images, expected {expected}: get the set anew from {source.get}"
        )


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
