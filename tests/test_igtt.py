"""Iterative ground truth training: tiny images, every choice, and what must never happen."""

import pickle
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from metalib import igtt, labels, losses, models, pseudo_labels, training

SMALL = dict(width=4, epochs=2, batch=4)


def bright_discs(count, size=32, seed=0, noise=0.1):
    """Images (N, 1, H, W) and masks (N, H, W), two discs each."""
    rng, (rows, columns) = np.random.default_rng(seed), np.mgrid[:size, :size]
    masks = np.zeros((count, size, size), np.uint8)
    for mask in masks:
        for _ in range(2):
            y, x, radius = *rng.uniform(5, size - 5, 2), rng.uniform(3, 5)
            mask |= (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    images = masks + noise * rng.normal(size=masks.shape)
    return images[:, None].astype(np.float32), masks


IMAGES, MASKS = bright_discs(8)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture
def steps(monkeypatch):
    """What each step saw, in order: images and logits of the network, labels, epoch and share given to the loss."""
    seen, forward, loss = [], igtt._logits, igtt._loss

    def spied_logits(network, images):
        logits = forward(network, images)
        if network.training:
            seen.append(dict(images=images.clone(), logits=logits.detach().clone()))
        return logits

    def spied_loss(config, logits, targets, epoch, share):
        seen[-1] |= dict(labels=targets.clone(), epoch=epoch, share=share)
        return loss(config, logits, targets, epoch, share)

    monkeypatch.setattr(igtt, "_logits", spied_logits)
    monkeypatch.setattr(igtt, "_loss", spied_loss)
    return seen


@pytest.fixture
def refreshes(monkeypatch):
    """Arguments of each call of `_Run._relabel`, with the labels after it."""
    seen, relabel = [], igtt._Run._relabel

    def spied(self, which, maps, thresholds, epoch):
        relabel(self, which, maps, thresholds, epoch)
        seen.append((which, maps.copy(), np.array(thresholds), epoch, self.labels.copy(), self.masks.copy()))

    monkeypatch.setattr(igtt._Run, "_relabel", spied)
    return seen


def test_presets_differ_where_paper_and_official_code_do():
    assert igtt.preset("paper") == igtt.IgttConfig()
    paper, official, improved = (asdict(igtt.preset(name)) for name in ("paper", "official", "improved"))
    assert {name: (paper[name], official[name]) for name in paper if paper[name] != official[name]} == {
        "per_image": (True, False),  # one k a batch
        "ends": ("skip", "zero"),
        "exact": (False, True),
        "square": (False, True),
        "clamp": (False, True),
        "iou_power": (1, 2),
        "invert_majority": (False, True),
    }
    stated = ("thresholds", "radius_px", "keep", "start", "refresh", "threshold", "loss", "dmi_floor", "orientation")
    assert [paper[name] for name in stated] == [30, 1, 0.1, "black", "step", "dmi", "dmi+iou", 1e-3, "none"]
    assert {name for name in paper if paper[name] != improved[name]} == igtt.PRESETS["improved"].keys()
    assert igtt.preset("official", keep=0.5, seed=3) == replace(igtt.preset("official"), keep=0.5, seed=3)


@pytest.mark.parametrize("name", igtt.PRESETS)
def test_a_run_is_finite_and_fixed_by_its_seed_whatever_is_known_of_the_truth(name):
    config = igtt.preset(name, **SMALL)
    first, history = igtt.fit(IMAGES, config, clean=MASKS)
    again, blind = igtt.fit(IMAGES, config)
    assert all(torch.isfinite(value).all() for value in weights(first).values())
    assert same(weights(first), weights(again))
    assert history.loss == blind.loss
    assert not same(weights(first), weights(igtt.fit(IMAGES, replace(config, seed=1))[0]))
    assert not first.training
    assert len(history.loss) == 2 * 2
    of_labels = {"epoch", "foreground", "positive", "threshold", "correlation"}
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
    first, other = (igtt.fit(IMAGES, igtt.preset("improved", **options, seed=seed))[0] for seed in (0, 1))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_training_leaves_images_and_the_global_generators_alone():
    before, images = torch.get_rng_state(), IMAGES.copy()
    state = str(np.random.get_state())  # noqa: NPY002
    igtt.fit(images, igtt.preset("improved", **SMALL))
    assert torch.equal(torch.get_rng_state(), before)
    assert str(np.random.get_state()) == state  # noqa: NPY002
    np.testing.assert_array_equal(images, IMAGES)


def test_history_measures_the_labels(refreshes):
    _, history = igtt.fit(IMAGES, igtt.preset("improved", **SMALL), clean=MASKS)
    *_, found, masks = refreshes[-1]
    truth = MASKS == 1
    expected = {
        "foreground": masks.mean(),
        "positive": (found == 1).mean(),
        "dice": 2 * (masks & truth).sum() / (masks.sum() + truth.sum()),
        "precision": truth[found == 1].mean(),
    }
    assert {name: history.labels[name][-1] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("turns", [False, True])
def test_labels_of_a_step_are_those_of_the_probabilities_before_it(steps, refreshes, turns):
    config = igtt.preset("paper", **SMALL, turns=turns, keep=1.0, radius_px=0)
    igtt.fit(IMAGES, config)
    assert len(steps) == len(refreshes) == 4
    upright = training._to(torch.device("cpu"), igtt.datasets.standardise(IMAGES, range(8)))
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
            if torch.equal(igtt._turned(upright[batch], turn, mirror), step["images"])
        ]
        ((turn, mirror),) = ways
        turned += (turn, mirror) != (0, False)
        np.testing.assert_array_equal(igtt._turned(torch.from_numpy(maps), turn, mirror), inside)
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


def test_turns_and_light_leave_labels_where_the_objects_are(steps):
    config = igtt.preset("improved", **{**SMALL, "epochs": 8}, light=0.2, skeleton=False, hold=1.0)
    igtt.fit(IMAGES, config)
    for step in steps:
        inside, outside = (step["images"][:, 0][step["labels"] == label].mean() for label in (1, 0))
        assert inside - outside > 1.5
    first = steps[0]["images"]
    torch.testing.assert_close(first.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(first.std((1, 2, 3)), torch.ones(4))


@pytest.mark.parametrize("ends", ["skip", "zero"])
def test_the_official_code_takes_one_index_for_a_batch(refreshes, ends):
    igtt.fit(IMAGES, igtt.preset("official", **SMALL, ends=ends))
    for batch, maps, thresholds, *_ in refreshes:
        mean = np.mean([pseudo_labels.dmi_losses(p, floor=1e-3) for p in maps], axis=0)
        mean[[0, -1]] = 0 if ends == "zero" else np.inf
        index = mean.argmin()
        expected = [pseudo_labels.candidate_thresholds(p)[index] for p in maps]
        np.testing.assert_allclose(thresholds, expected, rtol=1e-12)
        assert len(batch) == 4


def chosen(probabilities, **changes):
    config = replace(igtt.preset("official", batch=1), **changes)
    run = igtt._Run(
        np.random.default_rng(0).random((len(probabilities), 1, *probabilities[0].shape)), config, None, "cpu"
    )
    return run._choose(np.asarray(probabilities), slice(None))


def test_the_shared_index_is_not_that_of_either_image():
    rng = np.random.default_rng(0)
    maps = np.stack([rng.beta(0.3, 3, (16, 16)), 1 - rng.beta(0.3, 3, (16, 16))])
    grid = pseudo_labels.candidate_thresholds(maps)
    index = [int(np.flatnonzero(row == t)[0]) for row, t in zip(grid, chosen(maps), strict=True)]
    alone = [int(np.flatnonzero(row == t)[0]) for row, t in zip(grid, chosen(maps, per_image=True), strict=True)]
    assert index[0] == index[1]
    assert alone[0] + 10 < alone[1]
    assert alone[0] < index[0] < alone[1]


def test_ends_of_loss_zero_win_where_all_losses_are_above_it():
    # A determinant below 1: the official code then takes index 0, nearly all pixels.
    p = 0.5 + 1e-5 * np.random.default_rng(0).random((1, 8, 8))
    assert pseudo_labels.dmi_losses(p, floor=1e-3)[:, 1:-1].min() > 0
    assert (p > chosen(p)[0]).sum() == 63
    assert (p > chosen(p, ends="skip")[0]).sum() < 45


def test_a_constant_map_has_no_say_in_the_shared_index():
    varied = np.random.default_rng(0).random((1, 16, 16))
    both = np.concatenate([varied, np.full((1, 16, 16), 0.4)])
    for floor in (0, 1e-3):
        options = dict(dmi_floor=floor, ends="skip")
        assert chosen(both, **options)[0] == chosen(varied, **options)[0]


def test_otsu_copes_with_probabilities_that_hardly_differ():
    p = np.full((1, 8, 8), 0.5, np.float32)
    p[0, 0, 0] = np.nextafter(np.float32(0.5), np.float32(1))
    assert (p > chosen(p, threshold="otsu")[0]).sum() == 1
    assert np.isnan(chosen(np.full((1, 8, 8), 0.5, np.float32), threshold="otsu")).all()


def test_black_labels_alone_change_no_weight():
    options = dict(**{**SMALL, "epochs": 1}, bootstrap_epochs=0, weight_decay=0.0, lr=10.0)
    network, history = igtt.fit(IMAGES, igtt.preset("paper", **options))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = models.build("unet", 1, 2, 4)
    for name, value in weights(network).items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, fresh.state_dict()[name]), name
    assert history.loss == pytest.approx([1 - np.log(1e-3)] * 2)
    bootstrapped, _ = igtt.fit(IMAGES, igtt.preset("paper", **{**options, "lr": 0.05, "bootstrap_epochs": 1}))
    assert not torch.equal(bootstrapped.head.weight, fresh.head.weight)


def test_the_first_epochs_are_those_of_cross_entropy(steps):
    _, history = igtt.fit(IMAGES, igtt.preset("paper", **{**SMALL, "epochs": 4}, bootstrap_epochs=2))
    assert [step["epoch"] for step in steps] == [0, 0, 1, 1, 2, 2, 3, 3]
    for found, step in zip(history.loss, steps, strict=True):
        logits, targets = step["logits"], step["labels"]
        if step["epoch"] < 2:
            expected = losses.cross_entropy(logits, targets)
        else:
            expected = losses.dmi(logits, targets) + losses.soft_iou(logits, targets)
        assert found == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", igtt.OPTIONS["loss"])
def test_every_loss_is_the_one_named(loss):
    config = igtt.preset("paper", loss=loss, iou_power=2, iou_over="batch", dmi_floor=10.0)
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


def run_of(images=IMAGES, **changes):
    return igtt._Run(images, igtt.preset("improved", **{**SMALL, **changes}), None, torch.device("cpu"))


@pytest.mark.parametrize("name", ["empty", "full", "constant"])
def test_an_image_without_a_candidate_keeps_its_labels(name):
    run = run_of(smooth_px=0.0)
    run._relabel(slice(None), run.evidence, igtt._otsu(run.evidence), 0)
    before = [part.copy() for part in (run.labels, run.masks, run.thresholds)]
    p, threshold = np.random.default_rng(0).random((2, 32, 32)), dict(empty=2.0, full=-1.0, constant=np.nan)[name]
    run._relabel(np.array([5, 2]), p, np.array([threshold, 0.5]), 1)
    for part, old in zip((run.labels, run.masks, run.thresholds), before, strict=True):
        np.testing.assert_array_equal(np.delete(part, 2, 0), np.delete(old, 2, 0))
    np.testing.assert_array_equal(run.masks[2], p[1] > 0.5)


def test_masks_of_more_than_half_are_inverted_on_request():
    p = np.stack([np.linspace(0, 1, 32 * 32).reshape(32, 32)] * 2)
    for invert, shares in [(False, [0.75, 0.25]), (True, [0.25, 0.25])]:
        run = run_of(invert_majority=invert, smooth_px=0.0)
        run._relabel(np.array([0, 1]), p, np.array([0.25, 0.75]), 0)
        np.testing.assert_allclose(run.masks[:2].mean(axis=(1, 2)), shares, atol=1e-3)
        np.testing.assert_array_equal(run.masks[0], (p[0] > 0.25) != invert)


@pytest.mark.parametrize("name", ["skeleton", "exact", "square", "clamp", "radius_px", "keep"])
def test_choices_of_ems_reach_it(monkeypatch, name):
    seen = []

    def spied(mask, radius_px, keep, rng, **choices):
        seen.append(dict(radius_px=radius_px, keep=keep) | choices)
        return mask.astype(np.uint8)

    run = run_of()
    standard = dict(skeleton=True, exact=False, square=False, clamp=False, radius_px=1, keep=0.5)
    changed = standard | {name: {"radius_px": 3, "keep": 0.2}.get(name, not standard[name])}
    monkeypatch.setattr(igtt, "extract_meta_structure", spied)
    for options in (standard, changed):
        run.config = replace(run.config, **options)
        run._structure(MASKS[0] > 0, None)
    assert seen == [standard, changed]


def test_ems_is_drawn_anew_for_each_image_epoch_and_seed():
    p = np.stack([MASKS[0]] * 2).astype(float)

    def made(epoch, seed=0):
        run = run_of(keep=0.3, radius_px=1, seed=seed, smooth_px=0.0, skeleton=False, band_px=None)
        run._relabel(np.array([0, 1]), p, np.array([0.5, 0.5]), epoch)
        return run.labels[:2]

    np.testing.assert_array_equal(made(1), made(1))
    assert not np.array_equal(*made(1))
    assert not np.array_equal(made(1), made(2))
    assert not np.array_equal(made(1), made(1, seed=1))


@pytest.mark.parametrize("name", ["unet", "deeplabv3plus_light", "hrnet_light"])
def test_a_negated_network_has_the_negative_logits(name):
    network = models.build(name, width=16 if name == "hrnet_light" else 4).eval()
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
    config = igtt.preset("improved", **options, orientation=orientation, refresh=refresh)
    network, history = igtt.fit(IMAGES, config, clean=MASKS)
    assert network.head.weight.item() == (1 if orientation == "set" else -1)
    if refresh == "pass":
        # What was found, before it was put right; the labels are those after that.
        assert history.labels["correlation"][1] == pytest.approx(-1, abs=0.1)
        assert np.corrcoef(refreshes[1][1].ravel(), IMAGES.ravel())[0, 1] * network.head.weight.item() > 0.8
        assert (history.labels["dice"][1] > 0.8) == (orientation == "set")
    else:
        assert history.labels["epoch"] == [0]


def test_a_network_that_finds_dark_pixels_gets_no_labels_from_edges(monkeypatch):
    monkeypatch.setattr(models, "build", lambda *_: Brightness(-1.0))
    config = igtt.preset("improved", **SMALL, lr=0.0, hold=0.0, orientation="none")
    history = igtt.fit(IMAGES, config, clean=MASKS)[1].labels
    assert history["correlation"][1] < -0.9
    assert history["dice"][1] == history["dice"][0] > 0.9


def test_a_constant_prediction_has_no_correlation(rng):
    brightness = rng.normal(size=(3, 7, 11)).astype(np.float32)
    for value in rng.random(50, dtype=np.float32):
        assert igtt._correlation(np.full((3, 7, 11), value), brightness) == 0
    assert igtt._correlation(brightness, np.full((3, 7, 11), 0.1)) == 0
    assert igtt._correlation(-2 * brightness, brightness) == pytest.approx(-1)
    other = rng.random((3, 7, 11), np.float32)
    expected = np.corrcoef(other.ravel(), brightness.ravel())[0, 1]
    assert igtt._correlation(other, brightness) == pytest.approx(expected)


def test_labels_are_kept_without_a_refresh_and_while_they_are_held(steps, refreshes):
    igtt.fit(IMAGES, igtt.preset("improved", **SMALL, refresh="never", turns=False))
    assert len(refreshes) == 1
    _, held = igtt.fit(IMAGES, igtt.preset("improved", **{**SMALL, "epochs": 4}, hold=0.5, lr=1e-3))
    assert held.labels["epoch"] == [0, 2, 3]
    _, always = igtt.fit(IMAGES, igtt.preset("improved", **{**SMALL, "epochs": 3}, hold=0.0, lr=1e-3))
    assert always.labels["epoch"] == [0, 1, 2]
    start = refreshes[0][4]
    epochs = [torch.cat([step["labels"] for step in steps[i : i + 2]]).sum() for i in (0, 2)]
    assert epochs[0] == epochs[1] == start.sum()


def test_labels_of_evidence_are_otsus_of_it():
    run = run_of(smooth_px=0.0, skeleton=False, band_px=None)
    run._relabel(slice(None), run.evidence, igtt._otsu(run.evidence), 0)
    found = pseudo_labels.evidence(igtt.datasets.standardise(IMAGES, range(8)))
    from skimage.filters import threshold_otsu

    expected = [each > threshold_otsu(each, nbins=1024) for each in found]
    np.testing.assert_array_equal(run.masks, expected)
    np.testing.assert_array_equal(run.labels, expected)


def test_bands_reach_the_labels(steps):
    igtt.fit(IMAGES, igtt.preset("improved", **SMALL, turns=False))
    assert {0, 1, labels.IGNORE} == set(steps[0]["labels"].unique().tolist())


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_the_learning_rate_follows_its_schedule(monkeypatch, schedule):
    rates, step = [], torch.optim.SGD.step

    def spied(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    options = {**SMALL, "epochs": 3}
    igtt.fit(IMAGES, igtt.preset("paper", **options, schedule=schedule, lr=0.1, lr_step_epochs=2, lr_factor=0.5))
    if schedule == "step":
        assert rates == pytest.approx([0.1] * 4 + [0.05] * 2)
    else:
        np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(1, 7) / 6)), atol=1e-12)
        assert rates[-1] == pytest.approx(0)


