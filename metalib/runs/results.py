"""From a notebook's name to its numbers: a `Page` is a notebook on a profile and a data set, `Results` are its runs."""

import os
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from metalib import _checks, _files
from metalib.data import datasets
from metalib.networks import metrics
from metalib.runs import grids, profiles, records, run_files

SOURCES = ("train", "record")
# The columns of a table of thresholds.
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


@dataclass(frozen=True)
class Page:
    """A notebook on a profile, a data set and a source of numbers, each a value that `page` has checked."""

    notebook: str
    profile: str
    data: str
    source: str

    @property
    def stem(self):
        """File name of figures and records: the notebook's, with data set and profile where they are not the default."""
        other = self.data != grids.default_data(self.notebook)
        parts = [self.notebook, *[_base(self.data)] * other, *[self.profile] * (self.profile != "quick")]
        return ".".join(parts)

    @property
    def left_to_study(self):
        """Recipes on which this profile states nothing, see `profiles.LEFT_TO_STUDY`."""
        return profiles.LEFT_TO_STUDY if self.profile == "quick" and datasets.is_embedded(self.data) else ()

    def load(self, split, **choices):
        """A split of its data set; see `datasets.load`."""
        return datasets.load(self.data, split, **choices)

    def results(self):
        """The `Results` of its runs.

        Source "train" computes what is not cached and writes the record; "record" trains nothing and reads the committed
        record; a file of runs gives what it holds of them. ValueError: a notebook on two classes, and a set of more.
        """
        if self.source == "record":
            return recorded(self.stem, self)
        planned = _planned(self.notebook, self.profile, self.data)
        return _of(_computed(self, planned) if self.source == "train" else _gathered(self, planned), self)


class Score(NamedTuple):
    """What was measured of a run: `values` (seeds,); `without` (seeds, images), the same over all test images but one, or None."""

    values: np.ndarray
    without: np.ndarray | None = None


class Results(NamedTuple):
    """What a notebook draws from.

    runs: {name: {metric: (seeds, tests), "loss": (seeds, n) of all `steps` or means of equal parts, "example": text,
    "foreground": share of the test pixels, "without_...": see `score`}}, the name of a run being its recipe or row, after the
    prefix of its grid if it has one; config: scale, seeds and data of the first run, and what differs in the others;
    provenance: versions, device, time; page: whose they are; prefix: of the grid that is seen through `of`, "" for all.
    """

    runs: dict
    config: dict
    provenance: dict
    page: Page | None = None
    prefix: str = ""

    def of(self, prefix):
        """The runs of one grid, another network or data set, called without its prefix; all of them for ""."""
        if not prefix:
            return self
        runs = {name.removeprefix(f"{prefix} "): of for name, of in self.runs.items() if name.startswith(f"{prefix} ")}
        first = f"{prefix} {next(iter(runs), '')}"
        config = self.config | self.config.get("runs", {}).get(first, {})
        named = run_files.Runs(runs, getattr(self.runs, "source", ""), prefix)
        return self._replace(runs=named, config=config, prefix=prefix)

    @property
    def sets(self):
        """{name: its results} of the embedded sets beside the page's own, as far as clean labels were trained on there."""
        names = dict.fromkeys(name.partition(" ")[0] for name in self.runs)
        return {name: self.of(name) for name in names if datasets.is_embedded(name) and f"{name} cl" in self.runs}

    def final(self, name, metric="dice_at"):
        """A metric after the last epoch in percent, (seeds,)."""
        return 100 * self.runs[name][metric][:, -1]

    def score(self, name, metric="dice_at"):
        """`final` with what the test images make of it, where the run has that: a `Score`."""
        without = self.runs[name].get(f"without_{metric}")
        known = without is not None and np.size(without) > 0 and not np.isnan(without).any()
        return Score(self.final(name, metric), 100 * without if known else None)

    def all_foreground(self, name):
        """Pooled test Dice, in [0, 1], of a mask that is foreground everywhere: the floor of `dice_best` (two classes)."""
        return metrics.all_foreground_dice(self.runs[name]["foreground"])

    @property
    def is_papers_set(self):
        """Whether these are the main runs on the paper's ER set, or on the one that stands for it here."""
        return not self.prefix and self.config.get("data", "er-like") in ("er", "er-like")

    def recipes(self, family):
        """The recipes of a label family, "cl", "rcl", "pcl" or "rl", that the grid holds."""
        kinds = {name: name.partition(":")[0] for name in self.runs}  # what stands behind the colon may hold blanks
        return [name for name, kind in kinds.items() if " " not in kind and kind.partition("_")[0] == family]

    def load(self, split, limit=None):
        """A split at the size of the runs: as many images as they have, or at most `limit`; see `datasets.load`."""
        own = self.config["data"] == _base(self.page.data)  # whose path no record keeps
        limit = min((n for n in (limit, self.config[split]) if n), default=None)
        data = self.page.data if own else self.config["data"]
        return datasets.load(data, split, size=self.config["size"], limit=limit)

    def thresholds(self):
        """A table of the last Dice of all runs at every threshold, pooled and per image, in percent."""
        import pandas as pd  # see `sweeps.run`

        cells = {
            title: {name: records.cell(self.final(name, metric)) for name in self.runs}
            for title, metric in _THRESHOLDS.items()
        }
        floor = {name: f"{100 * self.all_foreground(name):.1f}" for name in self.runs}
        return pd.DataFrame(cells | {"all foreground": floor})


