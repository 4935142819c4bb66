"""Segment a folder of images: `python -m metalib segment IMAGES OUT [--masks MASKS]`, without any label by iGTT.

With masks a network is trained on three of four images, under a recipe of label noise if one is given, and measured on the
others. OUT gets `masks/` (PNG, 0 and 255), `scores/` (TIFF, float32 in [0, 1], foreground above 0.5), `overlays/` (PNG, the
outlines on the image), `model.safetensors`, `report.html` (a page to show) and `report.json` (configuration, and how it
went). Nothing is overwritten.
"""

import warnings
from dataclasses import asdict
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np

from metalib import _checks, _files, _provenance
from metalib.apps import segment_report, supervised, tiles
from metalib.data import image_files, unsplit
from metalib.diagnosis import examination, wording
from metalib.networks import augmentation, metrics
from metalib.noise import recipes
from metalib.unsupervised import igtt, selection, weights
from metalib.unsupervised.config import preset

# Optimisation steps by method, each on crops of this side: one to three minutes on two CPU cores. iGTT gains nothing by more.
STEPS, CROP_PX = {"igtt": 200, "supervised": 800}, 128
METHODS = tuple(STEPS)
# Larger images are cut to train on; of more tiles so many are taken, evenly spread: iGTT looks at all of them for new labels.
TRAIN_PX, TRAIN_TILES = 256, {"igtt": 64, "supervised": 400}
THRESHOLDS = {name: selection.THRESHOLDS[name] for name in ("Otsu", "adaptive Gaussian")}  # what simpler methods find


def segment(images, out, *, masks=None, method="", recipe="cl", **changes):
    """Train on the images of a folder, write what was found in the same images into `out`, and return its path.

    images: 8- or 16-bit PNG, TIFF or JPEG files of any size, see `unsplit.read_images`, bright objects on dark ground for
    iGTT; masks: a folder of masks of the same names. method: "igtt", which learns nothing from masks, or "supervised", which
    needs them (default: supervised where there are masks); recipe: label noise of supervised training, see `recipes.make`.
    changes: fields of `IgttConfig`, on top of the preset `improved` at a scale for a CPU.
    FileExistsError: `out` holds files already. ValueError or FileNotFoundError name what is wrong with a folder, a file or a
    choice. A warning tells of masks that came out empty or full. Memory does not grow with the number of images.
    """
    out, method = Path(out), check(out, masks=masks, method=method, recipe=recipe)
    found = unsplit.read_images(images, masks)
    labels = _examined(found) if method == "supervised" else ""
    model, history = _trained(found, method, recipe, changes)
    weights.save(model, out / "model.safetensors")
    rows, shown, simpler = [], [], _simpler(model.config)
    for number, (path, image) in enumerate(zip(found.paths, found.images, strict=True)):
        scores, whose = tiles.predict(model, image)
        _write(out, path.stem, image, scores)
        rows.append(_row(found, number, scores, method, simpler) | {"by": whose})
        shown += [scores] if number < segment_report.SHOWN else []
    report = {
        "method": method,
        "recipe": recipe,
        "labels": labels,
        "config": asdict(model.config),
        "choice": model.choice and model.choice._asdict(),
        "provenance": _provenance.environment(),
    }
    _files.atomic_write(out / "report.json", _files.dumps(report | {"images": rows, "history": history}))
    _files.atomic_write(out / "report.html", segment_report.page(found, shown, simpler, rows, report))
    _warn(rows)
    return out


def check(out, *, masks=None, method="", recipe="cl", epochs=0, seed=0):
    """The method that `segment` uses of these choices; errors as there, before any image is read. epochs: 0 for its own."""
    out, method = Path(out), method or ("supervised" if masks else "igtt")
    if _taken(out):
        raise FileExistsError(f"{out} exists and is not empty: give a folder that is new")
    _files.check_writable(out)
    if method not in METHODS or (method == "supervised" and not masks):
        raise ValueError(
            f"method is {method!r}, expected one of {', '.join(METHODS)}, the latter with a folder of masks"
        )
    recipes.parse(recipe)
    for value, name in ((epochs, "epochs"), (seed, "seed")):
        _checks.whole(value, name, 0)
    return method


def fresh(folder):
    """The folder, or where it holds files already the first of `<folder>-2`, `<folder>-3`, ... that does not."""
    folder, number = Path(folder), 1
    while _taken(place := folder if number == 1 else Path(f"{folder}-{number}")):
        number += 1
    return place


