"""Cityscapes as its archives unpack: split by city, nineteen classes and void."""

import shutil
from zlib import crc32

import imageio.v3 as iio
import numpy as np
import pytest
from torchvision.datasets import Cityscapes

from metalib._labels import IGNORE
from metalib.data import datasets, folders

TRAINED = (
    "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, rider, "
    "car, truck, bus, train, motorcycle, bicycle"
)


def city_files(root, split, city, frame):
    stem = f"{city}_000000_{frame:06d}"
    image = root / "cityscapes" / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
    return image, root / "cityscapes" / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"


@pytest.fixture
def cities(tmp_path):
    """The layout of Cityscapes with images of 24 x 48 px: three training cities and one of the official val split."""
    rng = np.random.default_rng(0)
    for split, city, count in (
        ("train", "aachen", 3),
        ("train", "bochum", 2),
        ("train", "zurich", 2),
        ("val", "ulm", 2),
    ):
        for frame in range(count):
            image, labels = city_files(tmp_path, split, city, frame)
            for file in (image, labels):
                file.parent.mkdir(parents=True, exist_ok=True)
            iio.imwrite(image, rng.integers(0, 255, (24, 48, 3)).astype(np.uint8))
            iio.imwrite(labels, rng.integers(0, 34, (24, 48)).astype(np.uint8))
    return tmp_path


def test_cityscapes_is_split_by_city(cities):
    ids = {split: set(datasets.load("cityscapes", split, cities).ids) for split in datasets.SPLITS}
    assert ids == {
        "train": {"aachen_000000_000000", "aachen_000000_000001", "aachen_000000_000002"}
        | {"bochum_000000_000000", "bochum_000000_000001"},
        "val": {"zurich_000000_000000", "zurich_000000_000001"},
        "test": {"ulm_000000_000000", "ulm_000000_000001"},
    }


def test_a_few_images_of_cityscapes_are_a_mix_that_no_order_of_files_changes(cities):
    mixed = datasets.load("cityscapes", "train", cities).ids
    assert mixed == tuple(sorted(mixed, key=lambda name: crc32(f"{name}_leftImg8bit".encode())))
    assert mixed != tuple(sorted(mixed))
    assert datasets.load("cityscapes", "train", cities, limit=3).ids == mixed[:3]


def test_cityscapes_has_nineteen_classes_and_void(cities):
    found = datasets.load("cityscapes", "val", cities)
    assert (found.images.shape, found.images.dtype) == ((2, 3, 24, 48), np.float32)
    assert (found.labels.shape, found.labels.dtype) == ((2, 24, 48), np.uint8)
    assert (found.classes, ", ".join(found.names)) == (19, TRAINED)
    for number, name in enumerate(found.ids):
        image, labels = (iio.imread(file) for file in city_files(cities, "train", "zurich", int(name[-6:])))
        np.testing.assert_array_equal(found.images[number], np.moveaxis(image, -1, 0).astype(np.float32) / 255)
        train_id = {c.id: c.train_id for c in Cityscapes.classes}
        np.testing.assert_array_equal(found.labels[number], np.vectorize(train_id.get)(labels))
    assert set(np.unique(found.labels)) == {*range(19), IGNORE}
    small = datasets.load("cityscapes", "val", cities, size=8)
    assert small.images.shape == (2, 3, 8, 16)
    np.testing.assert_array_equal(small.labels, found.labels[:, 1::3, 1::3])


@pytest.mark.parametrize(
    ("kind", "part", "split", "archive"),
    [
        ("leftImg8bit", "train", "train", "leftImg8bit_trainvaltest.zip"),
        ("gtFine", "train", "val", "gtFine_trainvaltest.zip"),
        ("gtFine", "val", "test", "gtFine_trainvaltest.zip"),
        ("leftImg8bit", "val", "test", "leftImg8bit_trainvaltest.zip"),
    ],
)
def test_missing_folders_of_cityscapes_are_named_with_their_archive(cities, kind, part, split, archive):
    shutil.rmtree(cities / "cityscapes" / kind / part)
    for call in (
        lambda: datasets.load("cityscapes", split, cities),
        lambda: datasets.fingerprint("cityscapes", cities),
    ):
        with pytest.raises(FileNotFoundError, match=rf"{kind}.{part} is missing: unpack {archive} .*login needed"):
            call()


