from dataclasses import replace

import numpy as np
import pytest
import torch

from metalib import _labels
from metalib.data import datasets
from metalib.networks import engine, training
from metalib.networks.config import TrainConfig
from metalib.noise import recipes, transition

TINY = TrainConfig(size=32, width=4, train=8, val=4, test=4, augment=False, epochs=2, batch=4, lr_step_epochs=1)


def test_a_run_has_a_loss_a_step_and_metrics_an_epoch():
    history = training.train(replace(TINY, epochs=3))
    assert len(history.loss) == 3 * 8 // 4
    assert {len(values) for values in history.test.values()} == {3}
    assert {"dice_half", "dice_at", "dice_best", "auc", "acc", "threshold_best"} <= history.test.keys()
    assert all(best >= at for best, at in zip(history.test["dice_best"], history.test["dice_at"], strict=True))
    assert history.device == "cpu" or torch.cuda.is_available()
    assert history.seconds > 0


def test_tests_are_spread_evenly_and_the_last_is_at_the_end():
    history = training.train(replace(TINY, epochs=3, tests=4))
    assert history.test["epoch"] == [1.0, 1.5, 2.0, 3.0]  # of 6 steps, after 2 (rounded from 1.5), 3, 4 (4.5) and 6
    assert len(history.loss) == 6


