"""The paper profile as a toy: computed in pieces on several machines, joined, and drawn as far as it goes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import TINY, method

from metalib import _files, _provenance
from metalib.networks.config import TrainConfig
from metalib.runs import grids, profiles, records, results, run_files, sweeps
from metalib.unsupervised.config import MethodConfig

pytestmark = pytest.mark.processes
ROOT = Path(__file__).parents[2]
NOTEBOOK = "11_text_and_code"
SEEDS = 4


@pytest.fixture
def toy(monkeypatch):
    """The paper profile at the scale of smoke, and with four seeds."""
    for table in (profiles.SCALE, profiles.CHANGES):
        monkeypatch.setitem(table, "paper", table["smoke"])
    monkeypatch.setitem(profiles.SEEDS, "paper", SEEDS)


@pytest.fixture
def planned(toy):
    return grids.runs(NOTEBOOK, "paper")


def flat(planned):
    return [config for configs in planned.values() for config in configs]


@pytest.fixture
def add(tmp_path, monkeypatch):
    """A function that puts lines of made-up numbers into a file: a Dice for each configuration."""

    def add(configs, dice, code="0123456789abcdef"):
        numbers = [{"dice_at": [value], "example": ""} for value in dice]
        table = pd.DataFrame({"device": "cpu", "precision": "float32", "seconds": 1.04}, range(len(configs)))
        monkeypatch.setattr(records, "of_sweep", lambda configs, table: numbers)
        run_files.add(tmp_path / "runs.jsonl", configs, table, dict.fromkeys((TrainConfig, MethodConfig), code))
        return tmp_path / "runs.jsonl"

    return add


def test_pieces_of_two_machines_make_the_results_of_one(planned, tmp_path, monkeypatch):
    path, elsewhere = tmp_path / "runs.jsonl", tmp_path / "elsewhere.jsonl"
    configs = flat(planned)
    alone = results.page(NOTEBOOK, "paper").results()
    with monkeypatch.context() as other:
        other.setenv("METALIB_CACHE", str(tmp_path / "other"))
        assert results.to_file(configs, path, limit_s=0) == 0
    assert not path.exists()  # nothing was started, and nothing is written
    assert results.to_file(configs[:9], path) == 9
    first = path.read_text()
    assert results.to_file(configs[:9], path, limit_s=0) == 9  # nothing is computed again
    assert path.read_text() == first
    with monkeypatch.context() as other:
        other.setenv("METALIB_CACHE", str(tmp_path / "other"))
        results.to_file(configs[8:], elsewhere)
    with path.open("a") as file:
        file.write(elsewhere.read_text())
    joined = results.page(NOTEBOOK, "paper", source=str(path)).results()
    assert list(joined.runs) == list(alone.runs) == list(planned)
    for run, numbers in alone.runs.items():
        assert numbers.keys() == joined.runs[run].keys()
        for name, values in numbers.items():
            np.testing.assert_array_equal(values, joined.runs[run][name])
    assert joined.config == alone.config
    assert joined.runs["cl"]["dice_at"].shape[0] == SEEDS


def test_three_seeds_of_every_kind_come_before_any_fourth(toy):
    configs = flat(grids.runs("02_training_curves", "paper"))
    ordered = run_files.by_need(configs)
    assert sorted(map(run_files.name, ordered)) == sorted(map(run_files.name, configs))
    enough = sum(config.seed < 3 for config in configs)
    assert {config.seed for config in ordered[:enough]} == {0, 1, 2}
    kind = [config for config in ordered if (config.data, config.model) == ("er-like", "unet")]
    recipes = len({config.recipe for config in kind})
    assert ordered[: 3 * recipes] == kind[: 3 * recipes]  # the U-Net on the first set leads, seed by seed
    assert [config.seed for config in kind[: 3 * recipes]] == [0] * recipes + [1] * recipes + [2] * recipes


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_runs_are_there_with_the_seeds_that_all_of_them_have(counts):
    recipes = ("cl", "rl:0.1", "rl:0.3", "rl:0.5")
    planned = {recipe: [TrainConfig(recipe=recipe, seed=seed) for seed in range(5)] for recipe in recipes}
    known = {
        run_files.name(config): config
        for of, count in zip(planned.values(), counts, strict=True)
        for config in of[:count]
    }
    found = run_files.present(planned, known)
    seeds = {len(of) for of in found.values()}
    assert len(seeds) <= 1
    assert all(of == planned[run][: len(of)] for run, of in found.items())
    enough = [count for count in counts if count >= 3]
    if enough:  # none is lost that could have been compared
        assert {run for run, count in zip(planned, counts, strict=True) if count >= 3} <= found.keys()
        assert seeds == {min(enough)}
    else:
        assert set(found) == {run for run, count in zip(planned, counts, strict=True) if count}


def test_a_gap_in_the_seeds_ends_them(planned):
    cl = planned["cl"]
    known = {run_files.name(config): config.seed for config in cl if config.seed != 1}
    assert run_files.present({"cl": cl}, known) == {"cl": [0]}


def test_what_draws_no_random_numbers_has_one_seed(toy):
    planned = grids.runs("07_igtt", "paper")
    known = {run_files.name(config): config.seed for config in flat(planned) if config.seed < 3}
    found = run_files.present(planned, known)
    assert (len(found["Otsu"]), len(found["iGTT"]), len(found["unet cl"])) == (1, 3, 3)
    assert found.keys() == planned.keys()


def test_a_later_line_counts_and_the_file_stays_sorted(planned, add):
    configs = planned["cl"]
    path = add(configs[::-1], [0.1, 0.2, 0.3, 0.4])
    before = path.read_text().splitlines()
    add(configs[:1], [float("nan")])
    after = path.read_text().splitlines()
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    assert run_files.read(path)[run_files.name(configs[0])]["numbers"]["dice_at"] == [None]
    assert "NaN" not in path.read_text()


def test_a_line_tells_the_commit_processor_and_code_behind_its_numbers(planned, add):
    config = planned["cl"][0]
    line = run_files.read(add([config], [0.5]))[run_files.name(config)]
    told = line["provenance"]
    assert told == _provenance.environment() | {
        "device": "cpu",
        "precision": "float32",
        "seconds": 1.0,
        "code": "0123456789ab",
    }
    assert told.keys() >= {"commit", "cpu", "torch", "python"}
    assert line["config"] == json.loads(run_files.name(config))


def test_the_code_of_a_line_is_that_of_its_kind(tmp_path, computed):
    configs = [TINY, method("otsu")]
    results.to_file(configs, tmp_path / "runs.jsonl")
    found = run_files.read(tmp_path / "runs.jsonl")
    for config in configs:
        told = found[run_files.name(config)]["provenance"]["code"]
        assert sweeps.KINDS[type(config)].code.startswith(told)
        assert len(told) == 12


def older(path, **fields):
    """The file as a version would have written it that did not know these fields; other values are kept."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["config"] = {k: value for k, value in line["config"].items() if k not in fields or value != fields[k]}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_line_that_is_older_than_a_field_is_known_by_its_default(add):
    even, early = TrainConfig(), TrainConfig(tests=4, test_spread="early")
    path = older(add([even, early], [0.1, 0.2]), test_spread="even", tests=None)
    assert sum("test_spread" in line for line in path.read_text().splitlines()) == 1
    names = run_files.name(even), run_files.name(early)
    assert [run_files.read(path)[name]["numbers"]["dice_at"] for name in names] == [[0.1], [0.2]]
    add([even], [0.3])  # in place of the older line
    assert [run_files.read(path)[name]["numbers"]["dice_at"] for name in names] == [[0.3], [0.2]]
    assert len(path.read_text().splitlines()) == 2


