"""Table 3: its rows that see no label, as runs, with what each changes in each profile; and the table itself."""

from typing import NamedTuple

from metalib import claims

# Table 3 of the paper, on its ER set: Dice, AUC and ACC in percent. AUC is that of scores, or, as the numbers tell, that of
# hard masks for AGT, Otsu and DFC, which is their balanced accuracy.
PAPER = {
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
SUPERVISED = {
    **{"U-Net": "unet cl", "U-Net, longer": "unet_longer cl"},  # longer: for as many steps as iGTT+
    **{"DeepLabv3+": "deeplabv3plus cl", "HRNet": "hrnet cl"},
}
_COLUMNS = {
    **{"Dice": "dice_half", "AUC": "auc", "ACC": "acc", "balanced": "balanced"},
    **{"Dice (image)": "dice_half_image", "AUC (image)": "auc_image", "ACC (image)": "acc_image"},
}


class Methods(NamedTuple):
    """Rows of `ROWS`; `prefix`, `data` and `long` as in `grids.Grid`."""

    prefix: str
    rows: tuple
    data: str = ""
    long: bool = False


_NO_EMS = dict(skeleton=False, radius_px=0, keep=1.0)
# What one change does to the improved preset, and to the paper's; the name, and the change. Too many for a quarter of an
# hour: the quick profile leaves them out.
ABLATIONS = {
    "start: black labels": dict(start="black", bootstrap_epochs=1),
    "light: as it is": dict(light=0.0),
    "turns: none": dict(turns=False),
    "threshold: DMI": dict(threshold="dmi"),
    "threshold: K = 10": dict(thresholds=10),
    "smoothing: none": dict(smooth_px=0.0),
    "band: background": dict(band_px=None),
    "EMS: skeleton alone": dict(compact=None, sure=0.0),
    "EMS: no compact objects": dict(compact=None),
    "EMS: no sure pixels": dict(sure=0.0),
    "EMS: shift by 1 px": dict(radius_px=1),
    "EMS: 0.1 sampled": dict(keep=0.1),
    "loss: Eq. 6": dict(loss="dmi+iou"),
    "rate: in steps": dict(schedule="step"),
}
PAPER_ABLATIONS = {
    "paper, no skeleton": dict(skeleton=False),
    "paper, no shift": dict(radius_px=0),
    "paper, no sampling": dict(keep=1.0),
    "paper, shift by 3 px": dict(radius_px=3),
    "paper, 0.5 sampled": dict(keep=0.5),
    "paper, K = 10": dict(thresholds=10),
    "paper, DMI alone": dict(loss="dmi"),
    "paper, IoU alone": dict(loss="iou"),
    "paper, refreshed by a pass": dict(refresh="pass"),
    "paper, orientation": dict(orientation="set", refresh="pass"),
}
_PLAIN = {
    "Otsu": ("otsu", {}),
    "Otsu, smoothed": ("otsu", dict(sigma_px=1)),
    "AGT": ("adaptive_gaussian", {}),
    "AGT, smoothed": ("adaptive_gaussian", dict(sigma_px=1)),
    "AGT, oracle": ("adaptive_gaussian_oracle", {}),
    "AGT, smoothed, oracle": ("adaptive_gaussian_oracle", dict(sigma_px=1)),
    "mean of the image": ("mean_threshold", {}),
    "initial mask": ("evidence", {}),
}
_IGTT = {
    "iGTT": dict(preset="paper"),
    "iGTT, no EMS": dict(preset="paper", **_NO_EMS),
    "iGTT, official": dict(preset="official"),
    "iGTT, long": dict(preset="paper"),
    "iGTT+": dict(preset="improved"),
    "iGTT+, never refreshed": dict(preset="improved", refresh="never"),
    "iGTT+, no EMS": dict(preset="improved", **_NO_EMS),
    **{name: dict(preset="improved", **change) for name, change in ABLATIONS.items()},
    **{name: dict(preset="paper", **change) for name, change in PAPER_ABLATIONS.items()},
}
ROWS = _PLAIN | {"DFC": ("dfc", {}), "AC": ("ac", {})} | {name: ("igtt", of) for name, of in _IGTT.items()}
TABLE = (*_PLAIN, "DFC", "AC", "iGTT", "iGTT, no EMS", "iGTT+", "iGTT+, no EMS", "iGTT+, never refreshed")
LONG = ("iGTT, official", "iGTT, long", *ABLATIONS, *PAPER_ABLATIONS)  # left out of the quick profile
LONG_ELSEWHERE = ("iGTT, no EMS", "iGTT+, no EMS")  # left out of it on the sets that stand beside the default
CHOICES = (
    "iGTT",
    "iGTT, no EMS",
    "iGTT+",
    "iGTT+, no EMS",
    "iGTT+, never refreshed",
    *LONG,
)
# Paper: ten trainings. Seeds where they are not those of the profile: more for the share of inverted runs, fewer where a
# row is one of many.
_SEEDS = {("quick", "iGTT", ""): 5} | {("long", row, ""): 3 for row in (*ABLATIONS, *PAPER_ABLATIONS)}
_IMAGES = {("long", "iGTT, long"): 432}  # three times those of the profile

# Paper: silent on all scales; those of "paper" are the official code's, the others are ours.
_SMALL = dict(model="unet_light", width=8, batch=4, lr=0.1)
_QUICK = {
    # DFC: 24 channels of 100, 12 responses of up to 1,000 (its masks move little after some 20 at full width). AC: width 16
    # of 64, 2 blocks of 3, 1 epoch of 20 in batches of 8, and Adam's own rate.
    "dfc": dict(channels=24, iterations=12),
    "ac": dict(width=16, blocks=2, epochs=1, batch=8, lr=1e-3),
    "paper": _SMALL | dict(epochs=4, lr_step_epochs=3),
    "official": _SMALL | dict(epochs=4, lr_step_epochs=3),
    "improved": _SMALL | dict(epochs=10, lr_step_epochs=8),
    "iGTT, long": dict(epochs=16, lr_step_epochs=12),  # twelve times the optimisation steps
}
_SCALE = {
    "smoke": {
        "dfc": dict(channels=8, iterations=2),
        "ac": dict(width=4, blocks=1, epochs=1, batch=4, displacement=2),
        **{name: dict(width=4, batch=4, epochs=2) for name in ("paper", "official", "improved")},
    },
    "quick": _QUICK,
    "long": _QUICK,
    "paper": {},
}


def runs(grid, profile, scale, seeds):
    """The runs of a `Methods` grid, as {name: [one `MethodConfig` a seed]}.

    scale: the `TrainConfig` whose data and images they share; seeds: how many, but one for what draws no random numbers.
    """
    from metalib.comparison import MethodConfig  # torch, which a notebook that reads a record does not need

    shared = {name: getattr(scale, name) for name in ("data", "size", "test", "augment")}
    planned = {}
    for row in grid.rows:
        if profile == "quick" and row in LONG + LONG_ELSEWHERE * bool(grid.data):
            continue
        method, options = ROWS[row]
        changes = _SCALE[profile].get(options.get("preset", method), {}) | _SCALE[profile].get(row, {})
        count = 1 if row in _PLAIN else _SEEDS.get((profile, row, grid.prefix), seeds)
        given = tuple((changes | options).items())
        images = {"train": _IMAGES.get((profile, row), scale.train)}
        configs = [MethodConfig(method, given, seed=seed, **shared | images) for seed in range(count)]
        planned[f"{grid.prefix} {row}".strip()] = configs
    return planned


def table(results, prefix="", rows=None):
    """Table 3 of one data set, in percent, pooled over pixels and per image; a mask is what scores above 0.5.

    `balanced` is the balanced accuracy of the mask. The paper's own numbers (ER: Dice, AUC, ACC) stand in a column of
    their own, beside the rows of the set that stands for it. Rows that are not in the results, such as an older record, are
    left out.
    """
    import pandas as pd  # see `sweeps.run`

    names = {row: row for row in TABLE} | SUPERVISED if rows is None else {row: row for row in rows}
    runs = {row: name for row, run in names.items() if (name := f"{prefix} {run}".strip()) in results.runs}
    cells = {
        title: {row: _cell(results.final(run, metric)) for row, run in runs.items()}
        for title, metric in _COLUMNS.items()
    }
    share = 100 * results.runs[next(iter(runs.values()))]["foreground"]
    constant = {
        "all foreground": (100 * results.all_foreground(next(iter(runs.values()))), 50, share, 50),
        "all background": (0, 50, 100 - share, 50),
    }
    plain = pd.DataFrame(constant, list(_COLUMNS)[:4]).T.map("{:.1f}".format)
    found = pd.concat([plain, pd.DataFrame(cells)]).fillna("")
    beside = not prefix and not rows and results.config.get("data", "er-like") in ("er", "er-like")
    return found if not beside else found.assign(**{"paper, ER": [PAPER.get(row, "") for row in found.index]})


def _cell(values):
    return claims.cell(values) if len(values) > 1 else f"{values[0]:.1f}"


def markdown(results, prefixes):
    """The tables of README.md, one a data set: {title: prefix}."""
    return "\n\n".join(f"**{title}**\n\n{_markdown(table(results, prefix))}" for title, prefix in prefixes.items())


def _markdown(found):
    lines = [["", *found.columns], ["---"] * (1 + len(found.columns)), *found.reset_index().to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
