"""Rows of claims.json, what is kept of them, how they are counted, and the tables of notebooks and RESULTS.md."""

import json
import subprocess
import sys

import numpy as np
import pytest

from metalib import _files
from metalib.claims import tables, verdicts
from metalib.claims.verdicts import Verdict
from metalib.data import datasets
from metalib.runs.results import Page

PAGE = Page("02_x", "quick", "er-like", "train")
GIVEN = Verdict("holds", -1.02, -1.54, -0.51, "Dice points", 3, 24, 0.01, 0.99, 0, "margin -7")


def row(name="a", verdict="holds", paper="7", claim="CL ≈ RCL", **changes):
    given = GIVEN._replace(verdict=verdict, **{key: changes.pop(key) for key in GIVEN._fields if key in changes})
    (made,) = tables.rows(PAGE, {name: (claim, paper, given)})
    return made | changes


def with_chances(*chances, **changes):
    """Rows whose verdicts have these p-values of being wrong."""
    return [row(str(place), p_holds=chance, p_fails=1 - chance, **changes) for place, chance in enumerate(chances)]


def stored():
    return tables.load(_files.figures_folder() / "claims.json")


@pytest.fixture
def no_sets(monkeypatch, tmp_path):
    def missing(name):
        raise FileNotFoundError(f"{tmp_path}/{name} is missing")

    monkeypatch.setattr(datasets, "folder", missing)


# Rows, and the file that keeps them


def test_a_row_tells_whose_and_on_what_the_statement_is():
    assert row() == dict(
        **dict(id="a", notebook="02_x", claim="CL ≈ RCL", paper="7", kind="paper", profile="quick", data="er-like"),
        **dict(verdict="holds", value=-1.02, low=-1.54, high=-0.51, unit="Dice points", seeds=3, images=24),
        **dict(p_holds=0.01, p_fails=0.99, needed=0, reason="margin -7"),
    )
    assert tables.rows(PAGE, {"a": ("claim", "7", GIVEN)}, "nuc")[0]["data"] == "nuc"


def test_statements_are_the_papers_ours_or_checks():
    assert [row(paper="lower")["kind"], row(paper="-")["kind"], row("a", "check")["kind"]] == ["paper", "ours", "check"]


def test_rows_are_json_whatever_the_numbers():
    measured = verdicts.below([1.0], 2)  # an infinite interval, and no p-value
    (made,) = tables.rows(PAGE, {"a": ("claim", "-", measured)})
    assert (made["value"], made["low"], made["high"], made["p_holds"]) == (-1, None, None, None)
    (made,) = tables.rows(PAGE, {"a": ("claim", "-", GIVEN._replace(value=np.float32(1 / 3), seeds=np.int64(3)))})
    assert (made["value"], made["seeds"]) == (0.33333, 3)
    tables.save([made])
    assert json.loads((_files.figures_folder() / "claims.json").read_text()) == [made]
    assert "+0.3 [-1.5, -0.5] Dice points" in tables.table([made])


def test_statements_on_a_grid_carry_its_name():
    stated = {"a": ("CL ≈ RCL", "7", GIVEN)}
    assert tables.named(stated, "deeplabv3plus") == {"deeplabv3plus_a": ("CL ≈ RCL; DeepLabv3+", "7", GIVEN)}
    assert [*tables.named(stated, "mito-like deeplabv3plus")] == ["deeplabv3plus_a"]
    assert [*tables.named(stated, "rate 0.2")] == ["rate_0.2_a"]
    for main in ("", "mito-like", "nuc-like"):
        assert tables.named(stated, main) == stated


def test_saved_rows_replace_those_of_the_same_notebook_profile_and_data():
    tables.save([row("b"), row("a")])
    tables.save([row("a", data="nuc")])
    tables.save([row("c", "fails"), row("a")])
    found = [(r["id"], r["data"], r["verdict"]) for r in stored()]
    assert found == [("c", "er-like", "fails"), ("a", "er-like", "holds"), ("a", "nuc", "holds")]
    tables.save([row("a", profile="study")])
    assert len(stored()) == 4
    tables.save([row("a", data="mito-like")])  # what a notebook no longer states of drawn sets is gone
    found = [(r["id"], r["data"], r["profile"]) for r in stored()]
    assert found == [("a", "er-like", "study"), ("a", "mito-like", "quick"), ("a", "nuc", "quick")]


SAVING = """
import sys
from metalib import claims, runs
page = runs.Page(sys.argv[1], "quick", "er-like", "train")
stated = {"a": ("claim", "paper", claims.Verdict("holds", 1.0, 0.5, 1.5, "points", 3))}
for number in range(50):
    claims.save(claims.rows(page, stated, str(number)))
"""


