import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import morphology

from metalib._labels import IGNORE
from metalib.noise import recipes, transition

masks = arrays(np.uint8, st.tuples(st.integers(3, 20), st.integers(3, 20)), elements=st.integers(0, 1))
ratios = st.floats(0, 1)
seeds = st.integers(0, 2**32)
RECIPES = (
    *("cl", "rcl_sample:0.1", "rcl_flip:0.45", "pcl_dilation", "pcl_erosion:2", "pcl_skeleton", "rl:0.1"),
    *("pcl_closing", "pcl_opening:2", "pcl_boundary:3", "rcl_matrix:0.9 0.1; 0.3 0.7"),
)


def standard_errors(count, n, p):
    return abs(count - n * p) / np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("recipe", RECIPES)
@given(mask=masks, seed=seeds)
def test_every_recipe_keeps_shape_dtype_and_input_and_follows_its_seed(recipe, mask, seed):
    before = mask.copy()
    first, again = (recipes.make(recipe, mask, np.random.default_rng(seed)) for _ in range(2))
    assert (first.shape, first.dtype) == (mask.shape, np.uint8)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(first, again)
    assert np.isin(first, (0, 1, IGNORE)).all()


@given(mask=masks, keep=ratios, seed=seeds)
def test_sampling_ignores_pixels_and_changes_none(mask, keep, seed):
    noisy = recipes.sample(mask, keep, np.random.default_rng(seed))
    known = noisy != IGNORE
    np.testing.assert_array_equal(noisy[known], mask[known])


@pytest.mark.parametrize("p", [0.1, 0.45, 0.49])
def test_rates_of_flips_samples_and_random_labels_are_binomial(rng, p):
    mask = (rng.random((512, 512)) < 0.3).astype(np.uint8)
    for label in (0, 1):
        here = mask == label
        assert standard_errors((recipes.flip(mask, p, rng)[here] != label).sum(), here.sum(), p) < 5
        assert standard_errors((recipes.sample(mask, p, rng)[here] != IGNORE).sum(), here.sum(), p) < 5
        assert standard_errors(recipes.random_labels(mask.shape, p, rng)[here].sum(), here.sum(), p) < 5


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_flips_of_many_classes_have_the_uniform_matrix(rng, classes):
    clean = rng.integers(0, classes, (700, 700)).astype(np.uint8)
    p = 0.8
    for noisy in (
        recipes.flip(clean, p, rng, classes=classes),
        recipes.corrupt(clean, transition.flip_matrix(p, classes), rng),
    ):
        expected = transition.flip_matrix(p, classes)
        error = np.sqrt(expected * (1 - expected) / (clean.size / classes))
        assert (np.abs(transition.estimate(clean, noisy, classes) - expected) < 5 * error).all()


@given(mask=masks, percent=st.integers(0, 100), seed=seeds)
def test_exact_counts_are_those_of_integer_arithmetic(mask, percent, seed):
    rng, p = np.random.default_rng(seed), percent / 100
    flipped, sampled = recipes.flip(mask, p, rng, exact=True), recipes.sample(mask, p, rng, exact=True)
    for label in (0, 1):
        n = int((mask == label).sum())
        assert (flipped[mask == label] != label).sum() == n * percent // 100
        assert (sampled[mask == label] == label).sum() == -(-n * percent // 100)


@pytest.mark.parametrize("percent", range(101))
def test_exact_counts_do_not_suffer_from_binary_fractions(percent, rng):
    mask = np.ones((10, 10), np.uint8)
    assert (recipes.flip(mask, percent / 100, rng, exact=True) == 0).sum() == percent
    assert (recipes.sample(mask, percent / 100, rng, exact=True) == 1).sum() == percent


def test_rows_of_a_matrix_are_the_clean_class(rng):
    clean = rng.integers(0, 3, (400, 400)).astype(np.uint8)
    matrix = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.5, 0.1, 0.4]])
    np.testing.assert_allclose(transition.estimate(clean, recipes.corrupt(clean, matrix, rng), 3), matrix, atol=0.015)


