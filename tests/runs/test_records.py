"""A record comes back, stands while nothing changed, and says how to make it anew where it cannot be read; what it keeps of runs."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalib import _files
from metalib.networks.config import TrainConfig
from metalib.runs import records


def test_a_record_comes_back_and_stands_while_numbers_and_configuration_do():
    first = records.save("01_x", {"dice": [[0.5, 0.25]]}, {"seeds": 3}, seconds=1)
    path = _files.figures_folder() / "01_x.json"
    assert records.load(path) == first
    assert first["provenance"]["torch"]
    assert records.save("01_x", {"dice": [[0.5, 0.25]]}, {"seeds": 3}, seconds=2) == first
    assert records.save("01_x", {"dice": [[0.5, 0.75]]}, {"seeds": 3}, seconds=3)["provenance"]["seconds"] == 3
    assert records.save("01_x", {"dice": [[0.5, 0.75]]}, {"seeds": 4}, seconds=4)["provenance"]["seconds"] == 4
    assert "[0.5, 0.75]" in path.read_text()  # a list of numbers stays on one line


def test_a_record_of_other_code_is_written_anew():
    first = records.save("01_x", {"dice": [0.5]}, {}, code={"TrainConfig": "a"}, seconds=1)
    assert records.save("01_x", {"dice": [0.5]}, {}, code={"TrainConfig": "a"}, seconds=2) == first
    again = records.save("01_x", {"dice": [0.5]}, {}, code={"TrainConfig": "b"}, seconds=3)
    assert (again["provenance"]["code"], again["provenance"]["seconds"]) == ({"TrainConfig": "b"}, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON.*make figures"),
        ('{"schema": 0}', "has schema 0, this version reads 1"),
        ("[]", "has schema None"),
    ],
)
def test_unreadable_records_say_how_to_make_them_anew(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        records.load(tmp_path / "r.json")
    with pytest.raises(FileNotFoundError, match=r"no record .*: compute it with `make figures`"):
        records.load(tmp_path / "absent.json")


def strict(text):
    """What a reader of JSON makes of a text that knows no NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_nan_is_null_in_a_record_which_stands_then_too():
    numbers = {"dice": [[0.5, float("nan")], [np.float64("nan")] * 2], "about": ("a", None)}
    first = records.save("01_x", numbers, {"width": None}, seconds=1)
    text = (_files.figures_folder() / "01_x.json").read_text()
    assert strict(text)["numbers"] == {"dice": [[0.5, None], [None, None]], "about": ["a", None]}
    assert "[0.5, null]" in text  # still one line
    assert "[null, null]" in text
    assert records.save("01_x", numbers, {"width": None}, seconds=2) == first
    with pytest.raises(ValueError, match="JSON compliant"):
        records.save("01_x", {"loss": [float("inf")]}, {})


def test_class_ids_come_back_from_the_text_of_a_record(rng):
    ids = rng.integers(0, 256, (7, 5)).astype(np.uint8)
    found = records.unpack(records.pack(ids))
    np.testing.assert_array_equal(found, ids)
    assert found.dtype == np.uint8


def history(tests=5, losses=40, seed=0, **changes):
    """A row of a sweep: a network of two classes, whose every metric counts up from test to test."""
    names = [
        "epoch",
        "dice_half",
        "dice_half_image",
        "dice_at",
        "dice_best",
        "auc",
        "acc",
        "threshold_best",
        "balanced",
    ]
    names += ["miou", "miou_inverted", "validation", "iou_0"]
    made = dict(seed=seed, loss=list(np.linspace(1, 0, losses)), skipped=0, example=[[0, 1], [1, 1]])
    made["test"] = {name: [number + test / 10 for test in range(tests)] for number, name in enumerate(names)}
    made["without"] = {"dice_at": [0.12345678, 1 / 3], "auc": [0.5, float("nan")], "miou": [1.0, 0.0]}
    return pd.Series(made | changes)


def numbers(*rows):
    configs = [TrainConfig(size=32, test=2)] * len(rows)
    return records.of_sweep(configs, pd.DataFrame(rows))


def test_only_curves_that_are_drawn_keep_every_test():
    (kept,) = numbers(history())
    curves = {name for name, values in kept.items() if isinstance(values, list) and len(values) == 5}
    assert curves == {"epoch", "dice_half", "dice_at", "dice_best", "auc", "miou", "miou_inverted", "validation"}
    assert {name: kept[name] for name in ("dice_half_image", "acc", "threshold_best", "balanced")} == {
        "dice_half_image": [2.4],
        "acc": [6.4],
        "threshold_best": [7.4],
        "balanced": [8.4],
    }  # of the last test
    assert "iou_0" not in kept
    assert kept["auc"] == [5, 5.1, 5.2, 5.3, 5.4]


def test_scores_without_an_image_have_six_digits_and_others_four():
    (kept,) = numbers(history(loss=[0.123456789]))
    assert kept["without_dice_at"] == [0.123457, 0.333333]
    assert kept["loss"] == [0.1235]
    assert np.isnan(kept["without_auc"]).tolist() == [False, True]
    (none,) = numbers(history(without={}))
    assert not [name for name in none if name.startswith("without")]


def test_an_example_is_that_of_the_first_seed_alone():
    first, second = numbers(history(), history(seed=1))
    np.testing.assert_array_equal(records.unpack(first["example"]), [[0, 1], [1, 1]])
    assert first.keys() - second.keys() == {"example"}
    joined = records.joined([first, second])
    assert joined["example"] == first["example"]
    assert np.shape(joined["auc"]) == (2, 5)
    assert np.shape(joined["without_dice_at"]) == (2, 2)
    assert joined["steps"] == 40


def test_steps_count_those_that_were_left_out():
    (kept,) = numbers(history(losses=30, skipped=10))
    assert (len(kept["loss"]), kept["steps"]) == (30, 40)


@pytest.mark.parametrize(
    ("steps", "parts", "each"), [(0, 0, 1), (1, 1, 1), (128, 128, 1), (129, 64, 2), (256, 128, 2), (1152, 128, 9)]
)
def test_losses_are_thinned_to_means_of_equal_parts(steps, parts, each):
    losses = np.arange(steps) ** 2 / 1000
    found = records.thinned(list(losses))
    assert len(found) == parts
    np.testing.assert_allclose(found, [losses[part * each : (part + 1) * each].mean() for part in range(parts)])


@given(st.integers(1, 5000))
def test_of_losses_less_than_one_part_is_left_out(steps):
    parts = len(records.thinned([0.5] * steps))
    assert 64 <= parts <= 128 or parts == steps < 64
    assert steps - parts * -(-steps // 128) < -(-steps // 128)
