"""The paper's statements about label families, applied to `runs.Results`: one function a statement or figure.

Each returns {id: (claim, what the paper says, `Verdict`)}. Results are those of a grid, seen through `Results.of`: another
network, or another data set, which then stands in id and claim.
"""

import numpy as np
from scipy import stats

from metalib.claims.verdicts import below, named, near, negative, not_tested, similar
from metalib.noise import recipes, transition
from metalib.noise.designs import matching_recipe
from metalib.noise.recipes import title

LARGEST_GAP = 7  # Dice points between CL and RCL, the largest that the paper finds
SAME_MIOU = 2  # mIoU points that count as no degradation; the paper's largest is 0.3, on 2,975 images of Cityscapes
TABLE_2 = {  # mIoU points that the paper loses against its 64.8 of clean labels
    **{"rcl_sample:0.5": "0.0 lost", "rcl_sample:0.3": "0.3 lost", "rcl_sample:0.1": "0.2 lost"},
    **{"rcl_flip:0.5": "0.1 lost", "rcl_flip:0.7": "0.2 lost", "rcl_flip:0.9": "0.1 lost"},
}


def rcl(results):
    """CL ≈ RCL at every level, and the largest gap (Figure 2, appendix C.3)."""
    clean = results.final("cl")
    noisy = {recipe: results.final(recipe) for recipe in results.recipes("rcl")}
    largest = min(noisy.values(), key=np.mean)
    stated = {
        f"cl_{recipe}": (f"CL ≈ {title(recipe)}", f"gap at most {LARGEST_GAP}", _near_clean(clean, values))
        for recipe, values in noisy.items()
    }
    stated["largest_gap"] = "largest gap between CL and RCL", "7", _near_clean(clean, largest)
    return named(stated, results.prefix)


def order(results):
    """RCL > PCL > RL (Eq. 1), with the strongest flips, the skeleton and RL(0.5)."""
    better = [results.final(recipe) for family in ("cl", "rcl", "pcl") for recipe in results.recipes(family)]
    strongest = results.strongest_flip()
    flipped, skeleton, random = map(results.final, (strongest, "pcl_skeleton", "rl:0.5"))
    stated = {
        "pcl_below_rcl": (f"PCL, skeleton < {title(strongest)}", "lower", below(skeleton, flipped)),
        "rl_below_all": ("RL, 0.5 < every CL, RCL and PCL", "lower", below(random, np.min(better, axis=0))),
    }
    return named(stated, results.prefix)


def beyond_scale(results):
    """The paper's flips of 0.49, `not tested` where a profile has no run of them."""
    if "rcl_flip:0.49" in results.runs:
        return {}
    verdict = not_tested("0.04% of such labels are effective: the paper profile has the pixels, this one has not")
    return {
        "cl_rcl_flip:0.49": ("CL ≈ RCL, 0.49 flipped", f"gap at most {LARGEST_GAP}", verdict),
        "rl_paradox_0.49": ("RL, 0.1 < RCL, 0.49 flipped", "lower", verdict),
    }


def constant_loss(results):
    """The loss of RCL and RL is constant early, that of CL and PCL is not (Figure 1C)."""
    flat = np.max([_loss_fall(results, recipe) for recipe in (results.strongest_flip(), "rl:0.5")], axis=0)
    falling = np.min([_loss_fall(results, recipe) for recipe in ("cl", "pcl_skeleton")], axis=0)
    return {
        "loss_constant": ("loss of RCL and RL falls by less than 2%", "constant", near(flat, 0, 2, "%")),
        "loss_falls": ("loss of CL and PCL falls by more (in %)", "not constant", below(flat, falling, "points")),
    }


