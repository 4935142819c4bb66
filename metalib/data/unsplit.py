"""Folders of one's own without splits: images to segment, with masks beside them if there are any; and labels to diagnose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalib import _labels
from metalib._labels import IGNORE
from metalib.data import image_files

LEAST_PX = 32  # of an image's side: below it the deepest level of the network has nothing to look at


@dataclass(frozen=True)
class Files(Sequence):
    """What files hold, each read anew as it is asked for, so that memory does not grow with their number."""

    paths: list
    read: Callable

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        return self.read(self.paths[number])


class Images(NamedTuple):
    """N files: `paths`, gray `images` (H, W) float32 in [0, 1] of any sizes, `masks` (H, W) uint8 in {0, 1} or None.

    shapes: (H, W) of each; about: one line of text a file, what was found in it.
    """

    paths: list
    images: Files
    masks: Files | None
    shapes: list
    about: list


def read_images(folder, masks=None):
    """The `Images` of a folder, 8- or 16-bit PNG, TIFF or JPEG, and of `masks` the mask of the same name for each.

    Every file is checked. Colour is averaged to gray; an alpha channel is left out. FileNotFoundError and ValueError name
    the folder or the file that cannot work, and what to do.
    """
    paths = list(image_files.by_stem(Path(folder), "image").values())
    shapes, about, files, varied = [], [], [], False
    for path in paths:
        image, told = _read_gray(path)
        varied |= bool(np.ptp(image) > 0)
        shapes.append(image.shape)
        about.append(told)
        files += [_checked_mask(path, image.shape, Path(masks))] if masks else []
    if not varied:
        raise ValueError(f"every image of {folder} is constant: there is nothing to segment")
    images = Files(paths, lambda path: _read_gray(path)[0])
    return Images(paths, images, Files(files, _read_mask) if masks else None, shapes, about)


class LabelFolder:
    """Masks of a folder as an iterable of (H, W) uint8 class ids: every file is checked, then read one at a time.

    PNG or TIFF of one gray channel and one size, 8 bit. Two classes: 0/255, or 0/1 with 255 where there is no label;
    more: class ids with 255 where there is none. paths: its files by name; shape: of every mask; classes: M.
    FileNotFoundError: no such folder. ValueError names the file at fault: sizes, types, channels or values that do not agree.
    """

    def __init__(self, folder, classes=2):
        self.classes = classes
        self.paths = list(image_files.by_stem(Path(folder), "mask", lossless=True).values())
        self.shape, kinds = image_files.read_image(self.paths[0]).shape, {}
        for path in self.paths:
            mask = image_files.read_image(path)
            _check_like(mask, path, self.shape, self.paths[0])
            found = _labels.check_mask(mask, classes, path)
            kinds[found[1] > 0, found[IGNORE] > 0] = path
        self._divide = classes == 2 and _foreground_is_255(kinds)

    def __len__(self):
        return len(self.paths)

    def __iter__(self):
        return (self.read(path) for path in self.paths)

    def read(self, path):
        """Class ids (H, W) uint8 of one file."""
        mask = image_files.read_image(path)
        return mask // IGNORE if self._divide else mask


def paired(clean, noisy):
    """Clean masks and labels of the same names, two lists of (H, W); ValueError where a clean mask has no partner."""
    by_stem = {path.stem: path for path in noisy.paths}
    alone = [path for path in clean.paths if path.stem not in by_stem]
    if alone:
        raise ValueError(f"{alone[0]} has no label of the same name in {noisy.paths[0].parent}: rename or remove it")
    if clean.shape != noisy.shape:
        raise ValueError(f"clean masks are {_size(clean.shape)} px, labels {_size(noisy.shape)} px: they must agree")
    return list(clean), [noisy.read(by_stem[path.stem]) for path in clean.paths]


def _read_gray(path):
    """The gray image of a file, and a line about it."""
    pixels = image_files.read_image(path)
    if pixels.ndim == 3 and pixels.shape[-1] > 4:
        raise ValueError(f"{path} has shape {pixels.shape}, expected (H, W) or (H, W, colours): save one plane a file")
    channels = image_files.to_unit(pixels, path)
    image = channels[: 3 if len(channels) > 2 else 1].mean(axis=0)
    size = _size(image.shape)
    if min(image.shape) < LEAST_PX:
        raise ValueError(f"{path} is {size} px, expected sides of at least {LEAST_PX} px: crop less, or enlarge it")
    kind = "gray" if len(channels) < 3 else "colour, averaged"
    about = f"{path.name}: {size} px, {8 * pixels.dtype.itemsize} bit, {kind}, from {pixels.min()} to {pixels.max()}"
    return image, about


def _checked_mask(path, shape, folder):
    """The file of the mask of an image (H, W), of the same stem in a folder."""
    files = [file for suffix in image_files.LOSSLESS if (file := folder / f"{path.stem}{suffix}").is_file()]
    if not files:
        raise FileNotFoundError(
            f"{folder} has no mask {path.stem}.png or .tif for {path.name}: add it, or move the image away"
        )
    mask = image_files.read_image(files[0])
    if mask.shape != shape:
        raise ValueError(f"{files[0]} has shape {mask.shape}, its image {path.name} {shape}: they must agree")
    image_files.to_binary(mask, files[0])
    return files[0]


def _read_mask(path):
    return image_files.to_binary(image_files.read_image(path), path)


def _check_like(mask, path, shape, first):
    """ValueError unless a mask is one gray channel of 8 bit, of the shape of the first file."""
    if mask.ndim != 2:
        raise ValueError(f"{path} is a mask of shape {mask.shape}: save it as one gray channel")
    if mask.dtype != np.uint8:
        raise ValueError(f"{path} is a mask of {mask.dtype}, expected 8-bit class ids: convert it")
    if mask.shape != shape:
        raise ValueError(f"{path} is {_size(mask.shape)} px, {first} is {_size(shape)}: crop them to one size")


def _foreground_is_255(kinds):
    """Whether 255 is the foreground, as where no mask has a 1, or no label; kinds: {(has a 1, has a 255): one such path}.

    ValueError where some masks have a 1, others a 255, and none both: that may be either.
    """
    if (True, True) in kinds or (False, True) not in kinds:
        return False
    if (True, False) in kinds:
        raise ValueError(
            f"{kinds[True, False]} has the value 1, {kinds[False, True]} 255: is each the foreground, or 255 no label? "
            "Save all masks as 0/1, or all as 0/255"
        )
    return True


def _size(shape):
    return " x ".join(map(str, shape))
