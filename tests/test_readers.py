"""Files that are damaged, hostile or not what their name says: every reader takes them, or names them in one line.

Not here but beside the readers: sets, folders and masks that do not fit together (test_folders.py, test_datasets.py,
test_unsplit.py, test_examination.py), cut connections and names that lead out of an archive (test_download.py).
"""

import io
import itertools
import json
import os
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from small_sets import COUNT, make_id, make_image, make_members, pack, png, rgba

from metalib import _files
from metalib.apps import download
from metalib.claims import tables
from metalib.data import datasets, folders, image_files, unsplit
from metalib.data.unsplit import LabelFolder
from metalib.networks import models
from metalib.networks.config import TrainConfig
from metalib.runs import records, sweeps
from metalib.unsupervised import weights
from metalib.unsupervised.config import preset
from metalib.unsupervised.model import Model

GRAY = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
MOST = 2**25  # bytes that no small file may take
again = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def refused(call, *names, kinds=(ValueError, OSError)):
    """The error of a call, one line that has all of the names; None where there is none."""
    try:
        call()
    except kinds as error:
        text = str(error)
        assert "\n" not in text
        assert all(str(name) in text for name in names), text
        return text


@contextmanager
def memory(most):
    """What is allocated meanwhile, by numpy too, is less than `most` bytes."""
    tracemalloc.start()
    try:
        yield
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < most


def tiff(pixels, **choices):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="minisblack", **choices)
    return file.getvalue()


def jpeg(pixels):
    return iio.imwrite("<bytes>", pixels, extension=".jpg")


KINDS = {
    "gray.png": png(GRAY),
    "deep.png": png(GRAY.astype(np.uint16) * 200),
    "alpha.png": png(rgba(GRAY)),
    "gray.jpg": jpeg(GRAY),
    "gray.tif": tiff(GRAY),
    "packed.tif": tiff(GRAY, compression="zlib"),
    "tiles.tif": tiff(np.tile(GRAY, (2, 2)), tile=(32, 32), compression="zlib"),
    "large.tiff": tiff(GRAY, bigtiff=True),
    "stack.tif": tiff(np.stack([GRAY] * 3)),
}


# --- Images: damage ---


@pytest.mark.parametrize("name", KINDS)
def test_an_image_cut_anywhere_is_whole_or_named(name, tmp_path):
    path, whole = tmp_path / name, KINDS[name]
    path.write_bytes(whole)
    expected, kept = image_files.read_image(path), 0
    for length in {*range(0, min(len(whole), 300), 5), *range(0, len(whole), 97), len(whole) - 1}:
        path.write_bytes(whole[:length])
        if not refused(lambda: np.testing.assert_array_equal(image_files.read_image(path), expected), path):
            kept += 1
    assert kept < 20  # what is cut off the end of a file may be no pixels


@pytest.mark.parametrize("name", KINDS)
@again
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4), head=st.booleans())
def test_an_image_with_changed_bytes_is_read_or_named(name, places, head, tmp_path):
    path, content = tmp_path / name, bytearray(KINDS[name])
    for place, value in places:
        content[int(place * (min(len(content), 300) if head else len(content) - 1))] = value
    path.write_bytes(content)
    with memory(20 * MOST):  # a changed size may be that of an image, which is allocated
        refused(lambda: image_files.read_image(path), path)


# --- Images: what their header claims ---


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claimed_png(width, height, pixels=b"\0" * 72, extra=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def claimed_tiff(width, height, content=b"", compression=1, after=0):
    place = 8 + 2 + 12 * 9 + 4
    short = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: place, 277: 1, 278: height}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (short | {279: len(content)}).items())
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 9) + tags + struct.pack("<I", after) + content


def claimed_jpeg(width, height):
    content = bytearray(jpeg(GRAY))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


