"""Pages and their results: what is asked for, computed, read from a record, and told by the command."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metalib import __main__, _files
from metalib.data import datasets
from metalib.runs import grids, records, results


def test_unknown_profiles_notebooks_and_sources_are_named(monkeypatch):
    with pytest.raises(ValueError, match="unknown profile 'quik', expected one of smoke, quick, study, paper"):
        results.page("02_training_curves", "quik")
    with pytest.raises(ValueError, match="unknown notebook with runs '03'"):
        grids.runs("03", "quick")
    with pytest.raises(ValueError, match="unknown source 'stored'"):
        results.page("02_training_curves", "quick", source="stored")
    monkeypatch.setenv("METALIB_PROFILE", "paper")
    assert results.page("02_training_curves").profile == "paper"
    assert results.page("02_training_curves", "smoke").profile == "smoke"


def test_results_read_from_the_record_are_those_computed(monkeypatch):
    computed = results.page("03_multiclass_labels", "smoke").results()
    monkeypatch.setattr(_files, "committed_folder", _files.figures_folder)
    stored = results.page("03_multiclass_labels", "smoke", source="record").results()
    assert computed.runs.keys() == stored.runs.keys()
    for recipe, of in computed.runs.items():
        for name, values in of.items():
            np.testing.assert_array_equal(values, stored.runs[recipe][name])
    assert stored.runs["cl"]["miou"].shape == (1, 2)
    assert (stored.config["width"], stored.config["seed"]) == (8, [0])


def test_null_is_nan_in_results(monkeypatch):
    numbers = {"runs": {"cl": {"iou_2": [[0.5, float("nan")]], "example": "1x1:", "foreground": 0.5}}}
    records.save("02_training_curves", numbers, {})
    monkeypatch.setattr(_files, "committed_folder", _files.figures_folder)
    found = results.page("02_training_curves", "quick", source="record").results().runs["cl"]
    np.testing.assert_array_equal(found["iou_2"], [[0.5, np.nan]])
    assert found["iou_2"].dtype == float
    assert (found["example"], found["foreground"]) == ("1x1:", 0.5)


@pytest.mark.processes
def test_the_command_line_tells_what_is_done_and_writes_whole_records_alone():
    command = [sys.executable, "-m", "metalib", "experiments", "11_text_and_code", "--profile", "smoke"]
    path = _files.figures_folder() / "11_text_and_code.smoke.json"
    started = subprocess.run([*command, "--limit-s", "0"], capture_output=True, text=True, check=True)
    assert started.stdout == "0 of 5 runs done: call again to go on\n"
    assert not path.exists()
    trained = subprocess.run([*command, "--no-records"], capture_output=True, text=True, check=True)
    assert trained.stdout == "5 of 5 runs done\n"
    assert not path.exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "5 of 5 runs done\n"
    assert len(records.load(path)["numbers"]["runs"]) == 5


def test_every_numbered_notebook_has_runs_or_is_known_to_have_none(capsys):
    names = {path.stem for path in Path(__file__).parents[2].glob("notebooks/[0-9]*.ipynb")}
    assert names == {*grids.GRIDS, *grids.WITHOUT_RUNS}
    __main__.main(["experiments", *grids.WITHOUT_RUNS, "--profile", "smoke"])
    assert "0 of 0 runs done" in capsys.readouterr().out


def test_a_record_of_networks_and_methods_comes_back(computed, monkeypatch):
    tiny = (grids.Grid("", ("Otsu", "iGTT", "iGTT+")), grids.Grid("unet", ("cl",)))
    monkeypatch.setitem(grids.GRIDS, "x", tiny)
    made = results.page("x", "smoke").results()
    monkeypatch.setattr(_files, "committed_folder", _files.figures_folder)
    stored = results.page("x", "smoke", source="record").results()
    assert list(made.runs) == list(stored.runs) == ["Otsu", "iGTT", "iGTT+", "unet cl"]
    for run, of in made.runs.items():
        assert of.keys() == stored.runs[run].keys()
        for name, values in of.items():
            np.testing.assert_array_equal(values, stored.runs[run][name])
    truth = datasets.load("er-like", "test", size=32, limit=4).labels
    assert {of["foreground"] for of in stored.runs.values()} == {round(float(truth.mean()), 6)}
    for row in ("acc", "auc_image", "balanced", "balanced_image", "dice_half"):
        assert {len(stored.final(run, row)) for run in stored.runs} == {1}
    assert [run for run, of in stored.runs.items() if "loss" in of] == ["unet cl"]
    assert [run for run, of in stored.runs.items() if "label_dice" in of] == ["iGTT", "iGTT+"]
    assert stored.runs["iGTT"]["label_epoch"].tolist() == [[0, 1, 2]]
    assert records.unpack(str(stored.runs["iGTT"]["example"])).shape == (32, 32)
    assert (stored.config["method"], stored.config["runs"]["Otsu"]) == ("otsu", {})
    assert stored.config["runs"]["iGTT"].keys() == {"method", "options"}
    assert dict(stored.config["runs"]["iGTT+"]["options"])["preset"] == "improved"
    assert stored.config["runs"]["unet cl"]["recipe"] == "cl"
    results.page("x", "smoke").results()
    assert len(computed) == 4


PAGES = [("quick", "er-like"), ("quick", "nuc"), ("study", "er-like"), ("paper", "er-like")]


def test_a_score_knows_what_each_test_image_changes_where_its_record_does():
    runs = {"cl": {"dice_at": np.array([[0.5, 0.9]]), "without_dice_at": np.array([[0.8, 0.85]])}}
    found = results.Results(runs, {}, {}).score("cl")
    assert found.values.tolist() == [90]
    assert found.without.tolist() == [[80, 85]]
    del runs["cl"]["without_dice_at"]
    assert results.Results(runs, {}, {}).score("cl").without is None


def test_quick_leaves_strong_flips_on_synthetic_images_to_the_study():
    left = {(profile, data): results.Page("02", profile, data, "train").left_to_study for profile, data in PAGES}
    assert {place for place, recipes in left.items() if recipes} == {("quick", "er-like")}


def test_sets_are_the_embedded_ones_beside_the_main_with_clean_labels():
    names = (
        "cl",
        "papers_pixels cl",
        "mito-like cl",
        "mito-like rl:0.5",
        "nuc-like rl:0.5",
        "stages, constant rate rl:0.5",
    )
    found = results.Results({name: {"number": number} for number, name in enumerate(names)}, {}, {}).sets
    assert {name: [*of.runs] for name, of in found.items()} == {"mito-like": ["cl", "rl:0.5"]}
    assert found["mito-like"].runs["cl"] == {"number": 2}
