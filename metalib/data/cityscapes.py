"""Cityscapes as unpacked from the official archives: 19 classes to train on, everything else void (IGNORE).

Labels of the official test split are not public. So official `val` is our `test`, and of the official training cities
the last in alphabetical order is our `val`: no city stands on two sides.
"""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from metalib._labels import IGNORE
from metalib.data import folders, image_files

_ARCHIVES = {"leftImg8bit": "leftImg8bit_trainvaltest.zip", "gtFine": "gtFine_trainvaltest.zip"}
GET = f"www.cityscapes-dataset.com: {' and '.join(_ARCHIVES.values())} (login needed)"
_UNKNOWN = 254  # stands for ids that Cityscapes does not have


def read(where, split, *, size=None, limit=None):
    """One split: a call that reads its pairs, see `folders.agreeing`, their ids (N,), the 19 class names.

    size: shorter side in px; full images of 1024 x 2048 px take 25 MB each, at size=256 a split of 2,900 takes 5 GB.
    limit: that many images, mixed over the cities. ValueError or FileNotFoundError name the folder or the file.
    """
    pairs, classes = _split(where, split)
    pairs, (table, names) = folders.mixed(pairs)[:limit], _train_ids(classes)
    draw = partial(folders.agreeing, pairs, partial(_read_pair, table=table, size=size))
    return draw, tuple(path.stem.removesuffix("_leftImg8bit") for path, _ in pairs), names


def fingerprint(where):
    """A hash of names and sizes of the files: reading 11 GB of bytes would take minutes before every sweep."""
    digest = hashlib.sha256()
    for split in ("train", "val"):
        for file in sorted(file for pair in _official(where, split)[0] for file in pair):
            size = file.stat().st_size if file.is_file() else None
            digest.update(f"{file.relative_to(where).as_posix()} {size}\n".encode())
    return digest.hexdigest()[:16]


def _official(where, split):
    """(image, labels) paths of an official split, and torchvision's classes; FileNotFoundError names a missing folder."""
    for kind, archive in _ARCHIVES.items():
        if not (where / kind / split).is_dir():
            raise FileNotFoundError(f"{where / kind / split} is missing: unpack {archive} into {where}, from {GET}")
    from torchvision.datasets import Cityscapes  # here, since it takes a second that no other set needs

    found = Cityscapes(where, split=split, mode="fine", target_type="semantic")
    return [(Path(image), Path(ids)) for image, (ids,) in zip(found.images, found.targets, strict=True)], found.classes


def _split(where, split):
    """(image, labels) paths of one of our splits, and the classes."""
    official = "val" if split == "test" else "train"
    pairs, classes = _official(where, official)
    cities = [image.parent.name for image, _ in pairs]
    last = max(cities, default=None)
    ours = [split == "test" or (city == last) == (split == "val") for city in cities]
    chosen = [pair for pair, our in zip(pairs, ours, strict=True) if our and pair[0].match("*_leftImg8bit.png")]
    if not chosen:
        raise ValueError(
            f"{where / 'leftImg8bit' / official} holds images of {len(set(cities))} cities, too few for split {split!r}: "
            f"unpack {_ARCHIVES['leftImg8bit']} anew"
        )
    return chosen, classes


def _train_ids(classes):
    """Train id, IGNORE or _UNKNOWN for each of the 256 ids that a file can hold, uint8 (256,); the class names (19,)."""
    trained = sorted((c for c in classes if 0 <= c.train_id < IGNORE), key=lambda c: c.train_id)
    table = np.full(256, _UNKNOWN, np.uint8)
    for c in classes:
        if c.id >= 0:
            table[c.id] = c.train_id
    return table, tuple(c.name for c in trained)


def _read_pair(path, label_path, table, size):
    if not label_path.is_file():
        raise FileNotFoundError(f"{label_path} is missing: unpack {_ARCHIVES['gtFine']} anew")
    image, ids = image_files.read_image(path), image_files.read_image(label_path)
    if ids.dtype != np.uint8 or ids.shape != image.shape[:2]:
        raise ValueError(
            f"{label_path} holds {ids.dtype} of shape {ids.shape}, expected uint8 of {image.shape[:2]} as {path.name}"
        )
    labels = table[ids]
    if (labels == _UNKNOWN).any():
        raise ValueError(
            f"{label_path} holds the id {ids[labels == _UNKNOWN][0]}, which Cityscapes does not have: unpack {_ARCHIVES['gtFine']} anew"
        )
    return folders.reduce(image_files.to_unit(image, path), labels, size, path, binary=False)
