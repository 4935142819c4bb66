"""Sweeps on a real Dask cluster: a scheduler and two workers, each a process of its own on this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import dask
import pytest
from small_runs import GRID, TINY, method

from metalib import _files
from metalib.runs import executors, sweeps

pytestmark = pytest.mark.processes

# Workers load this before they take runs: they tell of each that they start, and the first time do not end one of seed 3.
TELL = """
import os, pathlib, time
from metalib.runs import sweeps

def dask_setup(worker):
    train = sweeps._train

    def told(config, name):
        with open(os.environ["STARTED"], "a") as file:
            print(os.getpid(), name, file=file)
        if config.seed == 3 and not (stuck := pathlib.Path(os.environ["STUCK"])).exists():
            stuck.write_text(str(os.getpid()))
            time.sleep(600)
        return train(config, name)

    sweeps._train = told
"""


def dask_process(kind, *options, **environment):
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1", *map(str, options)]
    return subprocess.Popen(command, env=os.environ | environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler with two workers; files of runs that they started, and are stuck at; their cache."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "tell.py").write_text(TELL)
    told = SimpleNamespace(started=folder / "started", stuck=folder / "stuck", cache=folder / "cache")
    told.started.touch()
    at = ("--scheduler-file", folder / "scheduler.json")
    one_run_at_a_time = ("--nthreads", 1, "--no-nanny", "--dashboard-address", "127.0.0.1:0", "--memory-limit", 0)
    worker = (*at, *one_run_at_a_time, "--local-directory", folder, "--preload", folder / "tell.py")
    places = dict(STARTED=str(told.started), STUCK=str(told.stuck), METALIB_CACHE=str(told.cache))
    processes = [dask_process("scheduler", "--port", 0, "--dashboard-address", "127.0.0.1:0", *at)]
    processes += [dask_process("worker", *worker, **places) for _ in range(2)]
    try:
        told.address = address(folder / "scheduler.json")
        yield told
    finally:
        for process in processes:
            process.kill()
            process.wait()


def address(file):
    wait_until(lambda: file.exists() and file.read_text().endswith("}"))
    return json.loads(file.read_text())["address"]


def wait_until(true, limit_s=120):
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started(cluster):
    """(process, key) of every run that a worker started."""
    return [tuple(line.split()) for line in cluster.started.read_text().splitlines()]


def test_a_cluster_gives_the_table_of_this_machine(cluster, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("METALIB_SCHEDULER", cluster.address)
    away = sweeps.run(GRID)
    assert capsys.readouterr().out.startswith(f"Dask at {cluster.address}: ")
    assert not list(cluster.cache.glob("*.json"))
    assert len(list(_files.cache_folder().glob("*.json"))) == len(GRID)
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "other"))
    monkeypatch.delenv("METALIB_SCHEDULER")
    here = sweeps.run(GRID, workers=1)
    assert away.drop(columns="seconds").equals(here.drop(columns="seconds"))


def test_failed_runs_are_named_after_the_others_ended(cluster):
    with pytest.raises(RuntimeError, match=r"1 of 2 runs failed; the first was .*recipe='nonsense'.*unknown recipe"):
        sweeps.run([replace(TINY, recipe="nonsense"), TINY], scheduler=cluster.address)
    assert len(list(_files.cache_folder().glob("*.json"))) == 1


def test_a_time_limit_starts_no_further_run(cluster):
    before = started(cluster)
    assert len(sweeps.run(GRID, limit_s=0, scheduler=cluster.address)) == 0
    assert started(cluster) == before


def test_a_worker_with_other_code_is_told(cluster, monkeypatch):
    monkeypatch.setattr(sweeps._provenance, "code", lambda module: "other code")
    with pytest.raises(RuntimeError, match=r"2 of 2 runs failed.*A worker of a cluster needs the code and packages"):
        sweeps.run(GRID, scheduler=cluster.address)


def test_what_a_worker_does_not_know_is_told_and_leaves_it_alive(cluster):
    with executors.pool(cluster.address, None) as pool:
        with pytest.raises(RuntimeError, match=r"No module named 'small_runs'.*needs the code and packages"):
            pool.ask(method)
        assert pool.ask(os.getpid)


def test_two_runs_in_one_process_are_refused():
    with sweeps._ALONE, pytest.raises(RuntimeError, match="--nthreads 1"):
        sweeps._train(TINY, sweeps.key(TINY))
    assert sweeps._train(TINY, sweeps.key(TINY)).loss


def test_a_missing_scheduler_is_named():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "100ms"}),
        pytest.raises(RuntimeError, match=r"no Dask scheduler at tcp://127.0.0.1:9 .* unset METALIB_SCHEDULER"),
    ):
        sweeps.run(GRID, scheduler="tcp://127.0.0.1:9")


def test_a_killed_worker_costs_its_current_run_alone(cluster):
    before = len(started(cluster))
    threading.Thread(target=kill_the_stuck_worker, args=(cluster, before), daemon=True).start()
    table = sweeps.run([replace(TINY, seed=seed) for seed in range(8)], scheduler=cluster.address)
    assert table.seed.tolist() == list(range(8))
    assert Counter(key for _, key in started(cluster)[before:]) == Counter([*table.key, table.key[3]])


def kill_the_stuck_worker(cluster, before):
    """Kill it once all that was started beside its current run is stored."""
    wait_until(lambda: cluster.stuck.exists() and stored() == len(started(cluster)) - before - 1)
    os.kill(int(cluster.stuck.read_text()), signal.SIGKILL)


def stored():
    return len(list(_files.cache_folder().glob("[!.]*.json")))
