"""What stands behind a number: the code that computed it, as a hash; the versions of libraries; the machine."""

import ast
import hashlib
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from metalib._files import ROOT

LIBRARIES = ("torch", "numpy", "scipy", "scikit-image", "pillow", "segmentation-models-pytorch", "timm")
# They find, name and start, and compute no number.
_NEUTRAL = {"metalib._files", "metalib._provenance", "metalib._face", "metalib._processes"}


def environment():
    """Commit, processor and versions behind a number."""
    machine = {"machine": platform.machine(), "cpu": _processor()}
    return {"commit": _commit(), "python": platform.python_version()} | machine | versions(LIBRARIES)


@lru_cache(maxsize=1)
def _commit():
    """The commit that is checked out, with a + where tracked files differ from it; empty outside a git repository."""
    if not (ROOT / ".git").exists():  # an installed copy may lie within the repository of something else
        return ""
    try:
        asked = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@lru_cache(maxsize=1)
def _processor():
    """What the processor calls itself."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions(libraries):
    """{name: version} of installed libraries."""
    return {name: version(name) for name in libraries}


def closure(module):
    """Names of a module of metalib, such as `metalib.networks.training`, and of all that it imports of metalib, sorted.

    Left out is what computes nothing: files, hashes, and the faces (`__init__`), from which no module imports.
    """
    found, waiting = set(), [module]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += [of for of in _read(name)[0] if of not in _NEUTRAL]
    return sorted(found)


def code(module):
    """A hash of the code of `closure(module)` as it is on disk, without comments, docstrings and layout."""
    return hashlib.sha256("".join(_read(name)[1] for name in closure(module)).encode()).hexdigest()


def _read(module):
    """Modules of metalib that a module imports, wherever in it, and its code without comments, docstrings and layout."""
    path = _path(module)
    return _parsed(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _parsed(path, changed):
    """As of `_read`. Parsing takes a tenth of a second a run; `changed`: the time at which the file did."""
    tree, imported = ast.parse(path.read_text()), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            del node.body[0]
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "metalib":
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            imported += [name if _path(name).is_file() else node.module for name in names]
    return tuple(imported), ast.dump(tree)


def _path(module):
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")
