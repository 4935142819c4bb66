"""Embedded sets are drawn once and read from files afterwards."""

import numpy as np
import pytest

from metalib import datasets, records, stored, synthetic


def files():
    return sorted(records.cache_folder().glob("sets/*/*.npy"))


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
    first, second = stored.load("a", 2, draw), stored.load("a", 2, draw)
    assert len(calls) == 1
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
        assert type(other) is np.ndarray
        assert not one.flags.writeable
        assert not other.flags.writeable
    stored.load("b", 2, draw)
    assert len(calls) == 2


@pytest.mark.parametrize("part", [0, 1])
def test_a_file_that_is_not_whole_is_drawn_again(set_of_two, part):
    draw, calls = set_of_two
    stored.load("a", 2, draw)
    file = files()[part]
    file.write_bytes(file.read_bytes()[:-1])
    np.testing.assert_array_equal(stored.load("a", 2, draw)[1], np.eye(2))
    file.unlink()
    np.testing.assert_array_equal(stored.load("a", 2, draw)[1], np.eye(2))
    assert len(calls) == 3
    stored.load("a", 2, draw)
    assert len(calls) == 3


def test_other_code_has_other_files(set_of_two, monkeypatch):
    draw, calls = set_of_two
    stored.load("a", 2, draw)
    monkeypatch.setattr(stored, "_version", lambda: "other")
    stored.load("a", 2, draw)
    assert len(calls) == 2


def test_a_folder_that_cannot_be_written_is_no_error(set_of_two, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "file" / "below"))
    np.testing.assert_array_equal(stored.load("a", 2, set_of_two[0])[1], np.eye(2))


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
        datasets.standardise(first.images, first.ids), datasets.standardise(again.images, again.ids)
    )


def test_a_stored_set_is_what_is_drawn(forget):
    stored = [datasets.load("er-like", "val", size=32, limit=2) for _ in range(2) if forget() is None][1]
    _, mask = synthetic.render("er-like", 1, index=1, size=32)
    np.testing.assert_array_equal(stored.labels[1], mask)
