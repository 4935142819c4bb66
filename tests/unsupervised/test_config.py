"""Choices of iGTT and presets: what differs, and what is refused."""

import re
from dataclasses import asdict, replace

import pytest
from small_igtt import IMAGES, SMALL

from metalib.unsupervised import igtt
from metalib.unsupervised.config import OPTIONS, PRESETS, IgttConfig, preset


def test_presets_differ_where_paper_and_official_code_do():
    assert preset("paper") == IgttConfig()
    paper, official, improved = (asdict(preset(name)) for name in ("paper", "official", "improved"))
    assert {name: (paper[name], official[name]) for name in paper if paper[name] != official[name]} == {
        "per_image": (True, False),  # one k a batch
        "ends": ("skip", "zero"),
        "exact": (False, True),
        "square": (False, True),
        "clamp": (False, True),
        "iou_power": (1, 2),
        "loss": ("dmi+iou", "bce"),  # its default
        "invert_majority": (False, True),
    }
    stated = ("thresholds", "radius_px", "keep", "start", "refresh", "threshold", "loss", "dmi_floor", "orientation")
    assert [paper[name] for name in stated] == [30, 1, 0.1, "black", "step", "dmi", "dmi+iou", 1e-3, "none"]
    assert {name for name in paper if paper[name] != improved[name]} == PRESETS["improved"].keys()
    assert preset("official", keep=0.5, seed=3) == replace(preset("official"), keep=0.5, seed=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: "other"}, f"{name} is 'other', expected one of {re.escape(known[0])}") for name, known in OPTIONS.items()),
        (dict(keep=0), "keep is 0"),
        (dict(radius_px=-1), "radius_px is -1"),
        (dict(sure=1.1), r"sure is 1.1, expected a fraction in \[0, 1\]"),
        (dict(width=0), "width is 0, expected a whole number from 1 to 256"),
        (dict(epochs=0), "epochs is 0"),
        (dict(batch=0), "batch is 0"),
        (dict(lr_step_epochs=0), "lr_step_epochs is 0"),
        (dict(model="other"), "unknown model 'other'"),
        (dict(thresholds=2), "k is 2"),
        (dict(crop_px=0), "crop_px is 0"),
        (dict(crop_px=16), "crop_px is set: a refresh of \"step\" needs whole images"),
    ],
)  # fmt: skip
def test_bad_choices_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        igtt.fit(IMAGES, preset("paper", **{**SMALL, **changes}))


def test_unknown_presets_and_fields_are_named():
    with pytest.raises(ValueError, match="unknown preset 'best', expected one of paper, official, improved"):
        preset("best")
    with pytest.raises(TypeError, match="unknown_field"):
        preset("paper", unknown_field=1)
