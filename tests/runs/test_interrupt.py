"""A notebook that is interrupted while it trains goes on where it stopped, in the same kernel."""

import subprocess
import time
from itertools import takewhile
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from metalib import _files
from metalib.runs import grids

pytestmark = pytest.mark.processes
NAME = "11_text_and_code"  # it has the fewest runs
LIMIT_S = 120  # many times the few seconds that it takes, since the machine may be busy


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setenv("METALIB_PROFILE", "smoke")
    manager, client = start_new_kernel(stderr=subprocess.DEVNULL)  # processes tell there that they were interrupted
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def stored():
    """{file: when it was written} of the finished runs."""
    return {file: file.stat().st_mtime_ns for file in _files.cache_folder().glob("[!.]*.json")}


def test_an_interrupted_notebook_computes_what_is_left(kernel):
    manager, client = kernel
    notebook = nbformat.read(Path(__file__).parents[2] / "notebooks" / f"{NAME}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in takewhile(lambda cell: cell.id != "compute", code):
        assert client.execute(cell.source, reply=True, timeout=LIMIT_S)["content"]["status"] == "ok"
    (compute,) = (cell.source for cell in code if cell.id == "compute")

    client.execute(compute)
    deadline = time.monotonic() + LIMIT_S
    while not stored() and time.monotonic() < deadline:
        time.sleep(0.02)
    manager.interrupt_kernel()
    assert client.get_shell_msg(timeout=LIMIT_S)["content"]["ename"] == "KeyboardInterrupt"
    kept = stored()
    planned = sum(map(len, grids.runs(NAME, "smoke").values()))
    assert 0 < len(kept) < planned

    # For a moment after an error the kernel turns away what it is asked.
    while (answer := client.execute(compute, reply=True, timeout=LIMIT_S)["content"]["status"]) == "aborted":
        time.sleep(0.1)
    assert answer == "ok"
    assert len(stored()) == planned
    assert kept.items() <= stored().items()  # none of them was computed again
