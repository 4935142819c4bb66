"""Run a notebook by papermill: `python -m metalib execute notebooks/01_label_noise.ipynb OUT.ipynb profile=smoke`.

The output appears only when every cell ran. An unknown parameter is an error (papermill alone only warns). With
`sync` the outputs of checked cells go back into the notebook itself, where nbval compares them with what it computes.
"""

import ast
from pathlib import Path

import nbformat
import papermill

from metalib import _files

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
    partial = partial_output(output)
    _files.check_writable(partial.parent)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        ran = papermill.execute_notebook(
            str(notebook),
            str(partial),
            parameters,
            progress_bar=False,
            log_output=False,
            extra_arguments=_QUIET,
        )
    except OSError as error:
        raise _files.cannot_write(partial, error) from error
    for cell in ran.cells:
        if cell.cell_type == "code":
            cell.outputs = _in_one_piece(cell.outputs)
    if sync:
        _sync(Path(notebook), ran)
    _files.atomic_write(output, nbformat.writes(ran) + "\n")  # last, since make wants it newer than the notebook
    partial.unlink(missing_ok=True)


def _in_one_piece(outputs):
    """Outputs of a cell in which each stream is one: what is printed comes in pieces, which differ from call to call.

    nbclient can do so, too, but takes hours over a line of megabytes.
    """
    kept, streams = [], {}
    for output in outputs:
        if output.output_type != "stream" or output.name not in streams:
            kept.append(output)
        if output.output_type == "stream":
            streams.setdefault(output.name, []).append(output.text)
    for output in kept:
        if output.output_type == "stream":
            output.text = "".join(streams[output.name])
    return kept


def partial_output(output):
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
        _files.atomic_write(notebook, text)


def parameter(text):
    """`"flip=0.4"` -> ("flip", 0.4); what is no Python literal is text."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
