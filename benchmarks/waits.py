"""What people wait for, from a command to its end, against what it may take: `python -m benchmarks.waits`.

All cores, nothing cached, set-up apart. Times and memory are printed, and put into README.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalib import _files
from metalib.apps import readme
from metalib.data import image_files, microscopy
from metalib.runs import records

HEADER = ("from command to end", "took", "may take", "", "memory at most")
FIRST = "02_training_curves"


class Wait(NamedTuple):
    """Commands one after another, the seconds that they may take, and what they took: seconds, and MiB of the largest process."""

    what: str
    most_s: float
    took_s: float
    most_mib: float


def of_own_images(count, side, most_s):
    """Segmentation without masks of so many drawn images of a side in px."""
    with tempfile.TemporaryDirectory() as place:
        write(Path(place) / "images", count, side)
        took = timed(["segment", f"{place}/images", f"{place}/out"])
    return Wait(f"segment {count} images of {side} px, without masks", most_s, *took)


def of_first_figure(most_s):
    """What `make figures` does for one notebook."""
    with tempfile.TemporaryDirectory() as place:
        source, own = _files.ROOT / "notebooks" / f"{FIRST}.ipynb", dict(METALIB_CACHE=place, METALIB_FIGURES=place)
        commands = ["experiments", FIRST, "--no-records"], ["execute", source, f"{place}/executed.ipynb"]
        seconds, mib = zip(*(timed(command, own) for command in commands), strict=True)
    return Wait(f"make figures NOTEBOOK={FIRST}", most_s, sum(seconds), max(mib))


def write(folder, count, side, kinds=4):
    """Images of nuclei as 8-bit PNG: a few, turned, each with noise of its own."""
    rng = np.random.default_rng(0)
    drawn = [microscopy.render("nuc-like", 0, number, side)[0] for number in range(min(count, kinds))]
    for number in range(count):
        image = np.rot90(drawn[number % len(drawn)], number // kinds) + rng.normal(0, 300, (side, side))
        image_files.write_image(folder / f"{number:03}.png", (np.clip(image, 0, 2**16 - 1) // 256).astype(np.uint8))


def timed(command, own=None):
    """Seconds that a command of the library takes, and MiB of memory at most, that of its children apart."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "metalib", *command], env=os.environ | (own or {}))
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # else it counts as running
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def markdown(waits):
    return records.markdown_table(HEADER, map(_line, waits))


def _line(wait):
    verdict = "met" if wait.took_s <= wait.most_s else "**missed**"
    return [wait.what, f"{wait.took_s:.0f} s", f"{wait.most_s} s", verdict, f"{wait.most_mib:.0f} MiB"]


def main():
    own_images = [of_own_images(*of) for of in ((16, 256, 75), (10, 1024, 360), (100, 1024, 360))]
    print(table := markdown([*own_images, of_first_figure(180)]))
    _files.atomic_write(readme.PATH, readme.between(readme.PATH.read_text(), "waits", table))


if __name__ == "__main__":
    main()
