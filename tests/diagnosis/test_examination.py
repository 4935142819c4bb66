"""The diagnosis of labels: kinds, errors, folders, the page it prints, and the model behind its expectation."""

import numpy as np
import pytest
from small_masks import save, two_squares

from metalib import __main__ as commands
from metalib._labels import IGNORE
from metalib.data.unsplit import LabelFolder
from metalib.diagnosis import examination, learnability, structure, wording
from metalib.diagnosis.learnability import MODES, Model
from metalib.noise import recipes, transition

MODEL = Model(e0=500.0, a=0.6, b=2.0, error=dict(zip(MODES, (0.2, 0.1), strict=True)))


@pytest.fixture
def clean():
    return two_squares()


def found_in(noisy, clean=None, **choices):
    known = None if clean is None else (clean[:4], noisy[:4])
    return examination.diagnose(noisy, clean=known, model=MODEL, **choices)


@pytest.mark.parametrize(
    ("recipe", "alone", "known"),
    [
        ("cl", "clean", "clean"),
        ("rcl_sample:0.3", "clean", "clean"),
        ("rcl_flip:0.005", "clean", "clean"),  # a hundredth of wrong pixels is as good as clean
        ("rcl_flip:0.013", "clean", "flipped"),  # which labels alone do not tell for sure
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
    noisy = recipes.make(recipe, clean, rng)
    assert found_in(noisy).kind == alone
    found = found_in(noisy, clean)
    assert found.kind == known
    assert found.sampled == (recipe == "rcl_sample:0.3")
    assert 0 <= found.low <= found.expected <= found.high <= 1
    assert (found.expected == 0) == (known in ("random", "inverted"))


def test_thin_labels_are_skeletons_only_where_most_are_thin_and_structured(clean, rng):
    lines = np.zeros_like(clean)
    lines[:, :, 10:60:10] = 1
    assert found_in(lines).kind == "skeleton-like"
    lines[:, :, 71:73] = lines[:, :, 81:83] = 1  # 4 of 9 pixels are in blocks
    assert found_in(lines).kind == "flipped"  # thin lines look so: see structure.CURVED
    scattered = found_in(recipes.corrupt(clean, [[0.99, 0.01], [0.94, 0.06]], rng))
    assert (scattered.kind, scattered.structured > 0) == ("flipped", True)


def test_the_expectation_is_that_of_the_model(clean, rng):
    """Effective pixels of all masks, bias and errors of the mode; the signal of four masks is taken for that of all."""
    noisy = recipes.flip(recipes.dilate(clean, 2), 0.3, rng)
    alone, known = found_in(noisy), found_in(noisy, clean)
    assert known.structured == known.against.signal
    assert known.effective_px == pytest.approx(noisy.size * known.structured / (1 - known.structured))
    assert alone.expected == pytest.approx(MODEL.predict(alone.effective_px))
    assert known.expected == pytest.approx(MODEL.predict(known.effective_px, known.against.bias))
    assert known.expected < MODEL.predict(known.effective_px) - 0.05
    assert alone.more == MODEL.images_needed(alone.effective_px, 0, learnability.GOAL)
    assert known.more == MODEL.images_needed(known.effective_px, known.against.bias, learnability.GOAL)
    for found, mode in ((alone, MODES[0]), (known, MODES[1])):
        assert (found.low, found.high) == MODEL.interval(found.expected, mode)
    assert alone.by_chance.tolist() == structure.chance_errors(structure.count(noisy, 2, alone.widths))[1:].tolist()


def test_several_classes(rng):
    clean = rng.integers(0, 4, (10, 12, 12)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    found = found_in(recipes.flip(clean, 0.4, rng, classes=4), classes=4)
    assert (found.kind, found.masks, found.shape) == ("flipped", 10, (96, 96))
    assert found.flips[1] <= 0.4 <= found.flips[2] + 0.01
    swapped = recipes.flip(clean, 1.0, rng, classes=4)
    assert found_in(swapped, clean, classes=4).kind == "inverted"
    assert "least likely class" in wording.advice(found_in(swapped, clean, classes=4))


def test_asymmetric_noise_of_two_classes_shifts_the_threshold(clean, rng):
    noisy = recipes.make(recipes.of_matrix(transition.replacement_matrix(0.8, (1, 0))), clean, rng)
    found = found_in(noisy, clean)
    assert found.kind == "flipped"
    assert found.against.threshold == pytest.approx(0.1, abs=0.01)
    assert "class 1 above 10%, not above 50%" in wording.advice(found)
    assert "above" not in wording.advice(found_in(recipes.make("rcl_flip:0.4", clean, rng), clean))
    assert "above" not in wording.advice(found_in(recipes.make("pcl_dilation:3", clean, rng), clean))


@pytest.fixture
def three(rng):
    """Ten masks of blocks of three classes."""
    return rng.integers(0, 3, (10, 12, 12)).astype(np.uint8).repeat(8, 1).repeat(8, 2)


def test_classes_that_are_mostly_labelled_as_another_are_decoded(three, rng):
    found = found_in(recipes.corrupt(three, transition.replacement_matrix(0.75, (1, 0, 0)), rng), three, classes=3)
    assert (found.kind, found.expected, found.against.answers.tolist()) == ("misnamed", 0, [0, 0, 0])
    assert found.decoded > 0.8
    assert "take class 1 as 0, 2 as 0. Train as it is, but decode" in wording.advice(found)
    assert wording.report(found).startswith("# Labels: misnamed (against clean masks)")


def test_classes_that_labels_do_not_tell_apart_cannot_be_decoded(three, rng):
    mixed = [[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]
    found = found_in(recipes.corrupt(three, mixed, rng), three, classes=3)
    assert (found.kind, found.against.rank) == ("misnamed", 2)
    assert 0.2 < found.against.decoded_score < 0.6  # one of the two takes both, whichever
    assert 0.2 < found.against.argmax_score < 0.6
    assert "merge them, or label some of their pixels anew" in wording.advice(found)


def test_information_is_that_of_the_flips(clean, rng):
    noisy = recipes.flip(clean, 0.3, rng)
    alone, known = found_in(noisy), found_in(noisy, clean)
    assert alone.bits == pytest.approx(known.bits, rel=0.1)
    assert found_in(clean).bits == pytest.approx(found_in(clean, clean).bits, rel=0.1)
    assert known.bits == pytest.approx(known.against.information * 96 * 96)  # of one image
    assert [found_in(recipes.random_labels(clean.shape, p, rng)).bits for p in (0.1, 0.5)] == [0, 0]


def blocks_of_two(masks):
    """Labels on blocks of 2 x 2, 4 px apart: no two labelled pixels are 2 px apart."""
    keep = np.arange(masks.shape[-1]) % 4 < 2
    return np.where(keep & keep[:, None], masks, np.uint8(IGNORE))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: np.zeros_like(c), "class 0 alone: two are needed"),
        (lambda c: np.full_like(c, IGNORE), "10 masks hold 0 pixels with a label"),
        (lambda c: c + 4, "mask 0 holds the value 4, expected 0 to 1"),
        (lambda c: c[:, :3, :3], "at least 4 px a side"),
        (lambda c: c[:1], "two masks are needed: give about 2 masks"),
        (lambda c: np.where(np.arange(10)[:, None, None] == 3, c, np.uint8(IGNORE)), "1 masks with labels hold"),
        (lambda c: c[:3, :16, :16], "3 masks with labels hold 1344 pairs .* give about 5 masks"),
        (blocks_of_two, "10 masks hold 23040 pixels with a label .*: label pixels side by side"),
        (lambda c: [], "there is no mask"),
        (lambda c: c[0], r"masks of shape \(96,\) hold no two windows"),
        (lambda c: [c[0], c[1, :40]], "mask 1 is of shape"),
    ],
)
def test_wrong_labels_are_named(make, message, clean):
    with pytest.raises(ValueError, match=message):
        found_in(make(clean))


def test_too_few_clean_pixels_are_no_verdict(clean, rng):
    noisy = recipes.flip(clean, 0.3, rng)
    few = slice(2), slice(30, 50), slice(30, 50)
    with pytest.raises(
        ValueError, match=r"2 clean masks .* 800 labelled pixels in common, .* give about 5 clean masks"
    ):
        examination.diagnose(noisy, clean=(clean[few], noisy[few]), model=MODEL)


def test_the_page_says_it_in_plain_words(clean, rng):
    page = wording.report(found_in(recipes.flip(clean, 0.45, rng)))
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
    known = wording.report(found_in(recipes.dilate(clean, 3), clean))
    for words in ("perturbed boundary (against clean masks)", "Redraw the boundaries", "| clean 1 |", "rank 2 of 2"):
        assert words in known
    assert "Do not train" in wording.report(found_in(recipes.random_labels(clean.shape, 0.5, rng)))
    assert "Swap the two classes" in wording.report(found_in(1 - clean, clean))
    assert "out of the loss" in wording.report(found_in(recipes.sample(clean, 0.3, rng)))


def test_the_numbers_on_the_page_are_those_found(clean, rng):
    found = found_in(recipes.flip(clean, 0.45, rng))
    page, (p, low, high) = wording.report(found), found.flips
    assert f"{p:.1%} of the labels are flipped (95% interval {low:.1%} to {high:.1%})" in page
    assert f"| 8 px | {found.windows[2].value:.2%} ± {found.windows[2].error:.2%} | yes |" in page
    assert f"{np.ceil(10 * found.more):,.0f} masks of this kind in place of 10 are expected to reach 90%" in page
    assert "do not reach nine tenths" in wording.advice(found._replace(more=np.inf))
    assert "the model (labels alone) was not" in page
    for _ in range(10):
        assert "| yes |" not in wording.report(found_in(recipes.random_labels(clean.shape, 0.3, rng)))


def test_the_page_shows_the_matrix(clean):
    known = wording.report(
        examination.diagnose(recipes.dilate(clean), 3, (clean[:4], recipes.dilate(clean[:4])), model=MODEL)
    )
    assert "the model (with clean masks) was not" in known
    assert "| | labelled 0 | labelled 1 | labelled 2 |\n|---|---|---|---|\n| clean 0 |" in known
    assert "| clean 1 | 0.0% | 100.0% | 0.0% |\n| clean 2 | - | - | - |" in known


def test_more_labels_of_a_kind_reach_the_goal():
    factor = MODEL.images_needed(1000, 0, learnability.GOAL)
    assert factor > 1
    assert MODEL.predict(1000 * factor) == pytest.approx(learnability.GOAL)
    assert MODEL.images_needed(1000, 0.9, learnability.GOAL) == np.inf
    assert MODEL.images_needed(0, 0, learnability.GOAL) == np.inf


def test_the_command_prints_a_page_or_one_line(tmp_path, clean, rng, capsys):
    folder, known = save(tmp_path / "labels", recipes.flip(clean, 0.3, rng)), save(tmp_path / "clean", clean[:3])
    commands.main(["diagnosis", str(folder), "--clean", str(known)])
    assert capsys.readouterr().out.startswith("# Labels: flipped (against clean masks)")
    with pytest.raises(SystemExit) as end:
        commands.main(["diagnosis", str(tmp_path / "none")])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out, printed.err.count("\n")) == (1, "", 1)
    assert "there is no folder" in printed.err


def test_a_stream_and_a_folder_are_diagnosed_as_their_masks(clean, tmp_path):
    streamed = examination.diagnose((mask for mask in clean), model=MODEL)
    assert examination.diagnose(LabelFolder(save(tmp_path / "labels", clean)), model=MODEL).flips == streamed.flips
    assert streamed.structured == found_in(clean).structured
    assert structure.window_widths(clean.shape[1:]) == streamed.widths


def test_the_default_model_is_the_recorded_one(clean):
    assert examination.diagnose(clean).expected == float(
        learnability.load().predict(examination.diagnose(clean).effective_px)
    )