def test_an_older_line_of_a_method_is_known_too(add):
    config = method("otsu")
    path = older(add([config], [0.1]), augment=config.augment)
    assert run_files.read(path).keys() == {run_files.name(config)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 2 is no JSON .*delete the line"),
        ("[]", "line 2 is no run: delete the line"),
        ("{}", "line 2 is no run"),
        ('{"config": [], "numbers": {}, "provenance": {}, "schema": 1}', "line 2 is no run"),
        ('{"config": {}, "numbers": {}, "provenance": {}, "schema": 0}', "line 2 has schema 0, this version reads 1"),
    ],
)
def test_a_line_that_is_no_run_is_named(text, message, planned, add):
    path = add(planned["cl"][:1], [0.5])
    with path.open("a") as file:
        file.write(text)
    with pytest.raises(ValueError, match=rf"runs\.jsonl, {message}"):
        run_files.read(path)


def test_what_cannot_be_drawn_is_named_and_left_out(planned, add):
    path = add(planned["cl"], [0.1, 0.2, 0.3, 0.4])
    assert run_files.readable(path) == run_files.read(path)
    with path.open("a") as file:
        file.write("{}\n")
    before = path.read_text()
    with pytest.warns(UserWarning, match=r"left out: .*runs\.jsonl, line 5 is no run: delete the line"):
        assert len(run_files.readable(path)) == 4
    assert path.read_text() == before


