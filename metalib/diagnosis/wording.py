"""A `Diagnosis` as one page of markdown, for somebody who has never read the paper."""

import numpy as np

from metalib.diagnosis import learnability
from metalib.diagnosis.learnability import GOAL
from metalib.diagnosis.structure import ERRORS
from metalib.runs import records

_SHIFTED = 0.05  # of the threshold of two classes, from which it is worth a word
_LOOKS = {
    "clean": "as if no pixel was flipped. Shifted boundaries or swapped classes would look the same",
    "flipped": "like a spatial pattern with wrong pixels scattered over it. Frayed boundaries would look the same",
    "skeleton-like": "like thin lines: nearly no foreground pixel lies in a block of 2 x 2",
    "random": "random: neighbours agree no more often than chance has it",
}
_FOUND = {
    "clean": "The labels agree with the clean masks.",
    "flipped": "Wrong pixels are scattered over the images, as many far from boundaries as near them.",
    "perturbed boundary": "The labels have a spatial pattern, but not that of the clean masks: boundaries are displaced.",
    "misnamed": "Some classes are labelled as another class more often than as themselves, or as two others alike.",
    "inverted": "The labels point to the wrong class more often than to the right one.",
    "random": "The labels do not depend on the clean masks.",
}
_DO = {
    "clean": "Train as it is.",
    "flipped": "Train as it is: a network averages the wrong pixels out.",
    "perturbed boundary": (
        "Redraw the boundaries of some masks, or train only on pixels away from them. More masks of this kind do not help: "
        "a network learns the displaced boundary."
    ),
    "skeleton-like": "Thin lines are learned as such. Widen them to the objects, or give clean masks of a few images.",
    "random": "Do not train on them. Without labels, `python -m metalib segment IMAGES OUT` (iGTT) segments bright objects.",
}


def report(found):
    """The page, as text."""
    parts = [_title(found), _labels(found), _structure(found), _noise(found), _expectation(found), _advice(found)]
    return "\n\n".join(parts)


def advice(found):
    """What to do, in one or two sentences."""
    if found.kind == "inverted" and found.classes == 2:
        return "Swap the two classes, and diagnose the labels again."
    if found.kind == "inverted":
        return (
            "Every class is learned as another: take the least likely class of the network, or correct the class ids."
        )
    if found.kind == "misnamed":
        return _decode(found)
    if found.kind == "flipped" and found.expected < GOAL:
        return _collect(found) + _threshold(found)
    text = _DO[found.kind]
    if found.sampled:
        text += " Leave the pixels without a label out of the loss."
    return text + _threshold(found)


def _title(found):
    known = "against clean masks" if found.against else "from the labels alone"
    what = _FOUND[found.kind] if found.against else f"The labels look {_LOOKS[found.kind]}."
    return f"# Labels: {found.kind} ({known})\n\n{what}\n**{advice(found)}**"


def _labels(found):
    shares = ", ".join(f"{label}: {share:.1%}" for label, share in enumerate(found.shares))
    missing = " The others are missing one by one, as if drawn at random." if found.sampled else ""
    size = " x ".join(map(str, found.shape))
    return (
        f"## What there is\n\n{found.masks} masks of {size} px; {found.labelled:.1%} of the pixels have a label."
        f"{missing}\nShare of each class: {shares}."
    )


def _structure(found):
    rows = [
        (f"{width} px", f"{of.value:.2%} ± {of.error:.2%}", "yes" if of.value > ERRORS * error else "no")
        for width, of, error in zip(found.widths, found.windows, found.by_chance, strict=True)
    ]
    return (
        "## Is there a pattern?\n\nPixels of one object share a label, so that labels with a pattern vary more from window to "
        "window than labels drawn one by one.\nShare of the variance that two pixels of a window have in common:\n\n"
        + records.markdown_table(("window", "in common", "beyond chance"), rows)
    )


def _noise(found):
    p, low, high = found.flips
    lines = [
        "## How much noise?",
        "",
        f"If the noise is flips of single pixels, {p:.1%} of the labels are flipped (95% interval {low:.1%} to {high:.1%}).",
        f"An image holds {found.bits:,.0f} bits about its clean mask; all masks together, {found.effective_px:,.0f} effective "
        "pixels (labels times signal over noise).",
    ]
    return "\n".join(lines + (_against(found) if found.against else []))


def _against(found):
    known = found.against
    cells = [["-" if np.isnan(share) else f"{share:.1%}" for share in row] for row in known.matrix]
    rows = [(f"clean {label}", *row) for label, row in enumerate(cells)]
    distances = ", ".join(f"{wrong:.1%}" for wrong in known.wrong_by_distance)
    return [
        "",
        f"Against {known.masks} clean masks, {known.wrong:.1%} of the labels are wrong; 1, 2, 3 and more px from a clean "
        f"boundary: {distances}.",
        f"Misleading structure: {known.bias:.1%} of all; wrong pixels a px of boundary: {known.shift_px:.2f}.",
        f"How often each class is labelled as which (rank {known.rank} of {found.classes} up to noise):",
        "",
        records.markdown_table(("", *(f"labelled {label}" for label in range(found.classes))), rows),
    ]


def _expectation(found):
    mode = learnability.MODES[found.against is not None]
    return (
        f"## What to expect\n\nLearnability {found.expected:.2f}, from {found.low:.2f} to {found.high:.2f}: 0 is a network that "
        "says one class everywhere, 1 one that was trained on clean labels of the same images.\n"
        f"The interval has the errors of 95% of the trained networks that the model ({mode}) was not fitted to"
        f"{'' if found.against else '; none of their classes was mostly labelled as another'}."
    )


def _advice(found):
    text = f"## What to do\n\n{advice(found)}"
    if found.against:
        return text
    return text + (
        f"\nClean masks of {learnability.CLEAN_MASKS} images (`--clean FOLDER`) would tell displaced boundaries and classes "
        "that are labelled as others, which labels alone do not show."
    )


def _decode(found):
    known = found.against
    said = [f"{label} as {answer}" for label, answer in enumerate(known.answers) if answer != label]
    text = f"A network would take class {', '.join(said)}."
    if known.rank < (known.prior > 0).sum():
        return text + " The labels do not tell these classes apart: merge them, or label some of their pixels anew."
    return (
        f"{text} Train as it is, but decode its answer: multiply its probabilities by the inverse of the table below, and take "
        f"the largest (learnability {found.decoded:.2f})."
    )


def _threshold(found):
    """Where noise is more frequent in one class, probabilities of both are shifted."""
    known = found.against
    if known is None or found.kind != "flipped" or found.classes != 2 or abs(known.threshold - 0.5) < _SHIFTED:
        return ""
    return (
        f" Its probabilities are shifted: call a pixel class 1 above {known.threshold:.0%}, not above 50%, or choose "
        "the threshold on clean masks."
    )


def _collect(found):
    if np.isinf(found.more):
        return "More labels of this kind do not reach nine tenths of what clean labels do: clean some of them."
    return (
        f"Collect more: {np.ceil(found.more * found.masks):,.0f} masks of this kind in place of {found.masks:,} are expected to "
        f"reach {GOAL:.0%} of the way to clean labels. Or clean some: every clean one counts as many of these."
    )
