"""CONTRIBUTING.md by doing: each of its blocks of code is short, and adds what it says."""

import ast
import re
import shutil
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import nbformat
import numpy as np
import pytest

from metalib import _files
from metalib.apps import notebooks
from metalib.data import datasets, microscopy
from metalib.networks import models, training
from metalib.networks.config import TrainConfig
from metalib.noise import recipes
from metalib.runs import profiles, sweeps

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
SMALL = TrainConfig(**profiles.SCALE["smoke"])
MODULES = {module.__name__.rpartition(".")[2]: module for module in (recipes, datasets, microscopy, models)}


def parts(block):
    """(file, cell, code) behind each comment `# file` or `# file: cell` of a block; the cell is empty for a module."""
    found = re.split(r"^# ([\w/]+\.\w+)(?:: (\w+))?\n", block, flags=re.M)
    assert found[0] == ""
    return list(zip(found[1::3], [cell or "" for cell in found[2::3]], found[3::3], strict=True))


def added(name, monkeypatch):
    """Do what the block about a module says, until the end of the test."""
    ((_, _, code),) = next(of for of in map(parts, BLOCKS) if Path(of[0][0]).stem == name)
    table, entry = re.search(r'^(\w+)\["(.+?)"\]', code, re.M).groups()
    monkeypatch.setitem(vars(MODULES[name])[table], entry, None)  # which takes the entry away after the test
    for defined in ast.parse(code).body:
        if isinstance(defined, ast.FunctionDef | ast.ClassDef):
            monkeypatch.setattr(MODULES[name], defined.name, None, raising=False)  # and so does what it defines
    exec(compile(code, name, "exec"), vars(MODULES[name]))


def test_there_is_a_short_block_for_each_thing_to_add():
    assert [parts(block)[0][0] for block in BLOCKS] == [
        f"metalib/{name}.py"
        for name in ("noise/recipes", "data/datasets", "data/microscopy", "networks/models", "runs/grids")
    ]
    for block in BLOCKS:
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        assert len(lines) < 10


def test_a_new_recipe_is_read_made_named_and_trained_on(monkeypatch, rng):
    with pytest.raises(ValueError, match="unknown recipe"):
        recipes.parse("pcl_shift:3")
    added("recipes", monkeypatch)
    mask = (rng.random((2, 8, 8)) < 0.5).astype(np.uint8)
    moved = recipes.make("pcl_shift:3", mask, rng)
    np.testing.assert_array_equal(moved[..., 3:], mask[..., :-3])
    assert not moved[..., :3].any()
    assert (recipes.family("pcl_shift"), recipes.title("pcl_shift:3")) == ("PCL", "PCL, shift 3 px")
    with pytest.raises(ValueError, match=r"known forms: cl, .*, pcl_shift:2"):
        recipes.parse("pcl_shifts")
    assert len(training.train(replace(SMALL, recipe="pcl_shift:3")).loss) == 4


def test_a_new_real_set_is_found_by_its_name(monkeypatch, tmp_path):
    added("datasets", monkeypatch)
    monkeypatch.setenv("METALIB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"put tissue sections.* there, from https://example.org/tissue.zip"):
        datasets.load("tissue", "train")
    for kind, pixels in (("images", np.arange(256, dtype=np.uint8)), ("labels", np.arange(256, dtype=np.uint8) % 2)):
        (tmp_path / "tissue" / "val" / kind).mkdir(parents=True)
        iio.imwrite(tmp_path / "tissue" / "val" / kind / "a.png", pixels.reshape(16, 16))
    data = datasets.load("tissue", "val")
    np.testing.assert_array_equal(data.labels, np.arange(256).reshape(1, 16, 16) % 2)


def test_a_new_drawn_set_loads_and_trains(monkeypatch):
    added("microscopy", monkeypatch)
    data = datasets.load("disc-like", "train", size=64, limit=4)
    assert data.labels.shape == (4, 64, 64)
    assert 0.05 < data.labels.mean() < 0.6
    assert len(training.train(replace(SMALL, data="disc-like")).loss) == 4


def test_a_new_network_builds_and_trains(monkeypatch):
    added("models", monkeypatch)
    assert len(training.train(replace(SMALL, model="plain")).loss) == 4


def test_a_new_notebook_runs_from_the_template(monkeypatch, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "metalib", copy / "metalib", ignore=shutil.ignore_patterns("__pycache__"))
    (name,) = {Path(file).name for file, cell, _ in parts(BLOCKS[-1]) if cell}
    notebook = nbformat.read(ROOT / "notebooks" / "_template.ipynb", 4)
    cells = {cell.id: cell for cell in notebook.cells}
    cells["setup"].source = cells["setup"].source.replace("_template", Path(name).stem)
    for file, cell, code in parts(BLOCKS[-1]):
        if cell:
            cells[cell].source = code
        else:
            paste(copy / file, code)
    nbformat.write(notebook, tmp_path / name)
    for recipe in ("cl", "pcl_closing:2"):  # which the notebook finds in the cache, without processes of its own
        config = replace(SMALL, recipe=recipe)
        sweeps.store(sweeps.key(config), training.train(config))
    monkeypatch.setenv("PYTHONPATH", str(copy))
    monkeypatch.chdir(copy)  # where the kernel starts and looks for metalib
    notebooks.execute(tmp_path / name, tmp_path / "out.ipynb", {"profile": "smoke"})
    shown = nbformat.read(tmp_path / "out.ipynb", 4).cells[[*cells].index("verdict") + 1].outputs[0].text
    assert re.search(r"^undecided .*PCL, closing", shown, re.M)  # one seed decides nothing
    assert len(list(_files.cache_folder().glob("*.json"))) == 2
    assert {path.suffix for path in _files.figures_folder().glob(f"{Path(name).stem}*")} == {".png", ".json"}


def paste(module, code):
    """Insert code below the table that it adds to."""
    lines, table = module.read_text().splitlines(keepends=True), code.partition("[")[0]
    tables = [node for node in ast.parse("".join(lines)).body if ast.unparse(node).startswith(f"{table} = ")]
    lines.insert(tables[0].end_lineno, code)
    module.write_text("".join(lines))
