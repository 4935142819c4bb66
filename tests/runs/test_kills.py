"""Processes that are killed, and two at once, leave the results that one leaves in peace."""

import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import kills

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes"),
]


# The command of a sweep, but that its workers are forked: then they need not import torch once more.
FORKED = """
import multiprocessing
context = multiprocessing.get_context
multiprocessing.get_context = lambda method: context("fork")
from metalib import __main__
__main__.main()
"""
SWEEP = [sys.executable, "-c", FORKED, "experiments", kills.NOTEBOOK, "--profile", "smoke"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The results of a sweep in peace."""
    place = tmp_path_factory.mktemp("peace")
    assert kills.ends([SWEEP], place)
    return kills.results(place)


def test_results_are_all_that_a_sweep_leaves(expected):
    assert sorted(Path(name).parts[0] for name in expected) == ["cache"] * 11 + ["figures"]


def test_a_sweep_that_is_killed_again_and_again_ends_with_the_same_results(expected, tmp_path):
    def stored(count, pattern):  # half-written files count too
        return len(list((tmp_path / "cache").glob(pattern))) >= count

    for files in ((1, "sets/*/*"), (1, "*.json"), (4, "*.json")):
        assert not kills.ends([SWEEP], tmp_path, partial(stored, *files))
        assert kills.differing(kills.results(tmp_path), expected)
    assert kills.ends([SWEEP], tmp_path)
    kills.check(tmp_path, expected)


def test_two_sweeps_at_once_leave_the_results_of_one(expected, tmp_path):
    both = [kills.start(SWEEP, tmp_path) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    kills.check(tmp_path, expected)


@pytest.mark.parametrize("name", ["figures/11_text_and_code.smoke.json", "cache/sets/x/y.npy"])
def test_a_result_that_differs_is_named(expected, tmp_path, name):
    assert kills.differing(expected | {name: b"other"}, expected) == [name]
