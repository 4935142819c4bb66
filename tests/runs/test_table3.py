"""Table 3: its rows as runs, and the table."""

import inspect
from dataclasses import asdict, replace

import numpy as np
import pytest

from metalib.data import datasets
from metalib.networks import metrics
from metalib.networks.config import TrainConfig
from metalib.runs import grids, results, table3
from metalib.runs.profiles import PROFILES, SEEDS
from metalib.unsupervised import ac, config, dfc, selection, thresholds
from metalib.unsupervised.config import MethodConfig

LEARN = ("dfc", "ac", "igtt")


def planned(notebook, profile, data=""):
    """The runs of a notebook that see no label."""
    found = grids.runs(notebook, profile, data)
    return {run: of for run, of in found.items() if isinstance(of[0], MethodConfig)}


def options_of(row, profile):
    """Every field of iGTT's configuration behind a row of the main set."""
    (run, *_) = {**planned("07_igtt", profile), **planned("12_igtt_choices", profile)}[row]
    return asdict(igtt_config(run))


def igtt_config(run):
    options = dict(run.options)
    return config.preset(options.pop("preset"), **options)


def differing(row, base, profile):
    first, second = options_of(base, profile), options_of(row, profile)
    return {name: second[name] for name in first if first[name] != second[name]}


def test_every_row_stands_in_a_notebook():
    assert {*table3.TABLE, *table3.CHOICES} == table3.ROWS.keys()
    assert set(table3.STUDY) < set(table3.CHOICES)
    beside = [row for row in table3.TABLE if row not in table3.STUDY_ELSEWHERE]
    quick, study = {"mito-like": beside}, {"mito-like": table3.TABLE, "nuc-like": table3.TABLE}
    for profile, others in (("quick", quick), ("study", study)):
        rows = {"": table3.TABLE} | others
        assert list(planned("07_igtt", profile)) == [f"{name} {row}".strip() for name in rows for row in rows[name]]
    assert {config.data for of in planned("07_igtt", "quick", "nuc").values() for config in of} == {"nuc"}
    assert list(planned("07_igtt", "quick", "nuc")) == list(table3.TABLE)


@pytest.mark.parametrize("profile", PROFILES)
def test_rows_have_the_seeds_of_the_profile_and_those_without_chance_one(profile):
    plain = {name for name, (row, _) in table3.ROWS.items() if row not in LEARN}
    changed = {*table3.ABLATIONS, *table3.PAPER_ABLATIONS}
    for notebook in ("07_igtt", "12_igtt_choices"):
        for run, configs in planned(notebook, profile).items():
            row = run.removeprefix("mito-like ").removeprefix("nuc-like ")
            expected = SEEDS[profile]
            if row in plain:
                expected = 1
            elif profile == "quick" and run == "iGTT":  # how often it is inverted
                expected = 5
            elif row in changed and profile == "study":
                expected = 3
            assert [config.seed for config in configs] == list(range(expected)), run
            assert len({replace(config, seed=0) for config in configs}) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_rows_of_the_study_are_left_out_of_the_quick_profile_alone(profile):
    rows = [row for row in table3.CHOICES if profile != "quick" or row not in table3.STUDY]
    assert list(planned("12_igtt_choices", profile)) == rows


@pytest.mark.parametrize("profile", PROFILES)
def test_options_of_every_row_fit_its_method(profile):
    takes = {"dfc": dfc.scores, "ac": ac.scores, "base": selection.base_scores}
    takes["adaptive_gaussian_oracle"] = thresholds.adaptive_gaussian_oracle
    for notebook in ("07_igtt", "12_igtt_choices"):
        for row, (run, *_) in planned(notebook, profile).items():
            if run.method == "igtt":
                assert igtt_config(run).batch <= (run.train or datasets.EMBEDDED_COUNTS["train"])
            else:
                function = (takes | thresholds.METHODS)[run.method]
                assert dict(run.options).keys() <= inspect.signature(function).parameters.keys(), row


@pytest.mark.parametrize("profile", PROFILES)
def test_methods_see_the_images_that_networks_learn_from(profile):
    sets = {}
    for of in grids.runs("07_igtt", profile).values():
        kind = sets.setdefault(type(of[0]), set())
        kind |= {(config.data, config.size, config.train, config.test, config.augment) for config in of}
    assert sets[MethodConfig] == sets[TrainConfig]
    found = {data for data, *_ in sets[MethodConfig]}
    assert found == {"er-like", "mito-like", *(["nuc-like"] if profile != "quick" else [])}


