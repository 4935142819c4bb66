"""Methods that see no label, under one call."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from small_runs import SMALL, method

from metalib.data import datasets
from metalib.networks import metrics
from metalib.unsupervised import methods, selection
from metalib.unsupervised.config import MethodConfig

LEARN = tuple(SMALL)


def found(history):
    """A history without its time."""
    return asdict(history) | {"seconds": None}


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_gives_a_mask_and_its_metrics(name):
    history = methods.run(replace(method(name), test=1))
    truth = datasets.load("er-like", "test", size=32, limit=1).labels[0]
    example = np.array(history.example)
    assert example.shape == truth.shape
    assert set(np.unique(example)) <= {0, 1}
    of_evaluate = metrics.evaluate(np.zeros((1, 4, 4)), np.eye(4, dtype=np.uint8)[None]).keys()
    assert history.test.keys() == of_evaluate | {"dice_lenient"}
    assert history.test["dice_lenient"][0] >= history.test["dice_best_image"][0] - 1e-6
    assert all(len(values) == 1 and np.isfinite(values).all() for values in history.test.values())
    assert all(0 <= values[0] <= 1 for values in history.test.values())
    assert history.test["dice_half"] == [pytest.approx(f1_score(truth.ravel(), example.ravel()))]
    assert history.test["balanced"] == history.test["balanced_image"]
    assert bool(history.labels) == (name == "igtt")
    assert history.seconds > 0


@pytest.mark.parametrize("used", [False, True])
def test_igtt_tells_what_its_choice_rests_on_and_what_it_chose_from(used, monkeypatch):
    """Of a network that is used the Dice is the network's, else that of the best thresholds."""
    choice = selection.Choice(False, used, 0.3, 0.2, 0.05, 0.15)
    few = selection.Choice(False, used, 0.3, 0.2, None, None)
    monkeypatch.setattr(selection, "choice", lambda *_: few)
    assert np.isnan(methods.run(method("igtt")).labels["low"]).all()
    monkeypatch.setattr(selection, "is_noise", lambda _: False)
    monkeypatch.setattr(selection, "saving", lambda *_: 1.0)
    monkeypatch.setattr(selection, "choice", lambda *_: choice)
    history = methods.run(method("igtt"))
    told = history.labels
    assert [told[name] for name in choice._fields] == [[value] for value in choice]
    assert history.test["dice_half"] == told["dice_network" if used else "dice_base"]
    assert told["dice_network"] != told["dice_base"]


def test_a_lenient_dice_does_not_see_that_scores_are_inverted(rng):
    labels = (rng.random((3, 16, 16)) < 0.3).astype(np.uint8)
    scores = (labels * 0.2 + 0.4 + 0.3 * rng.random(labels.shape)).astype(np.float32)
    found = methods._lenient(scores, labels)
    assert found == pytest.approx(methods._lenient(1 - scores, labels))
    at = [
        [f1_score(y.ravel(), s.ravel() > t) for t in np.append(-1, np.unique(s))]
        for s, y in zip(scores, labels, strict=True)
    ]
    assert found == pytest.approx(np.mean([max(of) for of in at]), abs=1e-3)


@pytest.mark.parametrize("name", LEARN)
def test_a_seed_fixes_what_learns(name):
    plain = dict(accept="all") if name == "igtt" else {}  # else the masks may be those of a threshold
    first = found(methods.run(method(name, **plain)))
    assert found(methods.run(method(name, **plain))) == first
    assert methods.run(method(name, seed=1, **plain)).test["auc"] != first["test"]["auc"]


@pytest.mark.parametrize("name", sorted(methods.METHODS.keys() - LEARN))
def test_thresholds_draw_no_random_numbers(name):
    assert found(methods.run(method(name))) == found(methods.run(method(name, seed=1)))


@pytest.mark.parametrize("name", methods.METHODS)
def test_only_an_oracle_depends_on_labels(name, monkeypatch):
    """Scores as a whole, not their masks alone: what is measured of them against labels that are exchanged as well."""
    scores, evaluate, load = [], metrics.evaluate, datasets.load
    monkeypatch.setattr(methods, "_lenient", lambda *_: 0.0)  # measures single images
    monkeypatch.setattr(metrics, "evaluate", lambda given, labels: scores.append(given) or evaluate(given, labels))
    methods.run(method(name))
    first = scores.pop()  # the last that was measured

    def corrupted(*args, **choices):
        data = load(*args, **choices)
        return data._replace(labels=1 - data.labels)

    monkeypatch.setattr(datasets, "load", corrupted)
    history = methods.run(method(name))
    assert np.array_equal(first, scores[-1]) == (name != "adaptive_gaussian_oracle")
    assert history.example == (scores[-1][0] > 0.5).tolist()


@pytest.mark.parametrize("name", methods.METHODS)
def test_who_learns_from_training_images(name, monkeypatch):
    load = datasets.load

    def mirrored(given, split, **choices):
        data = load(given, split, **choices)
        return data._replace(images=data.images[..., ::-1]) if split == "train" else data

    before = found(methods.run(method(name)))
    monkeypatch.setattr(datasets, "load", mirrored)
    assert (found(methods.run(method(name))) != before) == (name in ("ac", "igtt"))


def test_the_oracle_is_at_least_what_it_searches_among():
    plain, oracle = (methods.run(method(name)) for name in ("adaptive_gaussian", "adaptive_gaussian_oracle"))
    assert oracle.test["dice_half"] > plain.test["dice_half"]


def test_a_method_gets_the_images_it_asks_for_and_its_options(monkeypatch):
    seen = {}

    def probe(learned, test, seed, device, **options):
        seen.update(learned=learned, test=test, seed=seed, device=device.type, options=options)
        return test.labels.astype(np.float32), {"about": [1.0]}

    monkeypatch.setitem(methods.METHODS, "probe", probe)
    asked = dict(data="nuc-like", seed=7, size=40, train=3, test=2)
    history = methods.run(MethodConfig("probe", (("one", 1), ("two", None)), **asked, augment=True), device="cpu")
    train, test = (datasets.load("nuc-like", split, size=40, limit=n) for split, n in (("train", 3), ("test", 2)))
    np.testing.assert_array_equal(seen["learned"].images, datasets.augment(train).images)
    np.testing.assert_array_equal(seen["test"].images, test.images)
    assert (seen["seed"], seen["device"], seen["options"]) == (7, "cpu", {"one": 1, "two": None})
    assert (history.device, history.labels, history.test["dice_half"]) == ("cpu", {"about": [1.0]}, [1.0])
    methods.run(MethodConfig("probe", **asked))
    np.testing.assert_array_equal(seen["learned"].images, train.images)


def test_options_change_what_a_method_does():
    plain, smoothed = (methods.run(method("otsu", **options)) for options in ({}, {"sigma_px": 1}))
    assert plain.test != smoothed.test
    ours = methods.run(method("igtt"))
    never = methods.run(method("igtt", refresh="never"))
    paper = methods.run(method("igtt", preset="paper"))
    assert [history.labels["epoch"] for history in (ours, never, paper)] == [[0, 1], [0], [0, 1, 2]]


def test_wrong_methods_presets_and_options_are_named():
    with pytest.raises(ValueError, match="unknown method 'otzu', expected one of otsu, adaptive_gaussian, "):
        methods.run(method("otzu"))
    with pytest.raises(ValueError, match="unknown preset 'papr'"):
        methods.run(method("igtt", preset="papr"))
    with pytest.raises(TypeError, match="sigma"):
        methods.run(method("otsu", sigma=1))
