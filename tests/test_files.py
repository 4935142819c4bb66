"""Files are written whole or not at all, whatever becomes of the process, the disk or the locks."""

import errno
import fcntl
import resource
import subprocess
import sys

import pytest

from metalib import _files


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.processes
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """A real failure of write(2), as on a full disk: the process may not write files of more than 1,000 bytes."""
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    code = f"from metalib import _files; _files.atomic_write({str(path)!r}, b'x' * 5000)"
    limited = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert limited.returncode != 0
    assert "figure.png" in limited.stderr
    assert "check free space and permissions" in limited.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]
    assert path.read_bytes() == b"old"


KILLED = """
import os, signal, sys
from metalib import _files
with _files.atomic_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.processes
def test_what_a_killed_write_left_goes_with_the_next_one(tmp_path):
    path = tmp_path / "[1].png"  # no pattern of other names
    (tmp_path / ".[1].png.swp").write_text("of an editor")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        left = [name for name in names(tmp_path) if name.endswith(".part")]
        assert len(left) == 1  # that of the first went with the second
        assert not path.exists()
    _files.atomic_write(path, b"whole")
    assert names(tmp_path) == [".[1].png.swp", "[1].png"]


def test_two_writes_at_once_are_both_whole_and_the_last_stays(tmp_path):
    path = tmp_path / "x"
    with _files.atomic_file(path) as slow:
        slow.write(b"slow")
        _files.atomic_write(path, b"quick")
        assert path.read_bytes() == b"quick"
    assert path.read_bytes() == b"slow"
    assert names(tmp_path) == ["x"]


def test_a_file_that_is_removed_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    path, lock = tmp_path / "x", fcntl.flock

    def late(file, how):
        monkeypatch.undo()
        _files._remove_left(path)
        assert names(tmp_path) == []
        lock(file, how)

    monkeypatch.setattr(_files.fcntl, "flock", late)
    _files.atomic_write(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == ["x"]


def test_where_locks_are_unknown_writes_work_and_remove_nothing(tmp_path, monkeypatch):
    def unknown(file, how):
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(_files.fcntl, "flock", unknown)
    (tmp_path / ".x.abcdefgh.part").write_text("half")
    _files.atomic_write(tmp_path / "x", b"whole")
    assert names(tmp_path) == [".x.abcdefgh.part", "x"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/figure.png"):
        _files.atomic_write(tmp_path / "file" / "figure.png", b"x")
