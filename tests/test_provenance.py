"""What stands behind a number: commit, processor, versions, and the code: all that its module imports, and nothing beside."""

import json
import os
import platform
import shutil
import subprocess
import sys

import pytest

from metalib import _files, _provenance
from metalib.networks import training
from metalib.networks.config import TrainConfig
from metalib.runs import sweeps
from metalib.unsupervised import methods
from metalib.unsupervised.config import MethodConfig

NETWORK, METHOD = TrainConfig(size=32), MethodConfig("igtt", (("preset", "improved"),), size=32)
KINDS = ["metalib.networks.training", "metalib.unsupervised.methods"]
LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*(name for name, of in sys.modules.items() if name.startswith("metalib.") and not hasattr(of, "__path__")))
"""


@pytest.fixture
def commit(tmp_path, monkeypatch):
    """A function: the commit of a folder of our own, asked for anew."""
    monkeypatch.setattr(_provenance, "ROOT", tmp_path / "copy")
    (tmp_path / "copy").mkdir()

    def commit():
        _provenance._commit.cache_clear()
        return _provenance._commit()

    yield commit
    _provenance._commit.cache_clear()


def git(folder, *arguments):
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", folder, *author, *arguments], capture_output=True, text=True, check=True).stdout


def test_provenance_tells_commit_processor_and_versions():
    told = _provenance.environment()
    assert [*told] == ["commit", "python", "machine", "cpu", *_provenance.LIBRARIES]
    assert told["cpu"] == _provenance._processor()
    assert {type(value) for value in told.values()} == {str}
    assert json.loads(json.dumps(told)) == told


def test_the_commit_is_the_one_that_is_checked_out_with_a_mark_where_files_differ(commit):
    folder = _provenance.ROOT
    assert commit() == ""
    git(folder, "init")
    assert commit() == ""  # nothing is committed yet
    (folder / "a.py").write_text("1")
    git(folder, "add", "a.py")
    git(folder, "commit", "-m", "first")
    git(folder, "tag", "v1")  # a name would say less
    known = git(folder, "rev-parse", "HEAD")[:12]
    assert commit() == known
    (folder / "untracked.py").write_text("2")
    assert commit() == known
    (folder / "a.py").write_text("3")
    assert commit() == f"{known}+"


def test_without_a_repository_of_its_own_there_is_no_commit(commit):
    around = _provenance.ROOT.parent
    git(around, "init")
    git(around, "commit", "--allow-empty", "-m", "of something else")
    assert commit() == ""


def test_without_git_there_is_no_commit(commit, monkeypatch):
    git(_provenance.ROOT, "init")
    monkeypatch.setenv("PATH", "")
    assert commit() == ""


def test_the_processor_is_called_as_linux_calls_it(tmp_path, monkeypatch):
    known = tmp_path / "cpuinfo"
    monkeypatch.setattr(_provenance, "Path", lambda _: known)
    names = []
    for text in ("processor : 0\nmodel name\t: A: 3 GHz\nmodel name\t: B\n", "processor : 0\n"):
        known.write_text(text)
        _provenance._processor.cache_clear()
        names.append(_provenance._processor())
    _provenance._processor.cache_clear()
    assert names == ["A: 3 GHz", platform.processor()]


@pytest.mark.processes
@pytest.mark.parametrize("module", KINDS)
def test_the_closure_is_what_importing_loads(module):
    command = [sys.executable, "-c", LOADED, module]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(_provenance.closure(module)) == set(loaded) - _provenance._NEUTRAL


def test_runs_are_computed_by_those_modules():
    assert [kind.run.__module__ for kind in sweeps.KINDS.values()] == KINDS
    assert [kind.run for kind in sweeps.KINDS.values()] == [training.train, methods.run]


@pytest.mark.parametrize("module", KINDS)
def test_no_command_report_or_file_is_behind_a_run(module):
    rooms = {name.split(".")[1] for name in _provenance.closure(module)}
    assert rooms <= {"_checks", "_labels", "data", "noise", "networks", "unsupervised"}
    assert "metalib.unsupervised.weights" not in _provenance.closure(module)


def test_comments_docstrings_and_layout_are_no_code(tmp_path, monkeypatch):
    monkeypatch.setattr(_provenance, "ROOT", tmp_path)
    plain = "def f(x):\n    return x + 1"
    dressed = '"""Doc."""\n\ndef f(x):  # why\n    """More."""\n    return (x\n  + 1)'
    (tmp_path / "metalib").mkdir()
    for name, text in (("plain", plain), ("dressed", dressed), ("other", plain.replace("1", "2"))):
        (tmp_path / "metalib" / f"{name}.py").write_text(text)
    codes = [_provenance.code(f"metalib.{name}") for name in ("plain", "dressed", "other")]
    assert codes[0] == codes[1] != codes[2]


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """A function: of which kinds of runs the key moves where a line is added to a module, in a copy of the tree."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_files.ROOT / "metalib", tmp_path / "metalib", ignore=ignored)
    monkeypatch.setattr(_provenance, "ROOT", tmp_path)
    kinds = {"network": NETWORK, "method": METHOD}
    before = {kind: sweeps.key(config) for kind, config in kinds.items()}

    def moved(module):
        file = tmp_path / "metalib" / f"{module}.py"
        source = file.read_text()
        file.write_text(source + "\nANOTHER = 1\n")
        os.utime(file, ns=(1, 1))  # two writes within a tick of the clock would look the same
        after = {kind: sweeps.key(config) for kind, config in kinds.items()}
        file.write_text(source)
        return [kind for kind in kinds if after[kind] != before[kind]]

    return moved


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (["unsupervised/igtt", "unsupervised/targets", "unsupervised/pseudo_labels", "unsupervised/dfc"], ["method"]),
        (["unsupervised/methods", "unsupervised/config", "networks/augmentation"], ["method"]),
        (["networks/losses", "networks/engine", "noise/recipes", "data/datasets", "_labels"], ["network", "method"]),
        (["__main__", "apps/reports", "claims/verdicts", "plots/style", "unsupervised/weights", "_files"], []),
        (["runs/table3", "runs/sweeps", "runs/records", "noise/__init__", "__init__", "_provenance"], []),
    ],
)
def test_a_change_retrains_what_depends_on_it_alone(modules, expected, moved):
    assert {module: moved(module) for module in modules} == dict.fromkeys(modules, expected)
