"""Where files go, and writing them: every file of this project is written whole or not at all."""

import fcntl
import glob
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]  # of the repository


def figures_folder():
    """Where figures, records and verdicts go: METALIB_FIGURES, else `figures/` of the repository."""
    return Path(os.environ.get("METALIB_FIGURES") or committed_folder())


def committed_folder():
    """`figures/` of the repository."""
    return ROOT / "figures"


def cache_folder():
    """Where finished runs and stored sets lie: METALIB_CACHE, else `.cache/runs` of the repository."""
    return Path(os.environ.get("METALIB_CACHE") or ROOT / ".cache" / "runs")


def data_folders():
    """Where real sets are looked for, the first that is asked for first: METALIB_DATA, and `shared/data` beside the repository."""
    places = (os.environ.get("METALIB_DATA"), ROOT.parent / "shared" / "data")
    return [Path(place) for place in places if place]


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
    """Keep other processes that ask for a file of the same folder waiting, however this one ends.

    The lock is one on the folder itself, so that no file of it is left behind. OSError names the path as of `atomic_file`.
    """
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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
