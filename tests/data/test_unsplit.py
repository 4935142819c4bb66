"""What a folder of one's own may hold, and what is said of files that cannot work."""

import tracemalloc

import imageio.v3 as iio
import numpy as np
import pytest

from metalib.data import unsplit


@pytest.fixture
def folder(tmp_path, rng):
    """Images of several kinds, and their masks."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    gray = rng.integers(0, 200, (40, 50), np.uint8)
    kinds = {
        "a.png": gray,
        "b.tif": gray.astype(np.uint16) * 300,
        "c.png": np.stack([gray, 0 * gray, 0 * gray], axis=-1),
        "d.png": np.stack([gray, gray, gray, 255 - gray], axis=-1),  # with an alpha channel
        "e.png": rng.integers(0, 200, (64, 32), np.uint8),
    }
    for name, pixels in kinds.items():
        iio.imwrite(tmp_path / "images" / name, pixels)
        iio.imwrite(
            tmp_path / "masks" / f"{name[0]}.png",
            255 * (pixels[..., 0] if pixels.ndim == 3 else pixels > 100).astype(bool).astype(np.uint8),
        )
    return tmp_path


def test_images_become_gray_in_the_unit_interval(folder):
    found = unsplit.read_images(folder / "images")
    a, b, c, d, e = found.images
    gray = iio.imread(folder / "images" / "a.png")
    np.testing.assert_allclose(a, gray / 255, rtol=1e-6)
    np.testing.assert_allclose(b, gray * 300.0 / 65535, rtol=1e-6)
    np.testing.assert_allclose(c, gray / 255 / 3, rtol=1e-5)
    np.testing.assert_allclose(d, gray / 255, rtol=1e-5)
    assert {image.dtype for image in found.images} == {np.dtype(np.float32)}
    assert e.shape == (64, 32)
    assert found.masks is None
    assert found.about[0] == f"a.png: 40 x 50 px, 8 bit, gray, from {gray.min()} to {gray.max()}"
    assert "16 bit, gray" in found.about[1]
    assert "8 bit, colour, averaged" in found.about[2]


def test_masks_are_those_of_the_same_name(folder):
    found = unsplit.read_images(folder / "images", folder / "masks")
    for path, mask, image in zip(found.paths, found.masks, found.images, strict=True):
        np.testing.assert_array_equal(mask, iio.imread(folder / "masks" / f"{path.stem}.png") > 0)
        assert mask.shape == image.shape
        assert mask.dtype == np.uint8


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, rng):
    for number in range(12):
        iio.imwrite(tmp_path / f"{number}.png", rng.integers(0, 255, (256, 256), np.uint8))
    one = 256 * 256 * 4  # as float32

    def peak(count):
        tracemalloc.start()
        found = unsplit.read_images(tmp_path)
        means = [found.images[number].mean() for number in range(count)]
        reached = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return reached, means

    few, _ = peak(1)
    many, means = peak(12)
    assert many < few + one
    np.testing.assert_allclose(means, [iio.imread(path).mean() / 255 for path in sorted(tmp_path.iterdir())], rtol=1e-5)


def missing(masks):
    (masks / "c.png").unlink()


def other_size(masks):
    iio.imwrite(masks / "c.png", np.zeros((40, 51), np.uint8))


def several_values(masks):
    iio.imwrite(masks / "c.png", np.arange(2000, dtype=np.uint8).reshape(40, 50) % 3)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (missing, FileNotFoundError, r"masks has no mask c.png or .tif for c.png: add it"),
        (other_size, ValueError, r"c.png has shape \(40, 51\), its image c.png \(40, 50\): they must agree"),
        (several_values, ValueError, r"c.png is a mask with the values \[0, 1, 2\], expected 0/1 or 0/255"),
    ],
)
def test_masks_that_cannot_work_are_named(spoil, error, message, folder):
    spoil(folder / "masks")
    with pytest.raises(error, match=message):
        unsplit.read_images(folder / "images", folder / "masks")


def test_stacks_of_planes_are_named(folder):
    iio.imwrite(folder / "images" / "f.tif", np.zeros((7, 40, 50), np.uint8))
    with pytest.raises(ValueError, match=r"f.tif has shape \(7, 40, 50\), .*save one plane a file"):
        unsplit.read_images(folder / "images")
