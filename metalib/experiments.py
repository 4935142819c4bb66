"""The results of the runs behind each notebook, as a record.

`python -m metalib.experiments --profile quick` computes the runs and records of all notebooks without Jupyter, on this
machine, a GPU machine or in a batch job; with names of notebooks, of those. Called again it resumes. With --runs FILE the
runs go to a file that travels, see `run_files`, and those that it holds are not computed again.
"""

import argparse
import os
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from metalib import checks, claims, datasets, grids, metrics, records, run_files, run_numbers

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
    return checks.one_of(given or os.environ.get("METALIB_PROFILE") or "quick", grids.PROFILES, "profile")


def source_name(given=""):
    """Where numbers come from: the argument, else METALIB_SOURCE, else train. ValueError for an unknown one."""
    source = given or os.environ.get("METALIB_SOURCE") or "train"
    return source if str(source).endswith(run_files.SUFFIX) else checks.one_of(source, SOURCES, "source")


def data_name(notebook, given=""):
    """The data set asked for: the argument, else the notebook's. FileNotFoundError unless it is a known name or a folder.

    A real set need not be here, since its record can be read without it.
    """
    name = str(given) or grids.default_data(notebook)
    if name not in datasets.REAL and not datasets.is_embedded(name):
        datasets.folder(name)
    return name


def stem(notebook, profile, data=""):
    """File name of figures and records: the notebook's, with data set and profile where they are not the default."""
    other = data not in ("", grids.default_data(notebook))
    return ".".join([notebook] + [_base(data)] * other + [profile] * (profile != "quick"))


def results(notebook, profile, data="", source=""):
    """The `Results` behind a notebook.

    source "train" (the default, or METALIB_SOURCE) computes what is not cached and writes the record; "record" trains
    nothing and reads the committed record; a file of runs gives what it holds of them.
    """
    if (chosen := source_name(source)) == "record":
        chosen = records.committed_folder() / f"{stem(notebook, profile, data)}.json"
        record = records.load(chosen)
    elif chosen == "train":
        record = _compute(notebook, profile, data)
    else:
        record = _gather(notebook, profile, data, chosen)
    arrays = {
        # As floats, since the null of a record stands for nan.
        run: {name: np.array(values, float) if isinstance(values, list) else values for name, values in of.items()}
        for run, of in record["numbers"]["runs"].items()
    }
    return Results(run_files.Runs(arrays, chosen), record["config"], record["provenance"])


def parser(module):
    """Arguments that choose notebooks, profile and data, of the command `python -m <module>`."""
    wanted = argparse.ArgumentParser(prog=f"python -m {module}", description=__doc__.splitlines()[0])
    wanted.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help=f"of {', '.join(grids.GRIDS)} (default: all)")
    wanted.add_argument("--profile", choices=grids.PROFILES, default="", help="default: METALIB_PROFILE, else quick")
    wanted.add_argument(
        "--data", default="", help="a data set or a folder (default: the embedded one of each notebook)"
    )
    return wanted


def chosen(given):
    """The configurations of all runs behind what `parser` was given, each once: notebooks share runs, and some have none."""
    profile = profile_name(given.profile)
    for notebook in _with_runs(given.notebooks):
        _check_classes(notebook, given.data)
    every = (grids.runs(notebook, profile, given.data) for notebook in _with_runs(given.notebooks))
    return list(dict.fromkeys(config for each in every for configs in each.values() for config in configs))


def _with_runs(notebooks):
    return [notebook for notebook in notebooks or grids.GRIDS if notebook not in grids.WITHOUT_RUNS]


def _check_classes(notebook, data):
    """ValueError where a notebook on two classes is given a set of more, before anything is trained."""
    if data in ("", grids.default_data(notebook)) or notebook in grids.DATA:
        return
    if (classes := datasets.load(data, "val", limit=1).classes) > 2:
        raise ValueError(f"{notebook} is on two classes, {data} has {classes}: run {', '.join(grids.DATA)} on it")


def _compute(notebook, profile, data):
    from metalib import sweeps

    _check_classes(notebook, data)
    planned = grids.runs(notebook, profile, data)
    every = [config for configs in planned.values() for config in configs]
    table = sweeps.run(every)
    measured = iter(run_numbers.of_sweep(every, table))
    numbers = {"runs": {run: run_numbers.joined([next(measured) for _ in configs]) for run, configs in planned.items()}}
    about = dict(
        device=", ".join(sorted(set(table.device))),
        precision=table.precision[0],
        training_s=round(float(table.seconds.sum())),
    )
    return records.save(stem(notebook, profile, data), numbers, _described(planned), **about)


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


def _gather(notebook, profile, data, path):
    """A record, not written, of what a file of runs holds of a notebook's."""
    planned = grids.runs(notebook, profile, data)
    lines = run_files.present(planned, run_files.read(path))
    if not lines:
        command = f"python -m metalib.experiments {notebook} --profile {profile} --runs {path}"
        raise run_files.MissingRun(f"{path} holds no run of {notebook}: compute some with `{command}`")
    numbers = {"runs": {run: run_numbers.joined([line["numbers"] for line in of]) for run, of in lines.items()}}
    every = [line["provenance"] for of in lines.values() for line in of]
    devices = sorted({about["device"] for about in every})
    seconds = round(sum(about["seconds"] for about in every))
    config = _described({run: planned[run][: len(of)] for run, of in lines.items()})
    return {"config": config, "provenance": {"device": ", ".join(devices), "training_s": seconds}, "numbers": numbers}


def _to_file(configs, path, limit_s):
    """Compute runs that a file of runs does not hold and add them; the number of configurations that it holds then."""
    from metalib import sweeps

    known = run_files.read(path)
    todo = [config for config in run_files.by_need(configs) if run_files.name(config) not in known]
    table = sweeps.run(todo, limit_s=limit_s)
    done, here = [todo[place] for place in table.index], records.environment()
    lines = {
        config: (numbers, here | {"device": row.device, "precision": row.precision, "seconds": round(row.seconds, 1)})
        for config, numbers, (_, row) in zip(done, run_numbers.of_sweep(done, table), table.iterrows(), strict=True)
    }
    if lines:
        run_files.add(path, lines)
    return len(configs) - len(todo) + len(lines)


def _main():
    from metalib import sweeps

    wanted = parser("metalib.experiments")
    wanted.add_argument(
        "--limit-s", type=float, help="start no run that would end later than this many seconds from now"
    )
    wanted.add_argument("--no-records", action="store_true", help="train only: notebooks that run next write them")
    wanted.add_argument("--runs", metavar="FILE", help="a file of runs (*.jsonl) to go on with, in place of records")
    given = wanted.parse_args()
    try:
        configs = chosen(given)
        if given.runs:
            done = _to_file(configs, given.runs, given.limit_s)
        else:
            done = len(sweeps.run(configs, limit_s=given.limit_s))
            if done == len(configs) and not given.no_records:
                for notebook in _with_runs(given.notebooks):
                    results(notebook, profile_name(given.profile), given.data, "train")
    except (OSError, ValueError, RuntimeError) as error:
        wanted.exit(1, f"{error}\n")
    print(f"{done} of {len(configs)} runs done" + ("" if done == len(configs) else ": call again to go on"))


if __name__ == "__main__":
    _main()