SCALE = {"model", "width", "batch", "lr", "epochs", "lr_step_epochs"}  # model: a U-Net of fewer levels


@pytest.mark.parametrize(("row", "name"), [("iGTT", "paper"), ("iGTT, official", "official"), ("iGTT+", "improved")])
def test_profiles_change_the_scale_of_a_preset_alone(row, name):
    whole = asdict(config.preset(name))
    for profile in (p for p in PROFILES if p != "quick" or row not in table3.STUDY):
        changed = {field for field, value in options_of(row, profile).items() if value != whole[field]}
        assert changed <= SCALE
        assert bool(changed) == (profile != "paper")


FIELDS = {
    "start: black labels": {"start", "bootstrap_epochs"},
    "light: as it is": {"light"},
    "turns: none": {"turns"},
    "threshold: DMI": {"threshold"},
    "smoothing: none": {"smooth_px"},
    "band: background": {"band_px"},
    "loss: Eq. 6": {"loss"},
    "rate: in steps": {"schedule"},
    "threshold: K = 10": {"thresholds"},
    "EMS: skeleton alone": {"compact", "sure"},
    "EMS: no compact objects": {"compact"},
    "EMS: no sure pixels": {"sure"},
    "EMS: shift by 1 px": {"radius_px"},
    "EMS: 0.1 sampled": {"keep"},
    "iGTT+, never refreshed": {"refresh"},
    "iGTT+, no EMS": {"skeleton"},  # it neither shifts nor samples
}


PAPER_FIELDS = {
    "paper, no skeleton": {"skeleton"},
    "paper, no shift": {"radius_px"},
    "paper, no sampling": {"keep"},
    "paper, shift by 3 px": {"radius_px"},
    "paper, 0.5 sampled": {"keep"},
    "paper, K = 10": {"thresholds"},
    "paper, DMI alone": {"loss"},
    "paper, IoU alone": {"loss"},
    "paper, refreshed by a pass": {"refresh"},
    "paper, orientation": {"orientation", "refresh"},
    "iGTT, no EMS": {"skeleton", "radius_px", "keep"},
}


@pytest.mark.parametrize("profile", PROFILES)
def test_ablations_change_what_they_are_named_by_and_nothing_else(profile):
    fields = {"iGTT+": FIELDS, "iGTT": PAPER_FIELDS}
    assert FIELDS.keys() >= table3.ABLATIONS.keys()
    assert PAPER_FIELDS.keys() >= table3.PAPER_ABLATIONS.keys()
    for base, rows in fields.items():
        shown = {row: names for row, names in rows.items() if profile != "quick" or row not in table3.STUDY}
        assert {row: differing(row, base, profile).keys() for row in shown} == shown


def test_the_long_training_is_longer_and_the_papers_own_in_the_paper_profile():
    assert differing("iGTT, long", "iGTT", "study") == {"epochs": 16, "lr_step_epochs": 12}
    images = {row: of[0].train for row, of in planned("12_igtt_choices", "study").items()}
    assert images == dict.fromkeys(images, 144) | {"iGTT, long": 432}
    assert {of[0].train for of in planned("12_igtt_choices", "paper").values()} == {None}
    assert options_of("iGTT, long", "paper") == options_of("iGTT", "paper") == asdict(config.preset("paper"))


def test_rows_without_ems_label_the_whole_candidate():
    for row in ("iGTT, no EMS", "iGTT+, no EMS"):
        of = options_of(row, "paper")
        assert (of["skeleton"], of["radius_px"], of["keep"]) == (False, 0, 1.0)


METRICS = ("dice_half", "auc", "acc", "balanced", "dice_half_image", "auc_image", "acc_image")


TITLES = ["Dice", "AUC", "ACC", "balanced", "Dice (image)", "AUC (image)", "ACC (image)"]


