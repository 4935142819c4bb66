"""Methods that see no label under one call, their sweeps and records, and the rows and numbers of Table 3."""

import inspect
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from metalib import ac, baselines, comparison, datasets, dfc, experiments, grids, igtt, metrics, records, sweeps, table3
from metalib.comparison import MethodConfig
from metalib.training import TrainConfig

SMALL = {
    "dfc": dict(channels=4, iterations=3),
    "ac": dict(width=4, blocks=1, epochs=1, batch=4, displacement=2),
    "igtt": dict(preset="improved", width=4, batch=4, epochs=2),
}
LEARN = tuple(SMALL)
NETWORK = TrainConfig(size=32, width=4, train=4, val=2, test=2, augment=False, epochs=1, batch=4)
PROFILES = grids.PROFILES


def method(name, seed=0, **options):
    given = tuple((SMALL.get(name, {}) | options).items())
    return MethodConfig(name, given, seed=seed, size=32, train=4, test=2)


def found(history):
    """A history without its time."""
    return asdict(history) | {"seconds": None}


# --- one run ---


@pytest.mark.parametrize("name", comparison.METHODS)
def test_every_method_gives_a_mask_and_its_metrics(name):
    history = comparison.run(replace(method(name), test=1))
    truth = datasets.load("er-like", "test", size=32, limit=1).labels[0]
    example = np.array(history.example)
    assert example.shape == truth.shape
    assert set(np.unique(example)) <= {0, 1}
    assert history.test.keys() == metrics.evaluate(np.zeros((1, 4, 4)), np.eye(4, dtype=np.uint8)[None]).keys()
    assert all(len(values) == 1 and np.isfinite(values).all() for values in history.test.values())
    assert all(0 <= values[0] <= 1 for values in history.test.values())
    assert history.test["dice_half"] == [pytest.approx(f1_score(truth.ravel(), example.ravel()))]
    assert history.test["balanced"] == history.test["balanced_image"]
    assert bool(history.labels) == (name == "igtt")
    assert history.seconds > 0


@pytest.mark.parametrize("name", LEARN)
def test_a_seed_fixes_what_learns(name):
    first = found(comparison.run(method(name)))
    assert found(comparison.run(method(name))) == first
    assert comparison.run(method(name, seed=1)).test["auc"] != first["test"]["auc"]


@pytest.mark.parametrize("name", sorted(comparison.METHODS.keys() - LEARN))
def test_thresholds_draw_no_random_numbers(name):
    assert found(comparison.run(method(name))) == found(comparison.run(method(name, seed=1)))


@pytest.mark.parametrize("name", comparison.METHODS)
def test_only_an_oracle_depends_on_labels(name, monkeypatch):
    """Scores as a whole, not their masks alone: what is measured of them against labels that are exchanged as well."""
    scores, evaluate, load = [], metrics.evaluate, datasets.load
    monkeypatch.setattr(metrics, "evaluate", lambda given, labels: scores.append(given) or evaluate(given, labels))
    comparison.run(method(name))

    def corrupted(*args, **choices):
        data = load(*args, **choices)
        return data._replace(labels=1 - data.labels)

    monkeypatch.setattr(datasets, "load", corrupted)
    history = comparison.run(method(name))
    assert np.array_equal(*scores) == (name != "adaptive_gaussian_oracle")
    assert history.example == (scores[1][0] > 0.5).tolist()


@pytest.mark.parametrize("name", comparison.METHODS)
def test_who_learns_from_training_images(name, monkeypatch):
    load = datasets.load

    def mirrored(given, split, **choices):
        data = load(given, split, **choices)
        return data._replace(images=data.images[..., ::-1]) if split == "train" else data

    before = found(comparison.run(method(name)))
    monkeypatch.setattr(datasets, "load", mirrored)
    assert (found(comparison.run(method(name))) != before) == (name in ("ac", "igtt"))


def test_the_oracle_is_at_least_what_it_searches_among():
    plain, oracle = (comparison.run(method(name)) for name in ("adaptive_gaussian", "adaptive_gaussian_oracle"))
    assert oracle.test["dice_half"] > plain.test["dice_half"]


def test_a_method_gets_the_images_it_asks_for_and_its_options(monkeypatch):
    seen = {}

    def probe(learned, test, seed, device, **options):
        seen.update(learned=learned, test=test, seed=seed, device=device.type, options=options)
        return test.labels.astype(np.float32), {"about": [1.0]}

    monkeypatch.setitem(comparison.METHODS, "probe", probe)
    asked = dict(data="nuc-like", seed=7, size=40, train=3, test=2)
    history = comparison.run(MethodConfig("probe", (("one", 1), ("two", None)), **asked, augment=True), device="cpu")
    train, test = (datasets.load("nuc-like", split, size=40, limit=n) for split, n in (("train", 3), ("test", 2)))
    np.testing.assert_array_equal(seen["learned"].images, datasets.augment(train).images)
    np.testing.assert_array_equal(seen["test"].images, test.images)
    assert (seen["seed"], seen["device"], seen["options"]) == (7, "cpu", {"one": 1, "two": None})
    assert (history.device, history.labels, history.test["dice_half"]) == ("cpu", {"about": [1.0]}, [1.0])
    comparison.run(MethodConfig("probe", **asked))
    np.testing.assert_array_equal(seen["learned"].images, train.images)


