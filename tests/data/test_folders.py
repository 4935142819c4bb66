"""Folders of two and of several classes, and the official layouts of ER and MITO."""

import json
import os
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from small_sets import write_set

from metalib import _files
from metalib._labels import IGNORE
from metalib.claims import tables
from metalib.data import datasets
from metalib.runs import records


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("dtype", "foreground"), [(np.uint8, 255), (np.uint16, 1)])
def test_a_folder_is_read_at_full_depth(tmp_path, suffix, dtype, foreground):
    images = write_set(tmp_path, suffix, dtype, foreground)
    found = datasets.load(tmp_path, "train")
    np.testing.assert_array_equal(found.images[:, 0], images.astype(np.float32) / np.iinfo(dtype).max)
    assert found.images.dtype == np.float32
    assert (found.labels.shape, found.labels.dtype) == ((3, 32, 32), np.uint8)
    assert set(np.unique(found.labels)) == {0, 1}
    assert found.ids == ("train0", "train1", "train2")
    assert (found.classes, found.names) == (2, ("background", "foreground"))


def test_images_are_reduced_by_block_means_and_masks_by_majority(tmp_path):
    images = write_set(tmp_path)
    found = datasets.load(tmp_path, "train", size=16, limit=1)
    expected = images[0].reshape(16, 2, 16, 2).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(found.images[0, 0], expected, atol=1e-6)
    mask = datasets.load(tmp_path, "train", limit=1).labels[0]
    np.testing.assert_array_equal(found.labels[0], mask.reshape(16, 2, 16, 2).sum(axis=(1, 3)) >= 2)


def test_fields_of_view_stay_on_one_side(tmp_path):
    write_set(tmp_path, count=20)
    fields = [[f"{split}/{split}{i}.png" for split in datasets.SPLITS] for i in range(10)]
    (tmp_path / "fields.json").write_text(json.dumps(fields))
    ids = {split: set(datasets.load(tmp_path, split).ids) for split in datasets.SPLITS}
    assert sum(map(len, ids.values())) == 60
    for field in fields:
        stems = {name.split("/")[1].removesuffix(".png") for name in field}
        assert sum(bool(stems & part) for part in ids.values()) == 1
    assert 12 <= len(ids["test"]) <= 14
    assert 6 <= len(ids["val"]) <= 8


def test_too_few_fields_to_split_are_told(tmp_path):
    write_set(tmp_path, count=1)
    (tmp_path / "fields.json").write_text(json.dumps([[f"{split}/{split}0.png" for split in datasets.SPLITS]]))
    with pytest.raises(ValueError, match=r"split 'train' of .* is empty: its fields of view are too few"):
        datasets.load(tmp_path, "train")


def test_real_nuclei_are_split_by_field(nuc):
    fields = json.loads((nuc / "fields.json").read_text())
    ids = {split: set(datasets.load("nuc", split).ids) for split in datasets.SPLITS}
    assert {split: len(part) for split, part in ids.items()}.keys() == set(datasets.SPLITS)
    assert sum(map(len, ids.values())) == 334
    for field in fields:
        stems = {name.split("/")[1].removesuffix(".png") for name in field}
        assert sum(bool(stems & part) for part in ids.values()) == 1


def truncated(folder):
    file = folder / "train" / "images" / "train1.png"
    file.write_bytes(file.read_bytes()[:60])


def empty(folder):
    shutil.rmtree(folder / "train" / "images")
    shutil.rmtree(folder / "train" / "labels")
    (folder / "train" / "images").mkdir()
    (folder / "train" / "labels").mkdir()


def gray_levels(folder):
    iio.imwrite(folder / "train" / "labels" / "train1.png", np.full((32, 32), 128, np.uint8))


def other_size(folder):
    iio.imwrite(folder / "train" / "labels" / "train1.png", np.zeros((16, 32), np.uint8))


def mixed_sizes(folder):
    for kind in ("images", "labels"):
        iio.imwrite(folder / "train" / kind / "train1.png", np.zeros((16, 16), np.uint8))


