"""Every command: `python -m metalib COMMAND`. What a command takes, `python -m metalib COMMAND --help` says."""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from metalib import _files


def segment(parser, arguments):
    """Segment a folder of images, without any label by iGTT, or with masks by a network that is trained on them."""
    from metalib.apps import own_images

    parser.add_argument("images", type=Path, help="a folder of images")
    parser.add_argument("out", type=Path, help="a new folder for masks, scores, overlays, model and report")
    parser.add_argument("--masks", type=Path, help="a folder of masks, 0/1 or 0/255, named as their images are")
    parser.add_argument(
        "--method", choices=own_images.METHODS, default="", help="default: supervised if there are masks"
    )
    parser.add_argument("--objects", choices=("bright", "dark"), help="default: bright, which is checked")
    parser.add_argument("--recipe", default="cl", help="label noise of supervised training, such as rcl_flip:0.4")
    steps = "{igtt} optimisation steps, {supervised} with masks".format(**own_images.STEPS)
    parser.add_argument("--epochs", type=int, help=f"passes over the images (default: enough for {steps})")
    parser.add_argument("--width", type=int, help="channels of the U-Net's first level (default: 16)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    names = ("epochs", "width", "seed", "objects")
    changes = {name: value for name in names if (value := getattr(given, name)) is not None}
    choices = dict(masks=given.masks, method=given.method, recipe=given.recipe)
    out = own_images.segment(given.images, given.out, **choices, **changes)
    print(f"{out}: masks, scores, overlays, model and report written")


def diagnosis(parser, arguments):
    """Can a network learn from these labels? Says so before training."""
    from metalib.diagnosis.examination import diagnose, read_folder
    from metalib.diagnosis.wording import report

    told = "masks as PNG or TIFF: 0/255, 0/1, or class ids with 255 for no label"
    parser.add_argument("folder", type=Path, help=told)
    parser.add_argument("--clean", type=Path, help="clean masks of some of the images, named as the labels are")
    parser.add_argument("--classes", type=int, default=2, help="number of classes (default: 2)")
    given = parser.parse_args(arguments)
    noisy, clean = read_folder(given.folder, given.clean, given.classes)
    print(report(diagnose(noisy, given.classes, clean, progress=True)))


def experiments(parser, arguments):
    """Compute the runs and records of notebooks, all by default, without Jupyter; called again it resumes."""
    from metalib.runs import results, sweeps

    _add_notebooks(parser)
    parser.add_argument(
        "--limit-s", type=float, help="start no run that would end later than this many seconds from now"
    )
    parser.add_argument("--no-records", action="store_true", help="train only: notebooks that run next write them")
    parser.add_argument("--runs", metavar="FILE", help="a file of runs (*.jsonl) to go on with, in place of records")
    given = parser.parse_args(arguments)
    try:
        configs = results.chosen(given.notebooks, given.profile, given.data)
        if given.runs:
            done = results.to_file(configs, given.runs, given.limit_s)
        else:
            done = len(sweeps.run(configs, limit_s=given.limit_s))
            if done == len(configs) and not given.no_records:
                for notebook in results.with_runs(given.notebooks):
                    results.page(notebook, given.profile, given.data, "train").results()
    except RuntimeError as error:
        parser.exit(1, f"{error}\n")
    print(f"{done} of {len(configs)} runs done" + ("" if done == len(configs) else ": call again to go on"))


def distributed(parser, arguments):
    """One training after the other on several processes, GPUs or machines, started by torchrun."""
    import torch
    from torch import distributed as dist

    from metalib.networks import engine, training
    from metalib.networks.config import TrainConfig
    from metalib.runs import results, sweeps

    _add_notebooks(parser)
    given = parser.parse_args(arguments)
    if "RANK" not in os.environ:
        start = "start it by torchrun --nproc-per-node 4 -m metalib distributed"
        parser.exit(1, f"distributed is one process of several: {start}\n")
    device = engine.default_device()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    planned = results.chosen(given.notebooks, given.profile, given.data)
    runs = [config for config in planned if isinstance(config, TrainConfig)]
    todo = [list(sweeps.missing(runs).items())]
    dist.broadcast_object_list(todo)  # those of the first process, whatever the others see of its disk
    for key, config in todo[0]:
        history = training.train(config)
        if dist.get_rank() == 0:
            sweeps.store(key, history)
            print(f"{config.recipe} {config.model} seed {config.seed}: {history.seconds:.0f} s on {history.device}")
    if dist.get_rank() == 0:
        print(f"{len(runs)} of {len(planned)} runs done; `make figures` computes the rest and draws them")
    dist.destroy_process_group()


def execute(parser, arguments):
    """Run a notebook by papermill, with parameters name=value; the output appears only when every cell ran.

    A notebook that is drawn from a file of runs, and needs one that is not in it, ends there and says so.
    """
    import papermill

    from metalib.apps import notebooks
    from metalib.runs.run_files import MissingRun

    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("parameters", nargs="*", metavar="name=value")
    parser.add_argument("--sync", action="store_true", help="bring the outputs of checked cells back into the notebook")
    given, start = parser.parse_intermixed_args(arguments), time.perf_counter()
    partial = notebooks.partial_output(given.output)
    try:
        notebooks.execute(given.notebook, given.output, dict(map(notebooks.parameter, given.parameters)), given.sync)
    except papermill.PapermillExecutionError as error:
        what = " ".join(f"{error.ename}: {error.evalue}".split())
        if error.ename != MissingRun.__name__:
            parser.exit(1, f"{given.notebook} failed: {what} (where, and how far it came: {partial})\n")
        partial.unlink()
        print(f"{given.notebook.stem}: drawn as far as its runs are there; {error.evalue}")
        return
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{given.notebook.stem}: {time.perf_counter() - start:.0f} s, peak memory of a process {peak_mib:.0f} MiB")


def download(parser, arguments):
    """Download real nuclei: makes FOLDER/nuc, which `data.load("nuc", ...)` reads."""
    from metalib.apps import download
    from metalib.data.folders import SPLITS

    place = _files.data_folders()[0]
    parser.add_argument("name", choices=("nuc",), help="BBBC038v1, fluorescence images; 83 MB")
    parser.add_argument("folder", nargs="?", type=Path, default=place, help="default: %(default)s")
    parser.add_argument(
        "--url", default=download.URL, help="another address of the same archive (default: %(default)s)"
    )
    parser.add_argument("--sha256", default=download.SHA256, help="checksum of the archive (default: %(default)s)")
    given = parser.parse_args(arguments)
    made = download.download_nuc(given.folder, url=given.url, sha256=given.sha256)
    numbers = ", ".join(f"{len(list((made / split / 'images').iterdir()))} {split}" for split in SPLITS)
    print(f"{made}: {numbers} images; read with METALIB_DATA={made.parent.resolve()}")


def report(parser, arguments):
    """Gather every executed notebook in one HTML file that needs no network to be read."""
    from metalib.apps import reports

    parser.add_argument("executed", type=Path, help="a folder of executed notebooks")
    parser.add_argument("out", type=Path, help="the HTML file to write")
    given = parser.parse_args(arguments)
    _files.atomic_write(given.out, reports.report(given.executed, _files.figures_folder()))
    print(f"{given.out}: {given.out.stat().st_size / 2**20:.1f} MiB, open it in a browser")


def readme(parser, arguments):
    """Renew the computed parts of README.md and RESULTS.md from `figures/`."""
    from metalib.apps import readme

    parser.parse_args(arguments)
    readme.renew()


def claims(parser, arguments):
    """Compare two lists of verdicts, and print those that differ."""
    from metalib.claims import tables

    parser.add_argument("older", type=Path, help="an older claims.json, compared with the one in figures/")
    given = parser.parse_args(arguments)
    print("\n".join(tables.moved(tables.load(given.older), tables.load())) or "no verdict moved")


COMMANDS = {
    command.__name__: command
    for command in (segment, diagnosis, experiments, distributed, execute, download, report, readme, claims)
}


def main(arguments=None):
    """Carry out a command, by default that of the command line; what goes wrong is told in one line."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        told = (f"  {known:12} {command.__doc__.splitlines()[0]}" for known, command in COMMANDS.items())
        print("\n".join(["usage: python -m metalib COMMAND ...", "", *told]))
        return
    if name not in COMMANDS:
        sys.exit(f"unknown command {name!r}, expected one of {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"python -m metalib {name}", description=command.__doc__.splitlines()[0])
    try:
        command(parser, rest)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


def _add_notebooks(parser):
    """Arguments that choose notebooks, profile and data."""
    from metalib.runs import grids, profiles

    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help=f"of {', '.join(grids.GRIDS)} (default: all)")
    parser.add_argument("--profile", choices=profiles.PROFILES, default="", help="default: METALIB_PROFILE, else quick")
    parser.add_argument(
        "--data", default="", help="a data set or a folder (default: the embedded one of each notebook)"
    )


if __name__ == "__main__":
    main()