def world(prefix="", foreground=0.2):
    """Results of every row of Table 3: row r, metric m and seed s have the last value r + 3 m + s percent."""
    rows = [*table3.TABLE, *table3.SUPERVISED.values()]
    runs = {
        f"{prefix} {row}".strip(): {
            name: np.array([[0.5, (place + 3 * number + seed) / 100] for seed in range(1 if place < 8 else 3)])
            for number, name in enumerate(METRICS)
        }
        | {"foreground": foreground}
        for place, row in enumerate(rows)
    }
    return results.Results(runs, {}, {})


def test_table_3_shows_every_metric_of_every_row():
    shown = table3.table(world())
    assert shown.columns.tolist() == [*TITLES, "paper, ER"]
    assert shown.index.tolist() == ["all foreground", "all background", *table3.TABLE, *table3.SUPERVISED]
    assert shown.loc["Otsu"].tolist()[:7] == [f"{3 * number}.0" for number in range(7)]  # one run
    assert shown.loc["iGTT"].tolist()[:7] == [f"{11 + 3 * number}.0 ± 1.0" for number in range(7)]
    assert shown.loc["HRNet", "Dice"] == f"{len(table3.TABLE) + 3 + 1}.0 ± 1.0"


def test_rows_that_a_record_lacks_are_left_out():
    older = world()
    for run in ("unet_longer cl", "iGTT+"):
        del older.runs[run]
    whole, shown = table3.table(world()), table3.table(older)
    assert shown.equals(whole.drop(["U-Net, longer", "iGTT+"]))


def test_constant_masks_stand_beside_by_formula():
    shown = table3.table(world(foreground=0.2))
    assert shown.loc["all foreground"].tolist() == ["33.3", "50.0", "20.0", "50.0", "", "", "", ""]
    assert shown.loc["all background"].tolist() == ["0.0", "50.0", "80.0", "50.0", "", "", "", ""]
    truth = np.zeros((1, 10, 10), np.uint8)
    truth[0, :2] = 1
    for row, level in (("all foreground", 0.9), ("all background", 0.1)):
        of = metrics.evaluate(np.full(truth.shape, level), truth)
        assert shown.loc[row].tolist()[:4] == [f"{100 * of[name]:.1f}" for name in METRICS[:4]]


def test_the_papers_numbers_stand_beside_the_main_set_alone():
    paper = table3.table(world())["paper, ER"]
    assert {row: text for row, text in paper.items() if text} == {
        "AGT": "76.23, 82.63, 85.19",
        "Otsu": "69.47, 76.76, 84.76",
        "DFC": "78.13, 85.29, 84.45",
        "AC": "73.11, 87.86, 81.41",
        "iGTT": "78.84 ± 1.17, 91.61 ± 1.04, 85.41 ± 1.06",
        "iGTT, no EMS": "73.96 ± 0.97, 84.53 ± 2.52, 81.16 ± 1.03",
        "U-Net": "85.99, 97.09, 91.09",
        "DeepLabv3+": "81.66, 94.80, 87.67",
        "HRNet": "86.07, 97.17, 91.18",
    }
    other = table3.table(world("nuc-like", foreground=0.1).of("nuc-like"))
    assert other.columns.tolist() == TITLES
    assert other.loc["all foreground", "ACC"] == "10.0"
    assert other.loc["iGTT", "Dice"] == "11.0 ± 1.0"


def test_a_table_of_chosen_rows_has_them_alone():
    shown = table3.table(world(), rows={"iGTT+": "group", "Otsu": "group"})
    assert shown.index.tolist() == ["all foreground", "all background", "iGTT+", "Otsu"]
    assert shown.columns.tolist() == TITLES


def test_the_tables_of_the_readme_are_these():
    both = results.Results(world().runs | world("nuc-like").runs, {}, {})
    first, second = table3.markdown(both, {"er-like": "", "nuc (real)": "nuc-like"}).split("\n\n**nuc (real)**\n\n")
    title, _, head, rule, *lines = first.splitlines()
    assert title == "**er-like**"
    assert head == f"| | {' | '.join(TITLES)} | paper, ER |"
    assert rule == f"|{'---|' * 9}"
    assert lines[0] == "| all foreground | 33.3 | 50.0 | 20.0 | 50.0 | | | | |"
    assert len(lines) == 2 + len(table3.TABLE) + len(table3.SUPERVISED)
    assert next(line for line in lines if line.startswith("| AC |")).endswith("| 73.11, 87.86, 81.41 |")
    assert "paper" not in second
