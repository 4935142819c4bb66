"""Processes beside this one: what they have of it, and what they load once for all."""

import os
import sys
from multiprocessing import forkserver

import pytest

from metalib import _processes
from metalib.runs import executors, sweeps

pytestmark = pytest.mark.processes
LOADED = "sorted(of for of in __import__('sys').modules if of in ('torch._dynamo', 'metalib.runs.sweeps'))"
PARENT = "__import__('os').getppid()"
SWEEPS = "__import__('metalib.runs.sweeps', fromlist=['sweeps']).__file__"


@pytest.fixture
def forked():
    """Here processes start as they do for users."""


@pytest.fixture
def asked(monkeypatch):
    """What Python text gives in a process of its own that is started now, after a change of the environment."""

    def ask(text, preload=()):
        monkeypatch.setenv("METALIB_ASKED", text)
        with _processes.executor(1, preload) as executor:
            answer, environment = executor.submit(eval, f"({text}, dict(__import__('os').environ))").result()
        assert environment == dict(os.environ)
        return answer

    return ask


@pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere")
def test_a_server_loads_once_what_its_processes_need(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(_processes, "_served", {})
    forkserver._forkserver._stop()  # that of other tests
    (tmp_path / "metalib").mkdir()  # another copy where Python starts, which it must not take
    (tmp_path / "metalib" / "__init__.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    parents = [asked(PARENT, executors.PRELOADED) for _ in range(2)]
    assert parents[0] == parents[1] != os.getpid()
    assert asked(LOADED, executors.PRELOADED) == ["metalib.runs.sweeps", "torch._dynamo"]
    assert asked(SWEEPS, executors.PRELOADED) == sweeps.__file__


def test_without_a_server_a_process_starts_bare(asked):
    assert asked(LOADED) == []
    assert asked(PARENT) == os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere")
def test_code_that_changed_since_the_server_loaded_it_is_loaded_anew(monkeypatch):
    monkeypatch.setattr(_processes, "_served", {})
    monkeypatch.setattr(_processes, "_start_server", lambda modules: None)
    methods = []
    for code in ("as it was", "as it was", "changed", "as it was"):
        monkeypatch.setattr(_processes._provenance, "code", lambda module, code=code: code)
        methods.append(_processes.executor(1, executors.PRELOADED)._mp_context.get_start_method())
    assert methods == ["forkserver", "forkserver", "spawn", "forkserver"]


def test_elsewhere_each_process_starts_anew(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _processes.executor(1, executors.PRELOADED)._mp_context.get_start_method() == "spawn"
