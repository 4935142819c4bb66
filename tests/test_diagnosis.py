"""The diagnosis of labels: kinds, errors, folders, the page it prints, and the model behind its expectation."""

import sys

import imageio.v3 as iio
import numpy as np
import pytest

from metalib import diagnosis, labels, learnability, structure
from metalib.diagnosis_report import advice, report
from metalib.label_folder import LabelFolder, pairs
from metalib.labels import IGNORE
from metalib.learnability import MODES, Model

MODEL = Model(e0=500.0, a=0.6, b=2.0, error=dict.fromkeys(MODES, 0.2))


@pytest.fixture
def clean():
    """Ten masks (10, 96, 96) of two squares each."""
    masks = np.zeros((10, 96, 96), np.uint8)
    for place, mask in enumerate(masks):
        mask[8 : 40 + 2 * place, 10:44] = 1
        mask[60:88, 50 + place : 84] = 1
    return masks


def found_in(noisy, clean=None, **choices):
    known = None if clean is None else (clean[:4], noisy[:4])
    return diagnosis.diagnose(noisy, clean=known, model=MODEL, **choices)


def save(folder, masks, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for place, mask in enumerate(masks):
        iio.imwrite(folder / f"mask-{place}{suffix}", mask)
    return folder


@pytest.mark.parametrize(
    ("recipe", "alone", "known"),
    [
        ("cl", "clean", "clean"),
        ("rcl_sample:0.3", "clean", "clean"),
        ("rcl_flip:0.3", "flipped", "flipped"),
        ("rcl_flip:0.45", "flipped", "flipped"),
        ("rcl_flip:0.7", "flipped", "inverted"),
        ("pcl_dilation:3", "clean", "perturbed boundary"),
        ("pcl_skeleton", "skeleton-like", "perturbed boundary"),
        ("rl:0.5", "random", "random"),
        ("rl:0.1", "random", "random"),
    ],
)
def test_kinds(recipe, alone, known, clean, rng):
    noisy = labels.make(recipe, clean, rng)
    assert found_in(noisy).kind == alone
    found = found_in(noisy, clean)
    assert found.kind == known
    assert found.sampled == (recipe == "rcl_sample:0.3")
    assert 0 <= found.low <= found.expected <= found.high <= 1
    assert (found.expected == 0) == (known in ("random", "inverted"))


def test_several_classes(rng):
    clean = rng.integers(0, 4, (10, 12, 12)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    found = found_in(labels.flip(clean, 0.4, rng, classes=4), classes=4)
    assert (found.kind, found.masks, found.shape) == ("flipped", 10, (96, 96))
    assert found.flips[1] <= 0.4 <= found.flips[2] + 0.01
    swapped = labels.flip(clean, 1.0, rng, classes=4)
    assert found_in(swapped, clean, classes=4).kind == "inverted"
    assert "least likely class" in advice(found_in(swapped, clean, classes=4))


def test_information_is_that_of_the_flips(clean, rng):
    noisy = labels.flip(clean, 0.3, rng)
    alone, known = found_in(noisy), found_in(noisy, clean)
    assert alone.bits == pytest.approx(known.bits, rel=0.1)
    assert found_in(clean).bits == pytest.approx(found_in(clean, clean).bits, rel=0.1)
    assert found_in(labels.random(clean.shape, 0.5, rng)).bits == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: np.zeros_like(c), "class 0 alone: two are needed"),
        (lambda c: np.full_like(c, IGNORE), "all pixels of all 10 masks are 255"),
        (lambda c: c + 4, "mask 0 holds the value 4, expected 0 to 1"),
        (lambda c: c[:, :3, :3], "at least 4 px a side"),
        (lambda c: c[:1], "two masks are needed: give about 2 masks"),
        (lambda c: c[:3, :16, :16], "3 masks hold 1440 pairs .* give about 5 masks"),
    ],
)
def test_wrong_labels_are_named(make, message, clean):
    with pytest.raises(ValueError, match=message):
        found_in(make(clean))


