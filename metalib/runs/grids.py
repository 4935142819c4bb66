"""The runs behind each notebook: recipes and rows of Table 3, networks and data, at the scale of a profile."""

from dataclasses import replace
from typing import NamedTuple

from metalib import _checks
from metalib.data import datasets
from metalib.networks.config import TrainConfig
from metalib.noise import designs
from metalib.runs import profiles, table3


class Grid(NamedTuple):
    """Runs that differ in seed and row: a recipe of label noise, or one of `table3.ROWS`. A run is called by prefix and row.

    changes: names of `profiles.CHANGES`; data: "" for the notebook's; a set of its own is left out where the notebook gets
    another. more: rows that are left out of the quick profile, which has ten minutes, and of real images in the study;
    study: so is the whole grid.
    """

    prefix: str
    rows: tuple
    changes: tuple = ()
    data: str = ""
    more: tuple = ()
    study: bool = False


_SAMPLES = ("rcl_sample:0.3", "rcl_sample:0.1")
_FURTHER = ("rcl_sample:0.3", "rcl_flip:0.4", "rcl_flip:0.49", "rl:0.1")
_EQ_1 = ("cl", "rcl_sample:0.1", "rcl_flip:0.45", "pcl_dilation:1", "pcl_erosion:1", "pcl_skeleton", "rl:0.1", "rl:0.5")
_PAIR = ("cl", "rcl_flip:0.45")
_PAPERS_PIXELS = (*_EQ_1, "rcl_flip:0.2", "rcl_flip:0.4", "rcl_flip:0.49")
_PCL = ("cl", "pcl_dilation:1", "pcl_erosion:1", "pcl_boundary:8", "pcl_skeleton")
_PLUS = ("deeplabv3plus",)
_DEEP_FURTHER = (
    "rcl_sample:0.3",
    "rcl_sample:0.1",
    "rcl_flip:0.2",
    "rcl_flip:0.4",
    "rcl_flip:0.49",
    "rl:0.1",
    "rl:0.5",
)
_SMALL = ("table 3",)  # at which the methods of Table 3 are compared, whatever the profile
_UNETS, _OTHERS = ("unet", "unet_longer"), ("deeplabv3plus", "hrnet")
_FEW_SAMPLES = ("rcl_sample:0.1", "rcl_sample:0.01", "rcl_sample:0.001")
_FEW_FLIPS = (*(designs.effective_recipe(32, share) for share in designs.EFFECTIVE_IMAGES[::-1]), "rcl_flip:0.47")
_MANY_CLASSES = ("rcl_sample:0.1", "rcl_flip:0.5", "rcl_flip:0.7", designs.EQUAL_BITS, designs.MATCHING, "rcl_flip:0.9")
_PAST = ("cl", designs.EQUAL_BITS, designs.MATCHING)
_THREE_CLASSES = (*designs.critical_recipes(3), *designs.THREE_CLASSES.values(), *designs.RANK_TWO.values())
# Eq. 1 with as many labelled pixels as the paper's, and on other sets: of notebooks 02, 04 and 05.
_EVIDENCE = (
    Grid("papers_pixels", _PAPERS_PIXELS, ("papers_pixels",), "er-like", study=True),
    *(Grid(name, _EQ_1, data=name, study=True) for name in ("ambiguous-er-like", "mito-like", "nuc-like")),
)
GRIDS = {
    "02_training_curves": (
        Grid("", ("cl", "rcl_sample:0.1", "rcl_flip:0.2", "rcl_flip:0.45", "pcl_skeleton", "rl:0.5"), more=_FURTHER),
        Grid("deeplabv3plus", ("cl", "rcl_flip:0.45", "pcl_skeleton"), _PLUS, more=_DEEP_FURTHER),
        *_EVIDENCE,
        Grid("papers_pixels deeplabv3plus", _PAIR, (*_PLUS, "papers_pixels"), "er-like", study=True),
        *(Grid(rate, ("cl",), (rate,), "er-like", study=True) for rate in ("rate 0.05", "rate 0.2")),
    ),
    "03_multiclass_labels": (
        Grid("", ("cl", *_MANY_CLASSES), ("multiclass",), more=("rcl_sample:0.5", "rcl_sample:0.3")),
        *(
            Grid(f"critical {name}", tuple(designs.critical_recipes(classes)), ("critical",), name)
            for name, classes in (("street-like-2", 2), ("street-like-3", 3), ("street-like", 6))
        ),
        *(
            Grid(f"cost {n} {name}", _PAST, ("critical", f"scenes {n}"), name, study=True)
            for name in ("street-like-2", "street-like")
            for n in designs.SCENES
        ),
    ),
    "04_perturbed_labels": (
        Grid("", (*_PCL, "pcl_dilation:2", "rcl_flip:0.45"), more=("pcl_boundary:2", "pcl_closing:2", "rcl_flip:0.49")),
        Grid("deeplabv3plus", ("cl", "rcl_flip:0.45"), _PLUS, more=_PCL[1:]),
        *_EVIDENCE,
    ),
    "05_random_labels": (
        Grid("", ("cl", "rl:0", "rl:0.1", "rcl_flip:0.45"), more=("rcl_flip:0.49",)),
        Grid("deeplabv3plus", ("cl", "rcl_flip:0.45"), _PLUS, more=("rl:0.1",)),
        *_EVIDENCE,
        *(
            Grid(f"stages, {rate}", ("rl:0.5",), ("stages", rate), "er-like")
            for rate in ("rate in steps", "constant rate")
        ),
        Grid("memorise 4", ("rl:0.1", "rl:0.5"), ("memorise 4",), more=("rl:0.3",)),
        *(Grid(f"memorise {n}", ("rl:0.5",), (f"memorise {n}",), study=True) for n in designs.MEMORISED_IMAGES[1:]),
        *(Grid(f"memorise 4, {w}", ("rl:0.5",), ("memorise 4", w), study=True) for w in ("width 4", "width 16")),
    ),
    "07_igtt": (
        Grid("", table3.TABLE, _SMALL),
        Grid("mito-like", table3.TABLE, _SMALL, "mito-like"),
        Grid("nuc-like", table3.TABLE, _SMALL, "nuc-like", study=True),
        *(Grid(network, ("cl",), (*_SMALL, network)) for network in (*_UNETS, *_OTHERS)),
        *(Grid(f"mito-like {network}", ("cl",), (*_SMALL, network), "mito-like") for network in _UNETS),
        *(Grid(f"mito-like {network}", ("cl",), (*_SMALL, network), "mito-like", study=True) for network in _OTHERS),
        *(Grid(f"nuc-like {n}", ("cl",), (*_SMALL, n), "nuc-like", study=True) for n in (*_UNETS, *_OTHERS)),
    ),
    "10_effective_pixels": tuple(
        Grid(
            f"n{n}",
            ("cl", *(designs.effective_recipe(n, share) for share in designs.EFFECTIVE_IMAGES)),
            ("few", f"n{n}"),
        )
        for n in designs.TRAINING_IMAGES
    )
    + tuple(Grid(f"cost {n}", _PAIR, (f"cost {n}",), "er-like", study=True) for n in designs.COST_IMAGES)
    + (Grid("papers_pixels", _PAIR, ("papers_pixels",), "er-like", study=True),),
    "11_text_and_code": (
        Grid("", ("cl", "rcl_sample:0.1", "rcl_flip:0.4")),
        Grid("official", ("rcl_sample:0.1", "rcl_flip:0.4"), ("official",)),
    ),
    "12_igtt_choices": (Grid("", table3.CHOICES, _SMALL),),
    # Short runs last: none is left over when one process is done.
    "13_full_rank": (
        Grid(
            "n32",
            (
                "cl",
                *_FEW_SAMPLES,
                "rcl_flip:0.2",
                *_FEW_FLIPS,
                *sum(designs.ASYMMETRIC.values(), ()),
                "rl:0.2",
                "rl:0.5",
            ),
            ("few", "n32"),
        ),
        Grid("critical street-like-3", ("rcl_sample:0.05", *_THREE_CLASSES), ("critical",), "street-like-3"),
    ),
}
WITHOUT_RUNS = ("00_start_here", "01_label_noise", "06_meta_structure_maps", "08_label_diagnosis", "09_your_own_images")
# What a notebook runs on by default, where it is not er-like.
DATA = {"03_multiclass_labels": "street-like", "06_meta_structure_maps": "circle"}


