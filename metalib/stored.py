"""Data sets are drawn or read once: every process maps the same files of the cache folder into its memory.

So a set may be larger than memory: the system reads what is asked for, and forgets it where it needs the room.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from metalib import records

_CODE = ("synthetic", "scenes", "image_files", "folders", "cityscapes", "datasets", "stored")
_LIBRARIES = ("numpy", "scipy", "scikit-image", "imageio")


def load(name, count, draw):
    """Images (N, H, W, C) float32 and labels (N, H, W) uint8, read-only: from files of this name, else from `draw()`.

    That gives their `count` pairs, each of which is written as it comes. If the cache folder cannot be written, or is
    full, they stay in memory.
    """
    paths = [records.cache_folder() / "sets" / _version() / f"{name}.{part}.npy" for part in ("images", "labels")]
    try:
        return _mapped(paths)
    except Exception:  # not there, or not whole: numpy raises many kinds
        pass
    try:
        _write(paths, count, draw())
        return _mapped(paths)
    except OSError:  # what was wrong with the set itself is raised again here
        arrays = [np.stack(part) for part in zip(*draw(), strict=True)]
    for array in arrays:
        array.flags.writeable = False  # the next who asks is handed the same
    return arrays


def _mapped(paths):
    return [np.asarray(np.load(path, mmap_mode="r")) for path in paths]


def _write(paths, count, pairs):
    with records.atomic_file(paths[0]) as images, records.atomic_file(paths[1]) as masks:
        for number, pair in enumerate(pairs):
            for file, part in zip((images, masks), pair, strict=True):
                if number == 0:
                    form = dict(descr=part.dtype.str, fortran_order=False, shape=(count, *part.shape))
                    np.lib.format.write_array_header_1_0(file, form)
                file.write(np.ascontiguousarray(part).data)


@lru_cache(maxsize=1)
def _version():
    """A hash of the code that draws and reads, and of the libraries behind it."""
    code = [(Path(__file__).parent / f"{module}.py").read_bytes() for module in _CODE]
    return hashlib.sha256(b"".join(code) + repr([records.version(of) for of in _LIBRARIES]).encode()).hexdigest()[:16]
