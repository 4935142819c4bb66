"""Which faults do the tests find? `python -m benchmarks.mutants noise networks unsupervised claims --count 200`.

From each room it draws places at which Cosmic Ray (`.venv/bin/python -m pip install -e ".[mutants]"`) knows a one-line
fault; each fault is put into a copy of the project, where the tests of the room run, and those of wrong input. Faults
that none of them finds are printed as diffs. Run by hand: on two cores it takes about an hour.
"""

import argparse
import difflib
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
LIMIT_S = 300  # of the tests of a room; what takes longer has been made endless, and is found
LEFT_OUT = (".venv", ".cache", ".git", "__pycache__")
# What tests import is imported once, so that no fork of this process waits for it.
IMPORTED = (
    "segmentation_models_pytorch",
    "torchvision",
    "seaborn",
    "sklearn.mixture",
    "scipy.stats",
    "skimage.measure",
)
# A fault is found by one example: that there is a simpler one is of no use here.
settings.register_profile("found", derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate))


def places(path):
    """{(start, end): [(operator, occurrence)]} of a source: where it can be changed, and how."""
    found, tree = {}, get_ast_from_path(path)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue
        spans = (span for node in ast_nodes(tree) for span in operator().mutation_positions(node))
        for occurrence, span in enumerate(spans):
            found.setdefault(span, []).append((name, occurrence))
    return found


def drawn(room, count, rng):
    """(path, operator, occurrence) of so many places of a room, one fault each."""
    every = [
        (path, faults)
        for path in sorted((ROOT / "metalib" / room).glob("[!_]*.py"))
        for _, faults in sorted(places(path).items())
    ]
    chosen = rng.choice(len(every), min(count, len(every)), replace=False)
    return [(every[n][0], *every[n][1][rng.integers(len(every[n][1]))]) for n in chosen]


def survives(fault, folder):
    """The diff of a fault that the tests of its room do not find, in a copy of this process in `folder`; else what it was."""
    path, operator, occurrence = fault
    name = path.relative_to(ROOT)
    copy = folder / str(os.getpid())
    if not copy.exists():
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    old = path.read_text()
    new = mutate_code(old, get_operator(operator)(), occurrence)
    (copy / name).write_text(new)
    found = not _passes(copy, path)
    (copy / name).write_text(old)
    if found:
        return f"found: {name}, {operator}"
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), str(name), operator, n=0, lineterm=""))


def _passes(copy, path):
    """Whether the tests of a file, of its room, and of wrong input pass in a copy of the project: in a fork, see IMPORTED."""
    tests = (f"tests/{path.parent.name}", "tests/test_errors.py")
    if not (child := os.fork()):
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.chdir(copy)
        os.environ |= {"PYTHONPATH": str(copy), "TQDM_DISABLE": "1"}
        sys.path.insert(0, str(copy))
        sys.dont_write_bytecode = True
        own = Path(tests[0], f"test_{path.name}")
        choices = ["-x", "-q", "-m", "not processes", "-p", "no:cacheprovider", "--hypothesis-profile=found"]
        choices += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported already
        os._exit(pytest.main([*([str(own)] if own.exists() else []), *tests, *choices]))
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="+")
    parser.add_argument("--count", type=int, default=200, help="faults in all, shared out among the rooms")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    each = given.count // len(given.rooms)  # of a room the same whatever other rooms are asked for
    faults = [fault for room in given.rooms for fault in drawn(room, each, np.random.default_rng(given.seed))]
    for name in IMPORTED:
        importlib.import_module(name)
    left = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool,
    ):
        for told in pool.imap_unordered(partial(survives, folder=Path(folder)), faults):
            print(told, flush=True)
            left += not told.startswith("found")
    print(f"{len(faults) - left} of {len(faults)} faults found")


if __name__ == "__main__":
    main()
