"""The runs behind each notebook: recipes, networks and data, and what each profile makes of them."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from metalib import checks, datasets, table3, transition

PROFILES = ("smoke", "quick", "long", "paper")
SEEDS = {"smoke": 1, "quick": 3, "long": 5, "paper": 10}


class Grid(NamedTuple):
    """Runs that differ in recipe and seed: `changes` names entries of `_CHANGES` of the profile; the run of a recipe is
    called by `prefix` and recipe. data: "" for the notebook's; a set of its own is left out where the notebook gets another.
    long: left out of the quick profile, which has a quarter of an hour.
    """

    prefix: str
    recipes: tuple
    changes: tuple = ()
    data: str = ""
    long: bool = False


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
_UNETS, _OTHERS = ("unet", "unet_longer"), ("deeplabv3plus", "hrnet")
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
        table3.Methods("", table3.TABLE),
        table3.Methods("mito-like", table3.TABLE, "mito-like"),
        table3.Methods("nuc-like", table3.TABLE, "nuc-like", long=True),
        *(Grid(network, ("cl",), (network,)) for network in (*_UNETS, *_OTHERS)),
        *(Grid(f"mito-like {network}", ("cl",), (network,), "mito-like") for network in _UNETS),
        *(Grid(f"mito-like {network}", ("cl",), (network,), "mito-like", long=True) for network in _OTHERS),
        *(Grid(f"nuc-like {network}", ("cl",), (network,), "nuc-like", long=True) for network in (*_UNETS, *_OTHERS)),
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
        "critical": dict(model="deeplabv3_light", width=16, size=48, train=96, epochs=4, lr_step_epochs=3, tests=1),
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


def default_data(notebook):
    """The data set that a notebook runs on unless another is asked for."""
    return DATA.get(notebook, "er-like")


def runs(notebook, profile, data=""):
    """The runs behind a notebook as {name: [one `TrainConfig` or `MethodConfig` a seed]}.

    ValueError for an unknown notebook or profile.
    """
    from metalib.training import TrainConfig  # torch, which a notebook that reads a record does not need

    chosen = data or default_data(notebook)
    base = TrainConfig(**_SCALE[checks.one_of(profile, PROFILES, "profile")])
    planned = {}
    for grid in GRIDS[checks.one_of(notebook, GRIDS, "notebook with runs")]:
        if (grid.data and chosen != default_data(notebook)) or (profile == "quick" and getattr(grid, "long", False)):
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


def _classes(config):
    return datasets.load(config.data, "val", size=config.size, limit=1).classes


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
