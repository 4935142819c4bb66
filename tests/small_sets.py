"""Data sets of a few images: a folder of three splits, and an archive in the layout of BBBC038."""

import hashlib
import io
import zipfile

import imageio.v3 as iio
import numpy as np

from metalib.data.folders import SPLITS


def write_set(folder, suffix=".png", dtype=np.uint8, foreground=255, count=3, size=32):
    """A folder of three splits in the layout of the README; returns the images written to `train`."""
    rng = np.random.default_rng(0)
    written = []
    for split in SPLITS:
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(0, np.iinfo(dtype).max, (size, size)).astype(dtype)
            mask = (rng.random((size, size)) < 0.3).astype(np.uint8) * foreground
            iio.imwrite(folder / split / "images" / f"{split}{index}{suffix}", image)
            iio.imwrite(folder / split / "labels" / f"{split}{index}{suffix}", mask.astype(np.uint8))
            written += [image] * (split == "train")
    return np.stack(written)


COUNT = 10


def make_id(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def png(pixels):
    return iio.imwrite("<bytes>", pixels, extension=".png")


def rgba(gray):
    """(H, W, 4) uint8 as the real archive stores its gray images."""
    return np.dstack([gray] * 3 + [np.full_like(gray, 255)])


def make_image(number, side=256):
    return np.random.default_rng(number).integers(0, 90, (side, side), dtype=np.uint8)


def make_masks(number):
    """Two overlapping nuclei (256, 256) uint8, the second with a gray rim at the threshold."""
    first, second = np.zeros((2, 256, 256), np.uint8)
    first[10 : 40 + number, 10:40] = 255
    second[30:60, 30:60] = 127
    second[32:58, 32:58] = 128
    return first, second


def make_members(count=COUNT):
    members = {}
    for number in range(count):
        name = make_id(number)
        members[f"{name}/images/{name}.png"] = png(rgba(make_image(number)))
        for index, mask in enumerate(make_masks(number)):
            members[f"{name}/masks/{index}.png"] = png(mask)
    return members


def pack(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()
