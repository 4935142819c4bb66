"""Losses against their formulas, and against libraries."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from metalib import _labels
from metalib.networks import losses
from metalib.noise import recipes


@pytest.fixture
def sampled():
    return torch.from_numpy(
        recipes.sample(np.tile(np.eye(16, dtype=np.uint8), (2, 1, 1)), 0.3, np.random.default_rng(0))
    )


def test_two_class_loss_is_that_of_the_library_on_known_pixels(sampled):
    logits = torch.randn(2, 1, 16, 16, requires_grad=True)
    ours = losses.cross_entropy(logits, sampled)
    known = sampled != _labels.IGNORE
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0][known], sampled[known].float())
    torch.testing.assert_close(ours, theirs)
    library = smp.losses.SoftBCEWithLogitsLoss(ignore_index=_labels.IGNORE)(logits, sampled[:, None].float())
    torch.testing.assert_close(ours * known.float().mean(), library)  # it divides by all pixels
    (gradient,) = torch.autograd.grad(ours, logits)
    assert (gradient[:, 0][~known] == 0).all()
    assert (gradient[:, 0][known] != 0).all()


def test_many_class_loss_is_that_of_the_library(sampled):
    logits = torch.randn(2, 4, 16, 16)
    theirs = torch.nn.functional.cross_entropy(logits, sampled.long(), ignore_index=_labels.IGNORE)
    torch.testing.assert_close(losses.cross_entropy(logits, sampled), theirs)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_batch_without_labels_gives_zero_and_no_nan(channels):
    logits = torch.randn(1, channels, 8, 8, requires_grad=True)
    loss = losses.cross_entropy(logits, torch.full((1, 8, 8), _labels.IGNORE, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"logits \(1, 1, 8, 8\) and labels \(1, 4, 4\) do not fit"):
        losses.cross_entropy(torch.zeros(1, 1, 8, 8), torch.zeros(1, 4, 4, dtype=torch.uint8))


def two_class_case(power=1.0, ignored=True):
    """Logits (3, 1, 8, 10), labels with both classes in each image, and where they are known."""
    rng = np.random.default_rng(0)
    targets = (rng.random((3, 8, 10)) < 0.3).astype(np.uint8)
    if ignored:
        targets[rng.random(targets.shape) < 0.2] = _labels.IGNORE
    logits = torch.from_numpy(power * rng.normal(size=(3, 1, 8, 10)))
    return logits.requires_grad_(), torch.from_numpy(targets), targets != _labels.IGNORE


def numpy_dmi(logits, targets, floor):
    """From Eq. 4-5, image by image, on known pixels."""
    found = []
    for logit, target in zip(logits.detach().double()[:, 0].numpy(), targets.numpy(), strict=True):
        p, s = 1 / (1 + np.exp(-logit[target != _labels.IGNORE])), target[target != _labels.IGNORE].astype(float)
        found.append(-np.log(abs(np.linalg.det(np.stack([p, 1 - p]) @ np.stack([s, 1 - s]).T)) + floor))
    return np.mean(found)


@pytest.mark.parametrize("floor", [0, 1e-3, 10])
@pytest.mark.parametrize("ignored", [False, True])
def test_dmi_is_that_of_matrix_products(floor, ignored):
    logits, targets, _ = two_class_case(ignored=ignored)
    assert losses.dmi(logits, targets, floor).item() == pytest.approx(numpy_dmi(logits, targets, floor), rel=1e-5)
    inverted = losses.dmi(-logits, targets, floor)  # it cannot tell foreground from background
    torch.testing.assert_close(inverted, losses.dmi(logits, targets, floor), rtol=1e-4, atol=0)


def test_the_gradient_of_dmi_weighs_the_classes_alike():
    logits, targets, known = two_class_case()
    (gradient,) = torch.autograd.grad(losses.dmi(logits, targets, 0), logits)
    p = logits.detach().sigmoid()[:, 0].numpy()
    for image in range(3):
        classes = [(targets[image] == label).numpy() for label in (0, 1)]
        (n0, n1), (m0, m1) = zip(*[(members.sum(), p[image][members].mean()) for members in classes], strict=True)
        expected = np.select(classes, [1 / (n0 * (m1 - m0)), -1 / (n1 * (m1 - m0))], 0) * p[image] * (1 - p[image]) / 3
        np.testing.assert_allclose(gradient[image, 0], expected, rtol=2e-4)
        assert (gradient[image, 0][torch.from_numpy(~known[image])] == 0).all()


@pytest.mark.parametrize("floor", [0, 1e-3])
@pytest.mark.parametrize("label", [0, 1, _labels.IGNORE])
def test_labels_of_one_class_give_dmi_no_gradient(label, floor):
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    loss = losses.dmi(logits, torch.full((2, 8, 8), label, dtype=torch.uint8), floor)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert (gradient == 0).all()
    if floor:
        assert loss.item() == pytest.approx(6.908, abs=1e-3)  # as the official code


@pytest.mark.parametrize("floor", [0, 1e-3])
@pytest.mark.parametrize("logit", [0.3, -2.0, 100.0])
def test_a_constant_prediction_gives_dmi_no_gradient(logit, floor):
    logits = torch.full((1, 1, 32, 32), logit, requires_grad=True)
    targets = torch.zeros(1, 32, 32, dtype=torch.uint8)
    targets[:, :9], targets[:, 12:20] = 1, _labels.IGNORE
    with torch.no_grad():
        logits[:, :, 12:20] = 1.7  # what is predicted there is nobody's business
    loss = losses.dmi(logits, targets, floor)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert (gradient == 0).all()


@pytest.mark.parametrize(
    "loss",
    [losses.dmi, losses.soft_iou, lambda logits, targets: losses.area_cross_entropy(logits, targets, 0.2)],
    ids=["dmi", "soft_iou", "area"],
)
def test_ignored_pixels_count_as_if_they_were_cropped(loss):
    logits, targets, _ = two_class_case(ignored=False)
    cropped = loss(logits[..., :6], targets[..., :6])
    targets[..., 6:] = _labels.IGNORE
    torch.testing.assert_close(loss(logits, targets), cropped)


@pytest.mark.parametrize("power", [1, 2])
def test_soft_iou_is_its_formula_over_images_and_over_the_batch(power):
    logits, targets, known = two_class_case()
    p, y = logits.detach().sigmoid()[:, 0].numpy(), (targets == 1).numpy()
    both = [(p[i] * y[i])[known[i]].sum() for i in range(3)]
    either = [(p[i] ** power + y[i] - p[i] * y[i])[known[i]].sum() for i in range(3)]
    by_image = np.mean([1 - b / e for b, e in zip(both, either, strict=True)])
    given = () if power == 1 else (power,)  # Eq. 6, by default
    assert losses.soft_iou(logits, targets, *given).item() == pytest.approx(by_image, rel=1e-5)
    by_batch = losses.soft_iou(logits, targets, *given, over="batch").item()
    assert by_batch == pytest.approx(1 - sum(both) / sum(either), rel=1e-5)


@pytest.mark.parametrize("over", ["image", "batch"])
@pytest.mark.parametrize("label", [0, _labels.IGNORE])
def test_black_labels_give_soft_iou_no_gradient(label, over):
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    loss = losses.soft_iou(logits, torch.full((2, 8, 8), label, dtype=torch.uint8), 2, over)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 1
    assert (gradient == 0).all()


def test_perfect_predictions_have_soft_iou_zero():
    _, targets, _ = two_class_case()
    logits = 200.0 * (targets == 1)[:, None] - 100
    assert losses.soft_iou(logits, targets).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("share", [0, 0.04, 0.5, 1])
def test_classes_weigh_as_the_roots_of_their_areas(share):
    logits, targets, _ = two_class_case()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, 0].float(), (targets == 1).float(), reduction="none"
    )
    foreground, background = (entropy[targets == label].mean().item() for label in (1, 0))
    roots = np.sqrt([share, 1 - share])
    expected = np.average([foreground, background], weights=roots)
    assert losses.area_cross_entropy(logits, targets, share).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label", [0, 1, _labels.IGNORE])
def test_a_class_without_a_pixel_weighs_nothing(label):
    logits = torch.randn(1, 1, 8, 8, requires_grad=True)
    targets = torch.full((1, 8, 8), label, dtype=torch.uint8)
    loss = losses.area_cross_entropy(logits, targets, 0.2)
    weight = {0: 2 / 3, 1: 1 / 3, _labels.IGNORE: 0}[label]  # roots of .8 and .2
    assert loss.item() == pytest.approx(weight * losses.cross_entropy(logits, targets).item(), rel=1e-5)
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 3, 8, 8), (2, 8, 8)])
@pytest.mark.parametrize(
    "loss",
    [losses.dmi, losses.soft_iou, lambda logits, targets: losses.area_cross_entropy(logits, targets, 0.2)],
    ids=["dmi", "soft_iou", "area"],
)
def test_two_class_losses_name_shapes_that_do_not_fit(loss, shape):
    with pytest.raises(ValueError, match=r"do not fit: expected \(B, 1, H, W\) and \(B, H, W\)"):
        loss(torch.zeros(shape), torch.zeros(2, 8, 8, dtype=torch.uint8))
