"""The paper's statements about label families, applied to `runs.Results`: one function a statement or figure.

Each returns {id: (claim, what the paper says, `Verdict`)}. Results are those of a grid, seen through `Results.of`: another
network, number of images or data set, which then stands in id and claim, or in the row's data.
"""

import numpy as np

from metalib.claims.convergence import leaning
from metalib.claims.tables import named
from metalib.claims.verdicts import below, beneath, equal, every, not_run, ranked_down, similar, unless
from metalib.noise import recipes, transition
from metalib.noise.designs import equal_bits_recipe, matching_recipe
from metalib.noise.recipes import title

LARGEST_GAP = 7  # Dice points between CL and RCL, the largest that the paper finds
SAME_MIOU = 2  # mIoU points that count as no degradation; the paper's largest is 0.3, on 2,975 images of Cityscapes
SAME_LOSS = 2  # percent: a fall of the loss that counts as none
TABLE_2 = {  # mIoU points that the paper loses against its 64.8 of clean labels
    **{"rcl_sample:0.5": "0.0 lost", "rcl_sample:0.3": "0.3 lost", "rcl_sample:0.1": "0.2 lost"},
    **{"rcl_flip:0.5": "0.1 lost", "rcl_flip:0.7": "0.2 lost", "rcl_flip:0.9": "0.1 lost"},
}
CLOSE_TO_LAST = 0.95  # of the last Dice: where a training is said to have converged
_FLIPS = ("rcl_flip:0.45", "rcl_flip:0.49")  # which the paper compares with PCL and RL


def rcl(results, leave=()):
    """CL ≈ RCL at every level, and the largest gap (Figure 2, appendix C.3). leave: recipes on which nothing is stated."""
    clean = results.score("cl")
    levels = [recipe for recipe in results.recipes("rcl") if recipe not in leave]
    gaps = {recipe: _near_clean(clean, results.score(recipe)) for recipe in levels}
    stated = {
        f"cl_{recipe}": (f"CL ≈ {title(recipe)}", f"gap at most {LARGEST_GAP}", verdict)
        for recipe, verdict in gaps.items()
    }
    if len(gaps) > 1 and not leave:
        stated["largest_gap"] = (
            f"CL ≈ RCL at all {len(gaps)} levels",
            f"gap at most {LARGEST_GAP}",
            every(gaps.values()),
        )
    return named(leaning(results, stated), results.prefix)


def order(results, leave=()):
    """RCL > PCL > RL (Eq. 1); leave: as of `rcl`."""
    better = [results.score(recipe) for family in ("cl", "rcl", "pcl") for recipe in results.recipes(family)]
    stated = {}
    if "rl:0.5" in results.runs:
        lowest = every(below(results.score("rl:0.5"), score) for score in better)
        stated["rl_below_all"] = "RL, 0.5 < every CL, RCL and PCL", "lower", lowest
    for flips in flips_of(results, leave) * ("pcl_skeleton" in results.runs):
        skeleton = below(results.score("pcl_skeleton"), results.score(flips))
        stated[f"pcl_below_{flips}"] = f"PCL, skeleton < {title(flips)}", "lower", skeleton
    return named(leaning(results, stated), results.prefix)


def constant_loss(results):
    """The loss of RCL and RL is constant early, that of CL and PCL is not (Figure 1C)."""
    flat = [_loss_fall(results, recipe) for recipe in (flips_of(results)[0], "rl:0.5")]
    falling = [_loss_fall(results, recipe) for recipe in ("cl", "pcl_skeleton")]
    constant = every(equal(of, 0, SAME_LOSS, "%") for of in flat)
    falls = every(below(level, fall, "points") for level in flat for fall in falling)
    stated = {
        "loss_constant": (f"loss of RCL and RL changes by less than {SAME_LOSS}%", "constant", constant),
        "loss_falls": ("loss of CL and PCL falls by more (in %)", "not constant", falls),
    }
    return named(stated, results.prefix)


def convergence(results, plus):
    """Randomization slows convergence down, especially that of DeepLabv3+, the results `plus` (text on Figure 2)."""
    stated, lost = {}, []
    for of in (results, plus):
        clean = steps_to_settle(of, "cl")
        slower = {}
        for name, recipe in (("slower", "rcl_flip:0.45"), ("slower_sampled", "rcl_sample:0.1")):
            if recipe in of.runs:
                claim = f"CL reaches {100 * CLOSE_TO_LAST:.0f}% of its last Dice in fewer steps than {title(recipe)}"
                verdict = below(clean, steps_to_settle(of, recipe), "% of the steps")
                slower[name] = claim, "slower with noise", verdict
        stated |= named(slower, of.prefix)
        lost.append(steps_to_settle(of, "rcl_flip:0.45") - clean)
    verdict = below(*lost, "% of the steps")
    return stated | {"slower_plus": ("flips slow the U-Net less than DeepLabv3+", "especially DeepLabv3+", verdict)}


def steps_to_settle(results, run):
    """Share of the steps, in percent, after which the test Dice is within 95% of its last value for good, (seeds,)."""
    shares, found = 100 * results.runs[run]["epoch"] / results.runs[run]["epoch"][:, -1:], []
    for share, dice in zip(shares, results.runs[run]["dice_at"], strict=True):
        under = np.flatnonzero(dice < CLOSE_TO_LAST * dice[-1])
        if not under.size:
            found.append(share[0])
            continue
        last = under[-1]  # the last test under it; between it and the next the curve is taken for straight
        reached = (CLOSE_TO_LAST * dice[-1] - dice[last]) / (dice[last + 1] - dice[last])
        found.append(share[last] + reached * (share[last + 1] - share[last]))
    return np.array(found)


