"""A list of runs to a table, one row a run: in parallel processes or on a Dask cluster, each cached as soon as it ends.

A run is cached under everything it depends on: its configuration, the code behind it, the data, library versions, device
and precision. An interrupted sweep resumes where it stopped. Each process computes with one thread, so that a result
does not depend on how many processes there are. The process that calls stores: a worker elsewhere has another disk.
"""

import hashlib
import json
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from math import inf
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from metalib import _checks, _files, _provenance
from metalib.data import datasets
from metalib.networks import engine, training
from metalib.networks.config import TrainConfig
from metalib.runs import executors, records
from metalib.unsupervised import methods
from metalib.unsupervised.config import MethodConfig


class Kind(NamedTuple):
    """How runs of one type of configuration are computed: a function from it to a history."""

    run: Callable
    history: type

    @property
    def code(self):
        """A hash of the code behind a run: the module of its function, and all that this imports."""
        return _provenance.code(self.run.__module__)


KINDS = {
    TrainConfig: Kind(training.train, training.History),
    MethodConfig: Kind(methods.run, methods.MethodHistory),
}


def run(configs, *, workers=None, limit_s=None, scheduler=None):
    """Compute every configuration that is not cached, and return a DataFrame with one row for each, in order.

    Columns: the fields of the configurations (`TrainConfig`, `MethodConfig`), those of their histories, and `key`.
    scheduler: address of a Dask scheduler whose workers compute (default: METALIB_SCHEDULER, else processes of this
    machine). workers: runs at a time (default: one a core, or one on a GPU; on a cluster, all that it has room for).
    limit_s: start no run that would likely end later than this; rows not reached are left out, and the index tells the
    places of the others.
    RuntimeError after all other runs ended, naming the run that failed; and where no scheduler answers.
    """
    import pandas as pd  # here, as every process of a sweep imports this module, and needs no table

    configs = _checked(configs)
    with executors.pool(scheduler or os.environ.get("METALIB_SCHEDULER"), workers) as pool:
        keys = _keys(configs, pool.ask(_device))
        found = _found(keys, configs)
        if todo := {key: config for key, config in zip(keys, configs, strict=True) if key not in found}:
            _compute(todo, pool, limit_s)
            found |= _found(todo.keys(), todo.values())
    rows = {
        place: asdict(config) | {"key": key} | found[key]
        for place, (key, config) in enumerate(zip(keys, configs, strict=True))
        if key in found
    }
    return pd.DataFrame(list(rows.values()), index=list(rows))


def key(config):
    """A hash of everything that the result of a run on this machine depends on."""
    return _keys(_checked([config]))[0]


def missing(configs):
    """{key: configuration} of those whose runs are not cached, with the keys of this machine."""
    configs = _checked(configs)
    keys = _keys(configs)
    found = _found(keys, configs)
    return {key: config for key, config in zip(keys, configs, strict=True) if key not in found}


def store(name, history):
    """Cache the history of the run of that key."""
    # Only this library reads it, and NaN comes back as it was: a record of figures has null instead.
    _files.atomic_write(_path(name), json.dumps({"schema": records.SCHEMA} | asdict(history)))


def _checked(configs):
    """The configurations as a list; ValueError for one that is none, or of whose values one has a wrong type."""
    if type(configs) in KINDS:
        raise ValueError(f"got a {type(configs).__name__}, expected a list of them: runs.sweeps.run([config])")
    for config in (configs := list(configs)):
        if type(config) not in KINDS:
            raise ValueError(f"got {config!r}, expected one of {', '.join(kind.__name__ for kind in KINDS)}")
        _checks.types(config, type(config))
    return configs


def _found(keys, configs):
    """{key: what is cached of its run} of those that are."""
    read = ((key, _read(key, config)) for key, config in zip(keys, configs, strict=True))
    return {key: history for key, history in read if history is not None}


def _device():
    device = engine.default_device()
    return [device, engine.precision(device), torch.get_float32_matmul_precision()]


def _keys(configs, device=None, code=None):
    """The key of each configuration; code and data files are read once for all of them. device: default `_device()`."""
    code = code or {kind: KINDS[kind].code for kind in {type(config) for config in configs}}
    shared = {"libraries": _provenance.versions(_provenance.LIBRARIES), "device": device or _device()}
    data = {name: datasets.fingerprint(name) for name in {config.data for config in configs}}
    parts = [
        shared | {"code": code[type(config)], "config": asdict(config), "data": data[config.data]} for config in configs
    ]
    return [hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:24] for part in parts]


