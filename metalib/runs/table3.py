"""Table 3: its rows that see no label, as runs; and the table itself."""

from metalib.runs import profiles, records
from metalib.unsupervised.config import MethodConfig

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
    "initial mask": ("base", {}),
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
STUDY = ("iGTT, official", "iGTT, long", *ABLATIONS, *PAPER_ABLATIONS)  # left out of the quick profile
STUDY_ELSEWHERE = ("iGTT, no EMS", "iGTT+, no EMS")  # left out of it on the sets that stand beside the default
CHOICES = ("iGTT", "iGTT, no EMS", "iGTT+", "iGTT+, no EMS", "iGTT+, never refreshed", *STUDY)
# Paper: ten trainings. Seeds where they are not those of the profile: more for the share of inverted runs, fewer where a
# row is one of many.
_SEEDS = {("quick", "iGTT"): 5} | {("study", row): 3 for row in (*ABLATIONS, *PAPER_ABLATIONS)}
_IMAGES = {("study", "iGTT, long"): 432}  # three times those of the profile


def configs(row, profile, scale, main=True):
    """The runs of one of `ROWS`, one `MethodConfig` a seed; what draws no random numbers has one.

    scale: the `TrainConfig` whose data and images they share; main: whether they are of the notebook's own data set.
    """
    method, options = ROWS[row]
    changes = profiles.METHODS[profile]
    given = changes.get(options.get("preset", method), {}) | changes.get(row, {}) | options
    seeds = profiles.SEEDS[profile]
    count = 1 if row in _PLAIN else _SEEDS.get((profile, row), seeds) if main else seeds
    shared = {name: getattr(scale, name) for name in ("data", "size", "test", "augment")}
    shared["train"] = _IMAGES.get((profile, row), scale.train)
    return [MethodConfig(method, tuple(given.items()), seed=seed, **shared) for seed in range(count)]


def table(results, rows=None):
    """Table 3 of one data set, in percent, pooled over pixels and per image; a mask is what scores above 0.5.

    `balanced` is the balanced accuracy of the mask. The paper's own numbers (ER: Dice, AUC, ACC) stand in a column of
    their own, beside the rows of the set that stands for it. Rows that are not in the results, such as an older record, are
    left out.
    """
    import pandas as pd  # see `sweeps.run`

    names = {row: row for row in TABLE} | SUPERVISED if rows is None else {row: row for row in rows}
    runs = {row: run for row, run in names.items() if run in results.runs}
    cells = {
        title: {row: _cell(results.final(run, metric)) for row, run in runs.items()}
        for title, metric in _COLUMNS.items()
    }
    any_run = next(iter(runs.values()))
    share = 100 * results.runs[any_run]["foreground"]
    constant = {
        "all foreground": (100 * results.all_foreground(any_run), 50, share, 50),
        "all background": (0, 50, 100 - share, 50),
    }
    plain = pd.DataFrame(constant, list(_COLUMNS)[:4]).T.map("{:.1f}".format)
    found = pd.concat([plain, pd.DataFrame(cells)]).fillna("")
    if rows or not results.is_papers_set:
        return found
    return found.assign(**{"paper, ER": [PAPER.get(row, "") for row in found.index]})


# What somebody with images and no masks chooses from; and how far a network that is given masks comes.
_CHOICE = {
    **{"Otsu": "Otsu, smoothed", "adaptive Gaussian": "AGT, smoothed", "best threshold": "initial mask"},
    **{"iGTT, by the text": "iGTT", "iGTT+": "iGTT+", "U-Net, with masks": "unet_longer cl"},
}


def sets(found):
    """A table in markdown of {title of a data set: results}: test Dice of what needs no mask, and of a U-Net with masks.

    `network used`: in how many of the runs of iGTT+ its own account took the network, see `unsupervised.selection.Choice`.
    """
    lines = []
    for title, results in found.items():
        used = results.runs["iGTT+"]["label_network"].ravel()
        cells = [_cell(results.final(run, "dice_half")) for run in _CHOICE.values()]
        lines.append([title, *cells, f"{int(used.sum())} of {len(used)}"])
    return records.markdown_table(["test Dice (%)", *_CHOICE, "network used"], lines)


def _cell(values):
    return records.cell(values) if len(values) > 1 else f"{values[0]:.1f}"


def markdown(results, prefixes):
    """The tables of RESULTS.md, one a data set: {title: prefix}."""
    found = {title: table(results.of(prefix)).reset_index(names="") for title, prefix in prefixes.items()}
    return "\n\n".join(f"**{title}**\n\n{records.markdown_table([*of], of.to_numpy())}" for title, of in found.items())
