"""The paper's statements about meta-structures, applied to the measurements of `metalib.lemmas`, in the form of
`metalib.statements`: each function returns {id: (claim, what the paper says, `claims.Verdict`)}.
"""

import numpy as np

from metalib import claims, lemmas, transition

CONTRAST_TOLERANCE = 0.02
COVERAGE_TOLERANCE = 3  # percent of pixels
LAW_TOLERANCE = 10  # percent of the area
WINDOWS = {"box": "box window", "gaussian": "Gaussian window"}
RECOVERED = 2  # percentage points: an error of class shares that counts as none


def figure_6(ranks, contrasts, flip):
    """Figure 6: ranks {"RCL", "RL": (seeds,)} and contrasts {(name, kernel): (seeds,)} of labels with flips `flip`."""
    expected = {"RCL": (1 - flip) / flip - 1, "RL": 0}  # of windows that lie in one area
    stated = {
        f"rank_{name.lower()}": (f"matrix of {name} has rank {rank}", f"{rank}", claims.near(ranks[name], rank, 0))
        for name, rank in (("RCL", 2), ("RL", 1))
    }
    words = {"RCL": "keeps the circle", "RL": "is flat"}
    return stated | {
        f"map_{name.lower()}_{kernel}": (
            f"density of {name} {words[name]}, {WINDOWS[kernel]}",
            f"theory: contrast {expected[name]:.3g}",
            claims.near(values, expected[name], CONTRAST_TOLERANCE),
        )
        for (name, kernel), values in contrasts.items()
    }


def lemma_1(coverages, corner):
    """Lemma 1: coverages {(scene, kernel): (seeds,) percent}; corner (seeds,), the sampling error there over the middle's."""
    stated = {
        f"lemma1_{scene.replace(' ', '_')}_{kernel}": (
            f"Lemma 1 within 1.96 standard errors: {scene}, {WINDOWS[kernel]}",
            "theory: 95% of pixels",
            claims.near(values, 95, COVERAGE_TOLERANCE, "%"),
        )
        for (scene, kernel), values in coverages.items()
    }
    constant = claims.near(corner, 1, 0.2)
    return stated | {"delta": ("sampling error δ in a corner over that in the middle", "constant: 1", constant)}


def window_law(areas):
    """The window law: areas {(p, z): (seeds,) px^2 measured}. For each z, the flips where the law is furthest off."""
    stated = {}
    for z in dict.fromkeys(z for _, z in areas):
        ratios = {p: 100 * of / lemmas.law_area(p, z) for (p, of_z), of in areas.items() if of_z == z}
        worst = max(ratios, key=lambda p: abs(np.mean(ratios[p]) - 100))
        about = f"worst of {len(ratios)} flips, at {worst}, {len(ratios[worst])} groups of draws"
        claim = f"window law: smallest area at z = {z:g}, in % of the law; {about}"
        stated[f"window_{z:g}"] = claim, "theory: 100%", claims.near(ratios[worst], 100, LAW_TOLERANCE, "%")
    return stated


def lemma_2(areas, ranks):
    """Lemma 2, D = R: {family: (seeds,)} areas told apart and ranks measured, for the matrices of `lemmas.FAMILIES`."""
    stated = {}
    for name, of in areas.items():
        rank = int(np.median(ranks[name]))
        claim = f"Lemma 2: areas told apart equal the rank; {len(lemmas.FAMILIES[name])} classes, {name}"
        stated[f"lemma2_{_key(name)}"] = claim, f"rank: {rank}", claims.near(of, rank, 0.05)
    return stated


def beyond_lemma_2(areas, errors):
    """What holds for every family: areas are distinct rows; the rank decides whether clean class shares come back."""
    rows = {name: lemmas.distinct_rows(lemmas.FAMILIES[name]) for name in areas}
    off = max((of - rows[name] for name, of in areas.items()), key=lambda of: np.abs(of).mean())
    full = {name for name, matrix in lemmas.FAMILIES.items() if transition.rank(matrix) == len(matrix)}
    worst = max((errors[name] for name in full), key=np.mean)
    best = min((of for name, of in errors.items() if name not in full), key=np.mean)
    lost = claims.below(np.full(len(best), RECOVERED), best, "points")
    return {
        "distinct_rows": (
            f"areas told apart are the distinct rows of the matrix; worst of {len(areas)} families, difference",
            "-",
            claims.near(off, 0, 0.05),
        ),
        "full_rank": (
            f"full rank: clean class shares come back within {RECOVERED} points; worst family, error",
            "-",
            claims.near(worst, 0, RECOVERED, " points"),
        ),
        "deficient_rank": (
            f"rank deficient: error beyond {RECOVERED} points, also where all areas are told apart; best family",
            "-",
            lost._replace(ours=f"error {best.mean():.1f} points"),
        ),
    }


def _key(name):
    """A family's name as an id: `flips, 0.3` -> `flips_0.3`."""
    return name.replace(",", "").replace(" ", "_").replace("/", "-")