def test_a_written_matrix_draws_what_corrupt_draws(rng):
    clean = rng.integers(0, 3, (60, 60)).astype(np.uint8)
    matrix = [[0.7, 0.2, 0.1], [0, 1, 0], [0.5, 0.1, 0.4]]
    made = recipes.make(recipes.of_matrix(matrix), clean, np.random.default_rng(5), classes=3)
    np.testing.assert_array_equal(made, recipes.corrupt(clean, matrix, np.random.default_rng(5)))


@given(mask=masks, px=st.integers(1, 3))
def test_dilation_and_erosion_are_passes_of_the_square(mask, px):
    dilated, eroded = mask, mask
    for _ in range(px):
        dilated, eroded = (
            f(x, np.ones((3, 3))) for f, x in ((morphology.dilation, dilated), (morphology.erosion, eroded))
        )
    np.testing.assert_array_equal(recipes.dilate(mask, px), dilated)
    np.testing.assert_array_equal(recipes.erode(mask, px), eroded)
    np.testing.assert_array_equal(recipes.erode(1 - mask, px), 1 - recipes.dilate(mask, px))


def test_a_stack_is_perturbed_image_by_image(rng):
    stack = (rng.random((4, 20, 20)) < 0.5).astype(np.uint8)
    np.testing.assert_array_equal(recipes.dilate(stack), recipes.dilate(stack, 1))
    np.testing.assert_array_equal(recipes.erode(stack), recipes.erode(stack, 1))
    for perturb in (recipes.dilate, recipes.erode, recipes.skeleton):
        np.testing.assert_array_equal(perturb(stack), np.stack([perturb(image) for image in stack]))


def test_skeleton_of_a_bar_is_a_line_inside_it():
    bar = np.zeros((15, 40), np.uint8)
    bar[5:10, 5:35] = 1
    thin = recipes.skeleton(bar)
    assert (thin <= bar).all()
    assert thin[:, 10:30].sum(axis=0).tolist() == [1] * 20


def test_void_pixels_of_many_classes_stay_void(rng):
    clean = rng.integers(0, 5, (50, 50)).astype(np.uint8)
    clean[:10] = IGNORE
    for noisy in (
        recipes.flip(clean, 1.0, rng, classes=5),
        recipes.corrupt(clean, transition.flip_matrix(0.5, 5), rng),
        recipes.sample(clean, 1.0, rng, classes=5),
    ):
        assert (noisy[:10] == IGNORE).all()
        assert (noisy[10:] < 5).all()


def test_a_flip_with_certainty_moves_every_pixel(rng):
    clean = rng.integers(0, 5, (50, 50)).astype(np.uint8)
    assert (recipes.flip(clean, 1.0, rng, classes=5) != clean).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 255]], np.uint8), "divide a 0/255 mask by 255"),
        (np.array([[0, 2]], np.uint8), r"values \[2\], expected 0..1"),
        (np.array([[0, 1]]), "dtype int64, expected uint8"),
        (np.array([[True]]), "dtype bool"),
        (np.array([0, 1], np.uint8), r"shape \(2,\)"),
        (np.zeros((0, 4), np.uint8), "at least one pixel"),
    ],
)
def test_labels_that_are_not_class_ids_are_named(values, message, rng):
    for call in (
        lambda: recipes.flip(values, 0.1, rng),
        lambda: recipes.sample(values, 0.1, rng),
        lambda: recipes.dilate(values),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_ratios_outside_the_unit_interval_are_named(p, rng):
    mask = np.zeros((4, 4), np.uint8)
    for call in (
        lambda: recipes.flip(mask, p, rng),
        lambda: recipes.sample(mask, p, rng),
        lambda: recipes.random_labels((4, 4), p, rng),
    ):
        with pytest.raises(ValueError, match=r"expected a fraction in \[0, 1\]"):
            call()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("rcl_flips:0.1", "unknown recipe 'rcl_flips:0.1'"),
        ("rcl_flip", "could not convert"),
        ("rcl_flip:45", "the value is 45.0, expected a fraction"),
        ("pcl_dilation:0", "the number of passes is 0, expected a whole number, at least 1"),
        ("pcl_dilation:x", "invalid literal"),
        ("cl:3", "takes no value, got '3'"),
        ("rcl_matrix:0.9 0.1", r"square, got rows of \[2\] numbers"),
        ("rcl_matrix:1 0; 1", r"square, got rows of \[2, 1\] numbers"),
        ("rcl_matrix:1.1 -0.1; 0 1", "probabilities, got the entry -0.1"),
        ("rcl_matrix:1 0 0; 0 1 0; 0 0 1", "matrix of 3 classes, the labels have 2"),
    ],
)
def test_recipes_that_do_not_exist_are_named_with_those_that_do(recipe, message, rng):
    with pytest.raises(ValueError, match=message) as error:
        recipes.make(recipe, np.zeros((4, 4), np.uint8), rng)
    assert "known forms: cl, rcl_sample:0.1" in str(error.value) or "the labels have 2" in message