def test_a_single_training_city_cannot_be_split(cities):
    for city in ("bochum", "zurich"):
        shutil.rmtree(cities / "cityscapes" / "leftImg8bit" / "train" / city)
    with pytest.raises(ValueError, match=r"train holds images of 1 cities, too few for split 'train'"):
        datasets.load("cityscapes", "train", cities)


def test_other_files_beside_the_images_of_a_city_are_passed_over(cities):
    (cities / "cityscapes" / "leftImg8bit" / "train" / "aachen" / "Thumbs.db").write_bytes(b"")
    assert len(datasets.load("cityscapes", "train", cities).ids) == 5


def unknown_id(image, labels):
    iio.imwrite(labels, np.full((24, 48), 34, np.uint8))


def train_ids(image, labels):
    iio.imwrite(labels, np.full((24, 48), 255, np.uint8))


def deep_labels(image, labels):
    iio.imwrite(labels, np.zeros((24, 48), np.uint16))


def other_shape(image, labels):
    iio.imwrite(labels, np.zeros((24, 24), np.uint8))


def colour_labels(image, labels):
    iio.imwrite(labels, np.zeros((24, 48, 3), np.uint8))


def other_size(image, labels):
    iio.imwrite(image, np.zeros((48, 96, 3), np.uint8))
    iio.imwrite(labels, np.zeros((48, 96), np.uint8))


def truncated_image(image, labels):
    image.write_bytes(image.read_bytes()[:200])


def truncated_labels(image, labels):
    labels.write_bytes(labels.read_bytes()[:20])


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (unknown_id, ValueError, r"000001_gtFine_labelIds.png holds the id 34, which Cityscapes does not have"),
        (train_ids, ValueError, r"000001_gtFine_labelIds.png holds the id 255, which Cityscapes does not have"),
        (deep_labels, ValueError, r"000001_gtFine_labelIds.png holds u?int\d\d of shape \(24, 48\), expected uint8"),
        (other_shape, ValueError, r"000001_gtFine_labelIds.png holds uint8 of shape \(24, 24\), expected .*\(24, 48\)"),
        (colour_labels, ValueError, r"000001_gtFine_labelIds.png holds uint8 of shape \(24, 48, 3\)"),
        (other_size, ValueError, r"ulm_.* has shape .*ulm_.* has .*: images of a split must agree"),
        (truncated_image, ValueError, r"000001_leftImg8bit.png cannot be read"),
        (truncated_labels, ValueError, r"000001_gtFine_labelIds.png cannot be read"),
        (
            lambda image, labels: labels.unlink(),
            FileNotFoundError,
            r"000001_gtFine_labelIds.png is missing: unpack gtFine",
        ),
    ],
)
def test_bad_files_of_cityscapes_are_named(cities, spoil, kind, message):
    spoil(*city_files(cities, "val", "ulm", 1))
    with pytest.raises(kind, match=message):
        datasets.load("cityscapes", "test", cities)
    assert len(datasets.load("cityscapes", "val", cities).ids) == 2


def test_the_fingerprint_of_cityscapes_follows_names_and_sizes(cities):
    seen = [datasets.fingerprint("cityscapes", cities)]
    assert datasets.fingerprint("cityscapes", cities) == seen[0]
    image, labels = city_files(cities, "val", "ulm", 1)
    labels.write_bytes(labels.read_bytes() + b" ")
    seen.append(datasets.fingerprint("cityscapes", cities))
    labels.unlink()
    seen.append(datasets.fingerprint("cityscapes", cities))
    image.rename(image.with_name("ulm_000000_000009_leftImg8bit.png"))
    seen.append(datasets.fingerprint("cityscapes", cities))
    moved = cities / "elsewhere"
    shutil.copytree(cities / "cityscapes", moved / "cityscapes")
    assert len(set(seen)) == 4
    assert datasets.fingerprint("cityscapes", moved) == seen[-1]


def test_real_sets_are_found_below_the_folder_of_the_environment(cities, monkeypatch):
    monkeypatch.setenv("METALIB_DATA", str(cities))
    assert len(datasets.load("cityscapes", "test").ids) == 2
    assert folders.SPLITS == datasets.SPLITS