def test_options_change_what_a_method_does():
    plain, smoothed = (comparison.run(method("otsu", **options)) for options in ({}, {"sigma_px": 1}))
    assert plain.test != smoothed.test
    ours = comparison.run(method("igtt"))
    never = comparison.run(method("igtt", refresh="never"))
    paper = comparison.run(method("igtt", preset="paper"))
    assert [history.labels["epoch"] for history in (ours, never, paper)] == [[0, 1], [0], [0, 1, 2]]


def test_wrong_methods_presets_and_options_are_named():
    with pytest.raises(ValueError, match="unknown method 'otzu', expected one of otsu, adaptive_gaussian, "):
        comparison.run(method("otzu"))
    with pytest.raises(ValueError, match="unknown preset 'papr'"):
        comparison.run(method("igtt", preset="papr"))
    with pytest.raises(TypeError, match="sigma"):
        comparison.run(method("otsu", sigma=1))


# --- sweeps and records of both kinds of run ---


@pytest.fixture
def computed(monkeypatch):
    """Sweeps compute in this process, one run after the other; the configurations that they computed, in order."""
    done = []

    def compute(todo, pool, limit_s):
        for key, config in todo.items():
            sweeps.store(key, sweeps._train(config, key))
            done.append(config)

    monkeypatch.setattr(sweeps, "_compute", compute)
    return done


def test_a_sweep_holds_networks_and_methods_and_resumes_both(computed):
    configs = [NETWORK, method("otsu"), method("igtt"), method("igtt", seed=1)]
    table = sweeps.run(configs)
    assert computed == configs
    assert table.key.nunique() == 4
    assert table.method.fillna("").tolist() == ["", "otsu", "igtt", "igtt"]
    assert table.recipe.fillna("").tolist() == ["cl", "", "", ""]
    for config, row in list(zip(configs, table.itertuples(), strict=True))[1:3]:
        alone = comparison.run(config)
        assert (row.test, row.labels, row.example) == (alone.test, alone.labels, alone.example)
    again = sweeps.run(configs)
    assert computed == configs
    assert again.seconds.tolist() == table.seconds.tolist()
    for lost in (0, 2):
        (records.cache_folder() / f"{table.key[lost]}.json").unlink()
    (records.cache_folder() / f"{table.key[3]}.json").write_text('{"schema": 1}')
    with pytest.warns(UserWarning, match="cache entry dropped"):
        resumed = sweeps.run(configs)
    assert computed == [*configs, configs[0], configs[2], configs[3]]
    assert resumed.test.tolist() == table.test.tolist()
    assert resumed.seconds[1] == table.seconds[1]


def test_a_history_of_the_other_kind_is_corrupt(computed):
    key = sweeps.run([method("otsu")]).key[0]
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read(key, NETWORK) is None


def test_keys_of_methods_follow_all_they_are_configured_by():
    configs = [method("otsu"), method("otsu", seed=1), method("otsu", sigma_px=1), method("mean_threshold")]
    configs += [replace(configs[0], **{name: value}) for name, value in (("size", 64), ("test", 1), ("augment", True))]
    assert len(set(sweeps._keys(configs))) == 7


def test_the_key_of_a_run_follows_the_code_behind_its_kind_alone(tmp_path, monkeypatch):
    kinds = {NETWORK: "network", method("igtt"): "method"}
    before = sweeps._keys(kinds)
    folder = shutil.copytree(Path(sweeps.__file__).parent, tmp_path / "metalib", ignore=shutil.ignore_patterns("__*"))
    monkeypatch.setattr(sweeps, "__file__", str(folder / "sweeps.py"))
    assert sweeps._keys(kinds) == before
    for modules, expected in (
        (("igtt", "igtt_labels", "pseudo_labels", "dfc", "comparison"), ["method"]),
        (("losses",), ["network", "method"]),
        (("table3",), []),
    ):
        for module in modules:
            file = folder / f"{module}.py"
            source = file.read_text()
            file.write_text(source + "\nANOTHER = 1\n")
            moved = [
                kind for kind, old, new in zip(kinds.values(), before, sweeps._keys(kinds), strict=True) if old != new
            ]
            assert moved == expected, module
            file.write_text(source)


def test_a_record_of_networks_and_methods_comes_back(computed, monkeypatch):
    tiny = (table3.Methods("", ("Otsu", "iGTT", "iGTT+")), grids.Grid("unet", ("cl",)))
    monkeypatch.setitem(grids.GRIDS, "x", tiny)
    made = experiments.results("x", "smoke")
    monkeypatch.setattr(records, "committed_folder", records.figures_folder)
    stored = experiments.results("x", "smoke", source="record")
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
    experiments.results("x", "smoke")
    assert len(computed) == 4


# --- Table 3 as runs ---


