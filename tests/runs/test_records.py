"""A record comes back, stands while nothing changed, and says how to make it anew where it cannot be read."""

import json

import numpy as np
import pytest

from metalib import _files
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


def test_losses_of_a_long_run_are_means_of_equal_parts():
    assert records.thinned([3.0, 1.0, 2.0]).tolist() == [3, 1, 2]
    losses = np.arange(2 * records.LOSSES + 3.0)  # parts of 3, and a rest of 1
    thin = records.thinned(losses.tolist())
    assert len(thin) == len(losses) // 3 <= records.LOSSES
    assert thin[:2].tolist() == [1, 4]
    assert records.thinned([]).size == 0