def _taken(folder):
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def held_out(count, method):
    """Which of so many images are not trained on, every fourth; none for iGTT, which sees no mask, or for too few."""
    return list(range(3, count, 4)) if method == "supervised" else []


def _trained(found, method, recipe, changes):
    """The `model.Model`, and how training went."""
    held = held_out(len(found.images), method)
    used = [number for number in range(len(found.images)) if number not in held]
    images, masks = _training_tiles(found, used, TRAIN_TILES[method])
    if method == "supervised":
        # Random light is for iGTT, whose first labels come from a threshold; masks know better.
        config = _configured(images.shape, method, dict(light=0.0) | changes)
        model, losses = supervised.fit(images[:, None], masks, config, recipe, progress=True)
        return model, {"loss": losses}
    config = _configured(images.shape, method, changes)
    model, history = igtt.fit(images[:, None], config, progress=True)
    return model, asdict(history)


def _examined(found):
    """What masks look like to `diagnosis.diagnose`, in a sentence, with a warning where that is not clean.

    "" where they cannot be examined: masks of several sizes, or too few.
    """
    if len(set(found.shapes)) > 1:
        return ""
    try:
        seen = examination.diagnose(found.masks)
    except ValueError:  # it asks for more masks than a training needs
        return ""
    told = f"The masks look {seen.kind}. {wording.advice(seen)}"
    if seen.kind != "clean":
        warnings.warn(told, stacklevel=3)
    return told


def _warn(rows):
    """Of masks that came out empty or full, and why."""
    nothing = sum(row["by"] == selection.NOTHING for row in rows)
    blank = sum(row["foreground"] in (0, 1) for row in rows) - nothing
    if nothing:
        told = f"{nothing} of {len(rows)} masks are empty: nothing stands out from noise in their images"
        warnings.warn(told, stacklevel=3)
    if blank:
        warnings.warn(f"{blank} of {len(rows)} masks are empty or full: train for more epochs", stacklevel=3)


def _training_tiles(found, used, most):
    """Tiles (N, H, W) of the images to train on that are not constant, of too many `most` evenly spread; and their masks.

    One size, up to TRAIN_PX: they are the images.
    """
    shapes = [found.shapes[number] for number in used]
    whole = len(set(shapes)) == 1 and max(shapes[0]) <= TRAIN_PX
    cut = (lambda image: image[None]) if whole else partial(tiles.cut, side=min(TRAIN_PX, *map(min, shapes)))
    varied = [
        (number, place)
        for number in used
        for place in np.flatnonzero(np.ptp(cut(found.images[number]), axis=(1, 2)) > 0)
    ]
    chosen = {}
    for at in np.linspace(0, len(varied) - 1, min(len(varied), most)).round().astype(int):
        number, place = varied[at]
        chosen.setdefault(number, []).append(place)
    return [
        of and np.concatenate([cut(of[number])[places] for number, places in chosen.items()])
        for of in (found.images, found.masks)
    ]


def _configured(shape, method, changes):
    """The configuration of a training on images of shape (N, H, W)."""
    changes = dict(crop_px=CROP_PX) | changes
    count = shape[0] * augmentation.crops(shape[1:], changes["crop_px"])
    batch = min(_checks.whole(changes.get("batch", 4), "batch"), count)
    epochs = ceil(STEPS[method] / (count // batch))
    return preset("improved", **(dict(width=16, lr=0.1, epochs=epochs) | changes | dict(batch=batch)))


def _simpler(config):
    """`THRESHOLDS`, of inverted images where objects are dark."""
    if config.objects != "dark":
        return THRESHOLDS
    return {name: lambda images, threshold=threshold: threshold(1 - images) for name, threshold in THRESHOLDS.items()}


def _row(found, number, scores, method, simpler):
    """What was found in an image, and where there is a mask, the Dice of each method."""
    row = {"image": found.paths[number].name, "foreground": float((scores > 0.5).mean())}
    if found.masks:
        image, mask = found.images[number][None, None], found.masks[number][None]
        of = {segment_report.NAMES[method]: scores[None]} | {
            name: threshold(image) for name, threshold in simpler.items()
        }
        row["dice"] = {name: metrics.evaluate(each, mask)["dice_half"] for name, each in of.items()}
        row["held_out"] = number in held_out(len(found.images), method)
    return row


def _write(out, stem, image, scores):
    mask = scores > 0.5
    image_files.write_image(out / "masks" / f"{stem}.png", np.where(mask, 255, 0).astype(np.uint8))
    image_files.write_image(out / "scores" / f"{stem}.tiff", scores)
    image_files.write_image(out / "overlays" / f"{stem}.png", segment_report.overlay(image, mask))
