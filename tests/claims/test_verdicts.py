"""Bounds, margins and tables of verdicts, and the file that keeps them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalib import _files
from metalib.claims import verdicts
from metalib.data import datasets
from metalib.runs.results import Page


def test_similar_and_below_need_an_effect_beyond_its_spread():
    clean = np.array([90.0, 91, 90])
    assert verdicts.similar(clean, clean - [3, 3.5, 2.5], margin=7).verdict == "holds"
    assert verdicts.similar(clean, clean - [8, 8, 8], margin=7).verdict == "fails"
    assert verdicts.below(clean - [3, 3.5, 2.5], clean).verdict == "holds"
    assert verdicts.below(clean + np.array([3, 3.5, 2.5]), clean).verdict == "fails"
    for undecided in (
        verdicts.similar(clean, clean - [1, 6, 11], margin=7),
        verdicts.below(clean - [-1, 5, -1], clean),
    ):
        assert undecided.verdict == "not tested"
        assert undecided.reason.startswith("3 seeds cannot decide: bounds")


def test_the_bounds_are_students():
    gap, half = np.array([2.0, 3.0, 4.0]), 2.91999 / np.sqrt(3)
    found = [
        verdicts.similar(gap, np.zeros(3), margin=3 + shift).verdict
        for shift in (half + 1e-3, half - 1e-3, -half - 1e-3)
    ]
    assert found == ["holds", "not tested", "fails"]


def test_equal_has_two_sides():
    values = np.array([90.0, 90.5, 91.0])
    found = [verdicts.equal(values, values + shift, 3).verdict for shift in (-3.5, -2.5, 2.5, 3.5)]
    assert found == ["fails", "holds", "holds", "fails"]


def test_a_correlation_is_negative_if_its_bound_is():
    found = [
        verdicts.negative(values, "rho").verdict for values in ([-0.9, -0.8, -0.9], [0.9, 0.8, 0.9], [-0.9, 0.8, 0])
    ]
    assert found == ["holds", "fails", "not tested"]
    assert verdicts.negative([-0.9, -0.8, -0.7], "rho").ours == "rho -0.80"


def test_near_compares_the_mean():
    assert verdicts.near([2, 2, 2], 2, tolerance=0).verdict == "holds"
    assert verdicts.near([2, 2, 1], 2, tolerance=0).verdict == "fails"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=2))
def test_fewer_than_three_seeds_test_nothing(values):
    for verdict in (
        verdicts.similar(values, values, 7),
        verdicts.below(values, values),
        verdicts.near(values, values[0], 1),
    ):
        assert verdict.verdict == "not tested"
        assert "at least 3 are needed" in verdict.reason


PAGE = Page("02_x", "quick", "er-like", "train")


def row(name="a", verdict="holds", **changes):
    given = verdicts.Verdict(verdict, "gap 1.0 points", "0.1", 3, "why")
    (made,) = verdicts.rows(PAGE, {name: ("CL ≈ RCL", "7", given)})
    return made | changes


def test_a_table_of_verdicts_is_aligned():
    head, first, second = verdicts.table([row("a"), row("long-name", "fails")]).splitlines()
    assert head.split() == ["verdict", "id", "paper", "ours", "spread", "seeds", "reason"]
    assert first.index("gap 1.0") == second.index("gap 1.0") == head.index("ours")


def test_saved_verdicts_replace_those_of_the_same_notebook_profile_and_data():
    verdicts.save([row("b"), row("a")])
    verdicts.save([row("a", data="nuc")])
    verdicts.save([row("c", "fails"), row("a")])
    found = verdicts.load(_files.figures_folder() / "claims.json")
    assert [(r["id"], r["data"], r["verdict"]) for r in found] == [
        ("c", "er-like", "fails"),
        ("a", "er-like", "holds"),
        ("a", "nuc", "holds"),
    ]
    verdicts.save([row("a", data="mito-like")])
    drawn = [(r["id"], r["data"]) for r in verdicts.load(_files.figures_folder() / "claims.json")]
    assert drawn == [("a", "mito-like"), ("a", "nuc")]  # what a notebook no longer states is gone
    assert {"id", "notebook", "claim", "paper", "ours", "spread", "seeds", "profile", "data", "verdict"} <= found[
        0
    ].keys()


SAVING = """
import sys
from metalib import claims, runs
page = runs.Page(sys.argv[1], "quick", "er-like", "train")
stated = {"a": ("claim", "paper", claims.Verdict("holds", "1", "0", 3, "why"))}
for number in range(50):
    claims.save(claims.rows(page, stated, str(number)))