def _compute(todo, pool, limit_s):
    """Train the runs of {key: config}, each stored as soon as it ends."""
    with pool.executor(len(todo)) as executor:
        if limit_s is None:
            pool.prepare(executor, todo.values())
        with tqdm(total=len(todo), desc="training", unit="run", smoothing=0) as bar:
            errors = _train_all(todo, pool, executor, limit_s, bar)
    _report(errors, len(todo))


def _train_all(todo, pool, executor, limit_s, bar):
    """Start runs while there is room and time, and follow each to its end; {config: error} of those that failed."""
    # Mixed, as keys are hashes, long runs and short ones follow each other, and the bar tells early how long all of them take.
    waiting = sorted(todo.items()) if limit_s is None else list(todo.items())
    running, errors, slowest = {}, {}, 0.0
    end = time.monotonic() + (inf if limit_s is None else limit_s)
    while running or waiting:
        room = pool.room(limited=limit_s is not None)
        while waiting and len(running) < room and time.monotonic() + slowest <= end:
            name, config = waiting.pop(0)
            running[_submitted(executor, config, name)] = name, config
        if not running:
            break
        ended = _ended(running)
        bar.set_postfix_str(str(pool), refresh=not ended)
        for config, outcome in ended:
            if isinstance(outcome, Exception):
                errors[config] = outcome
            else:
                slowest = max(slowest, outcome)
            bar.update()
        if any(isinstance(error, _FINAL) for error in errors.values()):
            waiting.clear()
            running = {future: of for future, of in running.items() if not future.cancel()}
    return errors


def _submitted(executor, config, name):
    """The future of a run, also where no process can be started any more: then of that error."""
    try:
        return executor.submit(_train, config, name)
    except _FINAL as error:
        failed = Future()
        failed.set_exception(error)
        return failed


def _ended(running):
    """Wait until a run of {future: (name, config)} ends, and store it; [(config, its seconds or error)] of those that did.

    Their futures go: of those that somebody holds, a cluster computes again what it loses with a worker.
    """
    outcomes = []
    for future in wait(running, timeout=30, return_when=FIRST_COMPLETED).done:  # meanwhile the bar tells of workers
        name, config = running.pop(future)
        try:
            history = future.result()
            store(name, history)
            outcomes.append((config, history.seconds))
        except Exception as error:
            outcomes.append((config, error))
    return outcomes


def _report(errors, total):
    hints = {
        BrokenProcessPool: " (a process was killed, perhaps for memory)",
        CancelledError: " (the Dask scheduler is gone)",
    }
    for config, error in errors.items():
        message = f"{len(errors)} of {total} runs failed{hints.get(type(error), '')}; the first was {config}: {' '.join(str(error).split()) or 'cancelled'}. Finished runs are kept: call again to resume."
        raise RuntimeError(message) from error


def _train(config, name):
    """The history of a run, computed where this is called: in a process of this machine, or in a worker of a cluster.

    RuntimeError where this process would not compute what `name`, the key, stands for.
    """
    if not _ALONE.acquire(blocking=False):
        raise RuntimeError(
            "a worker computes one run at a time, as runs share the random state: give it `--nthreads 1`"
        )
    try:
        if _keys([config], code=_LOADED) != [name]:
            raise RuntimeError(
                "code or data changed while the sweep was running: call again. A worker of a cluster needs the code and "
                "packages of the caller, its data in METALIB_DATA, the device of the other workers, and a new start "
                "after a change of code"
            )
        torch.set_num_threads(1)
        return KINDS[type(config)].run(config)
    finally:
        _ALONE.release()


def _path(name):
    return _files.cache_folder() / f"{name}.json"


def _read(name, config):
    """The stored history of a run, or None where there is none that can be read."""
    try:
        # `asdict` would copy every number of it, one by one.
        return vars(
            KINDS[type(config)].history(**{k: v for k, v in records.load(_path(name)).items() if k != "schema"})
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        warnings.warn(f"cache entry dropped, its run is computed again: {error}", stacklevel=3)
        _path(name).unlink(missing_ok=True)  # another process may drop it too
        return None


# A worker of a cluster computes with the code that it loaded, whatever became of the files.
_LOADED = {kind: of.code for kind, of in KINDS.items()}
_ALONE = threading.Lock()
_FINAL = BrokenProcessPool, CancelledError, OSError, EOFError  # after these no run can be computed, or stored