ZEROS = zlib.compress(b"\0" * 10**8)
LARGE = "too large to be read at once, cut it into parts"
CLAIMS = {
    "large.png": (claimed_png(60_000, 60_000), LARGE),
    "long.png": (claimed_png(10**9, 1), LARGE),
    "larger.png": (claimed_png(2**31 - 1, 2**31 - 1), LARGE),
    "large.jpg": (claimed_jpeg(65_000, 65_000), LARGE),
    "large.tif": (claimed_tiff(60_000, 60_000, b"x"), LARGE),
    "packed.tif": (claimed_tiff(60_000, 60_000, ZEROS[:1000], 8), LARGE),
    "larger.tif": (claimed_tiff(2**31, 2**31, b"x"), LARGE),
    "short.tif": (claimed_tiff(20_000, 20_000, b"x"), "may be truncated"),
    "bomb.tif": (claimed_tiff(100, 100, ZEROS, 8), "a part of it unpacks to more than 10000 bytes"),
    "text.png": (chunk(b"tEXt", b"no picture"), "may be truncated"),
    "bomb.png": (claimed_png(8, 8, extra=chunk(b"zTXt", b"a\0\0" + ZEROS)), "Decompressed data too large"),
    "words.png": (b"not an image at all", "cannot be read as an image"),
    "words.tiff": (b"not an image at all", "not a TIFF file"),
    "empty.png": (b"", "cannot be read as an image"),
    "empty.tif": (b"", "not a TIFF file"),
    "other.tif": (KINDS["gray.png"], "save it anew as plain PNG or TIFF"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_claims_takes_no_memory(name, tmp_path):
    content, message = CLAIMS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with memory(MOST + (400_000_000 if name == "short.tif" else 0)):  # reserved, not used
        assert refused(lambda: image_files.read_image(path), path, message)


def test_pages_that_follow_themselves_end(tmp_path):
    path = tmp_path / "loop.tif"
    path.write_bytes(claimed_tiff(10, 10, bytes(range(100)), after=8))
    np.testing.assert_array_equal(image_files.read_image(path), np.arange(100).reshape(10, 10))


def test_pixels_behind_the_last_of_a_png_are_not_unpacked(tmp_path):
    path = tmp_path / "more.png"
    path.write_bytes(claimed_png(8, 8, b"\0" * 10**8))
    np.testing.assert_array_equal(image_files.read_image(path), np.zeros((8, 8)))


# --- Images: kinds ---


def saved(path, picture, **choices):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **choices)
    return path


def test_a_palette_is_looked_up(tmp_path):
    indices = Image.fromarray(GRAY % 3).convert("P")
    indices.putpalette([0, 0, 0, 30, 60, 90, 200, 100, 0])
    path = saved(tmp_path / "a.png", indices)
    assert indices.mode == "P"
    expected = np.array([0, 60, 100])[GRAY % 3] / 255  # the means of the colours
    np.testing.assert_allclose(unsplit.read_images(path.parent).images[0], expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"a.png is a mask of shape \(40, 50, 3\): save it as one gray channel"):
        LabelFolder(path.parent)


def test_one_bit_makes_a_mask_and_no_image(tmp_path):
    mask = GRAY > 100
    path = saved(tmp_path / "masks" / "a.png", Image.fromarray(mask))
    with pytest.raises(ValueError, match=r"a.png holds bool pixels, expected 8- or 16-bit unsigned integers: convert"):
        unsplit.read_images(path.parent)
    saved(tmp_path / "images" / "a.png", Image.fromarray(GRAY))
    np.testing.assert_array_equal(unsplit.read_images(tmp_path / "images", tmp_path / "masks").masks[0], mask)


def test_an_animation_is_its_first_image(tmp_path):
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    path = saved(tmp_path / "a.png", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(image_files.read_image(path), GRAY)


@pytest.mark.parametrize("choices", [dict(), dict(compression="zlib"), dict(compression="zlib", tile=(16, 16))])
def test_a_tiff_is_the_same_however_it_is_packed(choices, tmp_path):
    deep = GRAY.astype(np.uint16) * 257
    (tmp_path / "a.tif").write_bytes(tiff(deep, **choices))
    np.testing.assert_array_equal(image_files.read_image(tmp_path / "a.tif"), deep)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((40, 50), np.nan, np.float32), r"a.tif is a mask with the values \[nan\]"),
        (np.stack([GRAY] * 7), r"a.tif has shape \(7, 40, 50\)"),
        (np.zeros((2, 7, 40, 50), np.uint8), r"a.tif has shape \(2, 7, 40, 50\)"),
    ],
)
def test_pixels_that_are_no_mask_are_named(pixels, message, tmp_path):
    saved(tmp_path / "images" / "a.png", Image.fromarray(GRAY))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.tif").write_bytes(tiff(pixels))
    with pytest.raises(ValueError, match=message):
        unsplit.read_images(tmp_path / "images", tmp_path / "masks")


def test_pages_of_pages_are_no_image(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((40, 50, 2, 3), np.uint8)))
    with pytest.raises(ValueError, match=r"a.tif has shape \(40, 50, 2, 3\), .*: save one plane a file"):
        unsplit.read_images(tmp_path)


# --- Folders: what stands in place of a file ---


