import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from metalib import scenes


@pytest.fixture(scope="module")
def streets():
    """60 images (60, 64, 128, 3) and labels (60, 64, 128) in six classes."""
    return tuple(
        np.stack(part) for part in zip(*(scenes.render("street-like", 0, i, 64) for i in range(60)), strict=True)
    )


@pytest.mark.parametrize("name", scenes.NAMES)
def test_a_scene_is_a_function_of_seed_and_index(name):
    first, again, other, elsewhere = (scenes.render(name, *key, 64) for key in ((0, 3), (0, 3), (0, 4), (1, 3)))
    for part, shape in zip(first, ((64, 128, 3), (64, 128)), strict=True):
        assert (part.shape, part.dtype) == (shape, np.uint8)
    for part, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(part, same)
    for different in (other, elsewhere):
        assert (first[0] != different[0]).mean() > 0.9
        assert (first[1] != different[1]).mean() > 0.05


def test_a_scene_is_the_same_at_every_size():
    agree = [
        (scenes.render("street-like", 0, i, 96)[1][1::3, 1::3] == scenes.render("street-like", 0, i, 32)[1]).mean()
        for i in range(8)
    ]
    assert min(agree) > 0.98


@pytest.mark.parametrize("name", scenes.NAMES)
def test_sets_share_their_images_and_merge_the_labels(name):
    image, labels = scenes.render("street-like", 0, 5, 64)
    same, merged = scenes.render(name, 0, 5, 64)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(merged, np.array(scenes.MERGED[name])[labels])
    for k, joined in enumerate(scenes.class_names(name)):
        ids = [scenes.CLASSES.index(part) for part in joined.split("+")]
        np.testing.assert_array_equal(merged == k, np.isin(labels, ids))


def test_names_of_merged_classes():
    assert scenes.class_names("street-like") == scenes.CLASSES
    assert scenes.class_names("street-like-3") == ("sky", "building+tree+pole", "road+car")
    assert scenes.class_names("street-like-2") == ("sky+road", "building+tree+car+pole")


def test_classes_differ_in_frequency(streets):
    here = streets[1][..., None] == np.arange(6)
    fraction = dict(zip(scenes.CLASSES, here.mean(axis=(0, 1, 2)), strict=True))
    expected = dict(sky=0.25, building=0.3, road=0.28, tree=0.11, car=0.045, pole=0.012)
    assert fraction == pytest.approx(expected, rel=0.25)
    assert max(fraction.values()) > 15 * min(fraction.values())
    present = here.any(axis=(1, 2)).mean(axis=0)
    assert (present[:3] > 0.95).all()
    assert (present > 0.6).all()


def test_images_are_exposed(streets):
    images, _ = streets
    assert (images == 255).mean() < 0.1
    assert images.mean(axis=(1, 2, 3)).std() > 10  # days differ
    assert (images.std(axis=(1, 2, 3)) > 20).all()  # and none is flat


def test_colour_alone_does_not_tell_the_classes(streets):
    images, labels = streets
    tree = DecisionTreeClassifier(max_depth=10, random_state=0)
    tree.fit(images[:40].reshape(-1, 3)[::8], labels[:40].ravel()[::8])
    found, truth = tree.predict(images[40:].reshape(-1, 3)), labels[40:].ravel()
    one_class = _mean_iou(np.full_like(truth, np.bincount(truth).argmax()), truth)
    assert 3 * one_class < _mean_iou(found, truth) < 0.5


def _mean_iou(found, truth):
    return np.mean([((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum() for k in range(6)])


def test_unknown_sets_and_sizes_are_named():
    for ask in (scenes.class_names, lambda name: scenes.render(name, 0, 0)):
        with pytest.raises(
            ValueError, match="unknown embedded set 'street', expected one of street-like, street-like-3"
        ):
            ask("street")
    with pytest.raises(ValueError, match="size is 31 px, expected at least 32"):
        scenes.render("street-like", 0, 0, 31)
