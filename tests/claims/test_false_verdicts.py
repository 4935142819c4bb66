"""How often each rule decides wrongly where the truth lies exactly at its margin: 5% by design, under 6% as simulated.

Rules are applied to many draws at once by what stands at the top, which agrees with them on single draws.
"""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from metalib.claims import verdicts
from metalib.claims.estimates import Estimate, difference
from metalib.runs.results import Score

DRAWS, MOST = 40000, 0.06


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def below(found, bound=0.0):
    """`Estimate.chance_below` of an `Estimate` of arrays (draws, ...)."""
    return stats.t.cdf((found.mean - bound) / found.error, found.dof)


def above(found, bound=0.0):
    return below(found._replace(mean=-found.mean), -bound)


def paired(differences):
    """`difference` of seeds that belong together, (draws, ..., seeds)."""
    n = differences.shape[-1]
    return Estimate(differences.mean(axis=-1), differences.var(axis=-1, ddof=1) / n, 0.0, n, 0, n - 1)


def welch(first, second):
    """`difference` of samples (draws, seeds) that have nothing to do with each other."""
    parts = [of.var(axis=-1, ddof=1) / of.shape[-1] for of in (first, second)]
    total = sum(parts)
    dof = total**2 / sum(part**2 / (of.shape[-1] - 1) for part, of in zip(parts, (first, second), strict=True))
    return Estimate(
        first.mean(axis=-1) - second.mean(axis=-1), total, 0.0, min(first.shape[-1], second.shape[-1]), 0, dof
    )


def share(chances):
    return np.mean(chances <= verdicts.LEVEL)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_similar_and_below_at_their_margin(seeds, rng):
    noise = rng.normal(size=(DRAWS, seeds))
    found = paired(noise)
    for chances in (below(found), above(found)):
        assert 0.045 < share(chances) < MOST
    draws = noise[:10]
    assert [verdicts.below(of, 0).p_holds for of in draws] == pytest.approx(below(found)[:10])
    assert [verdicts.similar(90, 83 + of, 7).p_holds for of in draws] == pytest.approx(above(found)[:10])
    assert [verdicts.similar(90, 83 + of, 7).p_fails for of in draws] == pytest.approx(below(found)[:10])


@pytest.mark.parametrize("margin", [0, 0.1, 0.3, 1, 3])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_equal_and_near_at_their_margin(seeds, margin, rng):
    values = margin + rng.normal(size=(DRAWS, seeds))
    found = paired(values)
    holds = np.maximum(above(found, -margin), below(found, margin))
    fails = np.minimum(above(found, -margin) + above(found, margin), below(found, -margin) + below(found, margin))
    assert share(holds) < MOST
    assert share(fails) < MOST
    for rule in (lambda of: verdicts.equal(of, 0, margin), lambda of: verdicts.near(10 + of, 10, margin)):
        decided = [rule(of) for of in values[:10]]
        assert [of.p_holds for of in decided] == pytest.approx(holds[:10])
        assert [of.p_fails for of in decided] == pytest.approx(np.minimum(1, fails)[:10])


