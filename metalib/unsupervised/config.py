"""What an unsupervised run depends on: the choices of iGTT with their presets, and a method of Table 3. No torch here.

Presets: `paper` is the text, `official` the paper's official code, `improved` is ours (iGTT+).
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from metalib import _checks
from metalib.networks.config import FitConfig, check_fit
from metalib.unsupervised import pseudo_labels


@dataclass(frozen=True)
class MethodConfig:
    """One method on one data set. Labels are read to measure the scores, and by methods that are named an oracle.

    method: a name of `methods.METHODS`; options: pairs of name and value, its keyword arguments; for `igtt` a `preset`,
    and fields of `IgttConfig`. The other fields are those of `TrainConfig`.
    """

    method: str
    options: tuple = ()
    data: str = "er-like"
    seed: int = 0
    size: int | None = 256
    train: int | None = None
    test: int | None = None
    augment: bool = False


@dataclass(frozen=True)
class IgttConfig(FitConfig):
    """Every choice of iGTT. The defaults are the preset `paper`, at the scale of the official code."""

    schedule: str = "step"  # see `FitConfig`

    # Labels of the first epochs. "black": all background; "evidence": Otsu's threshold of `pseudo_labels.evidence`; "base": in
    # each image the threshold whose mask describes it best, see `selection.base`.
    start: str = "black"
    # Paper: silent on the first epoch, in which Eq. 6 has no gradient: black labels have one class. The official code
    # trains with cross-entropy throughout; here so many epochs do, and the others with `loss`.
    bootstrap_epochs: int = 1
    # Paper: P is that of the current epoch, so predicted before each step and with batch statistics ("step"), for the next
    # epoch. "pass": by a pass in evaluation mode, before the epoch. "lagged": by a pass before the epoch before it, as the
    # lines of Algorithm 1 stand. "never": the labels of the start stay.
    refresh: str = "step"
    hold: float = 0.0  # "pass": the share of the epochs before the first refresh
    # "base": a candidate mask is taken only where it describes its image better than the best so far, the first of which is a
    # threshold's; and the masks of the network are used only where `selection.choice` says so. Paper: has no such account.
    accept: str = "all"
    hot_pixels: str = "keep"  # "remove": see `hot_pixels.removed`
    # "dark": images are inverted; "check": objects are bright, and it is an error if they look dark. Paper: has bright ones.
    objects: str = "bright"
    # Which candidate mask. "dmi": `best_threshold`; "otsu": of P; "edges": `pseudo_labels.edge_threshold`, one for all images.
    threshold: str = "dmi"
    thresholds: int = pseudo_labels.THRESHOLDS
    per_image: bool = True  # dmi: each image has its own k; else one k a batch, that of the lowest mean loss
    # dmi, one k a batch: "zero" gives the full and the empty mask the loss 0, as the official code does.
    ends: str = "skip"
    smooth_px: float = 0.0  # a Gaussian over P, and over the evidence, before the threshold
    invert_majority: bool = False  # a mask of more than half of the pixels is inverted

    # EMS, see `pseudo_labels.extract_meta_structure`; no EMS is skeleton=False, radius_px=0, keep=1.
    skeleton: bool = True
    radius_px: int = 1
    keep: float = 0.1
    exact: bool = False
    square: bool = False
    clamp: bool = False
    # Labels beside the structure, see `pseudo_labels.insides`; and the share `sure` of all pixels in masks, those of highest P.
    compact: float | None = None
    sure: float = 0.0
    band_px: int | None = None  # see `pseudo_labels.with_band`; None: everything beside the structure is background

    # "dmi+iou" (Eq. 6), "dmi", "iou", "bce", or "area" (`losses.area_cross_entropy`)
    loss: str = "dmi+iou"
    dmi_floor: float = 1e-3
    iou_power: int = 1
    iou_over: str = "image"
    # "set": before each refresh, and at the end, a network that is brighter where the images are darker, over the whole set,
    # is negated. Paper: has none, and |det| cannot tell foreground from background.
    orientation: str = "none"
    # Of each image of a batch only a random square of this side, and an epoch as long as it takes to cover all; None: whole.
    crop_px: int | None = None
    # Each batch under one of the 8 symmetries of the square, and under a smooth random gain and offset of these strengths.
    turns: bool = False
    light: float = 0.0


OPTIONS = {
    "schedule": ("step", "cosine"),
    "start": ("black", "evidence", "base"),
    "refresh": ("step", "pass", "lagged", "never"),
    "accept": ("all", "base"),
    "hot_pixels": ("keep", "remove"),
    "objects": ("bright", "dark", "check"),
    "threshold": ("dmi", "otsu", "edges"),
    "ends": ("skip", "zero"),
    "loss": ("dmi+iou", "dmi", "iou", "bce", "area"),
    "iou_over": ("image", "batch"),
    "orientation": ("none", "set"),
}
PRESETS = {
    "paper": {},
    "official": dict(
        per_image=False, ends="zero", exact=True, square=True, clamp=True, iou_power=2, loss="bce", invert_majority=True
    ),
    "improved": dict(
        start="base",
        accept="base",
        hot_pixels="remove",
        objects="check",
        bootstrap_epochs=0,
        refresh="pass",
        hold=0.5,
        threshold="edges",
        smooth_px=1.0,
        radius_px=0,
        keep=1.0,
        compact=0.5,
        sure=0.3,
        band_px=1,
        loss="area",
        orientation="set",
        turns=True,
        light=0.8,
        schedule="cosine",
    ),
}


def preset(name, **changes):
    """The `IgttConfig` of a preset; ValueError for an unknown one, TypeError for an unknown field."""
    _checks.one_of(name, PRESETS, "preset")
    return replace(IgttConfig(), **{**PRESETS[name], **changes})


def check(config):
    """The config; ValueError for an option that does not exist, or a number that cannot work."""
    check_fit(config, IgttConfig, widest=256)  # a file is not to tell how much memory its network takes
    for name, known in OPTIONS.items():
        if (value := getattr(config, name)) not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    _checks.whole(config.seed, "seed", 0)
    _checks.ratio(config.sure, "sure")
    _checks.ratio(config.hold, "hold")
    _checks.number(config.smooth_px, "smooth_px", 0)
    if config.crop_px is not None and _checks.whole(config.crop_px, "crop_px") and config.refresh == "step":
        raise ValueError('crop_px is set: a refresh of "step" needs whole images, choose "pass" or "never"')
    pseudo_labels.extract_meta_structure(np.zeros((2, 2)), config.radius_px, config.keep, np.random.default_rng(0))
    return config


def from_dict(values, where):
    """The `IgttConfig` of {field: value}; ValueError names the fields that there are not, and `where` they stood."""
    if not isinstance(values, dict):
        raise ValueError(f"{where} has no fields of a configuration: expected a file of metalib.unsupervised.save")
    unknown = values.keys() - {field.name for field in fields(IgttConfig)}
    if unknown:
        raise ValueError(
            f"{where} has the unknown fields {', '.join(sorted(unknown))}: read it with the version that wrote it"
        )
    try:
        return check(IgttConfig(**values))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
