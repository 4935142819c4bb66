"""A list of runs to a table, one row a run: in parallel processes, each run cached as soon as it ends.

A run is cached under everything it depends on: its configuration, the code behind it, the data, library versions, device
and precision. An interrupted sweep resumes where it stopped. Each process computes with one thread, so that a result
does not depend on how many processes there are.
"""

import ast
import hashlib
import json
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from metalib import comparison, datasets, records, training


class Kind(NamedTuple):
    """How runs of one type of configuration are computed: a function from it to a history, and the modules behind that."""

    run: Callable
    history: type
    code: tuple


CODE = (
    *("labels", "synthetic", "scenes", "folders", "cityscapes", "datasets"),
    *("models", "losses", "metrics", "training"),
)
IGTT = ("igtt_config", "igtt_labels", "augmentation", "igtt")
KINDS = {
    training.TrainConfig: Kind(training.train, training.History, CODE),
    comparison.MethodConfig: Kind(
        comparison.run,
        comparison.MethodHistory,
        (*CODE, "pseudo_labels", "baselines", "dfc", "ac", *IGTT, "comparison"),
    ),
}


def run(configs, *, workers=None, limit_s=None):
    """Compute every configuration that is not cached, and return a DataFrame with one row for each, in order.

    Columns: the fields of the configurations (`training.TrainConfig`, `comparison.MethodConfig`), those of their
    histories, and `key`. workers: processes (default: one a core, or
    one on a GPU). limit_s: start no run that would likely end later than this; rows not reached are left out.
    RuntimeError after all other runs ended, naming the run that failed.
    """
    configs = list(configs)
    keys = _keys(configs)
    todo = {key: config for key, config in zip(keys, configs, strict=True) if _read(key, config) is None}
    if todo:
        _compute(todo, workers or _default_workers(), limit_s)
    rows = [
        asdict(config) | {"key": key} | done
        for key, config in zip(keys, configs, strict=True)
        if (done := _read(key, config)) is not None
    ]
    return pd.DataFrame(rows)


def key(config):
    """A hash of everything that the result of a run depends on."""
    return _keys([config])[0]


def _keys(configs):
    """The key of each configuration; code and data files are read once for all of them."""
    device = training.default_device()
    code = {kind: _code(KINDS[kind].code) for kind in {type(config) for config in configs}}
    shared = {
        "libraries": {name: records.version(name) for name in records.LIBRARIES},
        "device": [device, training.precision(device), torch.get_float32_matmul_precision()],
    }
    data = {name: datasets.fingerprint(name) for name in {config.data for config in configs}}
    parts = [
        shared | {"code": code[type(config)], "config": asdict(config), "data": data[config.data]} for config in configs
    ]
    return [hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:24] for part in parts]


def cache_folder():
    """Where finished runs lie: METALIB_CACHE, else `.cache/runs` of the repository."""
    return Path(os.environ.get("METALIB_CACHE") or Path(__file__).parents[1] / ".cache" / "runs")


def _compute(todo, workers, limit_s):
    """Train the runs of {key: config}, never more than `workers` at a time; each is cached by the process that ran it."""
    start, waiting, errors, slowest = time.monotonic(), list(todo.items()), {}, 0.0
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_prepare_worker) as pool,
        tqdm(total=len(todo), desc="training", unit="run") as bar,
    ):
        running = {}
        while running or waiting:
            while waiting and len(running) < workers and not _over(limit_s, time.monotonic() - start + slowest):
                name, config = waiting.pop(0)
                running[pool.submit(_train_and_store, config, name)] = config
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                config = running.pop(future)
                if error := future.exception():
                    errors[config] = error
                else:
                    slowest = max(slowest, future.result())
                bar.update()
            if any(isinstance(error, BrokenProcessPool | OSError) for error in errors.values()):
                break  # nothing more can be computed, or stored
    _report(errors, len(todo))


def _over(limit_s, expected_s):
    return limit_s is not None and expected_s > limit_s


def _report(errors, total):
    for config, error in errors.items():
        hint = " (a process was killed, perhaps for memory)" if isinstance(error, BrokenProcessPool) else ""
        message = f"{len(errors)} of {total} runs failed{hint}; the first was {config}: {error}. Finished runs are kept: call again to resume."
        raise RuntimeError(message) from error


def _train_and_store(config, name):
    if key(config) != name:
        raise RuntimeError("code or data changed while the sweep was running: call again")
    history = KINDS[type(config)].run(config)
    # Only this library reads it, and NaN comes back as it was: a record of figures has null instead.
    records.atomic_write(_path(name), json.dumps({"schema": records.SCHEMA} | asdict(history)))
    return history.seconds


def _prepare_worker():
    torch.set_num_threads(1)

    def leave_with_parent():  # else a killed parent leaves its workers behind
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


def _path(name):
    return cache_folder() / f"{name}.json"


def _read(name, config):
    """The stored history of a run, or None where there is none that can be read."""
    try:
        return asdict(
            KINDS[type(config)].history(**{k: v for k, v in records.load(_path(name)).items() if k != "schema"})
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        warnings.warn(f"cache entry dropped, its run is computed again: {error}", stacklevel=3)
        _path(name).unlink()
        return None


def _code(modules):
    """Hash of the modules behind a run, without comments, docstrings and layout."""
    files = [Path(__file__).parent / f"{module}.py" for module in modules]
    return _digest(tuple(files), tuple(file.stat().st_mtime_ns for file in files))


@lru_cache(maxsize=8)
def _digest(files, changed):
    """Parsing takes a tenth of a second, which every run would pay; `changed` are the times at which the files did."""
    return hashlib.sha256("\n".join(_syntax(file.read_text()) for file in files).encode()).hexdigest()


def _syntax(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def _default_workers():
    if training.default_device() == "cuda":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
