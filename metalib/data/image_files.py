"""Files that claim to be images: found, decoded without taking more than they tell, brought to [0, 1], and written."""

import logging
import lzma
import zlib
from math import prod
from pathlib import Path

import numpy as np

from metalib import _checks, _files

LOSSLESS, LOSSY = (".png", ".tif", ".tiff"), (".jpg", ".jpeg")
SUFFIXES = LOSSLESS + LOSSY
_MOST_VALUES = 2**29  # of a TIFF, 2 GiB as float32; others are limited by Pillow, to a third of as many pixels
_UNPACK = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}  # by compression of a TIFF


def by_stem(folder, what, *, lossless=False):
    """{stem: file} of the images in a folder, by name; `what` they are is told where there is none.

    lossless: they are labels, which the compression of JPEG would change. Links that lead nowhere are among them, to be
    named by who reads them; hidden files, which systems leave beside images as ._mask.png, are not.
    FileNotFoundError: no such folder. ValueError: it holds no such file, two of one stem, or a JPEG where lossless.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give one of {what}s")
    named = (file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    found = {}
    for file in (file for file in named if file.is_file() or file.is_symlink()):
        if lossless and file.suffix.lower() in LOSSY:
            raise ValueError(f"{file} is a JPEG, whose compression changes labels: save them anew as PNG or TIFF")
        if file.stem in found:
            raise ValueError(f"{found[file.stem]} and {file.name} share a stem, that is one name: rename or remove one")
        found[file.stem] = file
    if not found:
        suffixes = LOSSLESS if lossless else SUFFIXES
        raise ValueError(f"{folder} holds no {what}: expected files named {', '.join(suffixes)}")
    return found


def read_image(path):
    """Pixels of a file, (H, W) or (H, W, C) of its own dtype; ValueError names a file that cannot be read, or is too large.

    The size that a file declares is checked before anything is decoded. Of an animation it is the first image.
    """
    from PIL.Image import DecompressionBombError  # here and below, so that embedded data needs no image reader

    try:
        return _decoded(Path(path))
    except Exception as error:  # every reader raises its own kinds, and imageio wraps some
        cause = error.__cause__ or error
        advice = "it may be truncated, copy it again, or save it anew as plain PNG or TIFF"
        if isinstance(cause, DecompressionBombError):
            advice = "it is too large to be read at once, cut it into parts"
        raise ValueError(f"{path} cannot be read as an image ({' '.join(str(cause).split())}): {advice}") from error


def to_unit(image, path):
    """(C, H, W) float32 in [0, 1] from 8- or 16-bit gray (H, W) or colour (H, W, C); ValueError names the path."""
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} holds {image.dtype} pixels, expected 8- or 16-bit unsigned integers: convert it")
    if image.ndim not in (2, 3):
        raise ValueError(f"{path} has shape {image.shape}, expected (H, W) or (H, W, colours): save one plane a file")
    channels = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return channels.astype(np.float32) / np.iinfo(image.dtype).max


def to_binary(mask, path):
    """uint8 (H, W) in {0, 1} from a mask that is 0/1 or 0/255; ValueError names the path."""
    values = np.unique(mask)
    if not (np.isin(values, (0, 1)).all() or np.isin(values, (0, 255)).all()):
        raise ValueError(
            f"{path} is a mask with the values {values[:5].tolist()}, expected 0/1 or 0/255 (several classes need classes.json)"
        )
    return (mask > 0).astype(np.uint8)


def write_image(path, pixels):
    """Write pixels (H, W) or (H, W, C) as the suffix of the path says, whole or not at all."""
    import imageio.v3 as iio

    path = Path(path)
    _checks.one_of(path.suffix.lower(), SUFFIXES, f"kind of image {path}, its suffix")
    _files.atomic_write(path, iio.imwrite("<bytes>", pixels, extension=path.suffix))


def _decoded(path):
    """By the reader of its suffix alone, so that no other one guesses at what a file may be."""
    import imageio.v3 as iio
    import tifffile
    from PIL.Image import DecompressionBombError

    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    if path.suffix.lower() not in (".tif", ".tiff"):
        return iio.imread(path, plugin="pillow", index=0)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it cannot read is told by `read_image`, in one line
    with tifffile.TiffFile(path) as file:
        planes = file.series[0]
        if prod(planes.shape) > _MOST_VALUES:
            raise DecompressionBombError(f"it declares the shape {planes.shape}")
        _check_unpacked(file.filehandle, planes)
        return planes.asarray()


def _check_unpacked(file, planes):
    """ValueError where a strip or a tile of a TIFF unpacks to more than its pixels take, as in a zip bomb."""
    unpack, most = _UNPACK.get(planes.keyframe.compression), prod(planes.keyframe.chunks) * planes.dtype.itemsize
    for page in planes.pages if unpack else ():
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(start)
            if len(unpack().decompress(file.read(length), most + 1)) > most:
                raise ValueError(f"a part of it unpacks to more than {most} bytes")