def test_runs_of_other_code_than_most_of_their_kind_are_left_out(planned, add):
    path = add(planned["cl"], [0.1, 0.2, 0.3, 0.4])
    add([method("otsu")], [0.5], code="another kind has other code")
    assert len(run_files.readable(path)) == 5
    add(planned["cl"][1:2], [0.9], code="other")
    with pytest.warns(UserWarning, match=r"1 of 5 runs are of other code than the others: delete their lines, they"):
        found = run_files.readable(path)
    assert run_files.read(path).keys() - found.keys() == {run_files.name(planned["cl"][1])}


def test_a_notebook_is_drawn_as_far_as_its_runs_are_there(tmp_path, compute_here):
    path, output = tmp_path / "runs.jsonl", tmp_path / "out.ipynb"
    planned = grids.runs(NOTEBOOK, "smoke")
    lacking = "official rcl_flip:0.4"
    results.to_file(flat(planned), path)
    complete = path.read_text()
    lost = json.loads(run_files.name(planned[lacking][0]))
    path.write_text("".join(line for line in complete.splitlines(True) if json.loads(line)["config"] != lost))
    notebook = ROOT / "notebooks" / f"{NOTEBOOK}.ipynb"
    command = [sys.executable, "-m", "metalib", "execute", notebook, output, "profile=smoke", f"source={path}"]
    partly = subprocess.run(command, capture_output=True, text=True, check=True)
    assert partly.stdout.endswith(f"run {lacking!r} is not in {path} yet\n")
    assert not output.exists()
    assert not (_files.figures_folder() / "claims.json").exists()
    path.write_text(complete)
    compute_here(notebook, profile="smoke", source=str(path))
    assert (_files.figures_folder() / f"{NOTEBOOK}.smoke.png").exists()
    path.unlink()
    with pytest.raises(run_files.MissingRun, match=rf"holds no run of {NOTEBOOK}: compute some with .*--runs"):
        results.page(NOTEBOOK, "smoke", source=str(path)).results()


def test_make_figures_of_the_paper_profile_trains_nothing():
    command = ["make", "-n", "figures", "PROFILE=paper"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--limit-s=0 --runs=figures/runs.paper.jsonl --profile paper" in planned
    executed = [line for line in planned.splitlines() if "metalib execute" in line]
    assert len(executed) == len(grids.GRIDS)
    assert all(re.match(r"METALIB_SOURCE=\".*/figures/runs.paper.jsonl\" ", line) for line in executed)


def test_the_committed_runs_of_the_paper_profile_are_found():
    found = run_files.read(ROOT / "figures" / "runs.paper.jsonl")
    planned = grids.runs("02_training_curves", "paper")
    assert len(found) == 4
    assert found.keys() <= {run_files.name(config) for config in flat(planned)}
    assert run_files.present(planned, found)
