"""Nothing here leaves this machine: a server on localhost hands out tiny archives in the layout of BBBC038."""

import errno
import hashlib
import http.server
import os
import threading
from functools import partial

import imageio.v3 as iio
import numpy as np
import pytest
from small_sets import COUNT, make_id, make_image, make_masks, make_members, pack, png, rgba

from metalib import _files
from metalib.__main__ import main
from metalib.apps import download
from metalib.data import datasets


class Server(http.server.HTTPServer):
    """Hands out `content` under every address; only the first half of it while `cut` is set, nothing without it."""

    content, cut = b"", False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/stage1_train.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = self.server.content
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.server.cut else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path):
    """The folder that gets `nuc`, with nothing beside it that a test does not make."""
    return tmp_path / "data"


def serve(server, members):
    server.content = members if isinstance(members, bytes) else pack(members)
    return dict(url=server.url, sha256=hashlib.sha256(server.content).hexdigest(), count=COUNT)


def test_what_is_downloaded_is_read_as_data_set(server, folder, monkeypatch):
    given = serve(server, make_members())
    assert download.download_nuc(folder, **given) == folder / "nuc"
    assert list(folder.iterdir()) == [folder / "nuc"]
    monkeypatch.setenv("METALIB_DATA", str(folder))
    numbers = {make_id(number)[:16]: number for number in range(COUNT)}
    stems = []
    for split, count in zip(datasets.SPLITS, (7, 1, 2), strict=True):
        found = datasets.load("nuc", split)
        assert len(found.ids) == count
        stems += found.ids
        for name, image, label in zip(found.ids, found.images, found.labels, strict=True):
            np.testing.assert_array_equal(image[0], make_image(numbers[name]).astype(np.float32) / 255)
            first, second = make_masks(numbers[name])
            np.testing.assert_array_equal(label, (first > 0) | (second == 128))
    assert stems == sorted(numbers)


def test_masks_are_written_as_0_and_255(server, folder):
    download.download_nuc(folder, **serve(server, make_members()))
    files = list((folder / "nuc").rglob("labels/*.png"))
    assert len(files) == COUNT
    for file in files:
        mask = iio.imread(file)
        assert (mask.shape, mask.dtype, np.unique(mask).tolist()) == ((256, 256), np.uint8, [0, 255])


def test_the_split_is_that_of_the_real_set(nuc):
    parts = {split: [file.name for file in sorted((nuc / split / "images").iterdir())] for split in datasets.SPLITS}
    every = sorted(name for part in parts.values() for name in part)
    assert download.split_ids(reversed(every)) == parts


def test_334_images_are_split_as_the_readme_says():
    split = download.split_ids(map(make_id, range(download.COUNT)))
    assert {part: len(ids) for part, ids in split.items()} == {"train": 234, "val": 33, "test": 67}


def test_only_dark_gray_images_of_256_px_are_kept(server, folder):
    members = make_members()
    coloured = rgba(make_image(0))
    coloured[5, 5, 0] ^= 1
    others = [coloured, rgba(make_image(0) + 100), rgba(make_image(0, 128)), make_image(0).astype(np.uint16)]
    for number, pixels in enumerate(others, COUNT):
        name = make_id(number)
        members |= {f"{name}/images/{name}.png": png(pixels), f"{name}/masks/0.png": png(make_masks(0)[0])}
    download.download_nuc(folder, **serve(server, members))
    assert len(list(folder.rglob("images/*.png"))) == COUNT


def test_members_of_another_layout_are_ignored(server, folder):
    extra = {f"{make_id(0)}/": b"", "stage1_train.csv": b"a", f"__MACOSX/{make_id(0)}/masks/0.png": b"a"}
    download.download_nuc(folder, **serve(server, make_members() | extra))
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {".png"}


def test_gray_images_and_coloured_files_of_gray_masks_count_too():
    gray = make_image(0)
    for pixels in (gray, np.dstack([gray, gray + 100]), np.dstack([gray] * 3), rgba(gray)):
        np.testing.assert_array_equal(download._gray(pixels), gray)


def test_another_checksum_is_refused(server, folder):
    given = serve(server, make_members())
    got = given.pop("sha256")
    with pytest.raises(ValueError, match=f"stage1_train.zip.* expected {'0' * 64} but got {got}.*only if you trust it"):
        download.download_nuc(folder, sha256="0" * 64, **given)
    assert list(folder.iterdir()) == []
    with pytest.raises(ValueError, match="sha256 is 'abc', expected 64 hex digits"):
        download.download_nuc(folder, sha256="abc", **given)