def family(rng, seeds, members, at_margin, correlation):
    """Differences (draws, members, seeds) that share noise; but for the first ones they clearly lie below 0."""
    shared = rng.normal(size=(DRAWS // 4, 1, seeds))
    noise = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=(DRAWS // 4, members, seeds))
    return noise - 20 * (np.arange(members) >= at_margin)[:, None]


@pytest.mark.parametrize("correlation", [0, 0.8])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_families_with_one_or_with_all_members_at_the_margin(seeds, correlation, rng):
    one, every = (family(rng, seeds, 14, at_margin, correlation) for at_margin in (1, 14))
    holds = below(paired(one)).max(axis=1)
    fails = 14 * above(paired(every)).min(axis=1)
    assert share(holds) < MOST
    assert share(fails) < MOST
    assert share(below(paired(every)).max(axis=1)) < MOST
    decided = [verdicts.every(verdicts.below(of, 0) for of in members) for members in one[:8]]
    assert [of.p_holds for of in decided] == pytest.approx(holds[:8])
    decided = [verdicts.every(verdicts.below(of, 0) for of in members) for members in every[:8]]
    assert [of.p_fails for of in decided] == pytest.approx(np.minimum(1, fails)[:8])


@pytest.mark.parametrize("ratio", [0.01, 0.1, 1, 10, 100])
def test_unpaired_samples_of_unequal_variances(ratio, rng):
    first, second = np.sqrt(ratio) * rng.normal(size=(DRAWS, 5)), rng.normal(size=(DRAWS, 3))
    found = welch(first, second)
    assert share(below(found)) < MOST
    assert share(above(found)) < MOST
    decided = [verdicts.below(*of, paired=False).p_holds for of in zip(first[:10], second[:10], strict=True)]
    assert decided == pytest.approx(below(found)[:10])


@pytest.mark.parametrize("at_most", [0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("runs", [3, 10, 30])
def test_shares_at_their_margin(runs, at_most):
    """Exactly, since counts are few."""
    found = [verdicts.rare(count, runs, at_most, "inverted").verdict for count in range(runs + 1)]
    chance = stats.binom.pmf(range(runs + 1), runs, at_most)
    for decided in ("holds", "fails"):
        assert chance[np.array(found) == decided].sum() <= verdicts.LEVEL


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_spreads_at_their_margin(seeds, rng):
    values = rng.normal(0, 2, (DRAWS, seeds))
    ratio = (seeds - 1) * values.var(axis=1, ddof=1) / 2**2
    holds, fails = stats.chi2.cdf(ratio, seeds - 1), stats.chi2.sf(ratio, seeds - 1)
    assert 0.045 < share(holds) < MOST
    assert 0.045 < share(fails) < MOST
    assert [verdicts.steady(of, 2).p_holds for of in values[:10]] == pytest.approx(holds[:10])


@pytest.mark.parametrize("recipes", [3, 4, 5, 6])
def test_orders_that_mean_nothing(recipes):
    """Exactly: each order of exchangeable recipes is as likely as any other."""
    orders = [np.array(order)[:, None] * np.ones(3) for order in permutations(range(recipes))]
    found = [verdicts.ranked_down(range(recipes), scores).verdict for scores in orders]
    for decided in ("holds", "fails"):
        assert found.count(decided) / len(found) <= verdicts.LEVEL


# Pooled scores of two methods, which differ by nothing but chance: of seeds, of test images, and of both.

SPREADS = {  # standard deviations of the share that is right: of a seed, of an image, and of a seed on an image
    "seeds": (0.03, 0.03, 0.0),
    "seeds and images": (0.015, 0.08, 0.0),
    "images": (0.005, 0.1, 0.02),
    "interaction": (0.01, 0.03, 0.15),
}


def draw(rng, draws, seeds, images, spreads):
    """Twice the true positives of two methods, (2, draws, seeds, images), and the pixels of both masks, (draws, 1, images)."""
    shapes = (draws, seeds, 1), (draws, 1, images), (draws, seeds, images)
    noise = rng.standard_normal
    right = 0.8 + sum(spread * noise((2, *shape), np.float32) for spread, shape in zip(spreads, shapes, strict=True))
    both = np.exp(0.5 * noise((draws, 1, images), np.float32))
    return right * both, both


def with_images(right, both):
    """`difference` of the two scores of each draw."""
    off, pixels, images = right[0] - right[1], both.sum(axis=-1), both.shape[-1]
    found = paired(100 * off.sum(axis=-1) / pixels)
    off = off.mean(axis=1)
    without = 100 * (off.sum(axis=-1, keepdims=True) - off) / (pixels - both[:, 0])
    return found._replace(of_images=(images - 1) * without.var(axis=-1), images=images)


def score(right, both):
    """`Score` of one draw (seeds, images) of one method, as a run keeps it."""
    total = right.sum(axis=1, keepdims=True)
    return Score(100 * total[:, 0] / both.sum(), 100 * (total - right) / (both.sum() - both))


@pytest.mark.parametrize("spreads", SPREADS.values(), ids=SPREADS)
@pytest.mark.parametrize("images", [24, 48])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_errors_that_come_from_seeds_and_images(seeds, images, spreads, rng):
    right, both = draw(rng, 5000, seeds, images, spreads)
    found = with_images(right, both)
    # Either side is as likely to be wrong, so that both count.
    assert (share(below(found)) + share(above(found))) / 2 < MOST
    for place in range(10):
        single = difference(*(score(of[place], both[place]) for of in right))
        assert single.chance_below(0) == pytest.approx(below(found)[place], rel=1e-3)


def test_errors_of_seeds_alone_would_decide_wrongly_where_images_vary(rng):
    right, both = draw(rng, 6000, 10, 24, SPREADS["images"])
    seeds_alone = with_images(right, both)._replace(of_images=0.0)
    assert share(below(seeds_alone)) > 0.2


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_degrees_of_freedom_whatever_part_of_the_variance_the_seeds_have(seeds, part, rng):
    dof, images = seeds - 1, 48
    of_seeds, of_images = (
        part * rng.chisquare(dof, 10 * DRAWS) / dof,
        (1 - part) * rng.chisquare(images - 1, 10 * DRAWS) / (images - 1),
    )
    found = Estimate(rng.normal(size=10 * DRAWS), of_seeds, of_images, seeds, images, dof)
    assert share(below(found)) < 0.053
    satterthwaite = found.error**4 / (of_seeds**2 / dof + of_images**2 / (images - 1))
    if (seeds, part) == (3, 0.9):
        assert share(stats.t.cdf(found.mean / found.error, satterthwaite)) > MOST