def test_perturbation_of_many_classes_is_refused(rng):
    with pytest.raises(ValueError, match="defined for two classes, got classes=3"):
        recipes.make("pcl_dilation", np.zeros((4, 4), np.uint8), rng, classes=3)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.5, 0.4], [0, 1]], "row 0 of the transition matrix sums to 0.9"),
        ([[1.5, -0.5], [0, 1]], "entry -0.5"),
        ([[1, 0, 0], [0, 1, 0]], r"shape \(2, 3\)"),
        ([[float("nan"), 1], [0, 1]], "entry nan"),
    ],
)
def test_matrices_that_are_not_row_stochastic_are_named(matrix, message, rng):
    with pytest.raises(ValueError, match=message):
        recipes.corrupt(np.zeros((4, 4), np.uint8), matrix, rng)


def test_titles_have_the_number_or_the_matrix_of_a_recipe():
    assert recipes.title("rcl_flip:0.4") == "RCL, 0.4 flipped"
    matrix = recipes.of_matrix([[0.75, 0.25], [0.5, 0.5]])
    assert matrix.partition(":")[2] in recipes.title(matrix)


def test_family_is_the_papers_abbreviation():
    assert [recipes.family(recipe) for recipe in RECIPES] == [
        "CL",
        "RCL",
        "RCL",
        *["PCL"] * 3,
        "RL",
        *["PCL"] * 3,
        "RCL",
    ]


@given(mask=masks, px=st.integers(1, 3))
def test_closing_and_opening_are_those_of_the_library(mask, px):
    square, padded = np.ones((2 * px + 1,) * 2), np.pad(mask, 8, mode="edge")
    for recipe, theirs in (("pcl_closing", morphology.closing), ("pcl_opening", morphology.opening)):
        inner = recipes.make(f"{recipe}:{px}", padded, None)[8:-8, 8:-8]
        np.testing.assert_array_equal(inner, theirs(padded, square)[8:-8, 8:-8])


@given(mask=masks, steps=st.integers(1, 4), seed=seeds)
def test_boundary_noise_changes_pixels_near_a_boundary_only(mask, steps, seed):
    noisy = recipes.perturb_boundary(mask, steps, np.random.default_rng(seed))
    changed = noisy != mask
    near = recipes.dilate(mask, steps) != recipes.erode(mask, steps)
    assert not (changed & ~near).any()


def test_boundary_noise_grows_and_keeps_the_expected_foreground(rng):
    mask = np.zeros((64, 128, 128), np.uint8)
    mask[:, 32:96, 32:96] = 1
    shares = [recipes.perturb_boundary(mask, steps, rng) for steps in (1, 4, 16)]
    wrong = [(noisy != mask).mean() for noisy in shares]
    assert wrong[0] < wrong[1] < wrong[2]
    # Each of the 9 sources is equally likely, and a square far from the border loses what it gains.
    assert abs(shares[0].mean() - mask.mean()) < 5 * np.sqrt(0.25 * 4 * 64 * 2 / 128**4 / 64)
    column = mask[0, 64].astype(float)
    expected = np.convolve(column, np.full(3, 1 / 3), "same")  # of a straight edge after one step
    measured = recipes.perturb_boundary(np.tile(mask[:1, 64:65, :], (4000, 3, 1)), 1, rng)[:, 1].mean(axis=0)
    assert (np.abs(measured - expected) < 5 * np.sqrt(0.25 / 4000)).all()