@pytest.fixture(scope="module")
def trained():
    config = igtt.preset("improved", width=8, epochs=12, batch=4)  # width 4 is too little for one seed in four
    return *igtt.fit(*(bright_discs(16)[0], config)), config


def test_bright_discs_are_found(trained):
    network, _, _ = trained
    images, truth = bright_discs(8, seed=1)
    found = igtt.predict(network, images) > 0.5
    assert 2 * (found & (truth == 1)).sum() / (found.sum() + truth.sum()) > 0.85


def test_a_network_survives_its_file(trained, tmp_path):
    network, _, config = trained
    path = tmp_path / "folder" / "network.safetensors"
    igtt.save(network, config, path)
    loaded, same_config = igtt.load(path)
    assert same_config == config
    assert not loaded.training
    np.testing.assert_allclose(igtt.predict(loaded, IMAGES), igtt.predict(network, IMAGES), atol=1e-6)
    assert same(weights(loaded), weights(network))
    assert path.read_bytes()[8:9] == b"{"  # JSON and numbers


def test_files_of_others_are_named(tmp_path, trained):
    from safetensors.torch import save_file

    path = tmp_path / "file"

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for data in (b"", b"text", pickle.dumps(Trap())):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="is no safetensors file"):
            igtt.load(path)
    assert not (tmp_path / "sprung").exists()
    torch.save(trained[0].state_dict(), path)
    with pytest.raises(ValueError, match="is no safetensors file"):
        igtt.load(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="holds no iGTT configuration"):
        igtt.load(path)
    with pytest.raises(FileNotFoundError):
        igtt.load(tmp_path / "absent")


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 1, 19, 45), (1, 1, 7, 70)])
def test_images_of_any_size_get_scores(trained, shape, rng):
    network, images = trained[0], rng.random(shape, dtype=np.float32)
    scores = igtt.predict(network, images, batch=2)
    assert (scores.shape, scores.dtype) == ((shape[0], *shape[2:]), np.float32)
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    np.testing.assert_allclose(igtt.predict(network, 5 * images + 3), scores, atol=0.02)  # light does not matter