@pytest.mark.processes
def test_verdicts_of_notebooks_that_run_side_by_side_are_all_kept():
    both = [subprocess.Popen([sys.executable, "-c", SAVING, notebook]) for notebook in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    every = [(notebook, str(number)) for notebook in "ab" for number in range(50)]
    assert [(row["notebook"], row["data"]) for row in stored()] == sorted(every)


def test_no_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"claims\.json: compute it with `make figures`"):
        tables.load(tmp_path / "claims.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a"}',
        '[{"id": "a"}]',
        "[1]",
        json.dumps(
            [{"id": "a", "notebook": "02_x", "claim": "x", "paper": "7", "ours": "1", "spread": "0", "seeds": 3}]
        ),
    ],
)
def test_verdicts_of_another_layout_are_not_read(tmp_path, text):
    (tmp_path / "claims.json").write_text(text)
    with pytest.raises(ValueError, match=r"holds no verdicts, rows with claim, data, .*: delete it and compute"):
        tables.load(tmp_path / "claims.json")
    (tmp_path / "claims.json").write_text(text[:-1])
    with pytest.raises(ValueError, match="is no JSON"):
        tables.load(tmp_path / "claims.json")


def test_what_needs_an_absent_set_is_not_run_with_the_reason(no_sets, monkeypatch, tmp_path):
    stated = {"a": ("CL ≈ RCL", "7", GIVEN)}
    (made,) = tables.absent(PAGE, stated, "er")
    assert (made["verdict"], made["data"], made["seeds"], made["kind"]) == ("not run", "er", 0, "paper")
    assert "IEEE DataPort" in made["reason"]
    assert str(tmp_path) not in made["reason"]  # a place on one machine
    monkeypatch.setattr(datasets, "folder", lambda name: tmp_path)
    assert tables.absent(PAGE, stated, "er") == []


def test_a_report_saves_all_and_shows_what_was_measured(no_sets):
    stated = {"a": ("CL ≈ RCL", "7", GIVEN)}
    shown = tables.report(PAGE, stated, others={"mito-like": stated}, missing={"er": stated})
    assert [line.split()[0] for line in shown.splitlines()] == ["verdict", "holds", "holds"]
    found = [(row["data"], row["profile"], row["verdict"]) for row in stored()]
    assert found == [("er", "quick", "not run"), ("er-like", "quick", "holds"), ("mito-like", "quick", "holds")]


def test_moved_verdicts_are_told():
    old, new = [row("a"), row("b"), row("d")], [row("a", "fails"), row("b", value=9.0), row("c")]
    assert tables.moved(old, new) == [
        "02_x er-like quick a: holds -> fails",
        "02_x er-like quick c: None -> holds",
        "02_x er-like quick d: holds -> None",
    ]


@pytest.mark.parametrize(
    ("data", "drawn"), [("er-like", 1), ("street-like-3", 1), ("circle", 1), ("nuc", 0), ("er", 0)]
)
def test_every_set_that_is_drawn_here_counts_as_drawn(data, drawn):
    assert tables.is_embedded(row(data=data)) == drawn
    assert tables.is_real(row(data=data)) == (not drawn)
    assert not tables.is_real(row(data=data, seeds=0))


# What counts


def test_of_several_profiles_the_largest_that_ran_it_counts():
    quick, study, paper = (row(profile=profile, reason=profile) for profile in ("quick", "study", "paper"))
    assert tables.decisive([row(profile="smoke"), quick, paper]) == [quick]
    assert tables.decisive([study, quick]) == tables.decisive([quick, study]) == [study]
    assert tables.decisive([quick, row("a", "not run", profile="study")]) == [quick]
    assert tables.decisive([row("a", "undecided", profile="study"), quick])[0]["verdict"] == "undecided"
    assert tables.decisive([paper]) == []
    assert len(tables.decisive([quick, row("b"), row(data="nuc"), quick | {"notebook": "03_x"}])) == 4


def test_statements_are_counted_once_a_set_the_papers_and_ours_apart():
    rows = [row("a"), row("a", "fails", profile="study"), row("b", "undecided"), row("c", "check"), row("d", paper="-")]
    assert tables.counts([*rows, row("b", "not run", data="nuc")]) == {
        "paper": {"holds": 0, "fails": 1, "undecided": 1, "not run": 1},
        "ours": {"holds": 1, "fails": 0, "undecided": 0, "not run": 0},
    }


