"""The model of learnability: its fit, its record, its statements, and cleanlab's score beside it."""

import numpy as np
import pytest

from metalib import datasets, experiments, labels, learnability, statements_diagnosis
from metalib.learnability import MODES, Model, Pair

TRUE = Model(e0=800.0, a=0.7, b=2.2, error={})


def made(count, rng, noise=0.0, fit=False):
    """Pairs that follow TRUE, but for noise."""
    effective, bias = 10 ** rng.uniform(1, 6, count), rng.uniform(0, 0.7, count)
    trained = TRUE.predict(effective, bias) + noise * rng.normal(size=count)
    about = dict(notebook="", name="", data="x", recipe="rcl_flip:0.2", model="unet", classes=2, images=9, fit=fit)
    return [
        Pair(
            **about,
            **dict(trained=float(t), spread=0.0, seeds=3, alone=float(e), effective=float(e), bias=float(b)),
            **dict(inverted=False, wrong=0.2, flipped=0.2, found=0.2 + 1e-6 * place, low=0.19, high=0.21),
        )
        for place, (t, e, b) in enumerate(zip(trained, effective, bias, strict=True))
    ]


def statements_of(pairs, model=None, rng=None):
    model = model or learnability.fit(pairs)
    found = statements_diagnosis.every(pairs, model, fitted=False, rng=rng or np.random.default_rng(0))
    return {name: verdict.verdict for name, (_, _, verdict) in found.items()}


def test_the_fit_finds_the_parameters_behind_pairs(rng):
    found = learnability.fit(made(20, rng, fit=True) + made(40, rng, noise=0.1))
    assert found[:3] == pytest.approx(TRUE[:3], rel=0.01)
    assert 0.1 < found.error[MODES[1]] < 0.35  # 1.96 times the noise
    with pytest.raises(ValueError, match="0 pairs to fit"):
        learnability.fit(made(9, rng))


def test_predictions_rise_with_pixels_and_fall_with_bias():
    assert (np.diff(TRUE.predict(np.logspace(0, 7, 30))) > 0).all()
    assert (np.diff(TRUE.predict(1e5, np.linspace(0, 1, 30))) < 0).all()
    assert TRUE.predict(0.0) == pytest.approx(0, abs=1e-6)
    assert TRUE.predict(1e6, 0.0, True) == TRUE.predict(1e6, 1.0) == 0


def test_statements_hold_and_fail(rng):
    fitted, held = made(20, rng, fit=True), made(60, rng, noise=0.02)
    found = statements_of(fitted + held)
    assert found == dict(
        ranks_clean="holds",
        ranks_alone="fails",
        above_wrong="holds",
        flips_covered="holds",
        learnability_covered="holds",
    )
    turned = [pair._replace(trained=1 - pair.trained, low=0.3, high=0.4) for pair in held]
    against = statements_of(fitted + turned, learnability.fit(fitted + held))
    assert {against[name] for name in ("ranks_clean", "ranks_alone", "flips_covered")} == {"fails"}
    assert against["learnability_covered"] == "fails"
    assert statements_of(fitted + held[:10])["ranks_clean"] == "not tested"


def test_the_ceiling_is_what_seeds_allow(rng):
    held = made(40, rng)
    assert statements_diagnosis.ceiling(held, MODES[1], rng) == 1
    shaky = [pair._replace(spread=0.5) for pair in held]
    assert 0.3 < statements_diagnosis.ceiling(shaky, MODES[1], rng) < 0.95
    wrong = [pair._replace(recipe="pcl_skeleton", trained=1 - pair.trained) for pair in made(40, rng)]
    assert statements_diagnosis.reached(held + wrong, TRUE, MODES[1]) < 0.5
    assert statements_diagnosis.reached(held + wrong, TRUE, MODES[1], ("pcl",)) == pytest.approx(1)


def test_rank_correlation_and_its_interval(rng):
    x = rng.normal(size=60)
    value, low, high = learnability.rank_correlation(x, x + rng.normal(size=60), rng)
    assert -1 < low < value < high < 1
    assert learnability.rank_correlation(x, x**3, rng) == pytest.approx((1, 1, 1))


def test_the_recorded_model_follows_from_its_pairs():
    pairs, model = learnability.study(source="record")
    again = learnability.fit(pairs)
    assert again[:3] == pytest.approx(model[:3], rel=1e-2)  # pairs have six digits
    assert again.error == pytest.approx(model.error, rel=1e-2)
    held = [pair for pair in pairs if not pair.fit]
    assert len(held) >= statements_diagnosis.LEAST_PAIRS
    assert {"mito-like", "nuc-like", "street-like", "street-like-2", "street-like-3"} <= {pair.data for pair in held}
    assert any("deeplabv3plus" in pair.model for pair in held)
    assert min(pair.images for pair in held) == 8


def test_recorded_pairs_follow_from_their_labels_and_runs():
    """Labels of the runs on eight images are made and diagnosed again; their training is in the record of notebook 10."""
    results = experiments.results("10_effective_pixels", "quick", source="record")
    stored = {pair.name: pair for pair in learnability.study(source="record")[0]}
    again = [name for name in results.runs if name.startswith("n8 rcl")]
    assert again
    for name in again:
        shared = {key: value for key, value in results.config.items() if key != "runs"}
        shown, _ = learnability._features(shared | results.config["runs"][name])
        for part in ("alone", "effective", "bias", "wrong", "found", "low", "high"):
            assert getattr(stored[name], part) == pytest.approx(shown[part], rel=1e-4, abs=1e-9), (name, part)
        floor = 100 * results.all_foreground(name)
        share = (results.final(name) - floor) / (results.final("n8 cl") - floor)
        assert stored[name].trained == pytest.approx(share.mean(), rel=1e-4)


def test_runs_that_are_no_pairs():
    names = [(pair.name, pair.data) for pair in learnability.study(source="record")[0]]
    assert len(set(names)) == len(names)
    assert not [name for name, _ in names if name.endswith((" cl", "rl:0")) or name in ("cl", "rl:0")]


def test_cleanlab_scores_the_same_labels(rng):
    """cleanlab ranks masks by predicted probabilities; given the clean masks themselves, its best case, beside our order."""
    rank = pytest.importorskip("cleanlab.segmentation.rank", reason="cleanlab is not installed: pip install cleanlab")
    clean = datasets.load("er-like", "train", size=64, limit=8).labels
    probabilities = np.stack([0.95 - 0.9 * clean, 0.05 + 0.9 * clean], axis=1)
    pairs = {
        pair.recipe: pair for pair in learnability.study(source="record")[0] if pair.fit and pair.name == pair.recipe
    }
    recipes = [recipe for recipe in pairs if not recipe.startswith("rcl_sample")]  # it has no label to ignore
    noisy = {recipe: labels.make(recipe, clean, rng) for recipe in recipes}
    scores = [rank.get_label_quality_scores(noisy[r], probabilities, verbose=False)[0].mean() for r in recipes]
    model = learnability.load()
    trained = [pairs[recipe].trained for recipe in recipes]
    ours = learnability.rank_correlation(
        [learnability.predicted(model, pairs[r], MODES[1]) for r in recipes], trained, rng
    )
    theirs = learnability.rank_correlation(scores, trained, rng)
    print(f"rank correlation with training: ours {ours[0]:.2f}, cleanlab {theirs[0]:.2f}")
    assert ours[0] > theirs[0]