def test_the_page_says_it_in_plain_words(clean, rng):
    page = report(found_in(labels.flip(clean, 0.45, rng)))
    for words in (
        "# Labels: flipped (from the labels alone)",
        "10 masks of 96 x 96 px",
        "| 2 px |",
        "| 32 px |",
        "effective",
    ):
        assert words in page
    assert "Collect more" in page
    assert "--clean FOLDER" in page
    known = report(found_in(labels.dilate(clean, 3), clean))
    for words in ("perturbed boundary (against clean masks)", "Redraw the boundaries", "| clean 1 |", "rank 2 of 2"):
        assert words in known
    assert "Do not train" in report(found_in(labels.random(clean.shape, 0.5, rng)))
    assert "Swap the two classes" in report(found_in(1 - clean, clean))
    assert "out of the loss" in report(found_in(labels.sample(clean, 0.3, rng)))


def test_more_labels_of_a_kind_reach_the_goal():
    factor = MODEL.images_needed(1000, 0, diagnosis.GOAL)
    assert factor > 1
    assert MODEL.predict(1000 * factor) == pytest.approx(diagnosis.GOAL)
    assert MODEL.images_needed(1000, 0.9, diagnosis.GOAL) == np.inf
    assert MODEL.images_needed(0, 0, diagnosis.GOAL) == np.inf


def test_a_folder_is_read_as_its_masks(tmp_path, clean, rng):
    folder = LabelFolder(save(tmp_path / "a", clean * 255))
    assert np.array_equal(list(folder), clean)
    sampled = labels.sample(clean, 0.3, rng)
    assert np.array_equal(list(LabelFolder(save(tmp_path / "b", sampled, ".tif"))), sampled)
    known, noisy = pairs(LabelFolder(save(tmp_path / "c", clean[:3])), folder)
    assert np.array_equal(known, clean[:3])
    assert np.array_equal(noisy, clean[:3])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f, m: iio.imwrite(f / "mask-3.png", m[:40]), "mask-3.png is 40 x 96 px, .*mask-0.png is 96 x 96: crop"),
        (lambda f, m: iio.imwrite(f / "mask-3.png", m.astype(np.uint16)), "mask-3.png is a mask of uint16"),
        (lambda f, m: iio.imwrite(f / "mask-3.png", np.stack([m] * 3, 2)), "mask-3.png is a mask of shape"),
        (lambda f, m: iio.imwrite(f / "mask-3.png", m * 7), "mask-3.png holds the value 7, .*--classes 8"),
        (lambda f, m: iio.imwrite(f / "mask-3.jpg", m), "mask-3.jpg is a JPEG"),
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


def test_clean_masks_without_a_partner_are_named(tmp_path, clean):
    noisy = LabelFolder(save(tmp_path / "labels", clean[:2]))
    with pytest.raises(ValueError, match=r"mask-2.png has no label of the same name"):
        pairs(LabelFolder(save(tmp_path / "clean", clean[:3])), noisy)
    with pytest.raises(ValueError, match=r"clean masks are 40 x 96 px, labels 96 x 96 px"):
        pairs(LabelFolder(save(tmp_path / "small", clean[:2, :40])), noisy)


def test_the_command_prints_a_page_or_one_line(tmp_path, clean, rng, monkeypatch, capsys):
    folder, known = save(tmp_path / "labels", labels.flip(clean, 0.3, rng)), save(tmp_path / "clean", clean[:3])
    monkeypatch.setattr(sys, "argv", ["diagnosis", str(folder), "--clean", str(known)])
    diagnosis._main()
    assert capsys.readouterr().out.startswith("# Labels: flipped (against clean masks)")
    monkeypatch.setattr(sys, "argv", ["diagnosis", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as end:
        diagnosis._main()
    printed = capsys.readouterr()
    assert (end.value.code, printed.out, printed.err.count("\n")) == (1, "", 1)
    assert "there is no folder" in printed.err


def test_the_shape_of_a_stream_is_given(clean):
    streamed = diagnosis.diagnose((mask for mask in clean), shape=clean.shape[1:], model=MODEL)
    assert streamed.structured == found_in(clean).structured
    assert structure.window_widths(clean.shape[1:]) == streamed.widths


def test_the_default_model_is_the_recorded_one(clean):
    assert diagnosis.diagnose(clean).expected == float(
        learnability.load().predict(diagnosis.diagnose(clean).effective_px)
    )