def test_sides_are_filled_up_with_the_pixels_of_the_border(trained, rng):
    network, images = trained[0], igtt.datasets.standardise(rng.random((2, 1, 19, 45), dtype=np.float32), range(2))
    padded = torch.from_numpy(np.pad(images, ((0, 0), (0, 0), (0, 13), (0, 3)), mode="edge"))
    with torch.inference_mode(), training._autocast(torch.device("cpu")):
        expected = network(padded).float().sigmoid()[:, 0, :19, :45]
    np.testing.assert_allclose(igtt.predict(network, images), expected, atol=0.02)


def test_training_takes_sides_that_are_no_multiple_of_the_stride():
    network, history = igtt.fit(IMAGES[..., :30, :21], igtt.preset("improved", **SMALL))
    assert np.isfinite(history.loss).all()
    assert igtt.predict(network, IMAGES[..., :30, :21]).shape == (8, 30, 21)


@pytest.mark.parametrize("name", igtt.PRESETS)
@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_pure_noise_is_no_error(name, floor, rng):
    images = rng.normal(size=(4, 1, 32, 32)).astype(np.float32)
    network, history = igtt.fit(images, igtt.preset(name, **{**SMALL, "epochs": 4}, dmi_floor=floor))
    assert all(torch.isfinite(value).all() for value in weights(network).values())
    assert np.isfinite(history.loss).all()
    assert np.isfinite(igtt.predict(network, images)).all()


