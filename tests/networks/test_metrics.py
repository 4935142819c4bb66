import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, jaccard_score, roc_auc_score

from metalib._labels import IGNORE
from metalib.networks import metrics


def example(rng, squeeze=1.0, noise=1.0):
    truth = (rng.random((4, 32, 32)) < 0.3).astype(np.uint8)
    scores = 1 / (1 + np.exp(-(truth - 0.5 + noise * rng.normal(size=truth.shape))))
    return (0.26 + squeeze * (scores - 0.5)).astype(np.float32), truth


@pytest.mark.parametrize("squeeze", [1.0, 0.02, 1e-5])  # heavy flips squeeze scores into a narrow range
def test_pooled_metrics_match_scikit_learn(rng, squeeze):
    scores, truth = example(rng, squeeze)
    found = metrics.evaluate(scores, truth, threshold=0.26)
    assert found["auc"] == pytest.approx(roc_auc_score(truth.ravel(), scores.ravel()), abs=1e-5)
    assert found["dice_at"] == pytest.approx(f1_score(truth.ravel(), scores.ravel() > 0.26))
    assert found["acc_at"] == pytest.approx(accuracy_score(truth.ravel(), scores.ravel() > 0.26))
    assert found["dice_half"] == pytest.approx(f1_score(truth.ravel(), scores.ravel() > 0.5))
    assert found["acc"] == pytest.approx(accuracy_score(truth.ravel(), scores.ravel() > 0.5))


@pytest.mark.parametrize("squeeze", [1.0, 0.01])
def test_the_best_dice_is_that_of_a_search_over_all_scores(rng, squeeze):
    scores, truth = example(rng, squeeze)
    scores = scores[:, ::4, ::4]
    truth = truth[:, ::4, ::4]
    search = max(f1_score(truth.ravel(), scores.ravel() >= t) for t in np.unique(scores))
    found = metrics.evaluate(scores, truth)
    assert found["dice_best"] == pytest.approx(search, abs=1e-9)
    assert metrics.evaluate(scores, truth, found["threshold_best"])["dice_at"] == pytest.approx(search, abs=1e-9)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_tied_scores_of_single_precision_reach_their_best_dice_at_its_threshold(rng, levels):
    truth = (rng.random((2, 16, 16)) < 0.4).astype(np.uint8)
    scores = (0.4 + 0.1 * rng.integers(0, levels, truth.shape)).astype(np.float32)
    found = metrics.evaluate(scores, truth)
    search = max(f1_score(truth.ravel(), scores.ravel() >= t) for t in np.unique(scores))
    assert found["dice_best"] == pytest.approx(search)
    assert metrics.evaluate(scores, truth, found["threshold_best"])["dice_at"] == pytest.approx(search)


@pytest.mark.parametrize("first", [0, 1, 10_000, metrics.BINS - 1])
def test_the_best_threshold_lies_just_under_the_scores_it_keeps(first):
    scores = np.arange(float(metrics.BINS)).reshape(1, 128, 128)
    truth = (scores >= first).astype(np.uint8)
    threshold = metrics.evaluate(scores, truth)["threshold_best"]
    assert first - 1e-5 < threshold < first


def test_a_range_near_zero_is_no_trouble(rng):
    _, truth = example(rng)
    scores = (1e-36 * (truth + 0.8 * rng.random(truth.shape))).astype(np.float32)
    assert metrics.evaluate(scores, truth)["auc"] == pytest.approx(
        roc_auc_score(truth.ravel(), scores.ravel() * 1e36), abs=1e-4
    )


def test_one_outlier_does_not_blur_the_rest(rng):
    scores, truth = example(rng, squeeze=0.02)
    scores[0, 0, 0] = 1.0
    assert metrics.evaluate(scores, truth)["auc"] == pytest.approx(
        roc_auc_score(truth.ravel(), scores.ravel()), abs=1e-4
    )


def test_per_image_metrics_are_means_over_images(rng):
    scores, truth = example(rng)
    found = metrics.evaluate(scores, truth, threshold=0.3)
    each = [metrics.evaluate(scores[i : i + 1], truth[i : i + 1], threshold=0.3) for i in range(4)]
    for name in ("dice_at", "dice_half", "acc", "auc"):
        assert found[f"{name}_image"] == pytest.approx(np.mean([one[name] for one in each]), abs=1e-5)


