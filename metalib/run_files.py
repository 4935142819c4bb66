"""Finished runs as lines of one file, which travels: computed where there is a GPU, drawn where there is none.

A line is a run: its configuration, its numbers, and where they were computed. Lines of several machines are joined by
appending one file to another; of two lines of one configuration the later counts.
"""

import json
from dataclasses import asdict
from pathlib import Path

from metalib import claims, records

SUFFIX = ".jsonl"


class MissingRun(LookupError):
    """What is drawn needs a run that has not been computed."""


class Runs(dict):
    """{name: numbers} of the runs of `source`; one that is not there is named."""

    def __init__(self, runs, source):
        super().__init__(runs)
        self.source = source

    def __missing__(self, name):
        raise MissingRun(f"run {name!r} is not in {self.source} yet")


def name(config):
    """What a run is known by in a file: its configuration, whatever machine or version computed it."""
    return json.dumps({"kind": type(config).__name__} | asdict(config), sort_keys=True)


def read(path):
    """{name of a run: its line} of a file, none where there is no file; ValueError names the line that is no run."""
    if not Path(path).exists():
        return {}
    found = {}
    for number, text in enumerate(Path(path).read_text().splitlines(), 1):
        where, advice = f"{path}, line {number}", "delete the line, its run is computed again"
        line = records.parse_json(text, where, advice)
        if not isinstance(line, dict) or not line.keys() >= {"config", "numbers", "provenance"}:
            raise ValueError(f"{where} is no run: {advice}")
        if line.get("schema") != records.SCHEMA:
            raise ValueError(f"{where} has schema {line.get('schema')}, this version reads {records.SCHEMA}: {advice}")
        found[json.dumps(line["config"], sort_keys=True)] = line
    return found


def add(path, runs):
    """Put {configuration: (numbers, where they were computed)} into a file, in place of older lines of the same runs."""
    with records.locked(path):
        lines = read(path)
        for config, (numbers, provenance) in runs.items():
            known_as = name(config)
            about = {"schema": records.SCHEMA, "config": json.loads(known_as), "provenance": provenance}
            lines[known_as] = about | {"numbers": numbers}
        text = "".join(records.dumps(lines[known_as], indent=None) + "\n" for known_as in sorted(lines))
        records.atomic_write(path, text)


def by_need(configs):
    """The order in which runs are computed: of each kind as many seeds as a verdict needs, kind by kind; then the others."""
    kinds = list(dict.fromkeys(map(_kind, configs)))
    return sorted(configs, key=lambda of: (of.seed >= claims.MIN_SEEDS, kinds.index(_kind(of)), of.seed))


def present(planned, lines):
    """What the lines hold of planned runs {name: [one configuration a seed]}: {name: [one line a seed]}.

    Every run has the same seeds, since statements pair them: the first n, where n is what each run with enough seeds for a
    verdict has (or, before there is one, each run at all). Runs of fewer are left out; those that draw no random numbers
    have but one seed planned.
    """
    found = {run: _first(configs, lines) for run, configs in planned.items()}
    counts = [len(of) for run, of in found.items() if of and len(planned[run]) > 1]
    seeds = min([count for count in counts if count >= claims.MIN_SEEDS] or counts, default=1)
    return {run: of[:seeds] for run, of in found.items() if len(of) >= min(seeds, len(planned[run]))}


def _first(configs, lines):
    """The lines of the first seeds, up to the first that is not there."""
    found = [lines.get(name(config)) for config in configs]
    return found[: found.index(None)] if None in found else found


def _kind(config):
    return type(config), config.data, getattr(config, "model", "")
