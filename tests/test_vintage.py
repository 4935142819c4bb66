"""What is committed in figures/ is of one vintage: records of one code, which agree where they share a run, and verdicts that agree."""

import json
from itertools import groupby

import numpy as np
import pytest
from matplotlib import image as images

from metalib import _files
from metalib.claims import tables
from metalib.claims.verdicts import LEVEL
from metalib.runs import run_files

FIGURES = _files.committed_folder()
STUDY = run_files.read(FIGURES / "runs.study.jsonl")
RECORDS = {path.stem: json.loads(path.read_text()) for path in sorted(FIGURES.glob("*.json")) if path.stem != "claims"}
VERDICTS = tables.decisive(tables.load())
TRAINED = {stem: record for stem, record in RECORDS.items() if "code" in record["provenance"]}
# Where `make test` draws the quick profile from its records; notebook 09 has none, and the template is not committed.
CHECKED = _files.ROOT / ".cache" / "checked"
DRAWN = [path for path in sorted(CHECKED.glob("*.png")) if not path.name.startswith(("_", "09"))]


def configurations(record):
    """{run: configuration as text} of a record."""
    shared = {name: value for name, value in record["config"].items() if name not in ("runs", "files")}
    differing = record["config"]["runs"]
    return {run: json.dumps(shared | differing.get(run, {}), sort_keys=True) for run in record["numbers"]["runs"]}


def test_records_are_of_one_code():
    for kind in ("TrainConfig", "MethodConfig"):
        codes = {
            stem: of["provenance"]["code"][kind] for stem, of in TRAINED.items() if kind in of["provenance"]["code"]
        }
        assert len(set(codes.values())) == 1, codes


def test_lines_of_the_study_are_of_one_code_which_is_that_of_the_records():
    codes = {(line["config"]["kind"], line["provenance"]["code"]) for line in STUDY.values()}
    of_records = {pair for record in TRAINED.values() for pair in record["provenance"]["code"].items()}
    assert codes <= of_records
    assert {line["provenance"].keys() >= {"commit", "cpu", "torch", "seconds"} for line in STUDY.values()} == {True}


def test_a_run_that_records_share_has_the_same_numbers():
    found = [(config, stem, run) for stem, record in TRAINED.items() for run, config in configurations(record).items()]
    shared = [[*of] for _, of in groupby(sorted(found), key=lambda place: place[0])]
    pairs = [(of[0], other) for of in shared for other in of[1:]]
    assert len(pairs) > 10
    for (_, stem, run), (_, other_stem, other_run) in pairs:
        first, second = (RECORDS[s]["numbers"]["runs"][r] for s, r in ((stem, run), (other_stem, other_run)))
        assert first == second, f"{run} of {stem} and {other_run} of {other_stem}"


@pytest.mark.parametrize("row", VERDICTS, ids=lambda row: f"{row['notebook'][:2]}-{row['id']}-{row['data']}")
def test_a_verdict_is_what_its_own_numbers_say(row):
    tested = {name: row[f"p_{name}"] for name in ("holds", "fails") if row[f"p_{name}"] is not None}
    decided = [name for name, chance in tested.items() if chance <= LEVEL]
    if tested or row["verdict"] in ("holds", "fails"):
        assert [row["verdict"]] == (decided or ["undecided"])
    if row["value"] is not None and row["low"] is not None:
        assert row["low"] <= row["value"] <= row["high"]


def test_no_two_lines_contradict_each_other():
    said = {(row["claim"], row["data"]): row["verdict"] for row in VERDICTS}
    assert len(said) == len(VERDICTS), "one statement on one set has two lines"
    verdicts = {(row["data"], row["profile"], row["id"]): row["verdict"] for row in VERDICTS}
    families = {"largest_gap": "cl_rcl", "every_pcl_below_rcl_flip:0.45": "pcl_below_rcl_flip:0.45"}
    for data, profile, name in verdicts:
        for family, member in families.items():
            grid, is_member, _ = name.partition(member)
            of_family = verdicts.get((data, profile, grid + family))
            if is_member and of_family and not name.endswith(family):
                assert (of_family, verdicts[data, profile, name]) != ("holds", "fails"), f"{name} on {data}"
                assert (of_family, verdicts[data, profile, name]) != ("holds", "not run"), f"{name} on {data}"


@pytest.mark.drawn
@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_committed_figure_is_what_its_record_draws(path):
    committed = FIGURES / path.name
    assert committed.is_file(), f"{path.name} is drawn and not committed"
    np.testing.assert_allclose(images.imread(committed), images.imread(path), atol=0.02)