def planned(notebook, profile, data=""):
    """The runs of a notebook that see no label."""
    found = grids.runs(notebook, profile, data)
    return {run: of for run, of in found.items() if isinstance(of[0], MethodConfig)}


def preset(row, profile):
    """Every field of iGTT's configuration behind a row of the main set."""
    (config, *_) = {**planned("07_igtt", profile), **planned("12_igtt_choices", profile)}[row]
    return asdict(igtt_config(config))


def igtt_config(config):
    options = dict(config.options)
    return igtt.preset(options.pop("preset"), **options)


def differing(row, base, profile):
    first, second = preset(base, profile), preset(row, profile)
    return {name: second[name] for name in first if first[name] != second[name]}


def test_every_row_stands_in_a_notebook():
    assert {*table3.TABLE, *table3.CHOICES} == table3.ROWS.keys()
    assert set(table3.LONG) < set(table3.CHOICES)
    beside = [row for row in table3.TABLE if row not in table3.LONG_ELSEWHERE]
    quick, long = {"mito-like": beside}, {"mito-like": table3.TABLE, "nuc-like": table3.TABLE}
    for profile, others in (("quick", quick), ("long", long)):
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
            expected = grids.SEEDS[profile]
            if row in plain:
                expected = 1
            elif profile == "quick" and run == "iGTT":  # how often it is inverted
                expected = 5
            elif row in changed and profile == "long":
                expected = 3
            assert [config.seed for config in configs] == list(range(expected)), run
            assert len({replace(config, seed=0) for config in configs}) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_long_rows_are_left_out_of_the_quick_profile_alone(profile):
    rows = [row for row in table3.CHOICES if profile != "quick" or row not in table3.LONG]
    assert list(planned("12_igtt_choices", profile)) == rows


@pytest.mark.parametrize("profile", PROFILES)
def test_options_of_every_row_fit_its_method(profile):
    takes = {"dfc": dfc.scores, "ac": ac.scores, "adaptive_gaussian_oracle": baselines.adaptive_gaussian_oracle}
    for notebook in ("07_igtt", "12_igtt_choices"):
        for row, (config, *_) in planned(notebook, profile).items():
            if config.method == "igtt":
                assert igtt_config(config).batch <= (config.train or datasets.EMBEDDED_COUNTS["train"])
            else:
                function = (takes | baselines.METHODS)[config.method]
                assert dict(config.options).keys() <= inspect.signature(function).parameters.keys(), row


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
    whole = asdict(igtt.preset(name))
    for profile in (p for p in PROFILES if p != "quick" or row not in table3.LONG):
        changed = {field for field, value in preset(row, profile).items() if value != whole[field]}
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
        shown = {row: names for row, names in rows.items() if profile != "quick" or row not in table3.LONG}
        assert {row: differing(row, base, profile).keys() for row in shown} == shown


def test_the_long_training_is_longer_and_the_papers_own_in_the_paper_profile():
    assert differing("iGTT, long", "iGTT", "long") == {"epochs": 16, "lr_step_epochs": 12}
    images = {row: of[0].train for row, of in planned("12_igtt_choices", "long").items()}
    assert images == dict.fromkeys(images, 144) | {"iGTT, long": 432}
    assert {of[0].train for of in planned("12_igtt_choices", "paper").values()} == {None}
    assert preset("iGTT, long", "paper") == preset("iGTT", "paper") == asdict(igtt.preset("paper"))


def test_rows_without_ems_label_the_whole_candidate():
    for row in ("iGTT, no EMS", "iGTT+, no EMS"):
        of = preset(row, "paper")
        assert (of["skeleton"], of["radius_px"], of["keep"]) == (False, 0, 1.0)


# --- Table 3 as a table ---

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
    return experiments.Results(runs, {}, {})


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
    other = table3.table(world("nuc-like", foreground=0.1), "nuc-like")
    assert other.columns.tolist() == TITLES
    assert other.loc["all foreground", "ACC"] == "10.0"
    assert other.loc["iGTT", "Dice"] == "11.0 ± 1.0"


def test_a_table_of_chosen_rows_has_them_alone():
    shown = table3.table(world(), rows={"iGTT+": "group", "Otsu": "group"})
    assert shown.index.tolist() == ["all foreground", "all background", "iGTT+", "Otsu"]
    assert shown.columns.tolist() == TITLES


def test_the_tables_of_the_readme_are_these():
    both = experiments.Results(world().runs | world("nuc-like").runs, {}, {})
    first, second = table3.markdown(both, {"er-like": "", "nuc (real)": "nuc-like"}).split("\n\n**nuc (real)**\n\n")
    title, _, head, rule, *lines = first.splitlines()
    assert title == "**er-like**"
    assert head == f"|  | {' | '.join(TITLES)} | paper, ER |"
    assert rule == f"|{' --- |' * 9}"
    assert lines[0] == "| all foreground | 33.3 | 50.0 | 20.0 | 50.0 |  |  |  |  |"
    assert len(lines) == 2 + len(table3.TABLE) + len(table3.SUPERVISED)
    assert next(line for line in lines if line.startswith("| AC |")).endswith("| 73.11, 87.86, 81.41 |")
    assert "paper" not in second
