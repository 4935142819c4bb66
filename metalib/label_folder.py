"""A folder of masks for the diagnosis: every file checked, then read one at a time.

PNG or TIFF of one gray channel and one size, 8 bit. Two classes: 0/255, or 0/1 with 255 where there is no label; more:
class ids with 255 where there is none.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from metalib import image_files, label_counts
from metalib.labels import IGNORE


class LabelFolder:
    """Masks of a folder as an iterable of (H, W) uint8 class ids.

    paths: its files by name; shape: of every mask; classes: M. FileNotFoundError: no such folder. ValueError names the
    file at fault: sizes, types, channels or values that do not agree.
    """

    def __init__(self, folder, classes=2):
        self.classes = classes
        self.paths = _files(Path(folder))
        first = image_files.read_image(self.paths[0])
        self.shape, kinds = first.shape, {}
        for path in self.paths:
            mask = image_files.read_image(path)
            _check_like(mask, path, first, self.paths[0])
            found = label_counts.check_mask(mask, classes, path)
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


def pairs(clean, noisy):
    """Clean masks and labels of the same names, two lists of (H, W); ValueError where a clean mask has no partner."""
    by_stem = {path.stem: path for path in noisy.paths}
    alone = [path for path in clean.paths if path.stem not in by_stem]
    if alone:
        raise ValueError(f"{alone[0]} has no label of the same name in {noisy.paths[0].parent}: rename or remove it")
    if clean.shape != noisy.shape:
        raise ValueError(f"clean masks are {_size(clean.shape)} px, labels {_size(noisy.shape)} px: they must agree")
    return list(clean), [noisy.read(by_stem[path.stem]) for path in clean.paths]


def _files(folder):
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give one of masks")
    images = image_files.images_in(folder)
    lossy = [path for path in images if path.suffix.lower() in image_files.LOSSY]
    if lossy:
        raise ValueError(f"{lossy[0]} is a JPEG, whose compression changes labels: save the masks anew as PNG or TIFF")
    if not images:
        raise ValueError(f"{folder} holds no mask: expected files named {', '.join(image_files.LOSSLESS)}")
    for first, second in pairwise(sorted(images, key=lambda path: path.stem)):
        if first.stem == second.stem:
            raise ValueError(f"{first} and {second} are of one name: remove one of them")
    return images


def _check_like(mask, path, first, first_path):
    """ValueError unless a mask is one gray channel of 8 bit, of the size of the first."""
    if mask.ndim != 2:
        raise ValueError(f"{path} is a mask of shape {mask.shape}: save it as one gray channel")
    if mask.dtype != np.uint8:
        raise ValueError(f"{path} is a mask of {mask.dtype}, expected 8-bit class ids: convert it")
    if mask.shape != first.shape:
        raise ValueError(
            f"{path} is {_size(mask.shape)} px, {first_path} is {_size(first.shape)}: crop them to one size"
        )


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
