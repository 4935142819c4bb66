"""The runs behind each notebook, at the scale of each profile."""

from dataclasses import replace

import pytest
from small_sets import write_set

from metalib.data import datasets
from metalib.networks.config import TrainConfig
from metalib.noise import designs
from metalib.runs import grids, profiles, table3
from metalib.runs.grids import Grid

LEARN = [name for name in grids.GRIDS if name != "12_igtt_choices"]  # notebooks with runs that learn from labels
SETS = {"ambiguous-er-like", "er-like", "mito-like", "nuc-like"}


def configs(profile, data="", notebook="02_training_curves"):
    return [config for of in grids.runs(notebook, profile, data).values() for config in of]


def networks(profile, data="", notebook="02_training_curves"):
    """The runs of a notebook that learn from labels; those that see none are tested in test_table3.py."""
    return [config for config in configs(profile, data, notebook) if isinstance(config, TrainConfig)]


def steps(config):
    return config.epochs * (config.train // config.batch)


def test_the_profiles():
    assert profiles.PROFILES == ("smoke", "quick", "study", "paper")
    for table in (profiles.SEEDS, profiles.SCALE, profiles.CHANGES, profiles.METHODS):
        assert set(table) == set(profiles.PROFILES)


@pytest.mark.parametrize("notebook", LEARN)
def test_profiles_have_their_seeds_and_the_same_networks(notebook):
    quick, study, paper = (networks(profile, notebook=notebook) for profile in ("quick", "study", "paper"))
    assert [{config.seed for config in of} for of in (quick, study, paper)] == [set(range(n)) for n in (3, 5, 10)]
    assert {config.model.removesuffix("_light") for config in quick} == {config.model for config in paper}
    assert {(config.model == "hrnet", config.width) for config in paper} <= {(False, 64), (True, 32)}


@pytest.fixture
def toy(monkeypatch):
    """A function: runs of a notebook with a row more and grids of the study, at a profile and on a data set."""
    made = (
        Grid("", ("cl", "rl:0.5"), more=("rl:0.1",)),
        Grid("beside", ("cl",), data="mito-like", more=("rl:0.1",)),
        Grid("of the study", ("cl",), study=True),
        Grid("nearer to the paper's scale", ("cl",), ("papers_pixels",), study=True),
    )
    monkeypatch.setitem(grids.GRIDS, "toy", made)
    return lambda profile, data="": [*grids.runs("toy", profile, data)]


def test_more_rows_and_grids_of_the_study_are_left_out_where_time_is_short(toy, tmp_path):
    of_quick, more = ["cl", "rl:0.5"], ["cl", "rl:0.5", "rl:0.1"]
    beside, of_study = ["beside cl", "beside rl:0.1"], ["of the study cl"]
    near = ["nearer to the paper's scale cl"]
    assert toy("quick") == [*of_quick, beside[0]]
    assert toy("study") == toy("smoke") == [*more, *beside, *of_study, *near]
    assert toy("paper") == [*more, *beside, *of_study]  # which is the scale itself
    assert toy("quick", "nuc-like") == of_quick  # sets beside the default stand beside nothing else
    assert toy("study", "nuc-like") == [*more, *of_study, *near]
    write_set(tmp_path / "own", size=128)
    assert toy("quick", tmp_path / "own") == toy("study", tmp_path / "own") == of_quick
    assert toy("paper", tmp_path / "own") == [*more, *of_study]


@pytest.mark.parametrize("notebook", grids.GRIDS)
def test_what_a_smaller_profile_runs_a_larger_one_does_too(notebook):
    quick, smoke, study, paper = (grids.runs(notebook, p).keys() for p in ("quick", "smoke", "study", "paper"))
    assert quick <= study == smoke
    promised = ("papers_pixels", "rate 0.", "cost ", "memorise")  # a scale that the paper's is not
    assert {run for run in study - paper if not run.startswith(promised)} == set()
    assert {run for run in paper if run.startswith(promised)} <= {f"memorise 4 rl:{p}" for p in (0.1, 0.3, 0.5)}
    assert not [run for run in study if "study" in run]


def test_the_paper_profile_has_every_network_of_table_3_on_every_set():
    paper = grids.runs("07_igtt", "paper")
    for prefix in ("", "mito-like ", "nuc-like "):
        assert {f"{prefix}{run}" for run in table3.SUPERVISED.values()} <= paper.keys()


@pytest.mark.parametrize("notebook", grids.GRIDS)
def test_every_change_of_a_grid_is_known_or_is_its_name(notebook):
    """A misspelt one would change nothing, and the grid would be called what it is not."""
    unchanged = {"official", "unet", "rate in steps"}
    known = profiles.CHANGES["study"].keys() | unchanged
    assert {change for grid in grids.GRIDS[notebook] for change in grid.changes} <= known


def test_quick_images_are_of_one_size_in_every_set():
    for notebook in ("02_training_curves", "07_igtt", "12_igtt_choices"):
        assert {config.size for config in configs("quick", notebook=notebook)} == {96}


def test_the_study_has_sixteen_times_the_labelled_pixels_of_quick():
    (quick, *_), (study, *_) = (grids.runs("02_training_curves", profile)["cl"] for profile in ("quick", "study"))
    assert study.train * study.size**2 == 16 * quick.train * quick.size**2
    assert (study.model, study.width, study.lr, study.batch) == (quick.model, quick.width, quick.lr, quick.batch)
    assert study.tests > quick.tests
    for config in (quick, study):
        assert (config.test_spread, 2 * config.lr_step_epochs) == ("early", config.epochs)


def test_the_papers_pixels_are_those_of_its_images():
    """942 images of 256 x 256 px."""
    runs = grids.runs("02_training_curves", "study")
    near = {run: of[0] for run, of in runs.items() if run.startswith("papers_pixels")}
    assert len(near) > 10
    for config in near.values():
        assert config.train * config.size**2 == pytest.approx(942 * 256**2, rel=1e-3)


def test_costs_are_compared_after_as_many_steps():
    cost = grids.runs("10_effective_pixels", "study")
    scenes = grids.runs("03_multiclass_labels", "study")
    main = grids.runs("02_training_curves", "study")["cl"][0]
    of_cost = {n: cost[f"cost {n} cl"][0] for n in designs.COST_IMAGES}
    for sized in (of_cost, {n: scenes[f"cost {n} street-like cl"][0] for n in designs.SCENES}):
        found = list(sized.values())
        assert [config.train for config in found] == list(sized)
        assert len({steps(config) for config in found}) == 1
        assert all(2 * config.lr_step_epochs == config.epochs for config in found)
    assert steps(of_cost[288]) == steps(main)
    assert of_cost[2304] == main


def test_labels_are_memorised_at_a_rate_that_does_not_fall():
    quick, study = (grids.runs("05_random_labels", profile) for profile in ("quick", "study"))
    for n in designs.MEMORISED_IMAGES:
        config = study[f"memorise {n} rl:0.5"][0]
        assert (config.train, steps(config), config.lr_step_epochs) == (n, 100 * n, config.epochs)
    assert quick["memorise 4 rl:0.5"] == study["memorise 4 rl:0.5"][:3]
    assert [study[f"memorise 4, width {w} rl:0.5"][0].width for w in (4, 16)] == [4, 16]


@pytest.mark.parametrize("profile", ["quick", "study", "paper"])
def test_stages_differ_in_the_schedule_alone(profile):
    runs = grids.runs("05_random_labels", profile)
    stepped, constant = (runs[f"stages, {rate} rl:0.5"][0] for rate in ("rate in steps", "constant rate"))
    assert constant.lr_step_epochs == constant.epochs > stepped.lr_step_epochs
    assert replace(constant, lr_step_epochs=stepped.lr_step_epochs) == stepped


def test_table_3_is_of_one_scale_whatever_the_profile():
    quick, study = ({replace(config, seed=0) for config in networks(p, notebook="07_igtt")} for p in ("quick", "study"))
    assert quick <= study
    assert {(config.train, config.size) for config in study} == {(144, 96)}


def test_the_paper_profile_is_that_of_the_official_code():
    found = {(c.width, c.size, c.epochs, c.batch, c.lr) for c in configs("paper")}
    assert found == {(64, 256, 100, 32, 0.05)}
    assert {config.model for config in configs("paper")} == {"unet", "deeplabv3plus"}


def test_other_data_leave_out_the_sets_that_stand_beside_the_default(nuc, street):
    assert {config.data for config in configs("study")} == SETS
    assert {config.data for config in configs("quick")} == {"er-like"}
    assert {config.data for config in configs("study", "nuc")} == {"nuc"}
    for profile in ("quick", "study"):
        assert {config.size for config in configs(profile, "nuc")} == {128}  # a divisor of 256
        assert {config.size for config in configs(profile, "street", "03_multiclass_labels")} == {96}  # of 192


@pytest.mark.parametrize("count", [3, 4, 30])
@pytest.mark.parametrize(("profile", "least"), profiles.STEPS_OF_FILES.items())
def test_images_of_files_are_passed_over_until_the_steps_are_done(count, profile, least, tmp_path):
    write_set(tmp_path / "own", count=count, size=128)
    an_epoch = max(1, count // 4)  # the last batch is left out; of fewer images than a batch the run tells itself
    for config in configs(profile, str(tmp_path / "own")):
        assert config.train is None  # all of them
        assert (config.epochs - 1) * an_epoch < least <= config.epochs * an_epoch
        assert 0.6 < config.lr_step_epochs / config.epochs < 0.7
    assert {config.epochs for config in configs("smoke", str(tmp_path / "own"))} == {2}


def test_a_large_folder_is_passed_over_twice(tmp_path, monkeypatch):
    write_set(tmp_path / "own", count=20, size=128)
    monkeypatch.setitem(profiles.STEPS_OF_FILES, "quick", 6)
    found = {(config.epochs, config.lr_step_epochs) for config in configs("quick", str(tmp_path / "own"))}
    assert found == {(2, 1)}


@pytest.mark.parametrize(("profile", "least"), profiles.STEPS_OF_FILES.items())
def test_streets_of_files_are_passed_over_until_the_steps_are_done(profile, least, street):
    an_epoch = len(datasets.load("street", "train", size=96).ids) // 4
    for config in configs(profile, "street", "03_multiclass_labels"):
        assert config.train is None
        assert (config.epochs - 1) * an_epoch < least <= config.epochs * an_epoch


def test_notebooks_share_runs():
    first, second = (set(configs("quick", notebook=name)) for name in ("02_training_curves", "04_perturbed_labels"))
    assert {config.recipe for config in first & second} == {"cl", "pcl_skeleton", "rcl_flip:0.45"}


def test_the_presets_differ_in_every_choice_and_reach_the_runs():
    paper, official = profiles.LABEL_PRESETS["paper"], profiles.LABEL_PRESETS["official"]
    assert all(paper[name] != official[name] for name in paper)
    planned = grids.runs("11_text_and_code", "quick")
    for run, (config, *_) in planned.items():
        expected = official if run.startswith("official") else paper
        assert (config.exact, config.one_sided) == (expected["exact"], expected["one_sided"])
