"""Pages and their results: what is asked for, computed, read from a record, and told by the command."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metalib import __main__, _files
from metalib.data import datasets
from metalib.runs import grids, records, results, sweeps


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


def scored(**run):
    """Results of one run of 3 seeds, whose Dice is 0.7, 0.8 and 0.9 at last."""
    dice = np.array([[0.5, 0.7], [0.5, 0.8], [0.5, 0.9]])
    return results.Results({"cl": {"dice_at": dice, "auc": dice + 0.05} | run}, {}, {})


def test_a_score_is_the_last_of_each_seed_with_what_leaving_out_an_image_makes_of_it():
    without = np.array([[0.69, 0.71, 0.7, 0.72], [0.8, 0.79, 0.78, 0.81], [0.9, 0.9, 0.9, 0.95]])
    found = scored(without_dice_at=without).score("cl")
    np.testing.assert_allclose(found.values, [70, 80, 90])
    np.testing.assert_allclose(found.without, 100 * without)
    other = scored(without_dice_at=without).score("cl", "auc")
    np.testing.assert_allclose(other.values, [75, 85, 95])
    assert other.without is None
    np.testing.assert_array_equal(found.values, scored().final("cl"))


@pytest.mark.parametrize("without", [None, np.zeros((3, 0)), np.array([[0.7, 0.7], [0.8, np.nan], [0.9, 0.9]])])
def test_where_it_is_not_known_for_every_image_it_is_not_told(without):
    run = {} if without is None else {"without_dice_at": without}
    assert scored(**run).score("cl").without is None


def test_scores_of_a_page_are_those_of_its_runs(computed):
    table = sweeps.run(grids.runs("11_text_and_code", "smoke")["cl"])
    found = results.page("11_text_and_code", "smoke").results().score("cl")
    assert found.values == pytest.approx(100 * np.array([table.test[0]["dice_at"][-1]]), abs=0.006)
    np.testing.assert_allclose(found.without, [100 * np.array(table.without[0]["dice_at"])], atol=6e-5)


def test_a_record_that_tells_no_steps_has_kept_every_loss(monkeypatch):
    runs = {"old": {"loss": [[0.5] * 36]}, "new": {"loss": [[0.5] * 64], "steps": 129}, "Otsu": {"auc": [[0.5]]}}
    records.save("02_training_curves", {"runs": runs}, {})
    monkeypatch.setattr(_files, "committed_folder", _files.figures_folder)
    found = results.page("02_training_curves", "quick", source="record").results().runs
    assert {run: of.get("steps") for run, of in found.items()} == {"old": 36, "new": 129, "Otsu": None}


@pytest.mark.parametrize(
    ("profile", "data", "left"), [("quick", "er-like", True), ("quick", "nuc", False), ("study", "er-like", False)]
)
def test_strong_flips_are_left_to_the_study_where_quick_draws_its_images(profile, data, left):
    page = results.page("02_training_curves", profile, data)
    assert page.left_to_study == (("rcl_flip:0.4", "rcl_flip:0.45", "rcl_flip:0.49") if left else ())


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
