"""Segment a folder of images without any label, by iGTT: `python -m metalib.segment IMAGES OUT`.

OUT gets `masks/` (PNG, 0 and 255), `scores/` (TIFF, float32 in [0, 1], foreground above 0.5), `model.safetensors`, and
`report.json` with the configuration and how the labels went. Nothing is overwritten.
"""

import argparse
import warnings
from collections import Counter
from dataclasses import asdict
from math import ceil
from pathlib import Path

import numpy as np

from metalib import folders, igtt, records

SUFFIXES = folders._LOSSLESS + folders._LOSSY
STEPS = 800  # optimisation steps, a few minutes on two CPU cores for images of 256 px
SIDE = 32  # px, the least: below it the deepest level of the network has nothing to look at


def segment(images, out, **changes):
    """Train on all images of a folder, write masks and scores of the same images into `out`, and return its path.

    images: 8- or 16-bit gray PNG, TIFF or JPEG files of one size. changes: fields of `igtt.IgttConfig`, on top of the preset
    `improved` at a scale for a CPU. FileExistsError: `out` holds files already. ValueError or FileNotFoundError name what
    is wrong with the folder or a file. A warning tells of masks that came out empty or full.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not empty: give a folder that is new")
    paths, stack = _read(Path(images))
    config = _configured(len(stack), changes)
    network, history = igtt.fit(stack, config)
    scores = igtt.predict(network, stack)
    masks = scores > 0.5
    for path, found, mask in zip(paths, scores, masks, strict=True):
        _write(out / "masks" / f"{path.stem}.png", np.where(mask, 255, 0).astype(np.uint8))
        _write(out / "scores" / f"{path.stem}.tiff", found)
    igtt.save(network, config, out / "model.safetensors")
    report = {"config": asdict(config), "provenance": records.environment(), "history": asdict(history)}
    records.atomic_write(out / "report.json", records.dumps(report))
    blank = int((masks.all(axis=(1, 2)) | ~masks.any(axis=(1, 2))).sum())
    if blank:
        warnings.warn(f"{blank} of {len(masks)} masks are empty or full: train for more epochs", stacklevel=2)
    return out


def _configured(count, changes):
    batch = min(changes.get("batch", 4), count)
    epochs = ceil(STEPS / (count // max(batch, 1)))
    return igtt.preset("improved", **(dict(width=16, lr=0.1, epochs=epochs) | changes | dict(batch=batch)))


def _read(folder):
    """Paths and images (N, 1, H, W) of a folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give one of images")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"{folder} holds no image: expected files named {', '.join(SUFFIXES)}")
    twice = [stem for stem, count in Counter(path.stem for path in paths).items() if count > 1]
    if twice:
        raise ValueError(f"{folder} holds two images named {twice[0]}: their masks would have one name, rename one")
    images = [folders.to_unit(folders.read_image(path), path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[0] != 1:
            raise ValueError(f"{path} has {image.shape[0]} channels, expected gray: average them, or take one")
        if image.shape != images[0].shape:
            raise ValueError(f"{path} is {_size(image)} px, {paths[0]} is {_size(images[0])}: crop them to one size")
        if min(image.shape[1:]) < SIDE:
            raise ValueError(
                f"{path} is {_size(image)} px, expected sides of at least {SIDE} px: crop less, or enlarge it"
            )
        if np.ptp(image) == 0:
            raise ValueError(f"{path} is constant: there is nothing to segment, remove it")
    return paths, np.stack(images)


def _size(image):
    return f"{image.shape[1]} x {image.shape[2]}"


def _write(path, pixels):
    import imageio.v3 as iio

    records.atomic_write(path, iio.imwrite("<bytes>", pixels, extension=path.suffix))


def _main():
    parser = argparse.ArgumentParser(prog="python -m metalib.segment", description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="a folder of gray images of one size; bright is foreground")
    parser.add_argument("out", type=Path, help="a new folder for masks, scores, model and report")
    parser.add_argument("--epochs", type=int, help=f"default: enough for {STEPS} optimisation steps")
    parser.add_argument("--width", type=int, help="channels of the U-Net's first level (default: 16)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    changes = {name: value for name in ("epochs", "width", "seed") if (value := getattr(given, name)) is not None}
    try:
        print(f"{segment(given.images, given.out, **changes)}: masks, scores, model and report written")
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    _main()
