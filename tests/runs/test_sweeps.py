import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import GRID, TINY, method

from metalib import _files, _processes
from metalib.data import datasets, microscopy
from metalib.networks import training
from metalib.runs import grids, sweeps
from metalib.unsupervised import methods

pytestmark = pytest.mark.processes


@pytest.fixture
def forked():
    """Here processes start as they do for users."""


def test_a_sweep_is_a_table_with_a_row_a_run_that_matches_training_alone():
    table = sweeps.run(GRID, workers=2)
    assert table.recipe.tolist() == ["cl", "rl:0.5"]
    assert set(asdict(TINY)) | {"key", *training.History.__dataclass_fields__} == set(table.columns)
    for config, row in zip(GRID, table.itertuples(), strict=True):
        alone = training.train(config)
        assert (row.loss, row.test) == (alone.loss, alone.test)


@pytest.mark.usefixtures("forked")
def test_numbers_depend_neither_on_workers_nor_on_their_start_nor_on_the_order(tmp_path, monkeypatch):
    configs = [TINY, replace(TINY, seed=1), method("igtt", preset="paper", epochs=2, batch=4, width=4)]

    def numbers(place, configs, workers):
        monkeypatch.setenv("METALIB_CACHE", str(tmp_path / place))
        table = sweeps.run(configs, workers=workers)
        return {of.key: (of.loss, of.test) for of in table.itertuples()}

    served = numbers("served", configs, 1)
    assert _processes._served
    monkeypatch.setattr(_processes, "_serves", lambda modules: False)
    assert numbers("anew", configs[::-1], 2) == served


def test_networks_and_methods_share_images_that_are_drawn_once(tmp_path, monkeypatch):
    told, render = tmp_path / "drawn", microscopy.render

    def drawn(name, seed, index, size):
        with told.open("a") as file:  # by whatever process
            print(name, seed, index, size, file=file)
        return render(name, seed, index, size)

    def forking(workers, preload):  # so that its processes tell, too
        return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))

    monkeypatch.setattr(microscopy, "render", drawn)
    monkeypatch.setattr(_processes, "executor", forking)
    configs = [TINY, replace(TINY, seed=1), method("otsu")]
    datasets._embedded.cache_clear()
    table = sweeps.run(configs, workers=2)
    counts = Counter(told.read_text().splitlines())
    assert len(counts) >= TINY.train + TINY.val + TINY.test
    limits = {(split, getattr(of, split)) for of in configs for split in datasets.SPLITS if hasattr(of, split)}
    assert counts.total() == sum(limit for _, limit in limits)
    alone = [training.train(configs[0]), training.train(configs[1]), methods.run(configs[2])]
    assert table.test.tolist() == [of.test for of in alone]


def test_finished_runs_are_not_computed_again(monkeypatch):
    first = sweeps.run(GRID, workers=1)
    monkeypatch.setattr(sweeps, "_compute", None)  # calling it would raise
    again = sweeps.run(GRID[::-1] + GRID)
    assert again.seconds.tolist() == [*first.seconds[::-1], *first.seconds]


def test_a_corrupt_entry_is_dropped_told_and_computed_again():
    first = sweeps.run(GRID[:1], workers=1)
    entry = _files.cache_folder() / f"{first.key[0]}.json"
    entry.write_text(entry.read_text()[:50])
    with pytest.warns(UserWarning, match="cache entry dropped, its run is computed again"):
        again = sweeps.run(GRID[:1], workers=1)
    assert again.loss[0] == first.loss[0]
    assert json.loads(entry.read_text())["loss"] == first.loss[0]


@pytest.mark.parametrize("text", ['{"schema": 1}', '{"schema": 1, "loss": []}', '{"schema": 1, "other": 2}', "[]", ""])
def test_an_entry_without_a_whole_history_is_corrupt(text):
    entry = _files.cache_folder() / "key.json"
    entry.parent.mkdir(parents=True)
    entry.write_text(text)
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read("key", TINY) is None
    assert not entry.exists()


def test_a_corrupt_entry_that_another_process_dropped_meanwhile_is_no_error(monkeypatch):
    def read(path):
        path.unlink()
        raise ValueError("half an entry")

    _files.atomic_write(sweeps._path("key"), "{")
    monkeypatch.setattr(sweeps.records, "load", read)
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read("key", TINY) is None