def test_the_best_shared_threshold_is_that_of_a_search(rng):
    scores, truth = (of[:, ::6, ::6] for of in example(rng))
    means = [
        np.mean([f1_score(t.ravel(), s.ravel() >= at) for s, t in zip(scores, truth, strict=True)])
        for at in np.unique(scores)
    ]
    assert metrics.evaluate(scores, truth)["dice_best_image"] == pytest.approx(max(means), abs=1e-9)


@given(
    truth=arrays(np.uint8, (2, 6, 6), elements=st.sampled_from([0, 1])),
    scores=arrays(np.float32, (2, 6, 6), elements=st.floats(0, 1, width=16)),
)
def test_bounds_hold_for_any_scores(truth, scores):
    found = metrics.evaluate(scores, truth)
    floor = metrics.all_foreground_dice(truth.mean()) if truth.any() else 0.0
    assert found["dice_best"] >= max(found["dice_half"], floor) - 1e-12
    assert np.isnan(found["auc"]) == (truth.min() == truth.max())
    assert np.isnan(found["auc"]) or 0 <= found["auc"] <= 1


def test_hard_masks_have_balanced_accuracy_as_auc(rng):
    _, truth = example(rng)
    mask = (rng.random(truth.shape) < 0.4).astype(np.float32)
    sensitivity, specificity = mask[truth == 1].mean(), 1 - mask[truth == 0].mean()
    assert metrics.evaluate(mask, truth)["auc"] == pytest.approx((sensitivity + specificity) / 2)


def test_balanced_accuracy_is_that_of_the_mask_of_scikit_learn(rng):
    scores, truth = example(rng)
    truth[0, :, ::3] = IGNORE
    truth[1], truth[2], truth[3] = IGNORE, np.minimum(truth[2], 0), np.where(truth[3] == 1, 1, IGNORE)
    found = metrics.evaluate(scores, truth)
    known = truth != IGNORE
    mask = scores > 0.5
    assert found["balanced"] == pytest.approx(balanced_accuracy_score(truth[known], mask[known]))
    assert found["balanced"] == pytest.approx(roc_auc_score(truth[known], mask[known]))
    assert found["balanced"] != pytest.approx(found["acc"], abs=0.01)
    # Of images, the mean over those that have both classes: the first alone.
    first = balanced_accuracy_score(truth[0][known[0]], mask[0][known[0]])
    assert found["balanced_image"] == pytest.approx(first)
    both = metrics.evaluate(scores[[0, 0, 1]], np.stack([truth[0], 1 - (truth[0] > 0), truth[1]]))
    assert both["balanced_image"] == pytest.approx(np.mean([first, _balanced_inverse(truth[0], mask[0])]))


def _balanced_inverse(truth, mask):
    return balanced_accuracy_score((truth == 0).ravel(), mask.ravel())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_has_no_balanced_accuracy(rng, label):
    found = metrics.evaluate(rng.random((2, 8, 8)), np.full((2, 8, 8), label, np.uint8))
    assert np.isnan([found["balanced"], found["balanced_image"], found["auc"]]).all()


def test_classes_in_different_images_have_a_pooled_balanced_accuracy_alone():
    truth = np.stack([np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)])
    scores = np.where(np.arange(4) < 3, truth, 1 - truth) * 0.8 + 0.1
    found = metrics.evaluate(scores, truth)
    assert found["balanced"] == pytest.approx(0.75)
    assert np.isnan(found["balanced_image"])


def test_scores_without_structure_reach_the_all_foreground_dice():
    truth = np.zeros((1, 10, 10), np.uint8)
    truth[0, :3] = 1
    found = metrics.evaluate(np.full(truth.shape, 0.4), truth)
    assert found["dice_best"] == pytest.approx(metrics.all_foreground_dice(0.3)) == pytest.approx(0.6 / 1.3)
    assert (found["auc"], found["dice_half"]) == (0.5, 0.0)


def test_an_empty_mask_met_by_an_empty_prediction_counts_as_right():
    empty = np.zeros((1, 4, 4), np.uint8)
    for scores in (np.linspace(0.1, 0.3, 16), np.full(16, 0.1)):
        found = metrics.evaluate(scores.reshape(empty.shape), empty)
        assert (found["dice_half"], found["dice_best"]) == (1.0, 1.0)
        assert scores.max() <= found["threshold_best"] < scores.max() + 1e-4
        assert np.isnan(found["auc"])