def page(notebook, profile="", data="", source=""):
    """The `Page` of a notebook. Empty: METALIB_PROFILE, else quick; the notebook's own data; METALIB_SOURCE, else train.

    A real set need not be here, since its record can be read without it. ValueError for an unknown profile or source,
    FileNotFoundError for data that are neither a known name nor a folder.
    """
    name, source = str(data) or grids.default_data(notebook), source or os.environ.get("METALIB_SOURCE") or "train"
    if data and name not in datasets.REAL and not datasets.is_embedded(name):
        datasets.folder(name)
    if not str(source).endswith(run_files.SUFFIX):
        _checks.one_of(source, SOURCES, "source")
    return Page(notebook, _profile(profile), name, source)


def chosen(notebooks, profile="", data=""):
    """The configurations of all runs behind notebooks (none named: all), each once: notebooks share runs, and some have none.

    ValueError: an unknown profile or notebook, or a notebook on two classes and a set of more.
    """
    every = (_planned(notebook, _profile(profile), data) for notebook in with_runs(notebooks))
    return list(dict.fromkeys(config for each in every for configs in each.values() for config in configs))


def with_runs(notebooks):
    """The notebooks (none named: all) behind which there are runs."""
    return [notebook for notebook in notebooks or grids.GRIDS if notebook not in grids.WITHOUT_RUNS]


def recorded(stem, page=None):
    """The `Results` of a committed record, whose images need not be here; FileNotFoundError where there is none."""
    return _of(records.load(_files.committed_folder() / f"{stem}.json"), page)


def to_file(configs, path, limit_s=None):
    """Compute runs that a file of runs does not hold and add them; the number of configurations that it holds then."""
    from metalib.runs import sweeps

    known = run_files.read(path)
    todo = [config for config in run_files.by_need(configs) if run_files.name(config) not in known]
    table = sweeps.run(todo, limit_s=limit_s)
    done = [todo[place] for place in table.index]
    run_files.add(path, done, table, {kind: of.code for kind, of in sweeps.KINDS.items()})
    return len(configs) - len(todo) + len(done)


def _of(record, page):
    """The `Results` of a record."""
    arrays = {run: _arrays(of) for run, of in record["numbers"]["runs"].items()}
    return Results(run_files.Runs(arrays, page.source if page else ""), record["config"], record["provenance"], page)


def _arrays(run):
    """The numbers of a run as arrays of floats, since the null of a record stands for nan, with the steps behind its losses."""
    found = {name: np.array(values, float) if isinstance(values, list) else values for name, values in run.items()}
    all_kept = {"steps": found["loss"].shape[-1]} if "loss" in found else {}  # in records that do not tell
    return all_kept | found


def _profile(given):
    return _checks.one_of(given or os.environ.get("METALIB_PROFILE") or "quick", profiles.PROFILES, "profile")


def _planned(notebook, profile, data):
    """`grids.runs`; ValueError where a notebook on two classes is given a set of more, before anything is trained."""
    other = data not in ("", grids.default_data(notebook)) and notebook not in grids.DATA
    if other and (classes := datasets.load(data, "val", limit=1).classes) > 2:
        raise ValueError(f"{notebook} is on two classes, {data} has {classes}: run 03_multiclass_labels on it")
    return grids.runs(notebook, profile, data)


def _computed(page, planned):
    """The record of the planned runs of a page, computed where they are not cached."""
    from metalib.runs import sweeps  # torch, which a page that is drawn from a record does not need

    every = [config for configs in planned.values() for config in configs]
    table = sweeps.run(every)
    measured = iter(records.of_sweep(every, table))
    numbers = {"runs": {run: records.joined([next(measured) for _ in configs]) for run, configs in planned.items()}}
    seconds = round(float(table.seconds.sum()))
    about = dict(device=_joined(table.device), precision=table.precision[0], training_s=seconds)
    about["code"] = {kind.__name__: sweeps.KINDS[kind].code[:12] for kind in {type(config): None for config in every}}
    return records.save(page.stem, numbers, _described(planned), **about)


def _described(planned):
    """Configuration of the first run, and of every other run the fields that differ from it."""
    seeds = {run: [config.seed for config in configs] for run, configs in planned.items()}
    every = {run: asdict(configs[0]) | {"seed": seeds[run]} for run, configs in planned.items()}
    first = next(iter(every.values()))
    differing = {run: {name: of[name] for name in of if of[name] != first.get(name)} for run, of in every.items()}
    data = {"data": _base(first["data"]), "files": datasets.fingerprint(first["data"])}
    return first | data | {"runs": differing}


def _joined(devices):
    return ", ".join(sorted(set(devices)))


def _base(data):
    return os.path.basename(os.path.normpath(data))


def _gathered(page, planned):
    """A record, not written, of what the file of runs of a page holds of the planned ones."""
    lines = run_files.present(planned, run_files.readable(page.source))
    if not lines:
        command = f"python -m metalib experiments {page.notebook} --profile {page.profile} --runs {page.source}"
        raise run_files.MissingRun(f"{page.source} holds no run of {page.notebook}: compute some with `{command}`")
    numbers = {"runs": {run: records.joined([line["numbers"] for line in of]) for run, of in lines.items()}}
    every = [line["provenance"] for of in lines.values() for line in of]
    about = {"device": _joined(of["device"] for of in every), "training_s": round(sum(of["seconds"] for of in every))}
    config = _described({run: planned[run][: len(of)] for run, of in lines.items()})
    return {"config": config, "provenance": about, "numbers": numbers}