def test_failed_runs_are_named_after_the_others_ended():
    with pytest.raises(RuntimeError, match=r"1 of 2 runs failed; the first was .*recipe='nonsense'.*unknown recipe"):
        sweeps.run([replace(TINY, recipe="nonsense"), TINY], workers=1)
    assert len(list(_files.cache_folder().glob("*.json"))) == 1


def test_a_cache_that_cannot_be_written_stops_the_sweep(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RuntimeError, match=r"1 of 2 runs failed.*cannot write .*check free space and permissions"):
        sweeps.run(GRID, workers=1)


def test_the_key_follows_everything_a_run_depends_on(monkeypatch):
    keys = {sweeps.key(config) for config in (*GRID, replace(TINY, seed=1), replace(TINY, width=8))}
    assert len(keys) == 4
    monkeypatch.setattr(sweeps._provenance, "code", lambda module: "other code")
    keys.add(sweeps.key(TINY))
    monkeypatch.setattr(sweeps.datasets, "fingerprint", lambda name: "other data")
    keys.add(sweeps.key(TINY))
    monkeypatch.setattr(sweeps.engine, "precision", lambda device: "other precision")
    keys.add(sweeps.key(TINY))
    assert len(keys) == 7


def test_code_that_changes_under_a_sweep_is_not_computed_under_the_old_key():
    with pytest.raises(RuntimeError, match="code or data changed while the sweep was running"):
        sweeps._train(TINY, "key-of-other-code")


def test_a_time_limit_starts_no_further_run():
    assert len(sweeps.run(GRID, workers=1, limit_s=0)) == 0


SCRIPT = """
from metalib.runs import grids, sweeps
from metalib.unsupervised import methods
if __name__ == "__main__":
    sweeps.run([c for of in grids.runs("02_training_curves", "smoke").values() for c in of], workers=2)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes")
def test_a_killed_sweep_leaves_no_worker_and_resumes_with_the_same_numbers(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 120
    while not list(_files.cache_folder().glob("[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _running(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {file: file.read_text() for file in _files.cache_folder().glob("[!.]*.json")}
    assert kept
    while _running(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _running(tmp_path)
    configs = [c for of in grids.runs("02_training_curves", "smoke").values() for c in of]
    resumed = sweeps.run(configs)
    assert {file: file.read_text() for file in kept} == kept
    alone = training.train(configs[-1])
    assert resumed.loss.iloc[-1] == alone.loss


def _running(folder):
    """Is there a process that was started with this folder in its environment, as the workers of the sweep were?"""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (entry / "environ").read_bytes():
                return True
    return False


def test_a_sweep_holds_networks_and_methods_and_resumes_both(computed):
    configs = [TINY, method("otsu"), method("igtt"), method("igtt", seed=1)]
    table = sweeps.run(configs)
    assert computed == configs
    assert table.key.nunique() == 4
    assert table.method.fillna("").tolist() == ["", "otsu", "igtt", "igtt"]
    assert table.recipe.fillna("").tolist() == ["cl", "", "", ""]
    for config, row in list(zip(configs, table.itertuples(), strict=True))[1:3]:
        alone = methods.run(config)
        np.testing.assert_equal(
            (row.test, row.labels, row.example), (alone.test, alone.labels, alone.example)
        )  # nan, too
    again = sweeps.run(configs)
    assert computed == configs
    assert again.seconds.tolist() == table.seconds.tolist()
    for lost in (0, 2):
        (_files.cache_folder() / f"{table.key[lost]}.json").unlink()
    (_files.cache_folder() / f"{table.key[3]}.json").write_text('{"schema": 1}')
    with pytest.warns(UserWarning, match="cache entry dropped"):
        resumed = sweeps.run(configs)
    assert computed == [*configs, configs[0], configs[2], configs[3]]
    assert resumed.test.tolist() == table.test.tolist()
    assert resumed.seconds[1] == table.seconds[1]


def test_a_history_of_the_other_kind_is_corrupt(computed):
    key = sweeps.run([method("otsu")]).key[0]
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read(key, TINY) is None


def test_keys_of_methods_follow_all_they_are_configured_by():
    configs = [method("otsu"), method("otsu", seed=1), method("otsu", sigma_px=1), method("mean_threshold")]
    configs += [replace(configs[0], **{name: value}) for name, value in (("size", 64), ("test", 1), ("augment", True))]
    assert len(set(sweeps._keys(configs))) == 7
