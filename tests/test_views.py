"""Images that are turned and standardised as they are asked for are those of all at once."""

from dataclasses import asdict

import numpy as np
import pytest

from metalib import datasets, training, views


def test_turned_images_are_the_turns_one_after_the_other(rng):
    images = rng.random((3, 2, 5, 5), dtype=np.float32)
    rotations = [np.rot90(images, k, (-2, -1)) for k in (1, 2, 3)]
    every = np.concatenate([images, images[..., ::-1], images[..., ::-1, :], *rotations])
    found = views.Turned(images)
    assert (len(found), found.shape, found.nbytes) == (18, every.shape, every.nbytes)
    np.testing.assert_array_equal(found, every)
    np.testing.assert_array_equal(found[4:9], every[4:9])
    chosen = rng.permutation(18)[:7]
    np.testing.assert_array_equal(found[chosen], every[chosen])


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**26])
def test_standardised_images_are_z_scores_whatever_is_asked_for(chunk_bytes, rng, monkeypatch):
    monkeypatch.setattr(views, "_CHUNK_BYTES", chunk_bytes)
    images = rng.gamma(2, size=(7, 2, 6, 4)).astype(np.float32)
    axes = dict(axis=(1, 2, 3), keepdims=True)
    every = (images - images.mean(**axes)) / images.std(**axes)
    found = views.Standardised(images, range(7))
    np.testing.assert_array_equal(found[:], every)
    np.testing.assert_array_equal(found[np.array([5, 0, 5])], every[[5, 0, 5]])


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("data", ["er-like", "street-like-3"])
def test_a_set_that_is_not_kept_trains_the_same_network(data, augment, monkeypatch):
    shape = dict(size=32, width=4, train=8, val=2, test=2, epochs=2, batch=4)
    config = training.TrainConfig(data=data, model="unet_light", recipe="rcl_flip:0.1", augment=augment, **shape)
    if augment and data != "er-like":
        pytest.skip("streets are not square")
    kept = training.train(config, "cpu")
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    read = training.train(config, "cpu")
    assert asdict(read) | {"seconds": 0} == asdict(kept) | {"seconds": 0}


def test_images_that_are_not_kept_are_read_batch_by_batch(monkeypatch):
    asked, get = [], views.Standardised.__getitem__
    monkeypatch.setattr(views.Standardised, "__getitem__", lambda self, which: asked.append(which) or get(self, which))
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    shape = dict(size=32, width=4, train=8, val=2, test=2, epochs=1, batch=4)
    training.train(training.TrainConfig(model="unet_light", augment=False, **shape), "cpu")
    assert sorted(np.concatenate(asked[:2])) == list(range(8))
    assert slice(None) not in [which for which in asked if isinstance(which, slice)]


def test_a_folder_is_read_once_and_mapped(tmp_path, monkeypatch):
    import imageio.v3 as iio

    for split in datasets.SPLITS:
        for kind in ("images", "labels"):
            (tmp_path / "set" / split / kind).mkdir(parents=True)
            iio.imwrite(
                tmp_path / "set" / split / kind / "a.png", np.eye(8, dtype=np.uint8) * (255 if kind == "images" else 1)
            )
    first = datasets.load(tmp_path / "set", "train")
    monkeypatch.setattr(datasets.folders, "read_image", None)  # calling it would raise
    again = datasets.load(tmp_path / "set", "train")
    np.testing.assert_array_equal(first.images, again.images)
    assert isinstance(again.images.base.base, np.memmap) or isinstance(again.images.base, np.memmap)