@pytest.mark.parametrize(
    ("tests", "steps", "after"),
    [
        (1, 12, [12]),
        (3, 12, [1, 5, 12]),  # rounded from 1.33 and 5.33
        (4, 32, [2, 8, 18, 32]),
        (4, 8, [2, 4, 8]),  # none before the first step (0.5), and after 4.5 steps after the fourth
        (20, 7, [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_of_early_tests_the_kth_comes_after_the_square_of_its_share(tests, steps, after):
    assert sorted(training._due(replace(TINY, tests=tests, test_spread="early"), steps)) == after


def test_early_tests_change_no_step_and_end_with_the_run():
    even, early = (training.train(replace(TINY, epochs=4, tests=4, test_spread=spread)) for spread in ("even", "early"))
    assert early.test["epoch"] == [1.0, 2.0, 4.0]
    assert early.loss == even.loss
    assert early.test["dice_at"][-1] == even.test["dice_at"][-1]


def outcome(monkeypatch, config):
    """The history of a run, and what its network found in validation and in test images: a list of its tests each."""
    home, name = (training, "predict_classes") if config.data == "street-like" else (engine, "probabilities")
    find, seen = getattr(home, name), []

    def spy(*given):
        seen.append(find(*given))
        return seen[-1]

    monkeypatch.setattr(home, name, spy)
    return training.train(config), seen[::2], seen[1::2]


def test_validation_is_the_best_dice_on_clean_validation_images(monkeypatch):
    history, on_val, _ = outcome(monkeypatch, replace(TINY, recipe="cl", epochs=8, lr=0.05))
    clean = datasets.load("er-like", "val", size=32, limit=4).labels
    expected = [training.metrics.evaluate(scores, clean)["dice_best"] for scores in on_val]
    assert history.test["validation"] == expected
    assert len(set(expected)) > 1


def test_validation_of_many_classes_is_the_miou_on_clean_validation_images(monkeypatch):
    history, on_val, _ = outcome(monkeypatch, replace(STREET, recipe="rcl_flip:0.3"))
    clean = datasets.load("street-like", "val", size=32, limit=4).labels
    most, _, _ = on_val[0]
    assert history.test["validation"] == [training.metrics.evaluate_classes(most, clean, 6)["miou"]]


def test_the_last_test_is_repeated_without_each_test_image(monkeypatch):
    history, on_val, found = outcome(monkeypatch, replace(TINY, epochs=2))
    clean, val = (datasets.load("er-like", split, size=32, limit=4).labels for split in ("test", "val"))
    threshold = training.metrics.evaluate(on_val[-1], val)["threshold_best"]  # of validation images
    expected = training.metrics.leave_one_out(found[-1], clean, threshold)
    for name, mask in (("miou", found[-1] > 0.5), ("miou_inverted", found[-1] <= 0.5)):
        expected[name] = training.metrics.leave_one_out_classes(mask.astype(np.uint8), clean, 2)
    assert history.without == expected
    assert {len(values) for values in expected.values()} == {4}


def test_the_classes_of_the_last_test_are_scored_without_each_test_image(monkeypatch):
    history, _, found = outcome(monkeypatch, replace(STREET, tests=2))
    clean = datasets.load("street-like", "test", size=32, limit=4).labels
    names = ("miou", "miou_inverted", "miou_decoded")
    assert history.without == {
        name: training.metrics.leave_one_out_classes(of, clean, 6) for name, of in zip(names, found[-1], strict=True)
    }


def test_of_a_single_test_image_none_is_left_out():
    runs = [training.train(replace(config, test=1)) for config in (TINY, STREET)]
    assert [run.without for run in runs] == [{}, {}]


def test_more_tests_than_steps_are_one_a_step():
    history = training.train(replace(TINY, epochs=1, tests=5))
    assert history.test["epoch"] == [0.5, 1.0]
    assert {len(values) for values in history.test.values()} == {2}


def test_an_error_of_a_test_ends_the_run(monkeypatch):
    def fails(*given):
        raise ValueError("scores hold NaN")

    monkeypatch.setattr(training.metrics, "evaluate", fails)
    steps = []
    monkeypatch.setattr(engine, "step", lambda *given: steps.append(1) or torch.zeros(()))
    with pytest.raises(ValueError, match="scores hold NaN"):
        training.train(replace(TINY, epochs=50), "cpu")
    assert len(steps) == 2


def test_more_tests_change_no_step():
    few, many = (training.train(replace(TINY, epochs=2, tests=tests)) for tests in (1, 4))
    assert few.loss == many.loss
    assert few.test["dice_at"][-1] == many.test["dice_at"][-1]


def test_the_example_is_what_the_threshold_of_validation_finds_in_the_first_test_image_at_last(monkeypatch):
    up = np.tile(np.linspace(0.2, 0.9, 32 * 32, dtype=np.float32).reshape(32, 32), (4, 1, 1))
    tests = replace(TINY, tests=2, epochs=2)
    scores = iter([up, up, up[:, ::-1], up[:, ::-1]])  # of validation and test images, twice
    monkeypatch.setattr(training.engine, "probabilities", lambda *_: next(scores))
    labels = datasets.load("er-like", "val", size=32, limit=4).labels
    threshold = training.metrics.evaluate(up[:, ::-1], labels)["threshold_best"]
    assert 0.2 < threshold < 0.49  # not that of a network whose scores are probabilities
    np.testing.assert_array_equal(training.train(tests).example, up[0, ::-1] > threshold)


STREET = replace(TINY, data="street-like", model="deeplabv3_light", width=8, tests=1)


def test_many_classes_are_scored_by_miou():
    history = training.train(STREET)
    assert {
        "miou",
        "miou_inverted",
        "miou_decoded",
        "acc",
        *(f"iou_{label}" for label in range(6)),
    } <= history.test.keys()
    assert "dice_at" not in history.test
    assert np.shape(history.example) == (32, 64)


def classes_found(logits, matrix):
    return training.predict_classes(
        FixedNetwork(logits), np.zeros((len(logits), 1, 8, 8), np.float32), torch.device("cpu"), matrix
    )


def test_the_least_likely_class_is_the_least_of_the_scores():
    logits = torch.randn(3, 4, 8, 8)
    most, least, decoded = classes_found(logits, np.eye(4))
    np.testing.assert_array_equal(most, logits.argmax(dim=1))
    np.testing.assert_array_equal(least, logits.argmin(dim=1))
    np.testing.assert_array_equal(decoded, most)
    assert most.dtype == least.dtype == decoded.dtype == np.uint8


MATRICES = {
    "asymmetric": ((0.4, 0.6, 0), (0, 0.4, 0.6), (0.6, 0, 0.4)),
    "called class 0": ((1, 0, 0), (0.75, 0.25, 0), (0.75, 0, 0.25)),
    "beyond the critical flips": transition.flip_matrix(1, 3),
    "permuted": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_decoding_finds_the_clean_class_behind_noise_of_full_rank(matrix, rng):
    clean = rng.dirichlet(np.ones(3), (2, 8, 8))  # probabilities of clean classes
    noisy = torch.tensor(clean @ np.array(matrix, dtype=float)).float().permute(0, 3, 1, 2)
    most, _, decoded = classes_found(noisy.clamp_min(1e-30).log(), matrix)
    np.testing.assert_array_equal(decoded, clean.argmax(axis=-1))
    assert (most != decoded).mean() > 0.1


def test_clean_labels_and_uniform_flips_need_no_decoding():
    run = training.train(replace(STREET, recipe="rcl_flip:0.3")).test
    assert run["miou_decoded"] == pytest.approx(run["miou"], abs=1e-3)


class FixedNetwork(torch.nn.Module):
    """Returns the same logits, whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, _):
        return self.logits


@pytest.mark.parametrize("model", ["unet", "deeplabv3plus_light"])  # dropout draws from the seed as well
def test_a_seed_fixes_every_network(model):
    first, again = (training.train(replace(TINY, model=model, width=8, epochs=1)) for _ in range(2))
    assert (first.loss, first.test) == (again.loss, again.test)


def test_the_learning_rate_falls_in_steps(monkeypatch):
    rates, step = [], torch.optim.SGD.step

    def spy(self, *given):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    training.train(replace(TINY, epochs=3, lr=0.2, lr_step_epochs=2), "cpu")
    assert rates == pytest.approx([0.2] * 4 + [0.02] * 2)


def test_one_labelled_image_makes_a_batch_usable(monkeypatch):
    make, calls = recipes.make, []

    def first_image_only(recipe, mask, *given, **choices):
        calls.append(recipe)
        made = make(recipe, mask, *given, **choices)
        return made if len(calls) == 1 else np.full_like(made, _labels.IGNORE)

    monkeypatch.setattr(recipes, "make", first_image_only)
    history = training.train(TINY)
    assert (len(history.loss), history.skipped) == (2, 2)  # the image is in one of the two batches of each epoch
    assert np.isfinite(history.loss).all()


def test_a_class_that_no_training_image_shows_is_named(monkeypatch):
    load = datasets.load

    def without_poles(*given, **choices):
        found = load(*given, **choices)
        return found._replace(labels=np.where(found.labels == 5, 1, found.labels).astype(np.uint8))

    monkeypatch.setattr(datasets, "load", without_poles)
    with pytest.raises(ValueError, match=r"class 5 \(pole\) occurs in none of the 8 images of train"):
        training.train(STREET)


@pytest.mark.parametrize("split", datasets.SPLITS)
def test_a_split_without_foreground_is_named(monkeypatch, split):
    load = datasets.load

    def empty(name, part, **choices):
        found = load(name, part, **choices)
        return found._replace(labels=0 * found.labels) if part == split else found

    monkeypatch.setattr(datasets, "load", empty)
    with pytest.raises(ValueError, match=rf"class 1 \(foreground\) occurs in none of the \d images of {split}"):
        training.train(TINY)


def test_labels_beyond_the_classes_of_the_network_are_named(monkeypatch):
    load = datasets.load

    def one_too_many(*given, **choices):
        found = load(*given, **choices)
        return found._replace(labels=np.where(found.labels == 5, np.arange(64) % 2 + 5, found.labels).astype(np.uint8))

    monkeypatch.setattr(datasets, "load", one_too_many)
    with pytest.raises(ValueError, match=r"labels hold the values \[6\], expected 0..5"):
        training.train(replace(STREET, data="street-like"))


def noisy_labels(**changes):
    """The labels that a run on four images trains with."""
    return training.prepare(replace(TINY, **{"train": 4, **changes}), torch.device("cpu")).noisy


def test_the_official_sampling_reaches_the_labels():
    clean = datasets.load("er-like", "train", size=32, limit=4)
    noisy = noisy_labels(recipe="rcl_sample:0.1", exact=True, one_sided=True)
    assert not (noisy == _labels.IGNORE).any()
    assert [image.sum() for image in noisy] == [np.ceil(0.1 * image.sum()) for image in clean.labels.astype(int)]


def test_augmentation_multiplies_the_training_images_alone():
    history = training.train(replace(TINY, augment=True))
    assert len(history.loss) == 2 * 6 * 8 // 4


def test_a_seed_fixes_the_run_and_another_changes_it():
    first, again, other = (training.train(config) for config in (TINY, TINY, replace(TINY, seed=1)))
    assert (first.loss, first.test) == (again.loss, again.test)
    assert first.loss != other.loss


def test_the_threshold_comes_from_validation_images(monkeypatch):
    evaluate, calls = training.metrics.evaluate, []

    def spy(scores, truth, threshold=None):
        calls.append((truth, threshold, evaluate(scores, truth, threshold)))
        return calls[-1][-1]

    monkeypatch.setattr(training.metrics, "evaluate", spy)
    training.train(replace(TINY, epochs=1))
    (seen, none, chosen), (tested, threshold, _) = calls
    np.testing.assert_array_equal(seen, datasets.load("er-like", "val", size=32, limit=4).labels)
    np.testing.assert_array_equal(tested, datasets.load("er-like", "test", size=32, limit=4).labels)
    assert none is None
    assert threshold == chosen["threshold_best"]


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    training.train(TINY)
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_network_learns_bright_discs(tmp_path, rng):
    """End to end: a few steps on an easy folder reach a Dice that no constant map and no untrained network has."""
    import imageio.v3 as iio

    for split in datasets.SPLITS:
        for kind in ("images", "labels"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index in range(8):
            rows, columns = np.mgrid[:32, :32] - rng.uniform(8, 24, (2, 1, 1))
            mask = np.hypot(rows, columns) < rng.uniform(4, 8)
            image = np.clip(60 + 100 * mask + rng.normal(0, 10, mask.shape), 0, 255).astype(np.uint8)
            iio.imwrite(tmp_path / split / "images" / f"{split}{index}.png", image)
            iio.imwrite(tmp_path / split / "labels" / f"{split}{index}.png", mask.astype(np.uint8))
    config = replace(TINY, data=str(tmp_path), train=None, val=None, test=None, epochs=20, lr_step_epochs=20, batch=2)
    clean, random = (training.train(replace(config, recipe=recipe)) for recipe in ("cl", "rl:0.5"))
    assert clean.test["dice_at"][-1] > 0.9
    assert clean.test["dice_at"][-1] > random.test["dice_at"][-1] + 0.2
    assert clean.loss[-1] < 0.5 * clean.loss[0]


def test_noise_depends_on_seed_image_and_recipe_alone(monkeypatch):
    clean = datasets.load("er-like", "train", size=32, limit=4)
    noisy = noisy_labels(recipe="rcl_flip:0.3")
    assert not np.array_equal(noisy, noisy_labels(recipe="rcl_flip:0.3", seed=1))
    assert 0.25 < (noisy != clean.labels).mean() < 0.35
    sampled = noisy_labels(recipe="rcl_sample:0.1")
    assert 0.85 < (sampled == _labels.IGNORE).mean() < 0.95
    fewer = clean._replace(images=clean.images[1:], labels=clean.labels[1:], ids=clean.ids[1:])
    monkeypatch.setattr(datasets, "load", lambda *given, **choices: fewer)
    np.testing.assert_array_equal(noisy[1:], noisy_labels(recipe="rcl_flip:0.3", batch=3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "rcl"}, "unknown recipe 'rcl'"),
        ({"model": "vnet"}, "unknown model 'vnet'"),
        ({"batch": 9}, "batch is 9, there are 8 images to train on: choose a smaller batch"),
        ({"size": 40}, "images of 40x40 px do not fit the network"),
        ({"epochs": 0}, "epochs is 0, expected a whole number, at least 1"),
        ({"tests": 0}, "tests is 0, expected a whole number, at least 1"),
        ({"test_spread": "late"}, "unknown test_spread 'late', expected one of even, early"),
        ({"lr": 1e30}, "lower lr=1e"),
        ({"recipe": "rcl_sample:0"}, "recipe 'rcl_sample:0' leaves no labelled pixel"),
    ],
)
def test_bad_configurations_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        training.train(replace(TINY, **changes))
