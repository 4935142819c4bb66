"""The parts of README.md and RESULTS.md that are computed: `python -m metalib readme` renews them from `figures/`."""

from metalib import _files
from metalib.claims import tables
from metalib.runs import records, results, run_files, table3

# Sets beside the default ones of notebook 07, and their titles.
_SETS = {"nuc-like": "synthetic nuclei", "er_tiles": "real ER", "mito_tiles": "real mitochondria", "nuc": "real nuclei"}
_IN_ONE_NOTEBOOK = ("er_tiles", "mito_tiles")  # real sets that stand behind those of all notebooks
STUDY = "runs.study.jsonl"  # in the figures folder
PATH, RESULTS = _files.ROOT / "README.md", _files.ROOT / "RESULTS.md"
# What a newcomer wants to know: notebook and id of the statement behind it, and plain words, a line each.
_HEADLINES = """
02_training_curves papers_pixels_cl_rcl_sample:0.1 a tenth of the clean pixels trains as well as all of them
02_training_curves papers_pixels_cl_rcl_flip:0.45 masks with 45% of the pixels flipped train about as well as clean ones
02_training_curves papers_pixels_cl_rcl_flip:0.49 so do masks with 49% flipped
04_perturbed_labels papers_pixels_every_pcl_below_rcl_flip:0.45 dilated, eroded and thinned masks train worse than 45% flipped ones
05_random_labels papers_pixels_rl_paradox_rcl_flip:0.49 random masks train worse than 49% flipped ones, though fewer of their pixels are wrong
05_random_labels papers_pixels_memorised a constant loss means that random labels are memorised
02_training_curves loss_constant under flips and random labels the loss hardly falls
03_multiclass_labels same_equal_bits with many classes, flips that leave as many bits as the paper's cost nothing
03_multiclass_labels critical_6 at the critical level, where the noise matrix loses its rank, training fails
04_perturbed_labels biased_dilation the stronger the bias, the more the density of labels is perturbed (Theorem 1)
06_meta_structure_maps lemma1_circle_box densities of noisy labels are what Lemma 1 predicts
06_meta_structure_maps lemma2 areas that can be told apart are as many as the rank (Lemma 2)
13_full_rank decodable any noise of full rank can be decoded (Theorem 2)
07_igtt above_otsu iGTT, by the paper's text, beats Otsu's threshold
07_igtt above_otsu_lenient so it does where each image gets its best threshold, of P or 1 - P, as in the official code
07_igtt plus_above_otsu iGTT+, our version, beats Otsu's threshold
07_igtt plus_harmless iGTT+ is at most a point below the best of three thresholds
07_igtt plus_supervised iGTT+ comes within 7.15 points of a network trained on clean masks
"""
HEADLINES = {tuple(of): words for *of, words in (line.split(maxsplit=2) for line in _HEADLINES.strip().splitlines())}


def renewed(text, parts):
    """The text with its computed parts renewed, {name: part}; ValueError where a mark of their place is missing."""
    for name, part in parts.items():
        text = between(text, name, part)
    return text


def between(text, name, part):
    """The text with `part` between `<!-- name -->` and `<!-- end of name -->`, in place of what stands there."""
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if not all(mark in text for mark in marks):
        raise ValueError(f"the text needs the marks {' and '.join(marks)} around its {name}")
    before, _, rest = text.partition(marks[0])
    return f"{before}{marks[0]}\n{part}\n{marks[1]}{rest.partition(marks[1])[2]}"


def pages(rows):
    """The computed parts of each page: {path: {name: part}}."""
    return {
        PATH: {"headlines": headlines(rows), "sets": table3.sets(_by_set()), "study": _study()},
        RESULTS: {"verdicts": tables.markdown(rows), "table 3": _table_3()},
    }


def headlines(rows):
    """The table of README.md: the statements of `HEADLINES` on synthetic images and on real ones, and how all others fared.

    Where the study has not run with the paper's number of pixels, as on real images, the same statement of fewer stands in.
    """
    counted, lines = tables.decisive(rows), []
    for (notebook, name), words in HEADLINES.items():
        names = (name, name.removeprefix(tables.AT_PAPERS_SIZE))
        found = [row for of in names for row in counted if (row["notebook"], row["id"]) == (notebook, of)]
        found.sort(key=lambda row: row["data"] in _IN_ONE_NOTEBOOK)
        synthetic, real = (next(filter(of, found), None) for of in (tables.is_embedded, tables.is_real))
        shown = _cells(synthetic) if synthetic else ("", "**not run**")
        lines.append([words, *shown, *_cells(real), f"[{notebook[:2]}](notebooks/{notebook}.ipynb)"])
    head = ("", "synthetic images", "", "real images", "", "notebook")
    return f"{records.markdown_table(head, lines)}\n\n{_counts(rows)}"


def _counts(rows):
    whose = {"paper": "Of the paper's statements", "ours": "of ours"}
    told = [
        f"{whose[kind]}, {', '.join(f'{verdict}: {number}' for verdict, number in of.items() if number)}"
        for kind, of in tables.counts(rows).items()
    ]
    share, decided, _ = tables.false_share(rows)
    return f"{'; '.join(told)}. Of the {decided} decided, at most {100 * share:.0f}% are to be expected to be wrong."


def _study():
    """How much of the study is there, and the figures that are drawn from it, notebook by notebook."""
    folder, planned = _files.committed_folder(), results.chosen([], "study")
    lines = run_files.read(folder / STUDY)
    here = [line for config in planned if (line := lines.get(run_files.name(config)))]
    hours = sum(line["provenance"]["seconds"] for line in here) / 3600
    figures = {}
    for path in sorted(folder.glob("*.study*.png")):
        notebook, _, figure = path.stem.partition(".study")
        figures.setdefault(notebook, []).append(f"[{figure.strip('_') or 'main'}](figures/{path.name})")
    listed = "\n".join(f"- {notebook}: {', '.join(of)}" for notebook, of in figures.items())
    return f"Computed so far: {len(here)} of {len(planned)} runs, {hours:.1f} hours of a core.\n\n{listed}"


def _cells(row):
    measured = row is not None and row["seeds"]
    told = tables.told(row["value"], row["low"], row["high"], row["unit"]) if measured else ""
    return (told, f"**{row['verdict']}**") if measured else ("", "")


def _table_3():
    """On every set that was measured."""
    return "\n\n".join(table3.markdown(of, {title: ""}) for title, of in _by_set().items())


def _by_set():
    """The results of notebook 07 in the quick profile, by title of the data set: those of the default, and of other records."""
    default = results.recorded("07_igtt")
    others = {
        data: title for data, title in _SETS.items() if (_files.committed_folder() / f"07_igtt.{data}.json").is_file()
    }
    return {"synthetic ER": default, "synthetic mitochondria": default.of("mito-like")} | {
        title: results.recorded(f"07_igtt.{data}") for data, title in others.items()
    }


def renew():
    """Write the pages anew where a computed part of them has changed."""
    for path, parts in pages(tables.load()).items():
        old = path.read_text()
        if (new := renewed(old, parts)) != old:
            _files.atomic_write(path, new)
