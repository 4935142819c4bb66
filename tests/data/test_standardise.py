"""Z-scores of images, all at once or as they are asked for: the same."""

import re
from dataclasses import asdict

import numpy as np
import pytest

from metalib.data import datasets, standardise
from metalib.networks import training
from metalib.networks.config import TrainConfig
from metalib.unsupervised import pseudo_labels


def test_standardised_images_have_mean_zero_and_deviation_one():
    found = datasets.load("er-like", "val", size=64, limit=3)
    images = standardise.standardise(found.images, found.ids)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std(axis=(1, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize(("value", "what"), [(0.5, "constant"), (np.nan, "NaN or infinite")])
def test_images_without_contrast_or_with_nan_are_named(value, what):
    images = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
    images[1] = value
    with pytest.raises(ValueError, match=f"image b is {what}"):
        standardise.standardise(images, ("a", "b"))


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 3, 8, 8), (2, 8, 8, 1), (0, 1, 8, 8), (2, 1, 1, 8), (2, 1, 8, 0)])
def test_images_that_are_not_grey_or_too_small_are_named(shape):
    expected = re.escape(
        f"images have shape {shape}, expected (N, 1, H, W), N at least 1, H and W at least 2 px: average"
    )
    with pytest.raises(ValueError, match=expected):
        standardise.check_grey(np.zeros(shape), least_px=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("check", [standardise.check_grey, standardise.standardise_grey, pseudo_labels.evidence])
def test_the_grey_image_with_a_bad_pixel_is_named(rng, check, value):
    images = rng.random((5, 1, 8, 8))
    assert check(images).shape[0] == 5
    images[3, 0, 2, 5] = value
    with pytest.raises(ValueError, match="image 3 holds NaN or infinite pixels: repair or remove it"):
        check(images)


def test_grey_images_of_any_type_are_standardised_as_single_precision(rng):
    images = rng.integers(0, 255, (3, 1, 8, 8))
    found = standardise.standardise_grey(images)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, standardise.standardise(images.astype(np.float32), range(3)))


def test_a_z_score_of_what_has_no_contrast_is_zero(rng):
    image = rng.random((8, 9))
    np.testing.assert_allclose(standardise.z_score(3 * image + 7), (image - image.mean()) / image.std())
    assert (standardise.z_score(np.full((63, 41), 0.1)) == 0).all()  # whose deviation is a rounding error


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**26])
def test_standardised_images_are_z_scores_whatever_is_asked_for(chunk_bytes, rng, monkeypatch):
    monkeypatch.setattr(standardise, "_CHUNK_BYTES", chunk_bytes)
    images = rng.gamma(2, size=(7, 2, 6, 4)).astype(np.float32)
    axes = dict(axis=(1, 2, 3), keepdims=True)
    every = (images - images.mean(**axes)) / images.std(**axes)
    found = standardise.Standardised(images, range(7))
    np.testing.assert_array_equal(found[:], every)
    np.testing.assert_array_equal(found[np.array([5, 0, 5])], every[[5, 0, 5]])


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("data", ["er-like", "street-like-3"])
def test_a_set_that_is_not_kept_trains_the_same_network(data, augment, monkeypatch):
    shape = dict(size=32, width=4, train=8, val=2, test=2, epochs=2, batch=4)
    config = TrainConfig(data=data, model="unet_light", recipe="rcl_flip:0.1", augment=augment, **shape)
    if augment and data != "er-like":
        pytest.skip("streets are not square")
    kept = training.train(config, "cpu")
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    read = training.train(config, "cpu")
    assert asdict(read) | {"seconds": 0} == asdict(kept) | {"seconds": 0}


def test_images_that_are_not_kept_are_read_batch_by_batch(monkeypatch):
    asked, get = [], standardise.Standardised.__getitem__
    monkeypatch.setattr(
        standardise.Standardised, "__getitem__", lambda self, which: asked.append(which) or get(self, which)
    )
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    shape = dict(size=32, width=4, train=8, val=2, test=2, epochs=1, batch=4)
    training.train(TrainConfig(model="unet_light", augment=False, **shape), "cpu")
    assert sorted(np.concatenate(asked[:2])) == list(range(8))
    assert slice(None) not in [which for which in asked if isinstance(which, slice)]
