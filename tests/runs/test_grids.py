"""The runs behind each notebook, at the scale of each profile."""

from dataclasses import replace

import pytest

from metalib.networks.config import TrainConfig
from metalib.runs import grids, profiles


def configs(profile, data="", notebook="02_training_curves"):
    return [config for of in grids.runs(notebook, profile, data).values() for config in of]


def networks(profile, data="", notebook="02_training_curves"):
    """The runs of a notebook that learn from labels; those that see none are tested in test_table3.py."""
    return [config for config in configs(profile, data, notebook) if isinstance(config, TrainConfig)]


@pytest.mark.parametrize("notebook", [name for name in grids.GRIDS if name != "12_igtt_choices"])  # has none
def test_profiles_differ_in_scale_and_not_in_recipes(notebook):
    quick, long, paper = (networks(profile, notebook=notebook) for profile in ("quick", "long", "paper"))
    assert {config.recipe for config in paper} - {config.recipe for config in quick} <= {"rcl_flip:0.49"}
    assert {config.seed for config in quick} == {0, 1, 2}
    assert {config.seed for config in long} == set(range(5))
    assert {config.seed for config in paper} == set(range(10))
    every, some = ({replace(config, seed=0) for config in of} for of in (long, quick))
    assert some <= every
    other = [config for config in every - some if "unet" not in config.model or config.data == "nuc-like"]
    assert {config.data for config in other} <= {"mito-like", "nuc-like"}
    assert len(other) == len(every - some)
    assert {config.model.removesuffix("_light") for config in quick} == {config.model for config in paper}
    assert {(config.model == "hrnet", config.width) for config in paper} <= {(False, 64), (True, 32)}


def test_quick_images_are_of_one_size_in_every_set():
    for notebook in ("02_training_curves", "07_igtt", "12_igtt_choices"):
        assert {config.size for config in configs("quick", notebook=notebook)} == {96}


def test_the_paper_profile_is_that_of_the_official_code():
    found = {(c.width, c.size, c.epochs, c.batch, c.lr) for c in configs("paper")}
    assert found == {(64, 256, 100, 32, 0.05)}
    assert {config.model for config in configs("paper")} == {"unet", "deeplabv3plus"}


def test_other_data_leave_out_the_sets_that_stand_beside_the_default(nuc, street):
    assert {config.data for config in configs("quick")} == {"er-like", "mito-like", "nuc-like"}
    assert {config.data for config in configs("quick", "nuc")} == {"nuc"}
    assert {config.size for config in configs("quick", "nuc")} == {128}  # a divisor of 256
    assert {config.size for config in configs("quick", "street", "03_multiclass_labels")} == {96}  # of 192


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
