"""What is read from disk, fetched or typed cannot run as code, write elsewhere, or be reached from other machines."""

import ast
import fcntl
import os
import re
import string
import subprocess
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import numpy as np
import pytest

from metalib import _files
from metalib.apps import download
from metalib.data import datasets

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    r"(pickle|_pickle|dill|joblib|cloudpickle|shelve|marshal)\..*": "what it reads can run code",
    r"torch\.(load|save|hub\..*)": "it unpickles; safetensors holds numbers alone",
    r".*\.(read_pickle|to_pickle)": "it unpickles",
    r"(yaml\.(load|full_load|unsafe_load).*|eval|exec|compile|__import__)": "it makes code of text; JSON is only read",
    r"(os\.(system|popen|exec\w+|spawn\w+)|subprocess\.get(status)?output)": "a shell reads its text as commands",
    r"(.*\.(extract|extractall|unpack_archive)|tarfile\..*)": "the archive says where it writes; read its members",
    r"(urllib\.request|requests|httpx|http\.client|ftplib|socket)\..*": "it knows no checksum; download.fetch does",
    r"tempfile\.mktemp": "another user can take the name first",
}
# Arguments by name, and the only value that each may have.
SAFE = {"shell": False, "allow_pickle": False, "weights_only": True, "verify": True, "pretrained": False}
EXCEPTIONS = {
    (
        "metalib/runs/executors.py",
        "pickle.loads",
    ): "a message of a Dask cluster, whose own messages are pickles; no file",
    ("metalib/runs/executors.py", "pickle.dumps"): "the same message, sent",
}
HOSTILE = (
    *("x; touch pwned", "$(shell touch pwned)", "$$(touch pwned)", "$(eval x:=$(shell touch pwned))"),
    *("`touch pwned`", '"; touch pwned; "', "'; touch pwned; '", "x\ntouch pwned", "x && touch pwned"),
)
PLAIN = string.ascii_letters + string.digits + "._-/+"


def sources():
    """{path in the repository: code} of the library, the benchmarks, and each notebook's code cells."""
    modules = [*(ROOT / "metalib").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    found = {str(path.relative_to(ROOT)): path.read_text() for path in modules}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        found[str(path.relative_to(ROOT))] = "\n".join(cells)  # "!command" and magics are no Python: they fail to parse
    return found


def calls(code):
    """(full name, call) of every call, such as `numpy.load` for `np.load`, and (full name, None) of what is imported."""
    tree, names = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    yield from ((name, None) for name in names.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            root, dot, rest = ast.unparse(node.func).partition(".")
            yield names.get(root, root) + dot + rest, node


def faults(code):
    """{full name: why it must not be called}."""
    found = {}
    for name, call in calls(code):
        for why in (why for pattern, why in FORBIDDEN.items() if re.fullmatch(pattern, name)):
            found[name] = why
        for argument in call.keywords if call else ():
            if argument.arg in SAFE and getattr(argument.value, "value", None) is not SAFE[argument.arg]:
                found[name] = f"{argument.arg} has to be {SAFE[argument.arg]}"
    return found


def test_no_call_runs_what_it_reads_or_reaches_a_shell():
    every = sources()
    assert {"metalib/unsupervised/igtt.py", "benchmarks/cases.py", "notebooks/07_igtt.ipynb"} <= every.keys()
    found = {(path, name): why for path, code in every.items() for name, why in faults(code).items()}
    assert {place: why for place, why in found.items() if place not in EXCEPTIONS} == {}
    assert found.keys() == EXCEPTIONS.keys()  # one that is needed no longer goes


@pytest.mark.parametrize(
    "code",
    [
        *("import pickle as p\np.load(f)", "from pickle import loads", "from torch import load\nload(f)", "eval(text)"),
        *(
            "import numpy as np\nnp.load(f, allow_pickle=True)",
            "import torch as t\nt.load(f)",
            "import os\nos.system(x)",
        ),
        *("import subprocess as s\ns.run(x, shell=True)", "import subprocess\nsubprocess.run(x, shell=flag)"),
        *("from zipfile import ZipFile\nZipFile(f).extractall(x)", "import pandas as pd\npd.read_pickle(f)"),
        *("import urllib.request\nurllib.request.urlopen(x)", "import yaml\nyaml.load(f)", "from os import system"),
    ],
)
def test_such_calls_are_found_by_any_name(code):
    assert faults(code)


@pytest.mark.parametrize("code", ["network.eval()", "np.load(f)", "yaml.safe_load(f)", "run(x, shell=False)"])
def test_harmless_calls_are_left_alone(code):
    assert faults(code) == {}


def test_a_download_is_encrypted_and_has_a_checksum():
    assert urlparse(download.URL).scheme == "https"
    assert re.fullmatch("[0-9a-f]{64}", download.SHA256)


def test_a_pickle_among_stored_sets_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "pwned",)

    def draw():
        return zip(np.ones((2, 4, 4), np.float32), np.eye(4, dtype=np.uint8)[None].repeat(2, axis=0), strict=True)

    datasets.mapped("a", 2, draw)
    for file in _files.cache_folder().glob("sets/*/*.npy"):
        np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):  # it is one
        np.load(file)
    np.testing.assert_array_equal(datasets.mapped("a", 2, draw)[0], np.ones((2, 4, 4)))
    assert not (tmp_path / "pwned").exists()


