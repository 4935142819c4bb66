"""Finished runs as lines of one file, which travels: computed where there is a GPU, drawn where there is none.

A line is a run: its configuration, its numbers, and where they were computed. Lines of several machines are joined by
appending one file to another; of two lines of one configuration the later counts.
"""

import json
import warnings
from collections import Counter
from dataclasses import MISSING, asdict, fields
from itertools import takewhile
from pathlib import Path

from metalib import _files, _provenance
from metalib.networks.config import TrainConfig
from metalib.runs import profiles, records
from metalib.unsupervised.config import MethodConfig

SUFFIX = ".jsonl"
_KINDS = {kind.__name__: kind for kind in (TrainConfig, MethodConfig)}


class MissingRun(LookupError):
    """What is drawn needs a run that has not been computed."""


class Runs(dict):
    """{name: numbers} of the runs of `source`, under a prefix or none; one that is not there is named."""

    def __init__(self, runs, source, prefix=""):
        super().__init__(runs)
        self.source, self.prefix = source, prefix

    def __missing__(self, name):
        raise MissingRun(f"run {f'{self.prefix} {name}'.strip()!r} is not in {self.source} yet")


def name(config):
    """What a run is known by in a file: its configuration, whatever machine or version computed it."""
    return json.dumps({"kind": type(config).__name__} | asdict(config), sort_keys=True)


def read(path):
    """{name of a run: its line} of a file, none where there is no file; ValueError names the line that is no run."""
    return dict(_line(*numbered) for numbered in _numbered(path))


def readable(path):
    """`read`, of what can be drawn: lines that are no run, and runs of other code than most, are named in a warning and left out.

    The file stays as it is.
    """
    found, left_out = {}, []
    for numbered in _numbered(path):
        try:
            known_as, line = _line(*numbered)
            found[known_as] = line
        except ValueError as error:
            left_out.append(str(error))
    codes = Counter(_code(line) for line in found.values())
    most = {kind: code for (kind, code), _ in reversed(codes.most_common())}
    alike = {known_as: line for known_as, line in found.items() if _code(line)[1] == most[_code(line)[0]]}
    if other := len(found) - len(alike):
        few = f"{path}: {other} of {len(found)} runs are of other code than the others"
        left_out.append(f"{few}: delete their lines, they are computed again")
    for told in left_out:
        warnings.warn(f"left out: {told}", stacklevel=3)
    return alike


def _numbered(path):
    """Each line of a file with its place, as text."""
    if not Path(path).exists():
        return []
    return [(f"{path}, line {number}", text) for number, text in enumerate(Path(path).read_text().splitlines(), 1)]


def _line(where, text):
    """(name of the run, what the line holds); ValueError where it is no run."""
    advice = "delete the line, its run is computed again"
    line = _files.parse_json(text, where, advice)
    parts = [line.get(part) for part in ("config", "numbers", "provenance")] if isinstance(line, dict) else [None]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{where} is no run: {advice}")
    if line.get("schema") != records.SCHEMA:
        raise ValueError(f"{where} has schema {line.get('schema')}, this version reads {records.SCHEMA}: {advice}")
    return json.dumps(_defaults(line["config"]) | line["config"], sort_keys=True), line


def _code(line):
    """The kind of a run, and the code that computed it."""
    return line["config"].get("kind"), line["provenance"].get("code")


def add(path, configs, table, code):
    """Put the runs of a sweep into a file, in place of older lines of the same runs.

    table: rows of the configurations; code: {type of configuration: hash of the code behind its runs}.
    """
    if not configs:
        return
    here, numbers = _provenance.environment(), records.of_sweep(configs, table)
    with _files.locked(path):
        lines = read(path)
        for config, of, row in zip(configs, numbers, table.itertuples(), strict=True):
            where = here | {"device": row.device, "precision": row.precision, "seconds": round(row.seconds, 1)}
            where["code"] = code[type(config)][:12]
            about = {"schema": records.SCHEMA, "config": json.loads(name(config)), "provenance": where}
            lines[name(config)] = about | {"numbers": of}
        text = "".join(_files.dumps(lines[known_as], indent=None) + "\n" for known_as in sorted(lines))
        _files.atomic_write(path, text)


def by_need(configs):
    """The order in which runs are computed: of each kind as many seeds as a verdict needs, kind by kind; then the others."""
    kinds = list(dict.fromkeys(map(_kind, configs)))
    return sorted(configs, key=lambda of: (of.seed >= profiles.MIN_SEEDS, kinds.index(_kind(of)), of.seed))


def present(planned, lines):
    """What the lines hold of planned runs {name: [one configuration a seed]}: {name: [one line a seed]}.

    Every run has the same seeds, since statements pair them: the first n, where n is what each run with enough seeds for a
    verdict has (or, before there is one, each run at all). Runs of fewer are left out; those that draw no random numbers
    have but one seed planned.
    """
    known = {run: [lines.get(name(config)) for config in configs] for run, configs in planned.items()}
    found = {run: [*takewhile(lambda line: line is not None, of)] for run, of in known.items()}
    counts = [len(of) for run, of in found.items() if of and len(planned[run]) > 1]
    seeds = min([count for count in counts if count >= profiles.MIN_SEEDS] or counts, default=1)
    return {run: of[:seeds] for run, of in found.items() if len(of) >= min(seeds, len(planned[run]))}


def _defaults(config):
    """What a configuration in a file says by leaving it out: a line may be older than a field."""
    kind = _KINDS.get(config.get("kind"))
    return {of.name: of.default for of in fields(kind) if of.default is not MISSING} if kind else {}


def _kind(config):
    return type(config), config.data, getattr(config, "model", "")