@pytest.fixture
def folder(tmp_path):
    """A set of one image a split, all of them beside things that are no images."""
    for split, kind in itertools.product(datasets.SPLITS, ("images", "labels")):
        place = tmp_path / "set" / split / kind
        saved(place / f"{split}.png", Image.fromarray(GRAY if kind == "images" else (GRAY > 9).astype(np.uint8)))
        (place / "folder.png").mkdir()
        (place / ".hidden.png").write_bytes(b"")
        os.mkfifo(place / "pipe.png")
    return tmp_path / "set"


def test_folders_pipes_and_hidden_files_are_passed_over(folder):
    assert datasets.load(folder, "val").ids == ("val",)
    found = unsplit.read_images(folder / "train" / "images", folder / "train" / "labels")
    assert [path.name for path in found.paths] == ["train.png"]
    assert [path.name for path in LabelFolder(folder / "test" / "labels").paths] == ["test.png"]


@pytest.mark.parametrize("target", ["lost.png", "absent", "."])
def test_links_that_lead_to_no_file_are_named(folder, target):
    for kind in ("images", "labels"):
        (folder / "train" / kind / "lost.png").symlink_to(target)
    images, masks = (folder / "train" / kind for kind in ("images", "labels"))
    for call in (
        lambda: datasets.load(folder, "train"),
        lambda: unsplit.read_images(images, masks),
        lambda: LabelFolder(masks),
    ):
        assert refused(call, "lost.png cannot be read as an image (there is no such file)")


def test_links_to_images_are_read(folder):
    (folder / "linked").symlink_to(folder / "train" / "images")
    assert len(unsplit.read_images(folder / "linked").paths) == 1


# --- JSON beside images and figures ---

texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda of: st.lists(of, max_size=4) | st.dictionaries(st.sampled_from(["classes", "ignore_index", "a"]), of),
    max_leaves=8,
)
DEEP = "[" * 100_000


@pytest.mark.parametrize("name", ["classes.json", "fields.json"])
@again
@given(value=texts)
def test_any_json_beside_a_set_is_used_or_named(name, value, tmp_path):
    for split, kind in itertools.product(datasets.SPLITS, ("images", "labels")):
        (tmp_path / split / kind).mkdir(parents=True, exist_ok=True)
        (tmp_path / split / kind / f"{split}.png").touch()
    (tmp_path / name).write_text(json.dumps(value))
    refused(lambda: folders.read(tmp_path, "test"), tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classes.json", DEEP, "is no JSON"),
        ("fields.json", DEEP, "is no JSON"),
        ("fields.json", "{}", "is incomplete: expected a list of lists of file names"),
        ("fields.json", "null", "is incomplete"),
        ("fields.json", "[1]", "is incomplete"),
        ("fields.json", '["train.png"]', "is incomplete"),
        ("fields.json", "[[1]]", "is incomplete"),
    ],
)
def test_json_of_another_form_says_what_is_expected(folder, name, text, message):
    (folder / name).write_text(text)
    assert refused(lambda: datasets.load(folder, "train"), f"{name} {message}", "or no such file")


@pytest.mark.parametrize(
    "content", [DEEP.encode(), b"\xff\xfe", b"", b"1" * 5000, b"{", b'{"a": 1}', b"[[]]", b"[{}]", b"3"]
)
def test_verdicts_and_records_that_are_none_say_how_to_make_them(content, tmp_path):
    path = tmp_path / "claims.json"
    path.write_bytes(content)
    for load in (tables.load, records.load):
        assert refused(lambda load=load: load(path), path, "make figures")


def test_verdicts_that_are_absent_say_how_to_make_them(tmp_path):
    assert refused(lambda: tables.load(tmp_path / "claims.json"), "there are no verdicts", "make figures")


@pytest.mark.parametrize("content", [DEEP, "", "1", "[]", '{"schema": 1, "loss": 3}'])
def test_a_cached_run_that_is_none_is_computed_again(content):
    entry = _files.cache_folder() / "key.json"
    _files.atomic_write(entry, content)
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read("key", TrainConfig()) is None


@pytest.mark.parametrize(
    "text",
    ["", "3x3", "3x3:", "3x3:AAAA", "x:", "-1x-1:", records.pack(GRAY)[:-20], f"2x2:{records.pack(GRAY)[6:]}", "3x3:é"],
)
def test_packed_ids_that_are_damaged_are_named(text):
    assert refused(lambda: records.unpack(text), "holds no class ids", "make figures")


def test_packed_ids_take_no_more_memory_than_their_shape(rng):
    text = f"2x2:{records.pack(np.zeros((10_000, 10_000), np.uint8)).partition(':')[2]}"
    with memory(MOST):
        assert refused(lambda: records.unpack(text), "holds no class ids")


