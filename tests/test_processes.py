"""Processes beside this one: what they have of it, and what they load once for all."""

import sys

import pytest

from metalib import _processes
from metalib.runs import executors

pytestmark = pytest.mark.processes
LOADED = "'torch._dynamo' in __import__('sys').modules"


@pytest.fixture
def forked():
    """Here processes start as they do for users."""


@pytest.fixture
def asked(monkeypatch):
    """What Python text gives in a process of its own that is started now, after a change of the environment."""

    def ask(text, preload=()):
        monkeypatch.setenv("METALIB_ASKED", text)
        with _processes.executor(1, preload) as executor:
            return executor.submit(eval, f"({text}, __import__('os').environ['METALIB_ASKED'])").result()

    return ask


def test_a_server_loads_once_what_its_processes_need(asked):
    for text in (LOADED, f"[{LOADED}]"):  # the second is no child of a new server
        found, environment = asked(text, executors.PRELOADED)
        assert found in (True, [True]) if sys.platform == "linux" else True
        assert environment == text


def test_without_a_server_a_process_starts_bare(asked):
    assert asked(LOADED) == (False, LOADED)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere")
def test_code_that_changed_since_the_server_loaded_it_is_loaded_anew(monkeypatch):
    monkeypatch.setattr(_processes, "_served", {})
    methods = []
    for code in ("as it was", "as it was", "changed", "as it was"):
        monkeypatch.setattr(_processes._provenance, "code", lambda module, code=code: code)
        methods.append(_processes.executor(1, executors.PRELOADED)._mp_context.get_start_method())
    assert methods == ["forkserver", "forkserver", "spawn", "forkserver"]


def test_elsewhere_each_process_starts_anew(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _processes.executor(1, executors.PRELOADED)._mp_context.get_start_method() == "spawn"