def test_a_lock_is_one_on_the_folder_and_leaves_no_file_that_another_user_could_take_first(tmp_path):
    with _files.locked(tmp_path / "new" / "x"):
        assert [path.name for path in tmp_path.rglob("*")] == ["new"]
        other = os.open(tmp_path / "new", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def make(folder, *arguments, **environment):
    """What `make -n` makes of the Makefile in a folder of its own."""
    (folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    command = ["make", "-n", *arguments]
    return subprocess.run(
        command, cwd=folder, env={"PATH": os.environ["PATH"]} | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["DATA", "NOTEBOOK", "PROFILE", "RUNS", "METALIB_PROFILE", "METALIB_FIGURES"])
@pytest.mark.parametrize("value", HOSTILE)
def test_make_refuses_values_that_a_shell_would_read_as_more_than_a_name(tmp_path, name, value):
    for done in (make(tmp_path, "figures", f"{name}={value}"), make(tmp_path, "figures", **{name: value})):
        assert done.returncode == 2
        assert done.stdout == ""
        assert f"*** {name}='{value}' holds other characters than letters" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_make_refuses_every_other_character(tmp_path):
    done = {one: make(tmp_path, "help", f"DATA=a{one}b") for one in map(chr, range(1, 256)) if one not in PLAIN}
    assert [one for one, of in done.items() if "holds other characters" not in of.stderr] == []


def test_make_takes_paths_and_names(tmp_path):
    for name in ("requirements.txt", "pyproject.toml", "notebooks/07_igtt.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    values = (f"DATA=/{PLAIN}", "PROFILE=smoke", "NOTEBOOK=07_igtt", "METALIB_FIGURES=/tmp/figures")
    done = make(tmp_path, "figures", *values)
    assert done.returncode == 0, done.stderr
    assert f"--profile smoke --data=/{PLAIN}\n" in done.stdout


def test_every_value_of_make_that_comes_from_outside_is_looked_at():
    text = (ROOT / "Makefile").read_text()
    looked_at = set(re.search(r"^GIVEN := (.*)$", text, re.M)[1].split())
    set_here = set(re.findall(r"^([A-Z_]+) :=", text, re.M)) | {"MAKE", "MAKEFILE_LIST", "CURDIR"}
    commands = {"PYTHON"}  # whoever gives it names a program to run
    used = set(re.findall(r"\$\(([A-Z_]+)[):]", text))
    assert {"DATA", "PROFILE", "RUN"} <= used
    assert used - set_here - commands - {"TRAINED"} <= looked_at  # TRAINED is asked for being there, and never shown


def test_servers_are_reached_from_this_machine_alone():
    texts = {name: (ROOT / name).read_text() for name in ("Makefile", "README.md")}
    assert "-m jupyterlab --ip=127.0.0.1 " in texts["Makefile"]
    commands = re.findall(
        r"\bdask (?:scheduler|worker) .*", "".join(re.findall(r"```.*?```", texts["README.md"], re.S))
    )
    assert len(commands) >= 3
    assert all("--host 127.0.0.1" in command for command in commands)
    assert all("--dashboard-address 127.0.0.1:" in command for command in commands)
    assert not re.search(r"0\.0\.0\.0|--ip=(?!127\.0\.0\.1)|token=|password=", "".join(texts.values()))