def colour_mask(folder):
    iio.imwrite(folder / "train" / "labels" / "train1.png", np.zeros((32, 32, 3), np.uint8))


def twins(folder):
    iio.imwrite(folder / "train" / "images" / "train1.tif", np.zeros((32, 32), np.uint8))


def broken_fields(folder):
    (folder / "fields.json").write_text('[["train/train1.png"')


def floats(folder):
    (folder / "train" / "images" / "train1.png").unlink()
    iio.imwrite(folder / "train" / "images" / "train1.tif", np.full((32, 32), np.nan, np.float32))


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (truncated, ValueError, r"train1.png cannot be read.*may be truncated"),
        (empty, ValueError, r"train.images holds no image: expected files named .png, .tif, .tiff, .jpg, .jpeg"),
        (
            lambda f: (f / "train" / "labels" / "train1.png").unlink(),
            FileNotFoundError,
            r"images.train1.png has no partner",
        ),
        (
            lambda f: (f / "train" / "images" / "train1.png").unlink(),
            FileNotFoundError,
            r"labels.train1.png has no partner",
        ),
        (lambda f: shutil.rmtree(f / "train" / "labels"), FileNotFoundError, "labels is missing"),
        (gray_levels, ValueError, r"train1.png.*values \[128\], expected"),
        (other_size, ValueError, r"train1.png is \(32, 32\) px, its mask .* is \(16, 32\)"),
        (mixed_sizes, ValueError, r"train1.png has shape \(1, 16, 16\)"),
        (colour_mask, ValueError, r"train1.png is a mask of shape \(32, 32, 3\): save it as one gray channel"),
        (twins, ValueError, r"train1.png and train1.tif share a stem"),
        (broken_fields, ValueError, r"fields.json is no JSON"),
        (floats, ValueError, r"train1.tif holds float32 pixels"),
    ],
)
def test_bad_folders_are_refused_with_the_file_at_fault(tmp_path, spoil, kind, message):
    write_set(tmp_path)
    spoil(tmp_path)
    with pytest.raises(kind, match=message):
        datasets.load(tmp_path, "train")


NAMES = ["sky", "road", "car"]


def write_classes(folder, names=NAMES, **other):
    (folder / "classes.json").write_text(json.dumps({"classes": names, "ignore_index": 255} | other))