def test_thresholds_are_those_of_double_precision(rng):
    truth = (rng.random((2, 16, 16)) < 0.4).astype(np.uint8)
    scores = np.full(truth.shape, 0.3, np.float32)  # 0.3 in single precision is more than 0.3
    assert metrics.evaluate(scores, truth, 0.3)["acc_at"] == truth.mean()
    assert metrics.evaluate(scores, truth, float(scores[0, 0, 0]))["acc_at"] == 1 - truth.mean()
    assert metrics.evaluate(scores, truth, 0.0)["acc_at"] == truth.mean()


def test_ignored_pixels_do_not_count(rng):
    scores, truth = example(rng)
    hidden = truth.copy()
    hidden[:, :, ::2] = IGNORE
    full, half = metrics.evaluate(scores[:, :, 1::2], truth[:, :, 1::2], 0.4), metrics.evaluate(scores, hidden, 0.4)
    assert half["dice_at"] == full["dice_at"]
    assert half["auc"] == pytest.approx(full["auc"], abs=1e-5)
    hidden[1] = IGNORE
    three = [0, 2, 3]
    without = metrics.evaluate(scores[three], hidden[three], 0.4)
    assert metrics.evaluate(scores, hidden, 0.4)["dice_at_image"] == pytest.approx(without["dice_at_image"])


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 5), np.uint8), r"must both be \(N, H, W\)"),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4), np.uint8), "and not empty"),
        (np.full((2, 4, 4), np.nan), np.zeros((2, 4, 4), np.uint8), "NaN or infinite values in image 0"),
        (np.zeros((1, 4, 4)), np.full((1, 4, 4), 2, np.uint8), "labels must hold 0, 1 and IGNORE"),
        (np.zeros((1, 4, 4)), np.full((1, 4, 4), IGNORE, np.uint8), "not IGNORE alone"),
    ],
)
def test_bad_scores_and_labels_are_named(scores, truth, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(scores, truth)


@pytest.mark.parametrize("classes", [2, 6])
def test_intersection_over_union_is_that_of_scikit_learn(rng, classes):
    truth, found = (rng.integers(0, classes, (3, 20, 20)).astype(np.uint8) for _ in range(2))
    truth[0, :4] = IGNORE
    known = truth != IGNORE
    result = metrics.evaluate_classes(found, truth, classes)
    theirs = jaccard_score(truth[known], found[known], average=None, labels=range(classes))
    np.testing.assert_allclose([result[f"iou_{label}"] for label in range(classes)], theirs)
    assert result["miou"] == pytest.approx(theirs.mean())
    assert result["acc"] == pytest.approx(accuracy_score(truth[known], found[known]))


def test_a_class_that_nobody_saw_and_nobody_predicted_is_left_out_of_the_mean():
    truth = np.zeros((1, 2, 2), np.uint8)
    found = np.array([[[0, 0], [0, 1]]], np.uint8)
    result = metrics.evaluate_classes(found, truth, 3)
    assert (result["iou_0"], result["iou_1"]) == (0.75, 0.0)
    assert np.isnan(result["iou_2"])
    assert result["miou"] == pytest.approx(0.375)


def test_predicted_classes_of_other_shapes_or_ids_are_refused():
    truth = np.zeros((1, 2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) and \(1, 2, 3\)"):
        metrics.evaluate_classes(np.zeros((1, 2, 3), np.uint8), truth, 3)
    with pytest.raises(ValueError, match="class ids below classes=3"):
        metrics.evaluate_classes(np.full((1, 2, 2), 3, np.uint8), truth, 3)


def left(image, *given):
    """What is left of each array (N, ...) without one image."""
    return [np.delete(of, image, axis=0) for of in given]


LEFT_OUT = ("dice_half", "dice_at", "auc")


@given(
    truth=arrays(np.uint8, (4, 5, 6), elements=st.sampled_from([0, 1, IGNORE])),
    scores=arrays(np.float32, (4, 5, 6), elements=st.sampled_from(np.linspace(0, 1, 65).tolist())),  # a bin each
    threshold=st.floats(-0.1, 1.1),
    dark=st.booleans(),
)
def test_metrics_without_one_image_are_those_of_the_others(truth, scores, threshold, dark):
    truth[0, 0, :2] = truth[1, 0, :2] = 0, 1  # without each of the others something is known
    if dark:
        truth[2] = IGNORE
    seen = [image for image in range(4) if (truth[image] != IGNORE).any()]
    found = metrics.leave_one_out(scores, truth, threshold)
    assert found.keys() == {*LEFT_OUT}
    assert {len(values) for values in found.values()} == {len(seen)}  # an image without a known pixel is none
    for place, image in enumerate(seen):
        others = metrics.evaluate(*left(image, scores, truth), threshold)
        for name in LEFT_OUT:
            assert found[name][place] == pytest.approx(others[name], abs=1e-9, nan_ok=True), name


def test_metrics_without_one_image_are_exact_on_scores_of_a_network(rng):
    scores, truth = example(rng)
    truth[:, :3] = IGNORE
    found = metrics.leave_one_out(scores, truth, 0.3)
    for image in range(4):
        others, labels = left(image, scores, truth)
        others, labels = others[labels != IGNORE], labels[labels != IGNORE]
        assert found["dice_half"][image] == pytest.approx(f1_score(labels, others > 0.5), abs=1e-12)
        assert found["dice_at"][image] == pytest.approx(f1_score(labels, others > 0.3), abs=1e-12)
        assert found["auc"][image] == pytest.approx(roc_auc_score(labels, others), abs=1e-5)


def test_leaving_out_the_image_with_all_foreground_leaves_no_auc(rng):
    truth = np.zeros((3, 8, 8), np.uint8)
    truth[1, :4] = 1
    found = metrics.leave_one_out(rng.random(truth.shape), truth, 0.5)
    assert np.isnan(found["auc"]).tolist() == [False, True, False]
    assert found["dice_half"][1] == 0
    assert metrics.leave_one_out(0.1 * rng.random(truth.shape), truth, 0.5)["dice_half"][1] == 1  # empty, and right


@given(
    truth=arrays(np.uint8, (4, 4, 5), elements=st.sampled_from([0, 1, 2, IGNORE])),
    found=arrays(np.uint8, (4, 4, 5), elements=st.integers(0, 3)),
    dark=st.booleans(),
)
def test_miou_without_one_image_is_that_of_the_others(truth, found, dark):
    truth[0, 0, 0] = truth[1, 0, 0] = 2
    if dark:
        truth[2] = IGNORE
    seen = [image for image in range(4) if (truth[image] != IGNORE).any()]
    expected = [metrics.evaluate_classes(*left(image, found, truth), 4)["miou"] for image in seen]
    assert metrics.leave_one_out_classes(found, truth, 4) == pytest.approx(expected)


@pytest.mark.parametrize("dark", [0, 1])
def test_of_one_image_none_can_be_left_out(rng, dark):
    scores, truth = (of[: 1 + dark] for of in example(rng))
    truth[1:] = IGNORE
    message = "one image cannot be left out where there is no other: take two or more"
    with pytest.raises(ValueError, match=message):
        metrics.leave_one_out(scores, truth, 0.5)
    with pytest.raises(ValueError, match=message):
        metrics.leave_one_out_classes((scores > 0.5).astype(np.uint8), truth, 2)


def test_what_is_left_out_is_checked_as_what_is_evaluated():
    with pytest.raises(ValueError, match="labels must hold 0, 1 and IGNORE"):
        metrics.leave_one_out(np.zeros((2, 4, 4)), np.full((2, 4, 4), 2, np.uint8), 0.5)


@given(place=st.integers(6, 24), seed=st.integers(0, 1000))
def test_a_change_of_level_and_spread_is_found(place, seed):
    rng = np.random.default_rng(seed)
    curve = np.concatenate([rng.normal(0.7, 0.1, place), rng.normal(0.4, 0.005, 30 - place)])
    assert abs(metrics.change_point(curve) - place) <= 2


def test_a_curve_changes_three_values_from_either_end():
    assert metrics.change_point([0, 0, 0, 1, 1, 1, 1, 1]) == 3
    assert metrics.change_point([0, 0, 0, 0, 0, 1, 1, 1]) == 5


def test_curves_too_short_for_a_change_point_are_refused():
    with pytest.raises(ValueError, match=r"at least 6 values, got shape \(5,\)"):
        metrics.change_point(np.arange(5))