def default_data(notebook):
    """The data set that a notebook runs on unless another is asked for."""
    return DATA.get(notebook, "er-like")


def runs(notebook, profile, data=""):
    """The runs behind a notebook as {name: [one `TrainConfig` or `MethodConfig` a seed]}.

    ValueError for an unknown notebook or profile.
    """
    chosen = data or default_data(notebook)
    base = TrainConfig(**profiles.SCALE[_checks.one_of(profile, profiles.PROFILES, "profile")])
    whole = profile in ("smoke", "paper") or (profile == "study" and datasets.is_embedded(chosen))
    planned = {}  # at the paper's scale without grids that are to come near to it
    for grid in GRIDS[_checks.one_of(notebook, GRIDS, "notebook with runs")]:
        elsewhere = grid.data and chosen != default_data(notebook)
        at_scale = profile == "paper" and not profiles.CHANGES["paper"].keys() >= {*grid.changes}
        if elsewhere or (grid.study and (at_scale or not whole)):
            continue
        scale = replace(base, data=grid.data or chosen, **_changes(profile, grid.changes, chosen))
        for row, configs in _of_grid(grid._replace(more=grid.more * whole), profile, _long_enough(scale, profile)):
            planned[f"{grid.prefix} {row}".strip()] = configs
    return planned