def test_the_false_among_the_decided_are_a_share_of_all_that_were_with_chances():
    rows = with_chances(0.001, 0.999, 0.01, 0.04, 0.3, 0.5, 0.6, 0.9)
    assert tables.false_share(rows) == (8 * 0.05 / 4, 4, 8)
    known = dict(p_holds=np.nan, p_fails=np.nan)
    rows += [row("x", "check", **known), row("y", "not run", **known), row("z", "undecided", **known)]
    assert tables.false_share(rows)[1:] == (4, 8)
    assert tables.false_share([*rows, row("w", "fails", p_holds=np.nan, p_fails=0.01)])[1:] == (5, 9)
    assert tables.false_share(with_chances(0.04, *[0.5] * 30))[0] == 1
    assert tables.false_share(with_chances(0.5)) == (0, 0, 1)
    assert tables.false_share([]) == (0, 0, 0)


# Tables


def test_a_table_of_verdicts_is_aligned():
    head, first, second = tables.table([row("a"), row("b", "undecided", claim="CL")]).splitlines()
    assert head.split() == ["verdict", "measured", "n", "data", "claim", "reason"]
    assert first == "holds      -1.0 [-1.5, -0.5] Dice points  3  er-like  CL ≈ RCL  margin -7"
    assert first.index("-1.0") == second.index("-1.0") == head.index("measured")
    assert first.index("margin") == second.index("margin") == head.index("reason")


def test_sets_stand_side_by_side_and_the_papers_scale_last():
    rows = [
        *(row("a"), row("b", "undecided", claim="CL ≈ RCL, 0.45", reason="margin -7; 18 seeds would decide")),
        *(row("a", "fails", data="nuc"), row("a", data="mito-like", seeds=5, profile="study")),
        row("a", profile="paper", seeds=10, value=-6.0, low=-6.5, high=-5.5),
    ]
    measured = "-1.0 [-1.5, -0.5] Dice points"
    assert tables.markdown(rows).splitlines() == [
        "**[02_x](notebooks/02_x.ipynb)**, quick and study",
        "",
        "| statement | paper | er-like | mito-like | nuc | er-like, at the paper's scale |",
        "|---|---|---|---|---|---|",
        f"| CL ≈ RCL | 7 | {measured}, n = 3, **holds** | {measured}, n = 5, **holds** | {measured}, n = 3, **fails** "
        "| -6.0 [-6.5, -5.5] Dice points, n = 10, **holds** |",
        f"| CL ≈ RCL, 0.45 | 7 | {measured}, n = 3, **undecided**: margin -7; 18 seeds would decide | | | |",
    ]


def test_each_notebook_has_a_table_of_its_own():
    text = tables.markdown([row(notebook="03_y"), row(), row(notebook="04_z", profile="paper")])
    assert [line for line in text.splitlines() if line.startswith("**[")] == [
        "**[02_x](notebooks/02_x.ipynb)**, quick",
        "**[03_y](notebooks/03_y.ipynb)**, quick",
        "**[04_z](notebooks/04_z.ipynb)**",
    ]


def test_one_id_may_be_of_another_claim_on_another_set():
    text = tables.markdown([row(claim="0.86 flipped"), row(claim="0.79 flipped", data="street-like")])
    assert "| 0.86 flipped | 7 | -1.0 [-1.5, -0.5] Dice points, n = 3, **holds** | |" in text
    assert "| 0.79 flipped | 7 | | -1.0 [-1.5, -0.5] Dice points, n = 3, **holds** |" in text


def test_what_the_paper_says_is_told_as_of_the_first_set():
    text = tables.markdown([row(paper="9.4 lower"), row(paper="lower", data="nuc")])
    assert text.splitlines()[-1].startswith("| CL ≈ RCL | 9.4 lower | -1.0")


def test_a_set_that_is_absent_stands_below_and_a_statement_that_was_not_run_in_its_row():
    nothing = GIVEN._replace(verdict="not run", value=np.nan)._asdict()
    absent, late = (
        row("a", **nothing | dict(reason="er is not here")),
        row("b", **nothing | dict(reason="no run", claim="B")),
    )
    text = tables.markdown([row("a"), row("a", data="nuc"), late | {"data": "nuc"}, absent | {"data": "er"}])
    assert "| statement | paper | er-like | nuc |" in text
    assert "| B | 7 | | **not run**: no run |" in text
    assert text.endswith("\n\n**not run** on er: er is not here")


def test_a_statement_counts_once_at_the_papers_number_of_pixels_where_it_was_measured_there():
    rows = [row("a", "fails"), row("papers_pixels_a", "holds"), row("b", "fails"), row("a", "fails", data="nuc")]
    assert tables.counts(rows)["paper"] == {"holds": 1, "fails": 2, "undecided": 0, "not run": 0}
