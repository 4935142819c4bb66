"""The runs behind each notebook, by profile, and their results as a record.

`python -m metalib.experiments --profile quick` computes the runs and records of all notebooks without Jupyter, on this
machine, a GPU machine or in a batch job; with names of notebooks, of those. Called again it resumes.
"""

import argparse
import os
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np

from metalib import checks, claims, datasets, metrics, records, table3, transition

PROFILES = ("smoke", "quick", "long", "paper")
SOURCES = ("train", "record")
SEEDS = {"smoke": 1, "quick": 3, "long": 5, "paper": 10}


class Grid(NamedTuple):
    """Runs that differ in recipe and seed: `changes` names entries of `_CHANGES` of the profile; the run of a recipe is
    called by `prefix` and recipe. data: "" for the notebook's; a set of its own is left out where the notebook gets another.
    """

    prefix: str
    recipes: tuple
    changes: tuple = ()
    data: str = ""


# What the presets choose where text and official code of the paper differ (labels and evaluation).
# exact, one_sided: see `labels.make`; metric: the Dice that is reported, see `metrics.evaluate`.
PRESETS = {
    "paper": {"exact": False, "one_sided": False, "metric": "dice_at"},
    "official": {"exact": True, "one_sided": True, "metric": "dice_best_image"},
}
# Eigenvalue 1 - p M / (M - 1) of the flips: from clean labels through the critical level to the strongest that exists.
EIGENVALUES = (1.0, 0.5, 0.25, 0.1, 0.0, -0.1)


def critical_recipes(classes):
    """Flips of `classes` classes whose second eigenvalue is one of EIGENVALUES, and p = 1, as {recipe: eigenvalue}."""
    critical = (checks.whole(classes, "classes", 2) - 1) / classes
    levels = {round(critical * (1 - value), 4): value for value in EIGENVALUES} | {1.0: 1 - 1 / critical}
    return {f"rcl_flip:{p:g}" if p else "cl": value for p, value in sorted(levels.items())}


# Stands for the flips that leave the second eigenvalue of the paper's 0.9 on the 19 classes of Cityscapes.
MATCHING = "rcl_flip:matching"


def matching_recipe(classes):
    """Flips of `classes` classes with the second eigenvalue 0.05, 1 - 0.9 * 19 / 18."""
    return f"rcl_flip:{0.95 * (checks.whole(classes, 'classes', 2) - 1) / classes:.4f}"


# Levels of equal effective pixels, in images: at each, fewer images go with weaker flips.
EFFECTIVE_IMAGES = (0.5, 2, 8)
TRAINING_IMAGES = (8, 32, 128)


def effective_recipe(images, effective):
    """The flips under which `images` images carry as many pixels as `effective` clean ones."""
    return f"rcl_flip:{transition.flip_of_share(effective / checks.whole(images, 'images')):.4f}"


def replaced_recipe(share, by):
    """Labels of which a `share` is replaced by draws from class fractions `by`, see `transition.replacement_matrix`."""
    return transition.recipe(transition.replacement_matrix(share, by))


def _next_recipe(p):
    """Of three classes, each is taken for the next one with probability p: full rank for every p."""
    return transition.recipe((1 - p) * np.eye(3) + p * np.roll(np.eye(3), 1, axis=1))


