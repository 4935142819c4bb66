"""Small JSON records beside the figures: the numbers that a figure shows, with where and how they were computed.

Every file of this project is written whole or not at all.
"""

import base64
import fcntl
import glob
import json
import os
import platform
import re
import tempfile
import zlib
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

SCHEMA = 1
LIBRARIES = ("torch", "numpy", "scipy", "scikit-image", "segmentation-models-pytorch", "timm")


def figures_folder():
    """Where figures, records and verdicts go: METALIB_FIGURES, else `figures/` of the repository."""
    return Path(os.environ.get("METALIB_FIGURES") or committed_folder())


def committed_folder():
    """`figures/` of the repository."""
    return Path(__file__).parents[1] / "figures"


def cache_folder():
    """Where finished runs and stored sets lie: METALIB_CACHE, else `.cache/runs` of the repository."""
    return Path(os.environ.get("METALIB_CACHE") or Path(__file__).parents[1] / ".cache" / "runs")


def atomic_write(path, data):
    """Write bytes or text to `path`, whole or not at all; see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def atomic_file(path):
    """A binary file to write to, which becomes `path` when all is written, so that `path` is never half-written.

    OSError names the path where its folder is missing, read-only or full; what stood at `path` stays. What a killed
    process has left of a write to `path` is removed.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        with _begun(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # some disks tell only now that they are full
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def _begun(path):
    """A new file beside `path`, removed in the end if it has still this name; its lock tells others that it is in use."""
    while True:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            with suppress(OSError):  # a file system without locks: there nothing is removed either
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # another process took it for left, and removed it, before it was locked
            try:
                yield file
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(file.name)
            return


def _remove_left(path):
    """Remove what killed processes have left of writes to `path`: files of `_begun` that nobody holds."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def check_writable(folder):
    """OSError as of `atomic_file` where no file can be made in a folder, which need not be there yet: before long work."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path, error):
    """An OSError of a write to `path` as one that says where, and what to do."""
    advice = "check free space and permissions of its folder"
    return OSError(error.errno, f"cannot write {path} ({error.strerror}): {advice}")


@contextmanager
def locked(path):
    """Keep other processes that ask for the same `path` waiting, however this one ends."""
    name = f"metalib-{os.getuid()}-{zlib.crc32(str(Path(path).resolve()).encode()):08x}.lock"
    with (Path(tempfile.gettempdir()) / name).open("a") as file:  # "w" would empty what another user links there
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def save(stem, numbers, config, **measured):
    """Write `<stem>.json` to the figures folder and return the record.

    config: parameters and seeds behind the numbers; measured: device and times, which may differ from call to call.
    A number that is NaN becomes null. A record that holds the same numbers and configuration already stays as it is.
    """
    path = figures_folder() / f"{stem}.json"
    given = json.loads(dumps({"schema": SCHEMA, "config": config, "numbers": numbers}))
    if path.is_file():
        stored = load(path)
        if all(stored.get(part) == given[part] for part in given):
            return stored
    record = {"schema": SCHEMA, "config": config, "provenance": environment() | measured, "numbers": given["numbers"]}
    atomic_write(path, _one_line_lists(dumps(record)) + "\n")
    return record


def load(path):
    """A record from disk. FileNotFoundError and ValueError say how to make it anew."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no record {path}: compute it with `make figures`")
    record = read_json(path, "delete it and compute it anew with `make figures`")
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path} has schema {schema}, this version reads {SCHEMA}: compute it anew with `make figures`"
        )
    return record


def read_json(path, advice):
    """What a JSON file holds; ValueError as of `parse_json`."""
    return parse_json(Path(path).read_bytes(), path, advice)


def parse_json(text, where, advice):
    """What a JSON text holds; ValueError says where it stands if it is none, and what to do."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no JSON ({error}): {advice}") from error


def dumps(value, indent=1):
    """Indented JSON that every reader takes: NaN, which JSON has not, becomes null; ValueError for infinite numbers."""
    return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def _without_nan(value):
    if isinstance(value, dict):
        return {name: _without_nan(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(of) for of in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _one_line_lists(text):
    """Indented JSON with each list of numbers on a line of its own, so that a diff shows which run moved."""
    return re.sub(r"\[(?:[-+.\deE,\s]|null)+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)


def pack(ids):
    """Class ids (H, W) uint8 as a short text for a record."""
    return f"{ids.shape[0]}x{ids.shape[1]}:{base64.b64encode(zlib.compress(ids.tobytes(), 9)).decode()}"


def unpack(text):
    """The class ids (H, W) uint8 behind a text of `pack`."""
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


def environment():
    """Versions and machine behind a number."""
    return {"python": platform.python_version(), "machine": platform.machine()} | {
        name: version(name) for name in LIBRARIES
    }
