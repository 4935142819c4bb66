"""Embedded sets are drawn once: every process and notebook maps the same files of the cache folder into its memory."""

import hashlib
import io
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from metalib import records

_CODE = ("synthetic", "scenes", "folders", "datasets")
_LIBRARIES = ("numpy", "scipy", "scikit-image")


def load(name, draw):
    """The arrays that `draw()` returns, read-only: from files of this name, else drawn, and kept if the folder can be written."""
    paths = [records.cache_folder() / "drawn" / _version() / f"{name}.{part}.npy" for part in ("images", "labels")]
    try:
        return tuple(np.asarray(np.load(path, mmap_mode="r")) for path in paths)
    except (OSError, ValueError, EOFError):  # not there, or not whole
        arrays = draw()
    for path, array in zip(paths, arrays, strict=True):
        array.flags.writeable = False  # the next who asks is handed the same
        with suppress(OSError):
            records.atomic_write(path, _bytes(array))
    return arrays


def _bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _version():
    """A hash of the code that draws and of the libraries behind it."""
    code = [(Path(__file__).parent / f"{module}.py").read_bytes() for module in _CODE]
    return hashlib.sha256(b"".join(code) + repr([records.version(of) for of in _LIBRARIES]).encode()).hexdigest()[:16]