def _long_enough(scale, profile):
    """The scale with as many passes over all images of files as make the steps of the profile, however few they are."""
    steps = profiles.STEPS_OF_FILES.get(profile)
    if steps is None or scale.train is not None or datasets.is_embedded(scale.data):
        return scale
    images = len(datasets.load(scale.data, "train", size=scale.size).ids)
    epochs = max(2, -(-steps // max(1, images // scale.batch)))
    return replace(scale, epochs=epochs, lr_step_epochs=epochs * 2 // 3)


def _of_grid(grid, profile, scale):
    """(row, [one configuration a seed]) of the rows of a grid, at the scale of a `TrainConfig`."""
    for row in grid.rows + grid.more:
        if row not in table3.ROWS:
            recipe = _of_classes(row, scale)
            yield recipe, [replace(scale, recipe=recipe, seed=seed) for seed in range(profiles.SEEDS[profile])]
        elif profile != "quick" or row not in table3.STUDY + table3.STUDY_ELSEWHERE * bool(grid.data):
            yield row, table3.configs(row, profile, scale, main=not grid.prefix)


def _of_classes(row, scale):
    """The recipe that a row stands for with the number of classes of a set."""
    made = {designs.MATCHING: designs.matching_recipe, designs.EQUAL_BITS: designs.equal_bits_recipe}.get(row)
    return made(datasets.load(scale.data, "val", size=scale.size, limit=1).classes) if made else row


def _changes(profile, changes, data):
    """What the `changes` of a grid do to the scale of its profile, in order; images of files need sides of their own."""
    official = {name: profiles.LABEL_PRESETS["official"][name] for name in ("exact", "one_sided")}
    known = {"official": official} | profiles.CHANGES[profile]
    named = ("files", *(f"{change}{of}" for change in changes for of in ("", ", files", f", {data}")))
    return {
        name: value
        for change in named
        if not (change.endswith("files") and datasets.is_embedded(data))  # some sets have a line of their own
        for name, value in known.get(change, {}).items()
    }
