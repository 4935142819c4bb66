"""The parts of README.md and RESULTS.md that are computed: `python -m metalib readme` renews them from `figures/`."""

from collections import Counter

from metalib import _files
from metalib.claims import verdicts
from metalib.runs import records, results, table3

PATH, RESULTS = _files.ROOT / "README.md", _files.ROOT / "RESULTS.md"
# What a newcomer wants to know: notebook and id of the statement behind it, and plain words, a line each.
_HEADLINES = """
02_training_curves cl_rcl_sample:0.1 a tenth of the clean pixels trains as well as all of them
02_training_curves cl_rcl_flip:0.4 masks with 40% of the pixels flipped train about as well as clean ones
02_training_curves cl_rcl_flip:0.45 so do masks with 45% flipped
04_perturbed_labels every_pcl_below_rcl dilated, eroded and thinned masks train worse than those
05_random_labels rl_paradox random masks train worse, though fewer of their pixels are wrong
02_training_curves loss_constant under flips and random labels the loss hardly falls
03_multiclass_labels same_matching with many classes, flips just under the critical level cost nothing
03_multiclass_labels critical_6 at the critical level, where the noise matrix loses its rank, training fails
04_perturbed_labels theorem_1 the further the labels' density from that of clean ones, the worse (Theorem 1)
06_meta_structure_maps lemma1_circle_box densities of noisy labels are what Lemma 1 predicts
06_meta_structure_maps lemma2_one_row_between_two areas that can be told apart are as many as the rank (Lemma 2)
13_full_rank as_clean any noise of full rank trains about as well as clean labels (Theorem 2)
07_igtt above_otsu iGTT, by the paper's text, beats Otsu's threshold
07_igtt plus_above_otsu iGTT+, our version, beats Otsu's threshold
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
        PATH: {"headlines": headlines(rows)},
        RESULTS: {"verdicts": verdicts.markdown(rows), "table 3": _table_3()},
    }


def headlines(rows):
    """The table of README.md: the statements of `HEADLINES` on drawn and on real images, and how all others fared."""
    head, lines = ("", "drawn images", "", "real images", "", "notebook"), []
    for (notebook, name), words in HEADLINES.items():
        found = [row for row in rows if (row["notebook"], row["id"], row["profile"]) == (notebook, name, "quick")]
        drawn, real = (next(filter(of, found), None) for of in (verdicts.is_embedded, verdicts.is_real))
        lines.append([words, *_cells(drawn), *_cells(real), f"[{notebook[:2]}](notebooks/{notebook}.ipynb)"])
    counts = Counter(row["verdict"] for row in rows if row["seeds"])
    told = ", ".join(f"{verdict}: {counts[verdict]}" for verdict in ("holds", "fails", "not tested"))
    told = f"All statements that were measured, {sum(counts.values())}: {told}."
    return f"{records.markdown_table(head, lines)}\n\n{told}"


def _cells(row):
    measured = row is not None and row["seeds"]
    return (f"{row['ours']} ± {row['spread']}", f"**{row['verdict']}**") if measured else ("", "")


def _table_3():
    """On the drawn sets and, where they were measured, on real nuclei."""
    shown = {"": {"er-like": "", "mito-like": "mito-like"}}
    if (_files.committed_folder() / "07_igtt.nuc.json").is_file():
        shown["nuc"] = {"nuc (real nuclei)": ""}
    found = {data: results.page("07_igtt", "quick", data, "record").results() for data in shown}
    return "\n\n".join(table3.markdown(found[data], prefixes) for data, prefixes in shown.items())


def renew():
    """Write the pages anew where a computed part of them has changed."""
    for path, parts in pages(verdicts.load()).items():
        old = path.read_text()
        if (new := renewed(old, parts)) != old:
            _files.atomic_write(path, new)
