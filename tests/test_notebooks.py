"""Every notebook runs in small, follows the template, and its checked cells really are checked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from metalib import _files
from metalib.apps import notebooks
from metalib.claims import tables
from metalib.runs import grids, records

ROOT = Path(__file__).parents[1]
START = "00_start_here"
WITHOUT_VERDICTS = (START, "09_your_own_images")  # one counts those of the others, one is a tool
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.stem[0].isdigit()]
ORDER = ["finding", "parameters", "setup", "method", "compute", "figure", "read", "verdict", "differences", "next"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The runs of all notebooks in small, from one sweep: each notebook would wait for processes of its own."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "metalib", "experiments", "--profile", "smoke", "--no-records"]
    subprocess.run(command, env=os.environ | {"METALIB_CACHE": str(folder)}, check=True)
    return folder


def checked_cells(notebook):
    return [cell for cell in notebook.cells if notebooks.CHECKED in cell.metadata.get("tags", [])]


def test_there_are_notebooks():
    assert len(NUMBERED) >= 14
    assert [int(path.stem[:2]) for path in NUMBERED] == list(range(len(NUMBERED)))
    assert {path.stem for path in NUMBERED} == {*grids.GRIDS, *grids.WITHOUT_RUNS}
    assert "_template" in {path.stem for path in NOTEBOOKS}


def test_the_start_leads_to_every_notebook():
    text = "".join(cell.source for cell in nbformat.read(ROOT / "notebooks" / f"{START}.ipynb", 4).cells)
    assert all(f"]({path.name})" in text for path in NOTEBOOKS if path.stem != START)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_small(path, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("METALIB_CACHE", str(cache))
    output = tmp_path / "out.ipynb"
    notebooks.execute(path, output, {"profile": "smoke"})
    assert nbformat.read(output, 4).metadata.papermill.exception is None
    if path in NUMBERED:
        assert path.stem in WITHOUT_VERDICTS or tables.load(_files.figures_folder() / "claims.json")
        assert len(list(_files.figures_folder().glob(f"{path.stem}*.smoke.png"))) >= 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_follows_the_template(path):
    notebook = nbformat.read(path, 4)
    ids = [cell.id for cell in notebook.cells]
    places = [next(i for i, cell_id in enumerate(ids) if cell_id.split("_")[0] == part) for part in ORDER]
    assert places == sorted(places)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"]
    assert len(code[0].source.splitlines()) <= 8
    assert all("#" in line for line in code[0].source.splitlines())
    assert max(len(cell.source.splitlines()) for cell in code) <= 24
    assert sum(len(cell.source.splitlines()) for cell in code) <= 130
    assert notebook.cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_checked_cells_hold_outputs(path):
    notebook = nbformat.read(path, 4)
    checked = checked_cells(notebook)
    assert checked
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell in checked:
            assert cell.outputs[0].text.strip()
            assert cell.execution_count  # nbval compares nothing in a cell without one
        else:
            assert not cell.outputs
            assert cell.execution_count is None


def nbval(path, tmp_path):
    environment = os.environ | {"METALIB_SOURCE": "record", "METALIB_FIGURES": str(tmp_path / "checked")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        str(path),
    ]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_a_changed_reference_output_fails(tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / "_template.ipynb", 4)
    nbformat.write(notebook, tmp_path / "same.ipynb")
    assert nbval(tmp_path / "same.ipynb", tmp_path).returncode == 0
    output = checked_cells(notebook)[-1].outputs[0]
    output.text = output.text.replace("holds", "fails", 1)
    nbformat.write(notebook, tmp_path / "changed.ipynb")
    failed = nbval(tmp_path / "changed.ipynb", tmp_path)
    assert failed.returncode == 1
    assert "fails" in failed.stdout


def test_an_unknown_parameter_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has no parameter 'profil', expected one of profile, keep"):
        notebooks.execute(ROOT / "notebooks" / "_template.ipynb", tmp_path / "out.ipynb", {"profil": "smoke"})
    assert not list(tmp_path.glob("*.ipynb"))


def test_a_wrong_parameter_value_fails_the_run_and_leaves_no_output(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="unknown profile 'quik'"):
        notebooks.execute(ROOT / "notebooks" / "_template.ipynb", tmp_path / "out.ipynb", {"profile": "quik"})
    assert not (tmp_path / "out.ipynb").exists()


def test_outputs_of_checked_cells_come_back_into_the_notebook(tmp_path):
    copy = tmp_path / "copy.ipynb"
    notebook = nbformat.read(ROOT / "notebooks" / "_template.ipynb", 4)
    checked_cells(notebook)[0].outputs[0].text = "old"
    nbformat.write(notebook, copy)
    notebooks.execute(copy, tmp_path / "out.ipynb", {"profile": "smoke"}, sync=True)
    synced = nbformat.read(copy, 4)
    assert "holds" in checked_cells(synced)[0].outputs[0].text
    before = copy.stat().st_mtime_ns
    notebooks.execute(copy, tmp_path / "out.ipynb", {"profile": "smoke"}, sync=True)
    assert copy.stat().st_mtime_ns == before  # unchanged text is not written, or make would never come to rest


def test_what_a_cell_prints_in_pieces_comes_back_as_one_text(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("seeds = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.3)"),
    ]
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=python), tmp_path / "pieces.ipynb")
    notebooks.execute(tmp_path / "pieces.ipynb", tmp_path / "out.ipynb", {})
    (output,) = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
    assert output.text == "0\n1\n2\n"


# The verdicts on embedded data stand in the notebooks, where nbval computes them anew; those on real data do not.
STORED = sorted({(row["notebook"], row["data"]) for row in tables.load() if row["data"] in ("nuc", "street")})


def test_there_are_verdicts_on_real_data():
    assert {("02_training_curves", "nuc"), ("03_multiclass_labels", "street")} <= set(STORED)


@pytest.mark.parametrize(("name", "data"), STORED)
def test_stored_verdicts_follow_from_the_stored_numbers(name, data, request, compute_here):
    request.getfixturevalue(data)  # skips where the set is absent
    compute_here(ROOT / "notebooks" / f"{name}.ipynb", source="record", data=data)
    computed, stored = (
        {row["id"]: row for row in rows if (row["notebook"], row["profile"], row["data"]) == (name, "quick", data)}
        for rows in (tables.load(_files.figures_folder() / "claims.json"), tables.load())
    )
    assert computed
    assert stored == computed


def test_parameters_of_the_command_line_keep_their_types():
    given = ("flip=0.4", "seeds=3", "profile=quick", "data=/a/b=c")
    assert dict(map(notebooks.parameter, given)) == {"flip": 0.4, "seeds": 3, "profile": "quick", "data": "/a/b=c"}


def test_real_nuclei_run_in_small(nuc, compute_here):
    compute_here(ROOT / "notebooks" / "11_text_and_code.ipynb", profile="smoke", data="nuc")
    record = json.loads((_files.figures_folder() / "11_text_and_code.nuc.smoke.json").read_text())
    assert record["config"]["data"] == "nuc"
    assert 0.01 < record["numbers"]["runs"]["cl"]["foreground"] < 0.2


def test_real_streets_run_in_small(street, compute_here):
    compute_here(ROOT / "notebooks" / "03_multiclass_labels.ipynb", profile="smoke", data="street")
    record = json.loads((_files.figures_folder() / "03_multiclass_labels.street.smoke.json").read_text())
    assert "rcl_flip:0.8636" in record["numbers"]["runs"]  # 0.95 * 10 / 11
    assert records.unpack(record["numbers"]["runs"]["cl"]["example"]).max() < 11