def test_a_loss_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"the loss is not finite in epoch \d: lower lr=1e\+30"):
        igtt.fit(IMAGES, igtt.preset("improved", **SMALL, lr=1e30))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 3, 32, 32)), r"images have shape \(8, 3, 32, 32\), .*average the channels"),
        (np.zeros((8, 32, 32)), r"images have shape \(8, 32, 32\), expected \(N, 1, H, W\)"),
        (IMAGES[:3], "batch is 4, there are 3 images: choose a smaller batch"),
        (np.where(np.arange(8)[:, None, None, None] == 5, 0.2, IMAGES), "image 5 is constant"),
        (np.where(np.arange(8)[:, None, None, None] == 6, np.nan, IMAGES), "image 6 is NaN or infinite"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        igtt.fit(images, igtt.preset("paper", **SMALL))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: "other"}, f"{name} is 'other', expected one of {re.escape(known[0])}") for name, known in igtt.OPTIONS.items()),
        (dict(keep=0), "keep is 0"),
        (dict(radius_px=-1), "radius_px is -1"),
        (dict(epochs=0), "epochs is 0"),
        (dict(batch=0), "batch is 0"),
        (dict(lr_step_epochs=0), "lr_step_epochs is 0"),
        (dict(model="other"), "unknown model 'other'"),
        (dict(thresholds=2), "k is 2"),
    ],
)  # fmt: skip
def test_bad_choices_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        igtt.fit(IMAGES, igtt.preset("paper", **{**SMALL, **changes}))


def test_unknown_presets_and_fields_are_named():
    with pytest.raises(ValueError, match="unknown preset 'best', expected one of paper, official, improved"):
        igtt.preset("best")
    with pytest.raises(TypeError, match="unknown_field"):
        igtt.preset("paper", unknown_field=1)


def test_clean_labels_of_another_shape_are_named():
    with pytest.raises(ValueError, match=r"clean labels of shape \(8, 1, 32, 32\)"):
        igtt.fit(IMAGES, igtt.preset("paper", **SMALL), clean=MASKS[:, None])
