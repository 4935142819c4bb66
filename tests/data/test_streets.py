import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from metalib.data import streets


@pytest.fixture(scope="module")
def scenes():
    """60 images (60, 64, 128, 3) and labels (60, 64, 128) in six classes."""
    return tuple(
        np.stack(part) for part in zip(*(streets.render("street-like", 0, i, 64) for i in range(60)), strict=True)
    )


@pytest.mark.parametrize("name", streets.NAMES)
def test_a_scene_is_a_function_of_seed_and_index(name):
    first, again, other, elsewhere = (streets.render(name, *key, 64) for key in ((0, 3), (0, 3), (0, 4), (1, 3)))
    for part, shape in zip(first, ((64, 128, 3), (64, 128)), strict=True):
        assert (part.shape, part.dtype) == (shape, np.uint8)
    for part, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(part, same)
    for different in (other, elsewhere):
        assert (first[0] != different[0]).mean() > 0.9
        assert (first[1] != different[1]).mean() > 0.05


def test_a_scene_is_the_same_at_every_size():
    agree = [
        (streets.render("street-like", 0, i, 96)[1][1::3, 1::3] == streets.render("street-like", 0, i, 32)[1]).mean()
        for i in range(8)
    ]
    assert min(agree) > 0.98


@pytest.mark.parametrize("name", streets.NAMES)
def test_sets_share_their_images_and_merge_the_labels(name):
    image, labels = streets.render("street-like", 0, 5, 64)
    same, merged = streets.render(name, 0, 5, 64)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(merged, np.array(streets.MERGED[name])[labels])
    for k, joined in enumerate(streets.class_names(name)):
        ids = [streets.CLASSES.index(part) for part in joined.split("+")]
        np.testing.assert_array_equal(merged == k, np.isin(labels, ids))


def test_names_of_merged_classes():
    assert streets.class_names("street-like") == streets.CLASSES
    assert streets.class_names("street-like-3") == ("sky", "building+tree+pole", "road+car")
    assert streets.class_names("street-like-2") == ("sky+road", "building+tree+car+pole")


def test_classes_differ_in_frequency(scenes):
    here = scenes[1][..., None] == np.arange(6)
    fraction = dict(zip(streets.CLASSES, here.mean(axis=(0, 1, 2)), strict=True))
    expected = dict(sky=0.25, building=0.3, road=0.28, tree=0.11, car=0.045, pole=0.012)
    assert fraction == pytest.approx(expected, rel=0.25)
    assert max(fraction.values()) > 15 * min(fraction.values())
    present = here.any(axis=(1, 2)).mean(axis=0)
    assert (present[:3] > 0.95).all()
    assert (present > 0.6).all()


def test_images_are_exposed(scenes):
    images, _ = scenes
    assert (images == 255).mean() < 0.1
    assert images.mean(axis=(1, 2, 3)).std() > 10  # days differ
    assert (images.std(axis=(1, 2, 3)) > 20).all()  # and none is flat


def test_colour_alone_does_not_tell_the_classes(scenes):
    images, labels = scenes
    tree = DecisionTreeClassifier(max_depth=10, random_state=0)
    tree.fit(images[:40].reshape(-1, 3)[::8], labels[:40].ravel()[::8])
    found, truth = tree.predict(images[40:].reshape(-1, 3)), labels[40:].ravel()
    one_class = _mean_iou(np.full_like(truth, np.bincount(truth).argmax()), truth)
    assert 3 * one_class < _mean_iou(found, truth) < 0.5


def _mean_iou(found, truth):
    return np.mean([((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum() for k in range(6)])