"""


@pytest.mark.processes
def test_verdicts_of_notebooks_that_run_side_by_side_are_all_kept():
    both = [subprocess.Popen([sys.executable, "-c", SAVING, notebook]) for notebook in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    found = verdicts.load(_files.figures_folder() / "claims.json")
    assert [(row["notebook"], int(row["data"])) for row in found] == sorted(
        ((notebook, number) for notebook in "ab" for number in range(50)), key=lambda place: (place[0], str(place[1]))
    )


def test_moved_verdicts_are_told():
    assert verdicts.moved([row("a"), row("b")], [row("a", "fails"), row("b")]) == [
        "02_x er-like quick a: holds -> fails"
    ]
    assert verdicts.moved([], [row()]) == ["02_x er-like quick a: None -> holds"]


def test_embedded_and_real_results_stand_side_by_side():
    rows = [row("a"), row("b"), row("a", "fails") | {"data": "nuc"}, row("c") | {"data": "er", "seeds": 0}]
    text = verdicts.markdown(rows)
    assert "| statement | paper | er-like, n = 3 | verdict | nuc, n = 3 | verdict |" in text
    assert "| CL ≈ RCL | 7 | gap 1.0 points ± 0.1 | **holds** | gap 1.0 points ± 0.1 | **fails**: why |" in text
    assert "| CL ≈ RCL | 7 | gap 1.0 points ± 0.1 | **holds** | | |" in text  # b was not run on nuclei
    assert text.endswith("\n**not tested** on er: why")
    assert "| CL ≈ RCL | 7 | | **holds**" in verdicts.markdown([row("a"), row("d") | {"seeds": 0}])


def test_what_needs_an_absent_set_is_not_tested_with_the_reason(tmp_path, monkeypatch):
    def missing(name):
        raise FileNotFoundError(f"{tmp_path}/{name} is missing")

    monkeypatch.setattr(datasets, "folder", missing)
    stated = {"a": ("CL ≈ RCL", "7", verdicts.near([1, 1, 1], 1, 0))}
    (row,) = verdicts.absent(PAGE, stated, "er")
    assert (row["verdict"], row["data"], row["seeds"]) == ("not tested", "er", 0)
    assert "IEEE DataPort" in row["reason"]
    assert str(tmp_path) not in row["reason"]  # a place on one machine
    monkeypatch.setattr(datasets, "folder", lambda name: tmp_path)
    assert verdicts.absent(PAGE, stated, "er") == []


def test_a_report_saves_all_and_shows_what_was_measured(monkeypatch):
    def missing(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(datasets, "folder", missing)
    stated = {"a": ("CL ≈ RCL", "7", verdicts.near([1, 1, 1], 1, 0))}
    shown = verdicts.report(PAGE, stated, others={"mito-like": stated}, missing={"er": stated})
    assert [line.split()[:2] for line in shown.splitlines()] == [["verdict", "id"], ["holds", "a"], ["holds", "a"]]
    saved = verdicts.load(_files.figures_folder() / "claims.json")
    assert [(row["data"], row["profile"], row["verdict"]) for row in saved] == [
        ("er", "quick", "not tested"),
        ("er-like", "quick", "holds"),
        ("mito-like", "quick", "holds"),
    ]


@pytest.mark.parametrize("data", ["er-like", "street-like-3", "circle"])
def test_every_set_that_is_drawn_here_counts_as_drawn(data):
    row = {"data": data, "seeds": 3}
    assert verdicts.is_embedded(row)
    assert not verdicts.is_real(row)
