"""Small JSON records beside the figures: the numbers that a figure shows, with where and how they were computed.

Of runs they keep rounded numbers, and an example packed into text.
"""

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np

from metalib import _files, _provenance
from metalib.data import datasets

SCHEMA = 1
_DICE = ("dice_lenient", "dice_half", "dice_half_image", "dice_at", "dice_at_image", "dice_best", "dice_best_image")
_OTHER = ("auc", "acc_at", "threshold_best", "acc", "acc_image", "auc_image", "balanced", "balanced_image")
_CLASSES = ("miou", "miou_inverted", "miou_decoded")
_CURVES = ("epoch", "dice_half", "dice_at", "dice_best", "auc", *_CLASSES, "validation")  # of each test
KEPT = tuple(dict.fromkeys((*_CURVES, *_DICE, *_OTHER)))  # where the run has it; the others of the last test
LOSSES = 128  # at most so many of a run; of a longer one the means of equal parts
_NUMBERS = r"\[(?:[-+.\deE,\s]|null)+\]"  # a list of them, in JSON


def save(stem, numbers, config, **measured):
    """Write `<stem>.json` to the figures folder and return the record.

    config: parameters and seeds behind the numbers; measured: device and times, which may differ from call to call.
    A number that is NaN becomes null. A record that holds the same numbers, of the same code, already stays as it is.
    """
    path = _files.figures_folder() / f"{stem}.json"
    given = json.loads(_files.dumps({"schema": SCHEMA, "config": config, "numbers": numbers}))
    if path.is_file():
        stored = load(path)
        same_code = stored["provenance"].get("code") == measured.get("code")
        if same_code and all(stored.get(part) == given[part] for part in given):
            return stored
    provenance = _provenance.environment() | measured
    record = {"schema": SCHEMA, "config": config, "provenance": provenance, "numbers": given["numbers"]}
    # Each list of numbers stands on a line of its own, so that a diff shows which run moved.
    in_lines = re.sub(_NUMBERS, lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", _files.dumps(record))
    _files.atomic_write(path, in_lines + "\n")
    return record


def load(path):
    """A record from disk. FileNotFoundError and ValueError say how to make it anew."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no record {path}: compute it with `make figures`")
    record = _files.read_json(path, "delete it and compute it anew with `make figures`")
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path} has schema {schema}, this version reads {SCHEMA}: compute it anew with `make figures`"
        )
    return record


def pack(ids):
    """Class ids (H, W) uint8 as a short text for a record."""
    return f"{ids.shape[0]}x{ids.shape[1]}:{base64.b64encode(zlib.compress(ids.tobytes(), 9)).decode()}"


def unpack(text):
    """The class ids (H, W) uint8 behind a text of `pack`; ValueError where it is cut or holds no class ids."""
    shape, _, packed = text.partition(":")
    try:
        height, width = map(int, shape.split("x"))
        unpack = zlib.decompressobj()
        # No more than the shape tells, and one byte, so that what is longer is seen.
        ids = unpack.decompress(base64.b64decode(packed), height * width + 1)
        if not unpack.eof:
            raise ValueError("it is cut, or longer than its shape")
        return np.frombuffer(ids, np.uint8).reshape(height, width)
    except (ValueError, zlib.error) as error:
        raise ValueError(
            f"{text[:40]!r} holds no class ids ({error}): compute its record anew with `make figures`"
        ) from error


def cell(values):
    """`mean ± standard deviation` of (seeds,) values, as text for a table."""
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.1f}"


def markdown_table(head, rows):
    """A table in markdown, of cells that are text."""

    def line(cells):
        return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"

    return "\n".join([line(head), "|---" * len(head) + "|", *map(line, rows)])


def of_sweep(configs, table):
    """The numbers of each run of a sweep; table: its rows, those of the configurations in order."""
    places = [(config.data, config.size, config.test) for config in configs]
    foreground = {place: _foreground(*place) for place in set(places)}  # few sets behind many runs
    rows = (row for _, row in table.iterrows())
    return [_numbers(row) | {"foreground": foreground[place]} for row, place in zip(rows, places, strict=True)]


def thinned(losses):
    """The means (n,) of equal parts of the losses of all steps, n at most `LOSSES`; a last part that is not full is left out."""
    part = -(-len(losses) // LOSSES)
    return np.reshape(losses[: len(losses) // part * part], (-1, part)).mean(axis=1) if losses else np.array([])


def joined(seeds):
    """The numbers of the seeds of a run as one: a list a seed, or where there is no list, what the first seed has."""
    first = seeds[0]
    return {name: [of[name] for of in seeds] if isinstance(first[name], list) else first[name] for name in first}


def _foreground(data, size, limit):
    """Share of class 1 among the test pixels of a set."""
    return round(float((datasets.load(data, "test", size=size, limit=limit).labels == 1).mean()), 6)


def _numbers(row):
    """What is kept of a run: its metrics, its loss or what iGTT measured of its labels, and of the first seed an example."""
    numbers = {name: _rounded(row.test[name][0 if name in _CURVES else -1 :]) for name in KEPT if name in row.test}
    if isinstance(row.get("labels"), dict):
        numbers |= {f"label_{name}": _rounded(values) for name, values in row.labels.items()}
    else:
        numbers |= {"loss": _rounded(thinned(row.loss)), "steps": len(row.loss) + int(row.skipped)}
        # One image among many moves a metric little.
        numbers |= {f"without_{name}": _rounded(row.without[name], 6) for name in KEPT if name in row.without}
    return numbers if row.seed else numbers | {"example": pack(np.array(row.example, np.uint8))}


def _rounded(values, digits=4):
    return [round(float(value), digits) for value in values]
