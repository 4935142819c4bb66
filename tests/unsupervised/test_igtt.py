"""Iterative ground truth training: tiny images, every choice, and what must never happen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_igtt import IMAGES, MASKS, SMALL, bright_discs

from metalib import _labels
from metalib.data import standardise
from metalib.networks import augmentation, engine, losses, models
from metalib.unsupervised import igtt, pseudo_labels
from metalib.unsupervised.config import OPTIONS, PRESETS, preset


def state(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("name", PRESETS)
def test_a_run_is_finite_and_fixed_by_its_seed_whatever_is_known_of_the_truth(name):
    config = preset(name, **SMALL)
    first, history = igtt.fit(IMAGES, config, clean=MASKS)
    again, blind = igtt.fit(IMAGES, config)
    assert all(torch.isfinite(value).all() for value in state(first).values())
    assert same(state(first), state(again))
    assert history.loss == blind.loss
    assert not same(state(first), state(igtt.fit(IMAGES, replace(config, seed=1))[0]))
    assert not first.network.training
    assert len(history.loss) == 2 * 2
    of_labels = {"epoch", "foreground", "positive", "threshold", "correlation"} | (
        {"saved"} if name == "improved" else set()
    )
    assert history.labels.keys() == of_labels | {"dice", "precision"}
    assert blind.labels.keys() == of_labels
    expected = [0, 1] if name == "improved" else [0, 1, 2]
    assert history.labels["epoch"] == expected
    assert {len(values) for values in history.labels.values()} == {len(expected)}
    for value in ("foreground", "positive", "dice", "precision"):
        assert all(0 <= v <= 1 for v in history.labels[value])
    assert history.device == "cpu" or torch.cuda.is_available()
    assert history.precision in ("float32", "bfloat16")
    assert history.seconds > 0


def test_the_seed_fixes_the_fresh_weights():
    options = dict(**SMALL, lr=0.0, orientation="none")
    first, other = (igtt.fit(IMAGES, preset("improved", **options, seed=seed))[0] for seed in (0, 1))
    assert not torch.equal(first.network.head.weight, other.network.head.weight)


def test_training_leaves_images_and_the_global_generators_alone():
    before, images = torch.get_rng_state(), IMAGES.copy()
    state = str(np.random.get_state())  # noqa: NPY002
    igtt.fit(images, preset("improved", **SMALL))
    assert torch.equal(torch.get_rng_state(), before)
    assert str(np.random.get_state()) == state  # noqa: NPY002
    np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize("turns", [False, True])
def test_labels_of_a_step_are_those_of_the_probabilities_before_it(steps, refreshes, turns):
    config = preset("paper", **SMALL, turns=turns, keep=1.0, radius_px=0)
    igtt.fit(IMAGES, config)
    assert len(steps) == len(refreshes) == 4
    upright = engine.to_device(standardise.standardise(IMAGES, range(8)), "cpu")
    turned = 0
    for step, (batch, maps, _, epoch, _, masks) in zip(steps, refreshes, strict=True):
        assert len(batch) == 4
        assert epoch == step["epoch"] + 1
        inside = step["logits"][:, 0].sigmoid().numpy()
        # Probability maps and images have been turned alike, in all 8 ways or none.
        ways = [
            (turn, mirror)
            for turn in range(4)
            for mirror in (False, True)
            if torch.equal(augmentation.turned(upright[batch], turn, mirror), step["images"])
        ]
        ((turn, mirror),) = ways
        turned += (turn, mirror) != (0, False)
        np.testing.assert_array_equal(augmentation.turned(torch.from_numpy(maps), turn, mirror), inside)
        for number, p in zip(batch, maps, strict=True):
            mask = p > pseudo_labels.best_threshold(p)
            assert mask.any()
            if epoch == 2:  # the last word
                np.testing.assert_array_equal(masks[number], mask)
    assert bool(turned) == turns
    # Labels are those of the epoch before: black first, then those of its refresh, of this batch's images.
    assert not torch.cat([step["labels"] for step in steps[:2]]).any()
    made = refreshes[1][4]
    for step, (batch, *_) in zip(steps[2:], refreshes[2:], strict=True):
        if not turns:
            np.testing.assert_array_equal(step["labels"], made[batch])
        assert step["share"] == pytest.approx(refreshes[1][5][batch].mean())


def test_images_of_whole_numbers_are_standardised_as_their_values_are():
    config = preset("improved")
    whole = np.random.default_rng(0).integers(90, 110, (2, 1, 32, 32)).astype(np.uint8)
    np.testing.assert_array_equal(igtt.standardised(whole, config), igtt.standardised(whole.astype(float), config))


@pytest.mark.parametrize(("refresh", "number"), [("pass", 0), ("lagged", 1)])
def test_labels_of_a_pass_are_those_of_the_network_before_the_epoch_or_before_the_last(refreshes, refresh, number):
    options = {**SMALL, "lr_step_epochs": 9}
    after_one = igtt.predict(igtt.fit(IMAGES, preset("paper", **{**options, "epochs": 1}))[0], IMAGES)
    refreshes.clear()
    igtt.fit(IMAGES, preset("paper", **{**options, "epochs": 3}, refresh=refresh))
    maps = [of for _, of, _, _, _, _ in refreshes]
    assert len(maps) == 2
    np.testing.assert_allclose(maps[number], after_one, atol=1e-6)


def test_black_labels_alone_change_no_weight():
    options = dict(**{**SMALL, "epochs": 1}, bootstrap_epochs=0, weight_decay=0.0, lr=10.0)
    model, history = igtt.fit(IMAGES, preset("paper", **options))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = models.build("unet", 1, 2, 4)
    for name, value in state(model).items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, fresh.state_dict()[name]), name
    assert history.loss == pytest.approx([1 - np.log(1e-3)] * 2)
    bootstrapped, _ = igtt.fit(IMAGES, preset("paper", **{**options, "lr": 0.05, "bootstrap_epochs": 1}))
    assert not torch.equal(bootstrapped.network.head.weight, fresh.head.weight)


def test_the_first_epochs_are_those_of_cross_entropy(steps):
    _, history = igtt.fit(IMAGES, preset("paper", **{**SMALL, "epochs": 4}, bootstrap_epochs=2))
    assert [step["epoch"] for step in steps] == [0, 0, 1, 1, 2, 2, 3, 3]
    for found, step in zip(history.loss, steps, strict=True):
        logits, targets = step["logits"], step["labels"]
        if step["epoch"] < 2:
            expected = losses.cross_entropy(logits, targets)
        else:
            expected = losses.dmi(logits, targets) + losses.soft_iou(logits, targets)
        assert found == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", OPTIONS["loss"])
def test_every_loss_is_the_one_named(loss):
    config = preset("paper", loss=loss, iou_power=2, iou_over="batch", dmi_floor=10.0)
    logits, targets, share = 3 * torch.randn(8, 1, 32, 32), torch.from_numpy(MASKS), 0.2
    dmi, iou = losses.dmi(logits, targets, 10.0), losses.soft_iou(logits, targets, 2, "batch")
    expected = {
        "dmi": dmi,
        "iou": iou,
        "dmi+iou": dmi + iou,
        "bce": losses.cross_entropy(logits, targets),
        "area": losses.area_cross_entropy(logits, targets, share),
    }[loss]
    assert igtt._loss(config, logits, targets, 1, share).item() == pytest.approx(expected.item(), rel=1e-6)
    first = igtt._loss(config, logits, targets, 0, share).item()
    assert first == pytest.approx(losses.cross_entropy(logits, targets).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["unet", "deeplabv3plus_light", "hrnet_light"])
def test_a_negated_network_has_the_negative_logits(name):
    network = models.build(name, width=16 if name == "hrnet_light" else 8).eval()
    with torch.no_grad():
        [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)][-1].bias.fill_(0.3)
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        before = network(x)
        igtt.negate(network)
        assert torch.equal(network(x), -before)
        igtt.negate(network)
        assert torch.equal(network(x), before)


class Brightness(torch.nn.Module):
    """Logits are the image, times a weight."""

    stride = 1

    def __init__(self, sign):
        super().__init__()
        self.head = torch.nn.Conv2d(1, 1, 1)
        torch.nn.init.constant_(self.head.weight, sign)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, images):
        return self.head(images)


@pytest.mark.parametrize("orientation", ["set", "none"])
@pytest.mark.parametrize("refresh", ["pass", "never"])
def test_a_network_that_finds_dark_pixels_is_put_right(monkeypatch, refreshes, orientation, refresh):
    monkeypatch.setattr(models, "build", lambda *_: Brightness(-1.0))
    options = {**SMALL, "lr": 0.0, "hold": 0.0, "threshold": "otsu"}
    config = preset("improved", **options, orientation=orientation, refresh=refresh)
    model, history = igtt.fit(IMAGES, config, clean=MASKS)
    assert model.network.head.weight.item() == (1 if orientation == "set" else -1)
    if refresh == "pass":
        # What was found, before it was put right; the labels are those after that.
        assert history.labels["correlation"][1] == pytest.approx(-1, abs=0.1)
        assert np.corrcoef(refreshes[1][1].ravel(), IMAGES.ravel())[0, 1] * model.network.head.weight.item() > 0.8
        assert (history.labels["dice"][1] > 0.8) == (orientation == "set")
    else:
        assert history.labels["epoch"] == [0]


def test_a_network_that_finds_dark_pixels_gets_no_labels_from_edges(monkeypatch):
    monkeypatch.setattr(models, "build", lambda *_: Brightness(-1.0))
    config = preset("improved", **SMALL, lr=0.0, hold=0.0, orientation="none")
    history = igtt.fit(IMAGES, config, clean=MASKS)[1].labels
    assert history["correlation"][1] < -0.9
    assert history["dice"][1] == history["dice"][0] > 0.9


def test_labels_are_kept_without_a_refresh_and_while_they_are_held(steps, refreshes):
    igtt.fit(IMAGES, preset("improved", **SMALL, refresh="never", turns=False))
    assert len(refreshes) == 1
    _, held = igtt.fit(IMAGES, preset("improved", **{**SMALL, "epochs": 4}, hold=0.5, lr=1e-3))
    assert held.labels["epoch"] == [0, 2, 3]
    _, always = igtt.fit(IMAGES, preset("improved", **{**SMALL, "epochs": 3}, hold=0.0, lr=1e-3))
    assert always.labels["epoch"] == [0, 1, 2]
    start = refreshes[0][4]
    epochs = [torch.cat([step["labels"] for step in steps[i : i + 2]]).sum() for i in (0, 2)]
    assert epochs[0] == epochs[1] == start.sum()


def test_bands_reach_the_labels(steps):
    igtt.fit(IMAGES, preset("improved", **SMALL, turns=False))
    assert {0, 1, _labels.IGNORE} == set(steps[0]["labels"].unique().tolist())


def test_crops_have_the_labels_and_the_share_of_their_own_pixels(steps, refreshes):
    igtt.fit(IMAGES, preset("improved", **SMALL, crop_px=20, turns=False, light=0.0, refresh="never"))
    upright, labels, masks = standardise.standardise(IMAGES, range(8))[:, 0], *refreshes[0][4:6]
    assert len(steps) == 2 * 6  # three crops cover an image
    for step in steps:
        places = [
            next(
                (number, slice(top, top + 20), slice(left, left + 20))
                for number in range(8)
                for top, left in np.argwhere(upright[number] == seen[0, 0])
            )
            for seen in step["images"][:, 0, :20, :20].numpy()
        ]
        for seen, of, place in zip(step["images"][:, 0, :20, :20], step["labels"], places, strict=True):
            np.testing.assert_array_equal(seen, upright[place])
            np.testing.assert_array_equal(of, labels[place])
        assert step["share"] == pytest.approx(np.mean([masks[place] for place in places]))


@pytest.mark.parametrize(
    ("name", "images", "graphs"), [("paper", IMAGES, 2), ("improved", IMAGES, 1), ("improved", IMAGES[..., :20], 2)]
)
def test_a_captured_step_is_the_same_training(monkeypatch, name, images, graphs):
    made = []

    class Kept:
        """As a CUDA graph: inputs of one shape in one place, a step that is fixed when it is first called."""

        def __init__(self, step, device):
            made.append(self)
            self.step, self.given = step, None

        def __call__(self, *given):
            given = [torch.as_tensor(of) for of in given]
            self.given = self.given or [torch.empty_like(of) for of in given]
            for kept, of in zip(self.given, given, strict=True):
                assert kept.shape == of.shape
                kept.copy_(of)
            return tuple(of.clone() for of in self.step(*self.given))

    config = preset(name, **{**SMALL, "epochs": 4}, turns=True)
    plain, history = igtt.fit(images, config)
    monkeypatch.setattr(engine, "captures", lambda device: True)
    monkeypatch.setattr(engine, "Captured", Kept)
    captured, again = igtt.fit(images, config)
    np.testing.assert_allclose(again.loss, history.loss, rtol=1e-5)
    for value, of in zip(state(captured).values(), state(plain).values(), strict=True):
        torch.testing.assert_close(value, of, rtol=1e-3, atol=1e-4)
    assert len(made) == graphs


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_the_learning_rate_follows_its_schedule(monkeypatch, schedule):
    rates, step = [], torch.optim.SGD.step

    def spied(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    options = {**SMALL, "epochs": 3}
    igtt.fit(IMAGES, preset("paper", **options, schedule=schedule, lr=0.1, lr_step_epochs=2, lr_factor=0.5))
    if schedule == "step":
        assert rates == pytest.approx([0.1] * 4 + [0.05] * 2)
    else:
        np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(1, 7) / 6)), atol=1e-12)
        assert rates[-1] == pytest.approx(0)


@pytest.fixture(scope="module")
def trained():
    config = preset("improved", width=8, epochs=12, batch=4)  # width 4 is too little for one seed in four
    return *igtt.fit(*(bright_discs(16)[0], config)), config


def test_bright_discs_are_found(trained):
    model, _, _ = trained
    images, truth = bright_discs(8, seed=1)
    found = igtt.predict(model, images) > 0.5
    assert 2 * (found & (truth == 1)).sum() / (found.sum() + truth.sum()) > 0.85


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 1, 19, 45), (1, 1, 7, 70)])
def test_images_of_any_size_get_scores(trained, shape, rng):
    model, images = trained[0], rng.random(shape, dtype=np.float32)
    scores = igtt.predict(model, images, batch=2)
    assert (scores.shape, scores.dtype) == ((shape[0], *shape[2:]), np.float32)
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    np.testing.assert_allclose(igtt.predict(model, 5 * images + 3), scores, atol=0.02)  # light does not matter


def test_sides_are_filled_up_with_the_pixels_of_the_border(trained, rng):
    model, images = trained[0], standardise.standardise(rng.random((2, 1, 19, 45), dtype=np.float32), range(2))
    padded = torch.from_numpy(np.pad(images, ((0, 0), (0, 0), (0, 13), (0, 3)), mode="edge"))
    with torch.inference_mode(), engine.autocast(torch.device("cpu")):
        expected = model.network(padded).float().sigmoid()[:, 0, :19, :45]
    np.testing.assert_allclose(igtt.predict(model._replace(choice=None), images), expected, atol=0.02)


def test_training_takes_sides_that_are_no_multiple_of_the_stride():
    model, history = igtt.fit(IMAGES[..., :30, :21], preset("improved", **SMALL))
    assert np.isfinite(history.loss).all()
    assert igtt.predict(model, IMAGES[..., :30, :21]).shape == (8, 30, 21)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_pure_noise_is_no_error(name, floor, rng):
    images = rng.normal(size=(4, 1, 32, 32)).astype(np.float32)
    model, history = igtt.fit(images, preset(name, **{**SMALL, "epochs": 4}, dmi_floor=floor))
    assert all(torch.isfinite(value).all() for value in state(model).values())
    assert np.isfinite(history.loss).all()
    assert np.isfinite(igtt.predict(model, images)).all()


def test_a_loss_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) in step \d: lower lr=1e\+30"):
        igtt.fit(IMAGES, preset("improved", **SMALL, lr=1e30))


@pytest.mark.parametrize("lr", [1e30, 1e45])  # scores that are not finite, and weights
def test_a_last_step_that_diverges_is_named(lr):
    config = preset("paper", width=4, epochs=1, batch=len(IMAGES), bootstrap_epochs=0, start="evidence", lr=lr)
    with pytest.raises(ValueError, match="diverged to weights or scores that are not finite: lower lr=1e"):
        igtt.fit(IMAGES, config)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 3, 32, 32)), r"images have shape \(8, 3, 32, 32\), .*average the channels"),
        (np.zeros((8, 32, 32)), r"images have shape \(8, 32, 32\), expected \(N, 1, H, W\)"),
        (IMAGES[:3], "batch is 4, there are 3 images to train on: choose a smaller batch"),
        (np.where(np.arange(8)[:, None, None, None] == 5, 0.2, IMAGES), "image 5 is constant"),
        (
            np.where(np.arange(8)[:, None, None, None] == 6, np.nan, IMAGES),
            "image 6 holds NaN or infinite pixels: repair",
        ),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        igtt.fit(images, preset("paper", **SMALL))
