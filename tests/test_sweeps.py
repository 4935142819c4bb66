import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from metalib import grids, records, sweeps, training
from metalib.comparison import MethodConfig
from metalib.training import TrainConfig

TINY = TrainConfig(size=32, width=4, train=4, val=2, test=2, augment=False, epochs=1, batch=4)
GRID = [replace(TINY, recipe=recipe) for recipe in ("cl", "rl:0.5")]


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


def test_finished_runs_are_not_computed_again(monkeypatch):
    first = sweeps.run(GRID, workers=1)
    monkeypatch.setattr(sweeps, "_compute", None)  # calling it would raise
    again = sweeps.run(GRID[::-1] + GRID)
    assert again.seconds.tolist() == [*first.seconds[::-1], *first.seconds]


def test_a_corrupt_entry_is_dropped_told_and_computed_again():
    first = sweeps.run(GRID[:1], workers=1)
    entry = records.cache_folder() / f"{first.key[0]}.json"
    entry.write_text(entry.read_text()[:50])
    with pytest.warns(UserWarning, match="cache entry dropped, its run is computed again"):
        again = sweeps.run(GRID[:1], workers=1)
    assert again.loss[0] == first.loss[0]
    assert json.loads(entry.read_text())["loss"] == first.loss[0]


@pytest.mark.parametrize("text", ['{"schema": 1}', '{"schema": 1, "loss": []}', '{"schema": 1, "other": 2}', "[]", ""])
def test_an_entry_without_a_whole_history_is_corrupt(text):
    entry = records.cache_folder() / "key.json"
    entry.parent.mkdir(parents=True)
    entry.write_text(text)
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read("key", TINY) is None
    assert not entry.exists()


def test_a_corrupt_entry_that_another_process_dropped_meanwhile_is_no_error(monkeypatch):
    def read(path):
        path.unlink()
        raise ValueError("half an entry")

    records.atomic_write(sweeps._path("key"), "{")
    monkeypatch.setattr(sweeps.records, "load", read)
    with pytest.warns(UserWarning, match="cache entry dropped"):
        assert sweeps._read("key", TINY) is None


def test_failed_runs_are_named_after_the_others_ended():
    with pytest.raises(RuntimeError, match=r"1 of 2 runs failed; the first was .*recipe='nonsense'.*unknown recipe"):
        sweeps.run([replace(TINY, recipe="nonsense"), TINY], workers=1)
    assert len(list(records.cache_folder().glob("*.json"))) == 1


def test_a_cache_that_cannot_be_written_stops_the_sweep(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RuntimeError, match=r"1 of 2 runs failed.*cannot write .*check free space and permissions"):
        sweeps.run(GRID, workers=1)


def test_the_key_follows_everything_a_run_depends_on(monkeypatch):
    keys = {sweeps.key(config) for config in (*GRID, replace(TINY, seed=1), replace(TINY, width=8))}
    assert len(keys) == 4
    monkeypatch.setattr(sweeps, "_code", lambda modules: "other code")
    keys.add(sweeps.key(TINY))
    monkeypatch.setattr(sweeps.datasets, "fingerprint", lambda name: "other data")
    keys.add(sweeps.key(TINY))
    monkeypatch.setattr(training, "precision", lambda device: "other precision")
    keys.add(sweeps.key(TINY))
    assert len(keys) == 7


def test_code_that_changes_under_a_sweep_is_not_computed_under_the_old_key():
    with pytest.raises(RuntimeError, match="code or data changed while the sweep was running"):
        sweeps._train(TINY, "key-of-other-code")


def test_comments_docstrings_and_layout_do_not_change_the_key():
    plain, dressed = (
        "def f(x):\n    return x + 1",
        '"""Doc."""\n\ndef f(x):  # why\n    """More."""\n    return (x\n  + 1)',
    )
    assert sweeps._syntax(plain) == sweeps._syntax(dressed)
    assert sweeps._syntax(plain) != sweeps._syntax(plain.replace("1", "2"))


LOADED = """
import importlib, sys
for module in ("training", "comparison"):
    importlib.import_module(f"metalib.{module}")
    print(*[name.removeprefix("metalib.") for name in sys.modules if name.startswith("metalib.")])
"""


def test_the_key_covers_every_module_that_its_kind_of_run_imports():
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout
    training_alone, with_methods = (set(line.split()) for line in loaded.splitlines())
    reads = "records"  # it reads and saves, and computes nothing
    assert training_alone == {*sweeps.KINDS[TrainConfig].code, reads}
    assert with_methods == {*sweeps.KINDS[MethodConfig].code, reads}


def test_a_time_limit_starts_no_further_run():
    assert len(sweeps.run(GRID, workers=1, limit_s=0)) == 0


SCRIPT = """
from metalib import grids, sweeps
if __name__ == "__main__":
    sweeps.run([c for of in grids.runs("02_training_curves", "smoke").values() for c in of], workers=2)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes")
def test_a_killed_sweep_leaves_no_worker_and_resumes_with_the_same_numbers(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 120
    while not list(records.cache_folder().glob("[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _running(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {file: file.read_text() for file in records.cache_folder().glob("[!.]*.json")}
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
