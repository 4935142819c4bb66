"""The house: nine rooms whose doors open downward only, without a circle, and what each lists is what there is."""

import ast
import importlib
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import metalib

ROOT = Path(__file__).parents[1]
# From the top; rooms of one line know nothing of each other.
ORDER = (
    ("__main__",),
    ("apps",),
    ("claims",),
    ("diagnosis",),
    ("runs", "plots"),
    ("unsupervised",),
    ("networks",),
    ("data", "noise"),
    ("_labels", "_processes"),
    ("_provenance", "_checks", "_face"),
    ("_files",),
)
FLOOR = {room: len(ORDER) - place for place, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(path for path in (ROOT / "metalib").rglob("*.py") if path != ROOT / "metalib" / "__init__.py")


def name(path):
    """`metalib/noise/recipes.py` -> `noise.recipes`."""
    return ".".join(path.relative_to(ROOT / "metalib").with_suffix("").parts)


MODULES = {name(path): path for path in FILES}


def imported(source):
    """(module of metalib, names taken from it) for each import of a source, wherever it stands; `noise.recipes`, say."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition("metalib.")[2], ()) for alias in node.names if "metalib" in alias.name)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "metalib":
            base = node.module.partition(".")[2]
            modules = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            yield from ((of, ()) for of in modules if of in MODULES)
            if names := [alias.name for alias, of in zip(node.names, modules, strict=True) if of not in MODULES]:
                yield base, names


def arrows(sources):
    """{module: modules that it imports} of {module: source}."""
    return {of: {target for target, _ in imported(source)} for of, source in sources.items()}


def against_the_order(drawn):
    """Arrows that run up, or between rooms of one line, as text."""
    room = {of: of.partition(".")[0] for of in drawn}
    return [
        f"{of} -> {target}"
        for of, targets in drawn.items()
        for target in targets
        if FLOOR[room[of]] <= FLOOR[target.partition(".")[0]] and room[of] != target.partition(".")[0]
    ]


@pytest.fixture(scope="module")
def sources():
    return {of: path.read_text() for of, path in MODULES.items()}


def test_there_are_nine_rooms_and_a_few_private_modules():
    top = {of.partition(".")[0] for of in MODULES}
    assert top == set(FLOOR)
    assert len([room for room in top if not room.startswith("_")]) == 9
    assert {path.name for path in (ROOT / "metalib").iterdir() if path.is_dir()} >= set(metalib.__all__)


def test_doors_open_downward_only(sources):
    assert against_the_order(arrows(sources)) == []


def test_an_upward_door_is_named(sources):
    added = sources | {"noise.density": sources["noise.density"] + "\nfrom metalib.runs import sweeps\n"}
    assert against_the_order(arrows(added)) == ["noise.density -> runs.sweeps"]
    hidden = sources | {"data.folders": sources["data.folders"] + "\ndef f():\n    from metalib.noise import recipes\n"}
    assert against_the_order(arrows(hidden)) == ["data.folders -> noise.recipes"]


def test_there_is_no_circle(sources):
    drawn = arrows(sources)
    tuple(TopologicalSorter(drawn).static_order())
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(drawn | {"_files": {"runs.sweeps"}}).static_order())


def test_modules_import_modules_and_no_face(sources):
    faces = {of for of in MODULES if of.endswith("__init__")} | set(metalib.__all__)
    taken = [(of, target) for of in sources for target, names in imported(sources[of]) if target in faces]
    assert taken == []


def test_no_module_uses_a_private_name_of_another(sources):
    """Neither `from metalib.a import _b` nor `a._b`; the private modules of the house are for all of it."""
    for of, source in sources.items():
        modules = {}
        for target, names in imported(source):
            assert [n for n in names if n.startswith("_")] == [], (of, target)
            modules[target.rpartition(".")[2]] = target
        used = {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
            if node.attr.startswith("_") and not node.attr.startswith("__")
        }
        assert used == set(), of


def test_files_and_functions_are_of_a_size_to_be_read(sources):
    for of, source in sources.items():
        assert source.count("\n") <= 320, of
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 40, f"{of}.{node.name}"


def test_every_room_lists_what_there_is():
    for room in metalib.__all__:
        face = importlib.import_module(f"metalib.{room}")
        assert face.__all__
        assert face.__doc__
        assert dir(face) == sorted(face.__all__)
        assert all(getattr(face, listed) is not None for listed in face.__all__)


def test_a_misspelt_name_is_told_with_the_nearest():
    from metalib import noise

    with pytest.raises(AttributeError, match=r"metalib\.noise has no 'transision': did you mean 'transition'\?|matrix"):
        noise.transision  # noqa: B018
    with pytest.raises(AttributeError, match=r"metalib has no 'nois': did you mean 'noise'\?"):
        metalib.nois  # noqa: B018
    with pytest.raises(AttributeError, match=r"metalib has no 'zzz': it has apps, claims, "):
        metalib.zzz  # noqa: B018


WITHOUT_TORCH = """
import sys
from metalib import claims, data, diagnosis, noise, plots, runs
runs.page, runs.profiles, claims.families, data.load, noise.make, diagnosis.diagnose, plots.use, plots.explore_threshold
assert "torch" not in sys.modules
"""


@pytest.mark.processes
def test_a_face_and_a_record_need_no_torch():
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True)
