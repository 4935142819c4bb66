"""The runs behind each notebook, at the scale of each profile."""

import pytest

from metalib.data import datasets
from metalib.networks.config import TrainConfig
from metalib.runs import grids, profiles


def configs(profile, data="", notebook="02_training_curves"):
    return [config for of in grids.runs(notebook, profile, data).values() for config in of]


def networks(profile, data="", notebook="02_training_curves"):
    """The runs of a notebook that learn from labels; those that see none are tested in test_table3.py."""
    return [config for config in configs(profile, data, notebook) if isinstance(config, TrainConfig)]


@pytest.mark.parametrize("notebook", [name for name in grids.GRIDS if name != "12_igtt_choices"])  # has none
def test_profiles_differ_in_scale_and_quick_in_what_it_leaves_out(notebook):
    quick, study, paper = (networks(profile, notebook=notebook) for profile in ("quick", "study", "paper"))
    assert {config.recipe for config in quick} <= {config.recipe for config in paper} <= {c.recipe for c in study}
    assert {config.seed for config in quick} == {0, 1, 2}
    assert {config.seed for config in study} == set(range(5))
    assert {config.seed for config in paper} == set(range(10))
    assert grids.runs(notebook, "quick").keys() <= grids.runs(notebook, "study").keys()
    assert {config.model.removesuffix("_light") for config in quick} == {config.model for config in paper}
    assert {(config.model == "hrnet", config.width) for config in paper} <= {(False, 64), (True, 32)}


def test_the_study_has_as_many_labelled_pixels_as_the_paper_and_both_networks_at_all_levels():
    planned = grids.runs("02_training_curves", "study")
    (config, *_) = planned["papers_pixels rcl_flip:0.49"]
    assert config.train * config.size**2 == pytest.approx(942 * 256**2, rel=1e-3)
    levels = {name for name in planned if name.startswith(("rcl_flip", "rcl_sample"))}
    assert {f"deeplabv3plus {level}" for level in levels} <= planned.keys()
    assert {config.data for of in planned.values() for config in of} == {
        *("er-like", "ambiguous-er-like", "mito-like", "nuc-like"),
    }
    rates = {name: of[0].lr for name, of in planned.items() if name in ("cl", "rate 0.05 cl", "rate 0.2 cl")}
    assert rates == {"cl": 0.1, "rate 0.05 cl": 0.05, "rate 0.2 cl": 0.2}


@pytest.mark.parametrize(("images", "epochs"), [(8, 300), (100, 24), (5000, 2)])
def test_steps_on_files_follow_from_their_number(images, epochs, monkeypatch, tmp_path):
    (tmp_path / "train").mkdir()
    ids = tuple(map(str, range(images)))
    monkeypatch.setattr(grids.datasets, "load", lambda *_, **__: datasets.Dataset(None, None, ids, 2, ("a", "b")))
    found = {(config.epochs, config.train) for config in configs("quick", str(tmp_path), "04_perturbed_labels")}
    assert found == {(epochs, None)}
    assert epochs * (images // 4) >= profiles.STEPS_OF_FILES["quick"]
    recipes = {config.recipe for config in configs("study", str(tmp_path), "04_perturbed_labels")}
    assert "rcl_flip:0.49" not in recipes  # one of the rows that real images go without


def test_quick_images_are_of_one_size_in_every_set():
    for notebook in ("02_training_curves", "07_igtt", "12_igtt_choices"):
        assert {config.size for config in configs("quick", notebook=notebook)} == {96}


def test_the_paper_profile_is_that_of_the_official_code():
    found = {(c.width, c.size, c.epochs, c.batch, c.lr) for c in configs("paper")}
    assert found == {(64, 256, 100, 32, 0.05)}
    assert {config.model for config in configs("paper")} == {"unet", "deeplabv3plus"}


def test_other_data_leave_out_the_sets_that_stand_beside_the_default(nuc, street):
    assert {config.data for config in configs("quick")} == {"er-like"}
    assert {config.data for config in configs("quick", "nuc")} == {"nuc"}
    assert {config.size for config in configs("quick", "nuc")} == {128}  # a divisor of 256
    assert {config.size for config in configs("quick", "street", "03_multiclass_labels")} == {96}  # of 192


def test_notebooks_share_runs():
    first, second = (set(configs("quick", notebook=name)) for name in ("02_training_curves", "04_perturbed_labels"))
    assert {"cl", "pcl_skeleton", "rcl_flip:0.45"} <= {config.recipe for config in first & second}


def test_the_presets_differ_in_every_choice_and_reach_the_runs():
    paper, official = profiles.LABEL_PRESETS["paper"], profiles.LABEL_PRESETS["official"]
    assert all(paper[name] != official[name] for name in paper)
    planned = grids.runs("11_text_and_code", "quick")
    for run, (config, *_) in planned.items():
        expected = official if run.startswith("official") else paper
        assert (config.exact, config.one_sided) == (expected["exact"], expected["one_sided"])