# Asymmetric noise of two classes by kind, at two strengths; all of full rank.
REPLACED = (0.8, 0.95)
ASYMMETRIC = {
    kind: tuple(replaced_recipe(share, by) for share in REPLACED)
    for kind, by in (("background", (1, 0)), ("foreground", (0, 1)), ("mostly background", (0.8, 0.2)))
}
# Noise of three classes by kind, of full rank, and of rank 2 (with equal rows, and without: see `lemmas.FAMILIES`).
THREE_CLASSES = {
    "0.75 replaced": replaced_recipe(0.75, (0.5, 0.3, 0.2)),
    "0.75 called class 0": replaced_recipe(0.75, (1, 0, 0)),
    "0.4 called the next class": _next_recipe(0.4),
    "0.6 called the next class": _next_recipe(0.6),
}
RANK_TWO = {
    "two classes mixed": transition.recipe([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]),
    "one class shared out": transition.recipe([[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]),
}

_SAMPLES = ("rcl_sample:0.3", "rcl_sample:0.1")
_FLIPS = ("rcl_flip:0.2", "rcl_flip:0.4", "rcl_flip:0.45")
_RCL = ("cl", "rcl_sample:0.1", "rcl_flip:0.45")
_PCL = ("cl", "pcl_dilation:1", "pcl_erosion:1", "pcl_boundary:8", "pcl_skeleton")
_SMOOTH = ("pcl_boundary:2", "pcl_closing:2", "pcl_dilation:2")
_RL = ("rl:0", "rl:0.1", "rl:0.3", "rl:0.5")
_PLUS = ("deeplabv3plus",)
_FEW_SAMPLES = ("rcl_sample:0.1", "rcl_sample:0.01", "rcl_sample:0.001")
_FEW_FLIPS = (
    "rcl_flip:0.2",
    *(effective_recipe(32, effective) for effective in EFFECTIVE_IMAGES[::-1]),
    "rcl_flip:0.47",
)
GRIDS = {
    "02_training_curves": (
        Grid("", ("cl", *_SAMPLES, *_FLIPS, "pcl_skeleton", "rl:0.1", "rl:0.5")),
        Grid("deeplabv3plus", (*_RCL, "pcl_skeleton", "rl:0.5"), _PLUS),
        Grid("mito-like", _RCL, data="mito-like"),
        Grid("nuc-like", _RCL, data="nuc-like"),
    ),
    "03_multiclass_labels": (
        Grid(
            "",
            ("cl", "rcl_sample:0.5", *_SAMPLES, "rcl_flip:0.5", "rcl_flip:0.7", MATCHING, "rcl_flip:0.9"),
            ("multiclass",),
        ),
        *(
            Grid(f"critical {name}", tuple(critical_recipes(classes)), ("critical",), name)
            for name, classes in (("street-like-2", 2), ("street-like-3", 3), ("street-like", 6))
        ),
    ),
    "04_perturbed_labels": (
        Grid("", (*_PCL, *_SMOOTH, "rcl_flip:0.45")),
        Grid("deeplabv3plus", (*_PCL, "rcl_flip:0.45"), _PLUS),
    ),
    "05_random_labels": (
        Grid("", ("cl", "rl:0", "rl:0.1", "rcl_flip:0.45")),
        Grid("deeplabv3plus", ("cl", "rl:0.1", "rcl_flip:0.45"), _PLUS),
        Grid("random", _RL, ("random",)),
        Grid("random deeplabv3plus", ("rl:0.1", "rl:0.5"), (*_PLUS, "random")),
        Grid("random mito-like", ("rl:0.1", "rl:0.5"), ("random",), "mito-like"),
    ),
    "07_igtt": (
        *(table3.Methods(name, table3.TABLE, name) for name in ("", "mito-like", "nuc-like")),
        *(
            Grid(f"{name} {network}".strip(), ("cl",), (network,), name)
            for name in ("", "mito-like", "nuc-like")
            for network in ("unet", "unet_longer", "deeplabv3plus", "hrnet")
        ),
    ),
    "10_effective_pixels": tuple(
        Grid(f"n{n}", ("cl", *(effective_recipe(n, effective) for effective in EFFECTIVE_IMAGES)), ("few", f"n{n}"))
        for n in TRAINING_IMAGES
    ),
    "11_text_and_code": (
        Grid("", ("cl", "rcl_sample:0.1", "rcl_flip:0.4")),
        Grid("official", ("rcl_sample:0.1", "rcl_flip:0.4"), ("official",)),
    ),
    "12_igtt_choices": (table3.Methods("", table3.CHOICES),),
    # Short runs last: none is left over when one process is done.
    "13_full_rank": (
        Grid(
            "n32", ("cl", *_FEW_SAMPLES, *_FEW_FLIPS, *sum(ASYMMETRIC.values(), ()), "rl:0.2", "rl:0.5"), ("few", "n32")
        ),
        Grid(
            "critical street-like-3",
            ("rcl_sample:0.05", *critical_recipes(3), *THREE_CLASSES.values(), *RANK_TWO.values()),
            ("critical",),
            "street-like-3",
        ),
    ),
}
_TOOLS = ("00_start_here", "08_label_diagnosis", "09_your_own_images")
WITHOUT_RUNS = (*_TOOLS, "01_label_noise", "06_meta_structure_maps")
# The columns of a table of thresholds; and what a record keeps of each test, where the run has it.
_THRESHOLDS = {
    "at 0.5": "dice_half",
    "at 0.5 (image)": "dice_half_image",
    "validation": "dice_at",
    "validation (image)": "dice_at_image",
    "oracle": "dice_best",
    "oracle (image)": "dice_best_image",
    "AUC": "auc",
    "accuracy": "acc_at",
}
_HARD = ("acc", "acc_image", "auc_image", "balanced", "balanced_image")
_KEPT = ("epoch", *_THRESHOLDS.values(), "threshold_best", *_HARD, "miou", "miou_inverted", "miou_decoded")
DATA = {"03_multiclass_labels": "street-like"}  # what a notebook runs on by default, where it is not er-like

# Paper: silent on scale beyond 256 px images and ten trainings; "paper" is the official code's, the others are ours.
_SCALE = {
    "smoke": dict(size=32, width=4, train=8, val=4, test=4, augment=False, epochs=2, batch=4, lr_step_epochs=1),
    "quick": dict(
        **dict(model="unet_light", width=8, size=96, train=144, val=12, test=24, augment=False),
        **dict(epochs=4, batch=4, lr=0.1, lr_step_epochs=3),
    ),
    "paper": {},
}
_SCALE["long"] = _SCALE["quick"]  # more seeds, and more rows and a longer training of iGTT, see `table3`
_OFFICIAL = {name: PRESETS["official"][name] for name in ("exact", "one_sided")}
_CHANGES = {
    "smoke": {
        "deeplabv3plus": dict(model="deeplabv3plus_light"),
        "hrnet": dict(model="hrnet_light", width=16),
        "multiclass": dict(model="deeplabv3_light"),
        "multiclass, files": dict(size=48),
        "critical": dict(model="deeplabv3_light"),
        "random": dict(epochs=8),
        "few": {},
        **{f"n{images}": {} for images in TRAINING_IMAGES},
    },
    "quick": {
        "unet_longer": dict(epochs=10, lr_step_epochs=8, tests=1),
        "deeplabv3plus": dict(model="deeplabv3plus_light", width=16),
        "hrnet": dict(model="hrnet_light", width=16, tests=1),
        # The reduced side has to divide the images: 256 px of the microscopy sets, 192 x 256 px of the street scenes.
        "files": dict(size=128, train=128, epochs=6, lr_step_epochs=5),
        "multiclass, files": dict(size=96),
        "multiclass": dict(model="deeplabv3_light", width=16, size=64, train=128, epochs=6, lr_step_epochs=5, tests=2),
        "critical": dict(model="deeplabv3_light", width=16, size=48, train=128, epochs=4, lr_step_epochs=3, tests=1),
        "random": dict(size=64, train=4, val=8, test=24, epochs=80, lr_step_epochs=80, tests=16),
        "few": dict(size=64, val=16, test=32),
        **{f"n{n}": dict(train=n, epochs=512 // n, lr_step_epochs=384 // n, tests=1) for n in TRAINING_IMAGES},
    },
    "paper": {
        "deeplabv3plus": dict(model="deeplabv3plus"),
        "hrnet": dict(model="hrnet", width=32),
        "multiclass": dict(model="deeplabv3", augment=False, batch=8),
        "multiclass, street": dict(size=None),
        "critical": dict(model="deeplabv3", augment=False, batch=8),
        "random": {},
        "few": dict(augment=False),
        **{f"n{n}": dict(train=n, epochs=12800 // n, lr_step_epochs=2560 // n, batch=8) for n in TRAINING_IMAGES},
    },
}


_CHANGES["long"] = _CHANGES["quick"]


class Results(NamedTuple):
    """What a notebook draws from.

    runs: {name: {metric: (seeds, tests), "loss": (seeds, steps), "example": text, "foreground": share of the test pixels}},
    the name of a run being its recipe, after the prefix of its grid if it has one; config: scale, seeds and data of the
    first run, and what differs in the others; provenance: versions, device, time.
    """

    runs: dict
    config: dict
    provenance: dict

    def final(self, name, metric="dice_at"):
        """A metric after the last epoch in percent, (seeds,)."""
        return 100 * self.runs[name][metric][:, -1]

    def all_foreground(self, name):
        """Pooled test Dice, in [0, 1], of a mask that is foreground everywhere: the floor of `dice_best` (two classes)."""
        return metrics.all_foreground_dice(self.runs[name]["foreground"])

    def thresholds(self, names=None):
        """A table of the last Dice of runs (all by default) at every threshold, pooled and per image, in percent."""
        import pandas as pd  # see `sweeps.run`

        cells = {
            title: {name: claims.cell(self.final(name, metric)) for name in names or self.runs}
            for title, metric in _THRESHOLDS.items()
        }
        floor = {name: f"{100 * self.all_foreground(name):.1f}" for name in names or self.runs}
        return pd.DataFrame(cells | {"all foreground": floor})


def profile_name(given=""):
    """The profile asked for: the argument, else METALIB_PROFILE, else quick. ValueError for an unknown one."""
    return checks.one_of(given or os.environ.get("METALIB_PROFILE") or "quick", PROFILES, "profile")


def source_name(given=""):
    """Where numbers come from: the argument, else METALIB_SOURCE, else train. ValueError for an unknown one."""
    return checks.one_of(given or os.environ.get("METALIB_SOURCE") or "train", SOURCES, "source")


def data_name(notebook, given=""):
    """The data set asked for: the argument, else the notebook's. FileNotFoundError unless it is a known name or a folder.

    A real set need not be here, since its record can be read without it.
    """
    name = str(given) or default_data(notebook)
    if name not in datasets.REAL and not datasets.is_embedded(name):
        datasets.folder(name)
    return name


def default_data(notebook):
    """The data set that a notebook runs on unless another is asked for."""
    return DATA.get(notebook, "er-like")


def stem(notebook, profile, data=""):
    """File name of figures and records: the notebook's, with data set and profile where they are not the default."""
    other = data not in ("", default_data(notebook))
    return ".".join([notebook] + [_base(data)] * other + [profile] * (profile != "quick"))


def runs(notebook, profile, data=""):
    """The runs behind a notebook as {name: [one `TrainConfig` or `MethodConfig` a seed]}.

    ValueError for an unknown notebook or profile.
    """
    from metalib.training import TrainConfig  # torch, which a notebook that reads a record does not need

    chosen = data or default_data(notebook)
    base = TrainConfig(**_SCALE[checks.one_of(profile, PROFILES, "profile")])
    planned = {}
    for grid in GRIDS[checks.one_of(notebook, GRIDS, "notebook with runs")]:
        if grid.data and chosen != default_data(notebook):
            continue
        changed = replace(base, data=grid.data or chosen, **_changes(profile, getattr(grid, "changes", ()), chosen))
        if isinstance(grid, table3.Methods):
            planned |= table3.runs(grid, profile, changed, SEEDS[profile])
            continue
        # The paper's 0.49 needs the paper's number of pixels: there 0.04% of the labels are effective.
        paper_only = ("rcl_flip:0.49",) if profile == "paper" and "rcl_flip:0.45" in grid.recipes else ()
        for named in grid.recipes + paper_only:
            recipe = matching_recipe(_classes(changed)) if named == MATCHING else named
            configs = [replace(changed, recipe=recipe, seed=seed) for seed in range(SEEDS[profile])]
            planned[f"{grid.prefix} {recipe}".strip()] = configs
    return planned


def results(notebook, profile, data="", source=""):
    """The `Results` behind a notebook.

    source "train" (the default, or METALIB_SOURCE) computes what is not cached and writes the record; "record" trains
    nothing and reads the committed record.
    """
    if source_name(source) == "record":
        record = records.load(records.committed_folder() / f"{stem(notebook, profile, data)}.json")
    else:
        record = _compute(notebook, profile, data)
    arrays = {
        # As floats, since the null of a record stands for nan.
        run: {name: np.array(values, float) if isinstance(values, list) else values for name, values in of.items()}
        for run, of in record["numbers"]["runs"].items()
    }
    return Results(arrays, record["config"], record["provenance"])


def parser(module):
    """Arguments that choose notebooks, profile and data, of the command `python -m <module>`."""
    wanted = argparse.ArgumentParser(prog=f"python -m {module}", description=__doc__.splitlines()[0])
    wanted.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help=f"of {', '.join(GRIDS)} (default: all)")
    wanted.add_argument("--profile", choices=PROFILES, default="", help="default: METALIB_PROFILE, else quick")
    wanted.add_argument(
        "--data", default="", help="a data set or a folder (default: the embedded one of each notebook)"
    )
    return wanted


def chosen(given):
    """The configurations of all runs behind what `parser` was given, each once: notebooks share runs, and some have none."""
    profile = profile_name(given.profile)
    for notebook in _with_runs(given.notebooks):
        _check_classes(notebook, given.data)
    every = (runs(notebook, profile, given.data) for notebook in _with_runs(given.notebooks))
    return list(dict.fromkeys(config for each in every for configs in each.values() for config in configs))


def _with_runs(notebooks):
    return [notebook for notebook in notebooks or GRIDS if notebook not in WITHOUT_RUNS]


def _classes(config):
    return datasets.load(config.data, "val", size=config.size, limit=1).classes


def _check_classes(notebook, data):
    """ValueError where a notebook on two classes is given a set of more, before anything is trained."""
    if data in ("", default_data(notebook)) or notebook in DATA:
        return
    if (classes := datasets.load(data, "val", limit=1).classes) > 2:
        raise ValueError(f"{notebook} is on two classes, {data} has {classes}: run {', '.join(DATA)} on it")


def _changes(profile, changes, data):
    """What the `changes` of a grid do to the scale of its profile, in order; images of files need sides of their own."""
    known = {"official": _OFFICIAL} | _CHANGES[profile]
    named = ("files", *(f"{change}{of}" for change in changes for of in ("", ", files", f", {data}")))
    return {
        name: value
        for change in named
        if not (change.endswith("files") and datasets.is_embedded(data))  # some sets have a line of their own
        for name, value in known.get(change, {}).items()
    }


def _compute(notebook, profile, data):
    from metalib import sweeps

    planned = runs(notebook, profile, data)
    _check_classes(notebook, data)
    table = sweeps.run([config for configs in planned.values() for config in configs])
    groups = np.repeat(list(planned), [len(configs) for configs in planned.values()])
    tests = {run: (configs[0].data, configs[0].size, configs[0].test) for run, configs in planned.items()}
    foreground = {test: _foreground(*test) for test in set(tests.values())}  # few sets behind many runs
    numbers = {
        "runs": {
            run: _numbers(rows) | {"foreground": foreground[tests[run]]}
            for run, rows in table.groupby(groups, sort=False)
        }
    }
    measured = dict(device=table.device[0], precision=table.precision[0], training_s=round(float(table.seconds.sum())))
    return records.save(stem(notebook, profile, data), numbers, _described(planned), **measured)


def _foreground(data, size, limit):
    """Share of class 1 among the test pixels of a set."""
    test = datasets.load(data, "test", size=size, limit=limit)
    return round(float((test.labels == 1).mean()), 6)


def _described(planned):
    """Configuration of the first run, and of every other run the fields that differ from it."""
    seeds = {run: [config.seed for config in configs] for run, configs in planned.items()}
    every = {run: asdict(configs[0]) | {"seed": seeds[run]} for run, configs in planned.items()}
    first = next(iter(every.values()))
    differing = {run: {name: of[name] for name in of if of[name] != first.get(name)} for run, of in every.items()}
    data = {"data": _base(first["data"]), "files": datasets.fingerprint(first["data"])}
    return first | data | {"runs": differing}


def _base(data):
    return os.path.basename(os.path.normpath(data))


def _numbers(rows):
    """One list a seed of every metric, of the loss, and of what iGTT measured of its labels; the example of the first seed."""
    tests = rows.test.tolist()
    numbers = {name: [_rounded(test[name]) for test in tests] for name in _KEPT if name in tests[0]}
    if isinstance(next(iter(rows.get("labels", [None]))), dict):
        numbers |= {f"label_{name}": [_rounded(of[name]) for of in rows.labels] for name in rows.labels.iloc[0]}
    else:
        numbers["loss"] = [_rounded(loss) for loss in rows.loss]
    return numbers | {"example": records.pack(np.array(rows.example.iloc[0], np.uint8))}


def _rounded(values):
    return [round(value, 4) for value in values]


def _main():
    from metalib import sweeps

    wanted = parser("metalib.experiments")
    wanted.add_argument(
        "--limit-s", type=float, help="start no run that would end later than this many seconds from now"
    )
    wanted.add_argument("--no-records", action="store_true", help="train only: notebooks that run next write them")
    given = wanted.parse_args()
    try:
        configs = chosen(given)
        done = len(sweeps.run(configs, limit_s=given.limit_s))
        if done == len(configs) and not given.no_records:
            for notebook in _with_runs(given.notebooks):
                results(notebook, profile_name(given.profile), given.data, "train")
    except (OSError, ValueError, RuntimeError) as error:
        wanted.exit(1, f"{error}\n")
    print(f"{done} of {len(configs)} runs done" + ("" if done == len(configs) else ": call again to go on"))


if __name__ == "__main__":
    _main()
