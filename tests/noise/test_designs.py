"""Recipes by design have the eigenvalue, the effective pixels and the rank that they are named by."""

import numpy as np
import pytest

from metalib.noise import designs, effective, recipes, transition


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_critical_recipes_have_the_eigenvalues_they_are_named_by(classes):
    for recipe, value in designs.critical_recipes(classes).items():
        eigenvalue = transition.eigenvalues(recipes.matrix(recipe, classes))[-1].real
        assert eigenvalue == pytest.approx(value, abs=2e-4)


@pytest.mark.parametrize("images", designs.TRAINING_IMAGES)
def test_effective_recipes_are_worth_what_they_are_named_by(images):
    for as_clean in designs.EFFECTIVE_IMAGES:
        p = float(designs.effective_recipe(images, as_clean).partition(":")[2])
        assert images * effective.effective_share(p) == pytest.approx(as_clean, rel=1e-2)


def test_the_kinds_of_noise_have_the_rank_that_they_stand_for():
    two = [recipe for recipes in designs.ASYMMETRIC.values() for recipe in recipes]
    assert {transition.rank(recipes.matrix(recipe)) for recipe in two} == {2}
    assert {transition.rank(recipes.matrix(recipe, 3)) for recipe in designs.THREE_CLASSES.values()} == {3}
    assert {transition.rank(recipes.matrix(recipe, 3)) for recipe in designs.RANK_TWO.values()} == {2}
    rows = [{tuple(row) for row in recipes.matrix(recipe, 3)} for recipe in designs.RANK_TWO.values()]
    assert [len(of) for of in rows] == [2, 3]  # with two equal rows, and with none


def test_labels_of_rank_two_can_carry_more_bits_than_flips_of_full_rank():
    prior = np.array([0.3, 0.4, 0.3])
    rank_two = [transition.information(recipes.matrix(of, 3), prior) for of in designs.RANK_TWO.values()]
    assert min(rank_two) > transition.information(transition.flip_matrix(0.5, 3), prior)


def test_flips_of_equal_bits_leave_those_of_nine_in_ten_of_nineteen_classes():
    def bits(p, classes):
        return transition.information(transition.flip_matrix(p, classes), np.full(classes, 1 / classes))

    assert designs.equal_bits_recipe(19) == "rcl_flip:0.9000"
    for classes in (2, 3, 6, 11):
        p = float(designs.equal_bits_recipe(classes).partition(":")[2])
        np.testing.assert_allclose(bits(p, classes), bits(0.9, 19), rtol=2e-3)
        assert p < (classes - 1) / classes
