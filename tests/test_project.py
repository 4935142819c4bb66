"""What stands in more than one place agrees, and every stored verdict follows from stored numbers."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml

import metalib
from metalib.apps import notebooks, readme
from metalib.claims import tables, verdicts
from metalib.runs import records
from metalib.runs.profiles import MIN_SEEDS

ROOT = Path(__file__).parents[1]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def pins():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


@pytest.fixture
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def bounds(project):
    groups = project["optional-dependencies"]
    wanted = project["dependencies"] + groups["test"] + groups["bench"]
    return {canonical(name): bound for name, _, bound in (line.partition(">=") for line in wanted)}


def numbers(version):
    return [int(part) for part in re.findall(r"\d+", version)]


def test_pins_meet_the_bounds(pins, bounds):
    assert bounds
    for name, bound in bounds.items():
        assert numbers(pins[name]) >= numbers(bound), name


def test_the_conda_environment_has_the_same_packages_and_versions(pins, bounds):
    text = (ROOT / "environment.yml").read_text()
    packages = yaml.safe_load(text)["dependencies"][-1]["pip"]
    assert {canonical(p.split("==")[0]) for p in packages} == set(bounds)
    for package in packages:
        name, version = package.split("==")
        assert pins[canonical(name)] == version
        assert re.search(rf"- {re.escape(package)} # \w", text), f"{package} needs a comment that says where it is used"


def imported(tree):
    """Top-level names of the packages that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_what_the_library_imports_is_a_dependency(project):
    modules = (ROOT / "metalib").rglob("*.py")
    wanted = {name for module in modules for name in imported(ast.parse(module.read_text()))}
    wanted -= {*sys.stdlib_module_names, "metalib"}
    distributions = packages_distributions()
    declared = {canonical(dependency.partition(">=")[0]) for dependency in project["dependencies"]}
    assert {"torch", "timm", "skimage"} <= wanted
    assert {canonical(distributions[name][0]) for name in wanted} <= declared


