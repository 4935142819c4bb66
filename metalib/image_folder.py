"""A folder of images of one's own: read, checked, and made gray; and the masks beside them, if there are any."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np

from metalib import checks, folders, image_files, records

SIDE = 32  # px, the least: below it the deepest level of the network has nothing to look at


class Images(NamedTuple):
    """N files: `paths`, gray `images` (H, W) float32 in [0, 1] of any sizes, `masks` (H, W) uint8 in {0, 1} or None.

    about: one line of text a file, what was found in it.
    """

    paths: list
    images: list
    masks: list | None
    about: list


def read(folder, masks=None):
    """The images of a folder, 8- or 16-bit PNG, TIFF or JPEG, and of `masks` the mask of the same name for each.

    Colour is averaged to gray; an alpha channel is left out. FileNotFoundError and ValueError name the folder or the file
    that cannot work, and what to do.
    """
    paths = _paths(Path(folder))
    pairs = [_read(path) for path in paths]
    images, about = [image for image, _ in pairs], [text for _, text in pairs]
    found = (
        None if masks is None else [_mask(path, image, Path(masks)) for path, image in zip(paths, images, strict=True)]
    )
    return Images(paths, images, found, about)


def write(path, pixels):
    """Write pixels (H, W) or (H, W, C) as the suffix of the path says, whole or not at all."""
    path = Path(path)
    checks.one_of(path.suffix.lower(), image_files.SUFFIXES, f"kind of image {path}, its suffix")
    records.atomic_write(path, iio.imwrite("<bytes>", pixels, extension=path.suffix))


def _paths(folder):
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give one of images")
    paths = image_files.images_in(folder)
    if not paths:
        raise ValueError(f"{folder} holds no image: expected files named {', '.join(image_files.SUFFIXES)}")
    twice = [stem for stem, count in Counter(path.stem for path in paths).items() if count > 1]
    if twice:
        raise ValueError(f"{folder} holds two images named {twice[0]}: their masks would have one name, rename one")
    return paths


def _read(path):
    """The gray image of a file, and a line about it."""
    pixels = image_files.read_image(path)
    if pixels.ndim == 3 and pixels.shape[-1] > 4:
        raise ValueError(f"{path} has shape {pixels.shape}, expected (H, W) or (H, W, colours): save one plane a file")
    channels = image_files.to_unit(pixels, path)
    image = channels[: 3 if len(channels) > 2 else 1].mean(axis=0)
    size = f"{image.shape[0]} x {image.shape[1]}"
    if min(image.shape) < SIDE:
        raise ValueError(f"{path} is {size} px, expected sides of at least {SIDE} px: crop less, or enlarge it")
    if np.ptp(image) == 0:
        raise ValueError(f"{path} is constant: there is nothing to segment, remove it")
    kind = "gray" if len(channels) < 3 else "colour, averaged"
    about = f"{path.name}: {size} px, {8 * pixels.dtype.itemsize} bit, {kind}, from {pixels.min()} to {pixels.max()}"
    return image, about


def _mask(path, image, folder):
    """The mask of an image, of the same stem in a folder."""
    files = [
        folder / f"{path.stem}{suffix}"
        for suffix in image_files.LOSSLESS
        if (folder / f"{path.stem}{suffix}").is_file()
    ]
    if not files:
        raise FileNotFoundError(
            f"{folder} has no mask {path.stem}.png or .tif for {path.name}: add it, or move the image away"
        )
    mask = image_files.read_image(files[0])
    if mask.shape != image.shape:
        raise ValueError(f"{files[0]} has shape {mask.shape}, its image {path.name} {image.shape}: they must agree")
    return folders._to_binary(mask, files[0])