# --- Saved networks and stored sets ---


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "a.safetensors"
    weights.save(Model(models.build("unet_light", width=1), preset("paper", model="unet_light", width=1)), path)
    return path.read_bytes()


def test_a_saved_network_cut_anywhere_is_named(network, tmp_path):
    path = tmp_path / "a.safetensors"
    for length in {*range(0, 200, 9), *range(200, len(network), 499), len(network) - 1}:
        path.write_bytes(network[:length])
        assert refused(lambda: weights.load(path), path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("[", "is no JSON"),
        (DEEP, "is no JSON"),
        ("[]", "has no fields of a configuration"),
        ('{"width": "8"}', "width is '8', expected int"),
        ('{"width": 0}', "width is 0"),
        ('{"model": "vgg"}', "holds no network of its configuration"),
        ('{"width": 1000000}', "width is 1000000, expected a whole number from 1 to 256"),
        ('{"width": 8}', "holds no network of its configuration"),
    ],
)
def test_a_saved_configuration_that_does_not_fit_is_named(about, message, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(models.build("unet_light", width=1).state_dict(), path, {"igtt": about})
    assert refused(lambda: weights.load(path), path, message)


@again
@given(place=st.integers(0, 127), value=st.integers(0, 255))
def test_a_stored_set_with_a_changed_header_is_drawn_again_or_read(place, value, tmp_path):
    def draw():
        return zip(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.eye(2, dtype=np.uint8), strict=True)

    datasets.mapped("a", 2, draw)
    file = next(_files.cache_folder().glob("sets/*/a.images.npy"))
    content = bytearray(file.read_bytes())
    content[place] = value
    file.write_bytes(content)
    assert datasets.mapped("a", 2, draw)[0].size == 8
    file.unlink()


# --- Archives ---


@pytest.fixture(scope="module")
def archive():
    return pack(make_members(2))


def test_an_archive_cut_anywhere_is_named(archive, tmp_path):
    path = tmp_path / "a.zip"
    for length in {*range(0, 100, 20), *range(100, len(archive), 7919), *range(len(archive) - 100, len(archive), 11)}:
        path.write_bytes(archive[:length])
        assert refused(lambda: download.convert(path, tmp_path / "nuc", 2), path)


@again
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=3), end=st.booleans())
def test_an_archive_with_changed_bytes_is_converted_or_named(archive, places, end, tmp_path):
    path, content = tmp_path / "a.zip", bytearray(archive)
    first = len(content) - 1200 if end else 0  # its directory
    for place, value in places:
        content[first + int(place * (len(content) - 1 - first))] = value
    path.write_bytes(content)
    refused(lambda: download.convert(path, tmp_path / "nuc", 2), path)


def crammed(size, told=None):
    """An archive whose first image unpacks to `size` zeros; told: the size that its directory tells."""
    buffer, name = io.BytesIO(), f"{make_id(0)}/images/{make_id(0)}.png"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in (make_members(1) | {name: b"\0" * size}).items():
            file.writestr(member, content)
    content = buffer.getvalue()
    return content.replace(struct.pack("<I", size), struct.pack("<I", told)) if told else content


@pytest.mark.parametrize("told", [None, 1000])
def test_a_member_is_not_unpacked_beyond_what_images_have(told, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(crammed(10**8, told))
    with memory(2 * MOST):
        assert refused(
            lambda: download.convert(path, tmp_path / "nuc", COUNT), path, make_id(0), "download the archive"
        )


def test_an_image_of_an_archive_that_claims_to_be_large_is_named(tmp_path):
    path, name = tmp_path / "a.zip", f"{make_id(0)}/images/{make_id(0)}.png"
    path.write_bytes(pack(make_members(1) | {name: claimed_png(60_000, 60_000)}))
    assert refused(lambda: download.convert(path, tmp_path / "nuc", 1), path, name, "decompression bomb")


def test_links_in_an_archive_are_not_followed(tmp_path):
    path, secret = tmp_path / "a.zip", tmp_path / "secret.png"
    secret.write_bytes(png(make_image(0)))
    buffer, member = io.BytesIO(), zipfile.ZipInfo(f"{make_id(0)}/images/{make_id(0)}.png")
    member.external_attr = 0o120777 << 16  # a symbolic link
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(member, str(secret))
    path.write_bytes(buffer.getvalue())
    assert refused(lambda: download.convert(path, tmp_path / "nuc", 1), path, member.filename, "cannot be read")