def convergence(results, plus):
    """Randomization slows convergence down, especially that of DeepLabv3+, the results `plus` (text on Figure 2)."""
    claim = "0.45 flipped converges more slowly than CL (mean Dice over the run, in % of the last)"
    stated, lost = {}, []
    for of in (results, plus):
        clean, noisy = (_speed(of, recipe) for recipe in ("cl", "rcl_flip:0.45"))
        stated |= named({"slower": (claim, "slower with noise", below(noisy, clean, "points"))}, of.prefix)
        lost.append(clean - noisy)
    verdict = below(*lost, "points")
    return stated | {"slower_plus": ("flips slow the U-Net less than DeepLabv3+", "especially DeepLabv3+", verdict)}


def multiclass(results, classes):
    """No degradation in mIoU under sampling and flipping (Table 2), on a set of `classes` classes."""
    clean, matching = results.final("cl", "miou"), matching_recipe(classes)
    stated = {}
    for recipe in results.recipes("rcl"):
        claim, lost = f"CL ≈ {title(recipe)}, mIoU", TABLE_2.get(recipe, "0.1 lost")
        if recipe == matching:
            claim += " (eigenvalue 0.05, as 0.9 has with 19 classes)"
        elif transition.eigenvalues(recipes.matrix(recipe, classes))[-1].real < 0:
            claim += f" (beyond the critical level of {classes} classes)"
        verdict = similar(clean, results.final(recipe, "miou"), SAME_MIOU, "mIoU points")
        stated[f"same_{'matching' if recipe == matching else recipe}"] = claim, lost, verdict
    return stated


def perturbed(results):
    """Dilation and erosion degrade, the skeleton degrades further (Figure 5B, C.4B), and all are under RCL (Eq. 1)."""
    clean, *wide, skeleton = map(results.final, ("cl", "pcl_dilation:1", "pcl_erosion:1", "pcl_skeleton"))
    strongest, best = results.strongest_flip(), max(*wide, skeleton, key=np.mean)
    every = f"dilation, erosion and skeleton < {title(strongest)}"
    stated = {
        "dilation_below_cl": ("PCL, dilation < CL", "lower", below(wide[0], clean)),
        "erosion_below_cl": ("PCL, erosion < CL", "lower", below(wide[1], clean)),
        "skeleton_below_pcl": (
            "PCL, skeleton < dilation and erosion",
            "lower",
            below(skeleton, min(wide, key=np.mean)),
        ),
        "every_pcl_below_rcl": (every, "lower", below(best, results.final(strongest))),
    }
    return named(stated, results.prefix)


def theorem_1(results, distances):
    """More perturbation, worse training: rank correlation of {recipe: distance} with the Dice (Theorem 1)."""
    dice = np.array([results.final(recipe) for recipe in distances])  # (recipes, seeds)
    correlations = [stats.spearmanr(list(distances.values()), of_seed).statistic for of_seed in dice.T]
    verdict = negative(correlations, "rank correlation")
    claim = "the further the density from that of CL, the lower the Dice"
    return named({"theorem_1": (claim, "negative", verdict)}, results.prefix)


def _near_clean(clean, noisy):
    """`verdicts.similar` with the paper's margin; undecided where clean labels themselves vary by more than half of it."""
    verdict, varies = similar(clean, noisy, LARGEST_GAP), np.std(clean)
    reason = f"CL itself varies by {varies:.1f} points, margin {LARGEST_GAP}"
    return verdict._replace(verdict="not tested", reason=reason) if varies > LARGEST_GAP / 2 else verdict


def _loss_fall(results, run):
    """Fall of the loss from the second quarter of training to the last, in percent, (seeds,)."""
    quarters = np.array_split(results.runs[run]["loss"], 4, axis=1)
    return 100 * (1 - quarters[-1].mean(axis=1) / quarters[1].mean(axis=1))


def _speed(results, run):
    """Mean of the test Dice over the run, in percent of the last one, (seeds,): 100 if it converged before the first test."""
    rows = results.runs[run]["dice_at"]
    return 100 * rows.mean(axis=1) / rows[:, -1]