def multiclass(results, classes):
    """No degradation in mIoU under sampling and flipping (Table 2), on a set of `classes` classes.

    The paper's 0.9 of 19 classes stands for what it leaves of a label: flips of as many bits are its statement here, flips of
    the same eigenvalue are ours.
    """
    clean = results.score("cl", "miou")
    special = {  # with 19 classes both are the same
        matching_recipe(classes): ("matching", "the eigenvalue of 0.9 of 19 classes", "-"),
        equal_bits_recipe(classes): ("equal_bits", "as many bits as 0.9 of 19 classes", TABLE_2["rcl_flip:0.9"]),
    }
    stated = {}
    for recipe in results.recipes("rcl"):
        name, words, lost = special.get(recipe, (recipe, "", TABLE_2.get(recipe, "-")))
        if not words and transition.eigenvalues(recipes.matrix(recipe, classes))[-1].real < 0:
            words, lost = f"beyond the critical level of {classes} classes", "-"
        verdict = similar(clean, results.score(recipe, "miou"), SAME_MIOU, "mIoU points")
        stated[f"same_{name}"] = f"CL ≈ {title(recipe)}, mIoU{f' ({words})' * bool(words)}", lost, verdict
    return leaning(results, stated)


def cost_at_papers_size(law, margin, words, unit):
    """Would flips cost less than `margin` points with the paper's number of pixels? law: of the cost, see `laws.power_law`."""
    claim = f"{words}: with as many labelled pixels as the paper's less than {margin} {unit} lost (law, extrapolated)"
    return claim, "-", beneath(law, np.log10(margin), f"log10 {unit}")


def perturbed(results, leave=()):
    """Dilation and erosion degrade, the skeleton degrades further (Figure 5B, C.4B), and all are under RCL (Eq. 1).

    leave: as of `rcl`.
    """
    clean, dilated, eroded, skeleton = map(results.score, ("cl", "pcl_dilation:1", "pcl_erosion:1", "pcl_skeleton"))
    stated = {
        "dilation_below_cl": ("PCL, dilation < CL", "lower", below(dilated, clean)),
        "erosion_below_cl": ("PCL, erosion < CL", "lower", below(eroded, clean)),
        "skeleton_below_pcl": (
            "PCL, skeleton < dilation and erosion",
            "lower",
            every(below(skeleton, wide) for wide in (dilated, eroded)),
        ),
    }
    for flips in flips_of(results, leave):
        under = every(below(of, results.score(flips)) for of in (dilated, eroded, skeleton))
        stated[f"every_pcl_below_{flips}"] = f"dilation, erosion and skeleton < {title(flips)}", "lower", under
    return named(leaning(results, stated), results.prefix)


def theorem_1(results, measures):
    """Worse labels, worse training: rank correlation of {measure: {recipe: value}} with the Dice, the paper's and its rivals.

    The first measure is ours for the paper's perturbation of the density; the others need no density.
    """
    stated = {}
    for measure, of in measures.items():
        dice = np.array([results.final(recipe) for recipe in of])  # (recipes, seeds)
        paper = "-" if stated else "negative"
        verdict = ranked_down(list(of.values()), dice)
        stated[f"ranks_{measure.replace(' ', '_')}"] = f"the larger the {measure}, the lower the Dice", paper, verdict
    return named(leaning(results, stated), results.prefix)


def more_biased(distances):
    """Theorem 1 as it is worded, on labels alone: {operation: {strength: (images,) distances of densities}} grow with it."""
    stated = {}
    for name, of in distances.items():
        steps = [below(of[weak], of[strong], "of the density") for weak, strong in zip(of, list(of)[1:], strict=False)]
        claim = f"the stronger the {name}, the further the density from that of CL ({', '.join(map(str, of))} passes)"
        stated[f"biased_{name.replace(' ', '_')}"] = claim, "more perturbation", every(steps)
    return stated


def study_only(leave):
    """Rows of `rcl` that say `not run` for recipes which a profile leaves to the study."""
    verdict = not_run("only the study has the labelled pixels for it: make figures PROFILE=study")
    return {f"cl_{recipe}": (f"CL ≈ {title(recipe)}", f"gap at most {LARGEST_GAP}", verdict) for recipe in leave}


def flips_of(results, leave=()):
    """Of the flips that the paper compares with PCL and RL those that the results have, without some."""
    return [recipe for recipe in _FLIPS if recipe in results.runs and recipe not in leave]


def _near_clean(clean, noisy):
    """`verdicts.similar` with the paper's margin; undecided where clean labels themselves vary by more than half of it."""
    varies = np.std(clean.values)
    reason = f"CL itself varies by {varies:.1f} points, margin {LARGEST_GAP}" if varies > LARGEST_GAP / 2 else ""
    return unless(similar(clean, noisy, LARGEST_GAP), reason)


def _loss_fall(results, run):
    """Fall of the loss from the second quarter of training to the last, in percent, (seeds,)."""
    quarters = np.array_split(results.runs[run]["loss"], 4, axis=1)
    return 100 * (1 - quarters[-1].mean(axis=1) / quarters[1].mean(axis=1))