def test_version_licence_and_title_of_the_citation_are_those_of_the_package(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == metalib.__version__
    assert citation["license"] == project["license"] == (ROOT / "LICENSE").read_text().split()[0]
    assert citation["preferred-citation"]["title"] in project["description"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert all((ROOT / name).is_file() for name in (project["readme"], *project["license-files"]))


EVERY_NAME = """
import metalib
faces = [getattr(metalib, room) for room in metalib.__all__]
print(metalib.__file__, all(getattr(face, name) is not None for face in faces for name in face.__all__))
metalib.plots.use()
"""


@pytest.mark.processes
def test_a_wheel_holds_every_room_and_works_elsewhere(tmp_path):
    source, wheels, elsewhere = (tmp_path / name for name in ("source", "wheels", "elsewhere"))
    shutil.copytree(ROOT / "metalib", source / "metalib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        wheels,
        source,
    ]
    subprocess.run([sys.executable, "-m", *build], check=True)
    with zipfile.ZipFile(next(wheels.iterdir())) as wheel:
        wheel.extractall(elsewhere)
    files = {path.relative_to(source) for path in (source / "metalib").rglob("*.*")}
    assert files == {path.relative_to(elsewhere) for path in (elsewhere / "metalib").rglob("*.*")}
    code = f"import sys; sys.path.insert(0, {str(elsewhere)!r})\n{EVERY_NAME}"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(elsewhere / "metalib" / "__init__.py"), "True"]


def test_pre_commit_runs_the_commands_of_make_and_fetches_nothing():
    (source,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [(hook["language"], hook["pass_filenames"]) for hook in source["hooks"]]
    assert (source["repo"], set(hooks)) == ("local", {("system", False)})
    recipes = re.findall(r"^\t@?(\$\(RUN\) -m .*)$", (ROOT / "Makefile").read_text(), re.M)
    commands = [command.replace("$(RUN)", ".venv/bin/python") for command in recipes]
    *lint, tests = [hook["entry"] for hook in source["hooks"]]
    assert lint == [command for command in commands if " ruff " in command]
    assert tests.startswith(".venv/bin/python -m pytest tests")  # a part of what make runs
    assert ".venv/bin/python -m pytest tests/test_notebooks.py" in commands


def test_help_lists_every_target():
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert all(re.search(rf"^  {target} +\S", shown, re.M) for target in phony)


def test_readme_and_results_show_the_stored_verdicts():
    pages = readme.pages(tables.load())
    assert {path.name for path in pages} == {"README.md", "RESULTS.md"}
    for path, parts in pages.items():
        assert readme.renewed(path.read_text(), parts) == path.read_text()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_names_of_the_library_that_a_page_uses_exist(page):
    rooms = "|".join(metalib.__all__)
    code = re.findall(r"```python\n(.*?)```|`([^`\n]+)`", (ROOT / page).read_text(), re.S)
    used = {name for text in code for name in re.findall(rf"(?<![\w./])(?:{rooms})(?:\.[a-zA-Z]\w*)+", "".join(text))}
    assert used
    for name in used:
        found = metalib
        for part in name.split("."):
            found = getattr(found, part)


def test_every_headline_is_a_statement_that_was_measured_or_left_to_the_study():
    rows = {(row["notebook"], row["id"].removeprefix(tables.AT_PAPERS_SIZE)) for row in tables.load()}
    needed = {place for place in readme.HEADLINES if not place[1].startswith(tables.AT_PAPERS_SIZE)}
    assert needed <= rows


def test_every_statement_of_the_issue_has_a_verdict_from_three_seeds():
    rows = {
        row["id"]: row
        for row in tables.load()
        if row["profile"] == "quick" and row["data"].endswith(("-like", "circle"))
    }
    required = {
        "cl_rcl_sample:0.1",
        "rl_below_all",
        "error_paradox",
        "rank_rcl",
        "rank_rl",
        "loss_constant",
        "dilation_below_cl",
        "skeleton_below_pcl",
        "biased_dilation",
        "ranks_distance_of_densities",
        "rl_paradox_rcl_flip:0.45",
        "settles",
        "settles_constant",
        "by_heart_0.5",
        "same_rcl_sample:0.1",
        "same_rcl_flip:0.9",
        "same_equal_bits",
        "same_matching",
        "critical_2",
        "critical_3",
        "critical_6",
        "inverted_6",
        "lemma2",
        "collapse_2",
        "decodable",
        "above_otsu",
        "above_agt",
        "above_dfc",
        "above_ac",
        "ems",
        "supervised",
        "plus_above_otsu",
        "plus_above_never",
        "plus_above_start",
        "plus_ems",
        "upright_iGTT",
        "dmi_is_mean",
    }
    assert required <= rows.keys()
    assert all(rows[name]["seeds"] >= MIN_SEEDS for name in required if rows[name]["verdict"] != "check")
    assert all(row["verdict"] in verdicts.VERDICTS and row["reason"] for row in rows.values())


ELSEWHERE = ("nuc", "street", "nuc-like", "er_tiles", "mito_tiles")  # sets whose runs have a record of their own


def test_stored_verdicts_stand_in_their_notebook():
    """A verdict or number edited in claims.json alone, or in the notebook alone, is found here."""
    for row in tables.load():
        # The notebooks hold the outputs of their own sets.
        if row["profile"] != "quick" or row["data"] in ELSEWHERE or not row["seeds"]:
            continue
        notebook = nbformat.read(ROOT / "notebooks" / f"{row['notebook']}.ipynb", 4)
        shown = "".join(
            cell.outputs[0].text for cell in notebook.cells if notebooks.CHECKED in cell.metadata.get("tags", [])
        )
        expected = tables.table([row]).splitlines()[1].split()
        assert expected in [line.split() for line in shown.splitlines()], row["id"]


def test_every_record_carries_its_provenance():
    stored = [path for path in sorted((ROOT / "figures").glob("*.json")) if path.name != "claims.json"]
    assert len(stored) >= 3
    for path in stored:
        json.loads(path.read_text(), parse_constant=lambda name, path=path: pytest.fail(f"{name} in {path} is no JSON"))
        record = records.load(path)
        assert {"python", "torch", "numpy"} <= record["provenance"].keys(), path
        assert {"seed", "seeds"} & record["config"].keys(), path


def test_every_figure_is_shown_by_a_notebook_or_the_readme():
    pages = [*(ROOT / "notebooks").glob("*.ipynb"), ROOT / "README.md", ROOT / "RESULTS.md"]
    shown = "".join(path.read_text() for path in pages)
    figures = [path.name for path in (ROOT / "figures").glob("*.png") if not path.name.startswith("_")]
    assert figures
    assert [name for name in figures if f"figures/{name}" not in shown] == []


def test_every_picture_is_told_in_words():
    pages = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
    told = {page.name: re.findall(r"!\[([^]]*)\]\([^)]*\.png\)", page.read_text()) for page in pages}
    assert len(told["README.md"]) > 5
    assert [(page, text) for page, texts in told.items() for text in texts if len(text) < 5] == []