def test_one_sided_sampling_turns_foreground_into_background_and_keeps_background(rng):
    mask = (rng.random((256, 256)) < 0.3).astype(np.uint8)
    noisy = recipes.sample(mask, 0.1, rng, one_sided=True)
    np.testing.assert_array_equal(noisy[mask == 0], 0)
    assert standard_errors(noisy[mask == 1].sum(), mask.sum(), 0.1) < 5
    np.testing.assert_allclose(
        transition.estimate(mask, noisy), recipes.matrix("rcl_sample:0.1", one_sided=True), atol=0.02
    )
    exact = recipes.make("rcl_sample:0.1", mask, rng, exact=True, one_sided=True)
    assert exact.sum() == np.ceil(0.1 * mask.sum())
    with pytest.raises(ValueError, match="one_sided sampling is defined for two classes, got classes=3"):
        recipes.sample(mask, 0.1, rng, classes=3, one_sided=True)


def test_generators_differ_by_recipe_and_by_each_seed_and_repeat():
    def draw(*key):
        return recipes.generator(*key).random()

    keys = [("rl:0.1", 0), ("rl:0.3", 0), ("rl:0.1", 1), ("rl:0.1", 0, "a"), ("rl:0.1", 0, "b")]
    assert len({draw(*key) for key in keys}) == len(keys)
    assert draw("rl:0.1", 0, "a") == draw("rl:0.1", 0, "a")


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_a_numpy_integer_is_the_seed_that_it_counts(kind):
    drawn = [recipes.generator("rl:0.1", seed, "a").random() for seed in (kind(7), 7)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("recipe", ["cl", "rcl_sample:0.1", "rcl_flip:0.45", "rl:0.1", "rcl_matrix:0.9 0.1; 0.3 0.7"])
def test_the_matrix_of_a_recipe_is_what_its_labels_show(recipe, rng):
    clean = (rng.random((600, 600)) < 0.3).astype(np.uint8)
    estimate = transition.estimate(clean, recipes.make(recipe, clean, rng))
    expected = recipes.matrix(recipe)
    counts = 0.1 * clean.size * transition.prior(clean)[:, None]  # sampling keeps a tenth
    assert (np.abs(estimate - expected) <= 5 * np.sqrt(expected * (1 - expected) / counts)).all()


def test_perturbed_labels_have_no_matrix_of_their_own():
    with pytest.raises(ValueError, match=r"'pcl_dilation' has no transition matrix.*use noise.estimate"):
        recipes.matrix("pcl_dilation")


def test_one_sided_sampling_has_full_rank_and_the_determinant_of_what_is_kept():
    matrix = recipes.matrix("rcl_sample:0.1", one_sided=True)
    assert np.linalg.det(matrix) == pytest.approx(0.1)
    assert transition.rank(matrix) == 2


def test_a_matrix_and_its_recipe_are_one():
    matrix = transition.replacement_matrix(0.95, (0.8, 0.2))
    assert recipes.of_matrix(matrix) == "rcl_matrix:0.81 0.19; 0.76 0.24"
    np.testing.assert_allclose(recipes.matrix(recipes.of_matrix(matrix)), matrix)
    with pytest.raises(ValueError, match="no transition matrix for 3 classes"):
        recipes.matrix(recipes.of_matrix(matrix), 3)


def test_sampling_alone_labels_a_share_of_the_pixels():
    assert [recipes.labelled_share(recipe) for recipe in ("cl", "rcl_sample:0.1", "rcl_flip:0.45")] == [1, 0.1, 1]