def write_split(part, stems=("a", "b"), shape=(24, 36), suffix=".png"):
    """Images and class ids 0 to 2 and 255; returns the ids of the first image."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (part / kind).mkdir(parents=True)
    ids = rng.choice(np.array([0, 1, 2, 255], np.uint8), (len(stems), *shape))
    for stem, mask in zip(stems, ids, strict=True):
        iio.imwrite(part / "images" / f"{stem}{suffix}", rng.integers(0, 255, (*shape, 3)).astype(np.uint8))
        iio.imwrite(part / "labels" / f"{stem}.png", mask)
    return ids[0]


@pytest.fixture
def several(tmp_path):
    """A folder of three classes; its training images are 24 x 36 px."""
    write_classes(tmp_path)
    write_split(tmp_path / "train")
    return tmp_path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_class_ids_are_read_with_their_names_and_void(tmp_path, suffix):
    write_classes(tmp_path, palette=[[0, 0, 0]] * 3)
    ids = write_split(tmp_path / "val", suffix=suffix)
    found = datasets.load(tmp_path, "val")
    assert (found.images.shape, found.images.dtype) == ((2, 3, 24, 36), np.float32)
    assert (found.labels.shape, found.labels.dtype) == ((2, 24, 36), np.uint8)
    np.testing.assert_array_equal(found.labels[0], ids)
    assert (found.ids, found.classes, found.names) == (("a", "b"), 3, tuple(NAMES))
    pixels = iio.imread(tmp_path / "val" / "images" / f"a{suffix}")
    np.testing.assert_array_equal(found.images[0], np.moveaxis(pixels, -1, 0).astype(np.float32) / 255)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_wide_images_are_reduced_to_a_shorter_side_and_ids_by_one_pixel_of_each_block(several, factor):
    whole = datasets.load(several, "train")
    small = datasets.load(several, "train", size=24 // factor)
    assert small.images.shape == (2, 3, 24 // factor, 36 // factor)
    for row, column in ((0, 0), (3, 5), (5, 8)):
        block = (..., *(slice(factor * n, factor * (n + 1)) for n in (row, column)))
        np.testing.assert_allclose(small.images[..., row, column], whole.images[block].mean(axis=(2, 3)), atol=1e-6)
        np.testing.assert_array_equal(small.labels[:, row, column], whole.labels[block][:, factor // 2, factor // 2])
    assert (small.labels == IGNORE).any()


def test_the_shorter_side_may_be_the_width(tmp_path):
    write_classes(tmp_path)
    write_split(tmp_path / "train", shape=(36, 24))
    assert datasets.load(tmp_path, "train", size=12).labels.shape == (2, 18, 12)


@pytest.mark.parametrize("size", [16, 48, 3, 5])  # 24 / 16 is not whole, 48 enlarges, 36 is no multiple of 24 / 3 = 8
def test_sizes_that_no_whole_factor_gives_are_refused_with_those_it_gives(several, size):
    with pytest.raises(
        ValueError, match=rf"a.png is 24 x 36 px, .*size={size} .* choose a size of 24, 12, 8, 6, 4, 2, or"
    ):
        datasets.load(several, "train", size=size)


def test_binary_masks_that_are_not_square_are_reduced_by_majority(several):
    (several / "classes.json").unlink()
    mask = np.zeros((24, 36), np.uint8)
    mask[0, 0] = mask[2:4, 2] = 255
    for stem in ("a", "b"):
        iio.imwrite(several / "train" / "labels" / f"{stem}.png", mask)
    small = datasets.load(several, "train", size=12).labels[0]
    assert small.shape == (12, 18)
    assert np.argwhere(small).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2",
        "[]",
        "{}",
        '{"classes": "abc", "ignore_index": 255}',
        '{"classes": ["a", "b", 3], "ignore_index": 255}',
        '{"classes": ["a", "b", "b"], "ignore_index": 255}',
        '{"classes": ["a", "b"], "ignore_index": 255}',
        '{"classes": ["a", "b", "c"]}',
        '{"classes": ["a", "b", "c"], "ignore_index": 0}',
        json.dumps({"classes": [str(n) for n in range(256)], "ignore_index": 255}),
    ],
)
def test_a_broken_or_incomplete_list_of_classes_is_named(several, text):
    (several / "classes.json").write_text(text)
    with pytest.raises(ValueError, match=r'classes.json is (no JSON|incomplete).*expected {"classes": '):
        datasets.load(several, "train")


def test_a_list_of_classes_that_is_no_text_is_named(several):
    (several / "classes.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"classes.json is no JSON"):
        datasets.load(several, "train")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            np.full((24, 36), 3, np.uint8),
            r"b.png holds the value 3, more classes than classes.json lists: it names 0 to 2",
        ),
        (np.full((24, 36), 254, np.uint8), r"b.png holds the value 254, more classes than classes.json lists"),
        (np.full((24, 36), 1, np.uint16), r"b.png is a mask of uint16, expected class ids as uint8"),
        (np.zeros((24, 36, 3), np.uint8), r"b.png is a mask of shape \(24, 36, 3\): save it as one gray channel"),
        (np.zeros((36, 24), np.uint8), r"b.png is \(24, 36\) px, its mask .*b.png is \(36, 24\)"),
    ],
)
def test_masks_that_are_no_class_ids_are_named(several, mask, message):
    iio.imwrite(several / "train" / "labels" / "b.png", mask)
    with pytest.raises(ValueError, match=message):
        datasets.load(several, "train")


def test_class_ids_without_a_list_of_classes_are_told_what_they_need(several):
    (several / "classes.json").unlink()
    with pytest.raises(ValueError, match=r"a.png .*values \[0, 1, 2, 255\], .*several classes need classes.json"):
        datasets.load(several, "train")


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_labels_are_never_read_from_jpeg(several, suffix):
    labels = several / "train" / "labels"
    iio.imwrite(labels / f"b{suffix}", iio.imread(labels / "b.png"))
    (labels / "b.png").unlink()
    with pytest.raises(
        ValueError, match=rf"b{suffix} is a JPEG, whose compression changes labels: save them anew as PNG"
    ):
        datasets.load(several, "train")


def test_real_streets_have_eleven_classes(street):
    found = datasets.load("street", "val", size=96, limit=12)
    assert found.images.shape == (12, 3, 96, 128)
    assert (found.classes, found.names[:2]) == (11, ("sky", "building"))
    assert set(np.unique(found.labels)) - {IGNORE} <= set(range(11))
    assert 0.15 < (found.labels == 0).mean() + (found.labels == 1).mean() < 0.6
    counts = {split: len(list((street / split / "labels").iterdir())) for split in datasets.SPLITS}
    assert counts == {"train": 367, "val": 101, "test": 233}


def test_a_few_images_of_a_real_set_stem_from_all_its_films(street):
    films = {name.split("_")[0] for name in datasets.load("street", "train", size=24, limit=24).ids}
    assert films == {"0001TP", "0006R0", "0016E5"}


def test_a_real_set_and_the_folder_that_holds_it_keep_their_own_images(tmp_path):
    where = tmp_path / "street"
    for kind in ("images", "labels"):
        (where / "train" / kind).mkdir(parents=True)
    write_classes(where)
    for number in range(12):
        iio.imwrite(where / "train" / "images" / f"{number:02}.png", np.full((8, 8, 3), 20 * number, np.uint8))
        iio.imwrite(where / "train" / "labels" / f"{number:02}.png", np.full((8, 8), number % 3, np.uint8))
    mixed, first = (datasets.load(of, "train", tmp_path, limit=4) for of in ("street", where))
    assert mixed.ids != first.ids
    for found in (mixed, first):
        np.testing.assert_allclose(found.images[:, 0, 0, 0] * 255, [20 * int(name) for name in found.ids], rtol=1e-6)


ER = {"train": 157, "val": 28, "test": 38}


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """The folder layout of the ER and MITO sets: three distinct images a split, the others hard links to them."""
    root = tmp_path_factory.mktemp("official")
    rng = np.random.default_rng(0)
    for name, counts in (("er", ER), ("mito", {"train": 165, "val": 8, "test": 10})):
        for split, count in counts.items():
            parts = [root / name / split / kind for kind in ("images", "labels")]
            for part in parts:
                part.mkdir(parents=True)
            for index in range(count):
                files = [
                    part / f"{split}_{index:03d}{suffix}" for part, suffix in zip(parts, (".tif", ".TIF"), strict=True)
                ]
                if index < 3:
                    mask = np.kron(rng.random((32, 32)) < 0.3, np.ones((8, 8), bool))
                    tifffile.imwrite(files[0], rng.integers(0, 65536, (256, 256)).astype(np.uint16))
                    tifffile.imwrite(files[1], mask.astype(np.uint8) * 255)
                else:
                    for part, file in zip(parts, files, strict=True):
                        os.link(part / f"{split}_{index % 3:03d}{file.suffix}", file)
    return root


@pytest.fixture
def er(official, tmp_path):
    """A folder with a copy of the official ER set that a test may spoil; its files are links, so replace, do not write."""
    shutil.copytree(official / "er", tmp_path / "er", copy_function=os.link)
    return tmp_path


def test_the_official_layout_runs_end_to_end(er, compute_here, monkeypatch):
    monkeypatch.setenv("METALIB_DATA", str(er))
    compute_here(Path(__file__).parents[2] / "notebooks" / "11_text_and_code.ipynb", profile="smoke", data="er")
    record = records.load(_files.figures_folder() / "11_text_and_code.er.smoke.json")
    assert (record["config"]["data"], record["config"]["size"]) == ("er", 32)
    assert record["config"]["files"] == datasets.fingerprint("er")
    assert 0.2 < record["numbers"]["runs"]["cl"]["foreground"] < 0.4  # drawn as 0.3
    assert {row["data"] for row in tables.load(_files.figures_folder() / "claims.json")} == {"er"}


@pytest.mark.parametrize(("name", "counts"), [("er", (157, 28, 38)), ("mito", (165, 8, 10))])
def test_the_official_sets_are_read_at_full_depth(official, name, counts):
    for split, count in zip(datasets.SPLITS, counts, strict=True):
        found = datasets.load(name, split, official, size=64)
        assert (found.images.shape, found.labels.shape) == ((count, 1, 64, 64), (count, 64, 64))
        assert (found.names, len(set(found.ids))) == (("background", "foreground"), count)
    one = datasets.load(name, "test", official, limit=1)
    part = official / name / "test"
    image = tifffile.imread(part / "images" / f"{one.ids[0]}.tif")
    np.testing.assert_array_equal(one.images[0, 0], image.astype(np.float32) / 65535)
    np.testing.assert_array_equal(one.labels[0], tifffile.imread(part / "labels" / f"{one.ids[0]}.TIF") // 255)


def test_a_missing_image_of_an_official_set_is_counted_even_for_a_few(er):
    for kind, suffix in (("images", ".tif"), ("labels", ".TIF")):
        (er / "er" / "val" / kind / f"val_005{suffix}").unlink()
    with pytest.raises(ValueError, match=r"er.val holds 27 images, expected 28: .*IEEE DataPort"):
        datasets.load("er", "val", er, limit=2)
    assert len(datasets.load("er", "test", er, limit=2).ids) == 2


@pytest.mark.parametrize(("name", "found", "count"), [("er", 942, 157), ("mito", 990, 165)])
def test_the_official_augmentation_is_recognised(official, tmp_path, name, found, count):
    for kind, suffix in (("images", ".tif"), ("labels", ".TIF")):
        (tmp_path / name / "train" / kind).mkdir(parents=True)
        for file in (official / name / "train" / kind).iterdir():
            for turn in range(1, 7):
                os.link(file, tmp_path / name / "train" / kind / f"{file.stem}_{turn}{suffix}")
    message = (
        rf"train holds {found} images, expected {count}: .*six copies.*metalib augments by itself.*keep the originals"
    )
    with pytest.raises(ValueError, match=message):
        datasets.load(name, "train", tmp_path, limit=1)


@pytest.mark.parametrize(
    ("kind", "pixels", "message"),
    [
        (
            "images",
            np.zeros((256, 256), np.uint8),
            r"val_004.tif is \(256, 256\) px of uint8, .* \(256, 256\) px of uint16",
        ),
        ("images", np.zeros((128, 128), np.uint16), r"val_004.tif is \(128, 128\) px of uint16, .* \(256, 256\) px"),
        ("images", np.zeros((256, 256, 3), np.uint16), r"val_004.tif is \(256, 256, 3\) px of uint16"),
        ("labels", np.ones((256, 256), np.uint8), r"val_004.TIF is a mask with the values \[1\], .*hold 0 and 255"),
        (
            "labels",
            np.full((256, 256), 128, np.uint8),
            r"val_004.TIF is a mask with the values \[128\], .*hold 0 and 255",
        ),
    ],
)
def test_files_that_cannot_be_official_are_named(er, kind, pixels, message):
    suffix = {"images": ".tif", "labels": ".TIF"}
    replaced = [kind] if pixels.shape[:2] == (256, 256) else list(suffix)
    for part in replaced:
        file = er / "er" / "val" / part / f"val_004{suffix[part]}"
        file.unlink()
        tifffile.imwrite(file, pixels if part == kind else pixels.astype(np.uint8))
    with pytest.raises(ValueError, match=message):
        datasets.load("er", "val", er)