def test_a_cut_connection_leaves_nothing_and_the_next_call_succeeds(server, folder):
    given = serve(server, make_members())
    server.cut = True
    with pytest.raises(OSError, match=r"cannot download http.*stage1_train.zip .*check connection.*try again"):
        download.download_nuc(folder, **given)
    assert list(folder.iterdir()) == []
    server.cut = False
    assert download.download_nuc(folder, **given).is_dir()


def test_a_missing_file_or_server_is_told(server, folder):
    given = serve(server, b"")
    with pytest.raises(OSError, match=r"cannot download .*404"):
        download.download_nuc(folder, **given)
    given["url"] = "http://127.0.0.1:9/stage1_train.zip"
    with pytest.raises(OSError, match=r"cannot download http://127.0.0.1:9"):
        download.download_nuc(folder, **given)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png", "C:/evil.png"])
def test_names_that_lead_out_of_the_archive_are_refused(server, folder, name):
    members = make_members() | {name: png(make_image(0))}
    with pytest.raises(ValueError, match=r"stage1_train.zip has the unsafe member .*evil.png'"):
        download.download_nuc(folder, **serve(server, members))
    assert list(folder.iterdir()) == []
    assert list(folder.parent.rglob("evil.png")) == []


def truncated(members):
    return pack(members)[:-100]


def flipped(members):
    """One bit of the first image differs from what its checksum in the archive says."""
    content = bytearray(pack(members))
    content[content.index(b"IDAT") + 50] ^= 1
    return bytes(content)


def short_image(members):
    name = next(iter(members))
    return members | {name: members[name][:100]}


def no_masks(members):
    return {name: content for name, content in members.items() if f"{make_id(3)}/masks" not in name}


def small_mask(members):
    return members | {f"{make_id(3)}/masks/1.png": png(np.zeros((64, 64), np.uint8))}


def one_more(members):
    return members | make_members(COUNT + 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, r"stage1_train.zip is no zip archive .*may be truncated"),
        (flipped, r"stage1_train.zip: [0-9a-f]{64}/images/.*png cannot be read .*CRC"),
        (short_image, r"stage1_train.zip: [0-9a-f]{64}/images/.*png cannot be read"),
        (no_masks, f"has no mask of image {make_id(3)}"),
        (small_mask, rf"mask {make_id(3)}/masks/1.png is not 8-bit gray of \(256, 256\) px"),
        (one_more, r"holds 11 gray, dark images of 256 x 256 px, expected 10"),
        (lambda _: {"readme.txt": b"a"}, r"holds 0 gray, dark images of 256 x 256 px, expected 10"),
    ],
)
def test_bad_archives_are_refused_with_the_part_at_fault(server, folder, spoil, message):
    with pytest.raises(ValueError, match=message):
        download.download_nuc(folder, **serve(server, spoil(make_members())))
    assert list(folder.iterdir()) == []


def test_an_existing_set_is_never_overwritten(server, folder):
    (folder / "nuc").mkdir(parents=True)
    (folder / "nuc" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="nuc is there and stays as it is"):
        download.download_nuc(folder, **serve(server, make_members()))
    assert [file.name for file in folder.rglob("*")] == ["nuc", "mine.txt"]


def test_the_command_says_where_the_images_are_or_what_is_wrong(server, folder, monkeypatch, capsys):
    given = serve(server, make_members())
    monkeypatch.setattr(download, "download_nuc", partial(download.download_nuc, count=COUNT))
    monkeypatch.setenv("METALIB_DATA", str(folder))
    command = ["download", "nuc", "--url", server.url, "--sha256", given["sha256"]]
    main(command)
    assert (
        f"{folder / 'nuc'}: 7 train, 1 val, 2 test images; read with METALIB_DATA={folder}" in capsys.readouterr().out
    )
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 1
    assert f"{folder / 'nuc'} is there" in capsys.readouterr().err


def test_a_disk_that_is_full_while_an_archive_is_converted_is_told(tmp_path, monkeypatch):
    archive = tmp_path / "a.zip"
    archive.write_bytes(pack(make_members(1)))

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_files.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(OSError, match=r"cannot write .*\.png \(No space left on device\): check free space"):
        download.convert(archive, tmp_path / "nuc", 1)
