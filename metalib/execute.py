"""Run a notebook by papermill: `python -m metalib.execute notebooks/01_label_noise.ipynb OUT.ipynb profile=smoke`.

The output appears only when every cell ran. An unknown parameter is an error (papermill alone only warns). With --sync
the outputs of checked cells go back into the notebook itself, where nbval compares them with what it computes. A notebook
that is drawn from a file of runs, and needs one that is not in it, ends there and says so.
"""

import argparse
import ast
import resource
import time
from pathlib import Path

import nbformat
import papermill

from metalib import records, run_files

CHECKED = "nbval-check-output"
_QUIET = ["--IPKernelApp.log_level=ERROR"]  # it warns of unencrypted messages, which stay on this machine


def execute(notebook, output, parameters, sync=False):
    """Run `notebook` (a path) with {name: value} parameters and write the executed notebook to `output`.

    ValueError: a parameter that the notebook does not have. papermill.PapermillExecutionError: a cell failed.
    """
    if not Path(notebook).is_file():
        raise FileNotFoundError(f"there is no notebook {notebook}: give one of the folder notebooks")
    known = papermill.inspect_notebook(str(notebook))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{notebook} has no parameter {unknown[0]!r}, expected one of {', '.join(known)}")
    partial = _partial(output)
    records.check_writable(partial.parent)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        ran = papermill.execute_notebook(
            str(notebook), str(partial), parameters, progress_bar=False, log_output=False, extra_arguments=_QUIET
        )
    except OSError as error:
        raise records.cannot_write(partial, error) from error
    if sync:
        _sync(Path(notebook), ran)
    records.atomic_write(output, nbformat.writes(ran) + "\n")  # last, since make wants it newer than the notebook
    partial.unlink(missing_ok=True)


def _partial(output):
    """Where papermill writes cell by cell, which tells how far a notebook came that failed."""
    return Path(output).with_name(f".{Path(output).name}.partial.ipynb")


def _sync(notebook, ran):
    """Copy the outputs of checked cells from an executed notebook into its source, a path, if they differ."""
    source = nbformat.read(notebook, 4)
    fresh = {cell.id: cell for cell in ran.cells if CHECKED in cell.metadata.get("tags", [])}
    for cell in source.cells:
        if cell.id in fresh:
            cell.outputs, cell.execution_count = fresh[cell.id].outputs, 1
    text = nbformat.writes(source) + "\n"
    if text != notebook.read_text():
        records.atomic_write(notebook, text)


def _parameter(text):
    """`"flip=0.4"` -> ("flip", 0.4); what is no Python literal is text."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _main():
    parser = argparse.ArgumentParser(prog="python -m metalib.execute", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("parameters", nargs="*", metavar="name=value")
    parser.add_argument("--sync", action="store_true", help="bring the outputs of checked cells back into the notebook")
    given = parser.parse_intermixed_args()
    start = time.perf_counter()
    try:
        execute(given.notebook, given.output, dict(map(_parameter, given.parameters)), given.sync)
    except papermill.PapermillExecutionError as error:
        what = " ".join(f"{error.ename}: {error.evalue}".split())
        if error.ename != run_files.MissingRun.__name__:
            parser.exit(1, f"{given.notebook} failed: {what} (where, and how far it came: {_partial(given.output)})\n")
        _partial(given.output).unlink()
        print(f"{given.notebook.stem}: drawn as far as its runs are there; {error.evalue}")
        return
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{given.notebook.stem}: {time.perf_counter() - start:.0f} s, peak memory of a process {peak_mib:.0f} MiB")


if __name__ == "__main__":
    _main()
