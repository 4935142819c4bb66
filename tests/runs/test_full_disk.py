"""On a full disk what stood there before stays, down to its bytes, and the error says what to do."""

import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from nbformat import v4

from metalib import _files
from metalib.apps import notebooks, reports
from metalib.claims import tables
from metalib.claims.verdicts import Verdict
from metalib.plots import style
from metalib.runs import records
from metalib.runs.results import Page

pytestmark = pytest.mark.processes
ROOT = Path(__file__).parents[2]
PAGE = Page("01_x", "quick", "er-like", "train")
TOLD = r"cannot write .*{} \(File too large\): check free space and permissions of its folder$"


@contextmanager
def full_disk(size=1000):
    """write(2) fails as on a full disk, for this process and those it starts, once a file has so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def draw(state):
    figure, ax = plt.subplots()
    ax.set_title(state)
    style.save(figure, PAGE)
    plt.close(figure)


def record(state):
    records.save("x", {"dice": [0.5] * 500}, {"state": state})


def verdict(state):
    told = Verdict("holds", 1.0, seeds=3, reason=f"{state} " * 500)
    tables.save(tables.rows(PAGE, {"a": ("claim", "paper", told)}))


def write_report(state):
    folder = _files.figures_folder()
    _files.atomic_write(
        folder / "run" / "01_x.ipynb", nbformat.writes(v4.new_notebook(cells=[v4.new_markdown_cell(state)]))
    )
    _files.atomic_write(folder / "claims.json", "[]")
    _files.atomic_write(folder / "report.html", reports.report(folder / "run", folder))


@pytest.mark.parametrize(
    ("write", "name"),
    [(draw, "01_x.png"), (record, "x.json"), (verdict, "claims.json"), (write_report, "report.html")],
)
def test_what_stood_there_stays(write, name):
    write("old")
    path = _files.figures_folder() / name
    old, names = path.read_bytes(), sorted(path.parent.iterdir())
    with full_disk(), pytest.raises(OSError, match=TOLD.format(name)):
        write("new")
    assert path.read_bytes() == old
    assert sorted(path.parent.iterdir()) == names
    write("new")
    assert path.read_bytes() != old


def test_the_executed_notebook_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # the history there has other sizes
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    long = v4.new_notebook(cells=[v4.new_code_cell("print('x' * 2**21)")], metadata=kernel)
    nbformat.write(long, tmp_path / "long.ipynb")
    out = tmp_path / "run" / "long.ipynb"
    _files.atomic_write(out, "old")
    with full_disk(2**20), pytest.raises(OSError, match=TOLD.format("long.ipynb.partial.ipynb")):
        notebooks.execute(tmp_path / "long.ipynb", out, {})
    assert out.read_text() == "old"
    assert {path.suffix for path in out.parent.iterdir()} == {".ipynb"}  # what papermill wrote of it may stay
    notebooks.execute(tmp_path / "long.ipynb", out, {})
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_size > 2**21


def test_readme_and_results_stay(tmp_path):
    """In a copy of the project, whose pages have verdicts to renew."""
    shutil.copytree(ROOT / "metalib", tmp_path / "metalib")
    (tmp_path / "figures").mkdir()
    for name in ("claims.json", "07_igtt.json"):
        shutil.copy(ROOT / "figures" / name, tmp_path / "figures")
    parts = {"README": ("headlines", "sets", "study"), "RESULTS": ("verdicts", "table 3")}
    for page, names in parts.items():
        marks = "".join(f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in names)
        (tmp_path / f"{page}.md").write_text(marks)
    command = [sys.executable, "-m", "metalib", "readme"]
    with full_disk():
        failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode
    assert "README.md (File too large): check free space" in failed.stderr.splitlines()[-1]
    assert [(tmp_path / f"{page}.md").stat().st_size < 200 for page in parts] == [True, True]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert [(tmp_path / f"{page}.md").stat().st_size > 1000 for page in parts] == [True, True]
