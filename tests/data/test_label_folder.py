"""A folder of masks is read as it was saved, and one that mixes things is refused."""

import imageio.v3 as iio
import numpy as np
import pytest
from small_masks import save, two_squares

from metalib._labels import IGNORE
from metalib.data.unsplit import LabelFolder, paired
from metalib.noise import recipes


@pytest.fixture
def clean():
    return two_squares()


def test_a_folder_is_read_as_its_masks(tmp_path, clean, rng):
    folder = LabelFolder(save(tmp_path / "a", clean * 255))
    assert np.array_equal(list(folder), clean)
    sampled = recipes.sample(clean, 0.3, rng)
    assert np.array_equal(list(LabelFolder(save(tmp_path / "b", sampled, ".tif"))), sampled)
    some = save(tmp_path / "c", clean, ".PNG")
    for place in (0, 1, 3):
        (some / f"mask-{place}.PNG").unlink()
    known, noisy = paired(LabelFolder(some), folder)
    assert np.array_equal(known, np.delete(clean, (0, 1, 3), axis=0))
    assert np.array_equal(noisy, known)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f, m: iio.imwrite(f / "mask-3.png", m[:40]), "mask-3.png is 40 x 96 px, .*mask-0.png is 96 x 96: crop"),
        (lambda f, m: iio.imwrite(f / "mask-3.png", m.astype(np.uint16)), "mask-3.png is a mask of uint16"),
        (
            lambda f, m: iio.imwrite(f / "mask-3.png", m > 0),
            "mask-3.png is a mask of bool, expected 8-bit class ids: convert",
        ),
        (lambda f, m: iio.imwrite(f / "mask-3.png", np.stack([m] * 3, 2)), "mask-3.png is a mask of shape"),
        (lambda f, m: iio.imwrite(f / "mask-3.png", m * 7), "mask-3.png holds the value 7, .*to 8 if these"),
        (lambda f, m: iio.imwrite(f / "mask-3.jpg", m), "mask-3.jpg is a JPEG"),
        (lambda f, m: iio.imwrite(f / "mask-3.tif", m), "mask-3.png and mask-3.tif share a stem, that is one name"),
        (lambda f, m: iio.imwrite(f / "mask-3.png", m * 255), "mask-9.png has the value 1, .*mask-3.png 255: is each"),
        (
            lambda f, m: (f / "mask-3.png").write_bytes((f / "mask-3.png").read_bytes()[:60]),
            "mask-3.png cannot be read",
        ),
        (lambda f, m: [path.unlink() for path in f.iterdir()], "holds no mask"),
    ],
)
def test_a_folder_that_mixes_things_is_refused(spoil, message, tmp_path, clean):
    folder = save(tmp_path / "labels", clean)
    spoil(folder, clean[3])
    with pytest.raises(ValueError, match=message):
        LabelFolder(folder)


def test_255_is_the_foreground_where_no_mask_has_a_1(tmp_path, clean):
    partly = clean.copy()
    partly[0, :10] = IGNORE  # 1 and 255 in one mask tell that 255 is no label, also in masks without a 1
    partly[1][partly[1] == 1] = IGNORE
    assert np.array_equal(list(LabelFolder(save(tmp_path / "partly", partly))), partly)
    ids = clean * 255
    assert np.array_equal(list(LabelFolder(save(tmp_path / "ids", ids), classes=3)), ids)


def test_hidden_files_are_no_masks(tmp_path, clean):
    folder = save(tmp_path / "labels", clean[:2])
    (folder / "._mask-0.png").write_bytes(b"left by a file system")
    (folder / "more.png").mkdir()
    assert [path.name for path in LabelFolder(folder).paths] == ["mask-0.png", "mask-1.png"]


def test_clean_masks_without_a_partner_are_named(tmp_path, clean):
    noisy = LabelFolder(save(tmp_path / "labels", clean[:2]))
    with pytest.raises(ValueError, match=r"mask-2.png has no label of the same name"):
        paired(LabelFolder(save(tmp_path / "clean", clean[:3])), noisy)
    (tmp_path / "labels" / "mask-0.png").unlink()
    with pytest.raises(ValueError, match=r"mask-0.png has no label of the same name"):
        paired(LabelFolder(save(tmp_path / "first", clean[:2])), LabelFolder(tmp_path / "labels"))
    with pytest.raises(ValueError, match=r"clean masks are 40 x 96 px, labels 96 x 96 px"):
        paired(LabelFolder(save(tmp_path / "small", clean[:2, :40])), noisy)
