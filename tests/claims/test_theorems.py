"""Lemmas and theorems, measured on few draws or trained in small worlds: verdicts hold, and turn where a part is broken."""

import numpy as np
import pytest
from small_world import decided, world

from metalib.claims import tables, theorems
from metalib.noise import density, designs, effective, theory, transition
from metalib.runs.results import Score

LAW = (90.0, 40.0, 0.4)
X = np.geomspace(10, 1000, 6)
NOISE = np.array([-0.2, 0.0, 0.2])  # seeds


@pytest.fixture
def circle():
    clean, matrices = theory.circle(64), {"RCL": transition.flip_matrix(0.45), "RL": transition.random_matrix(0.5)}
    return clean, matrices, {name: theory.draw(name, clean, matrix, 8) for name, matrix in matrices.items()}


def figure_6(circle):
    clean, matrices, drawn = circle
    places = [(name, kernel) for name in matrices for kernel in density.KERNELS]
    contrasts = {(n, k): theory.contrast(theory.maps(drawn[n], 41, 1, k), clean, 41) for n, k in places}
    ranks = {name: theory.measured_rank(drawn[name], clean, 2) for name in matrices}
    return theorems.figure_6(ranks, contrasts, 0.45)


def test_figure_6_holds_and_shows_faults(circle, monkeypatch):
    stated = figure_6(circle)
    expected = {f"map_{name}_{kernel}": "holds" for name in ("rcl", "rl") for kernel in density.KERNELS}
    assert decided(stated) == expected | {"rank_rcl": "check", "rank_rl": "check"}
    assert stated["map_rcl_box"][1] == "theory: contrast 0.222"  # 0.55 / 0.45 - 1
    clean, matrices, drawn = circle
    wrong = decided(figure_6((clean, matrices, {"RCL": drawn["RL"], "RL": drawn["RCL"]})))
    assert set(wrong.values()) == {"fails"}
    monkeypatch.setattr(density, "_coverage", lambda shape, *_: (np.linspace(1, 2, shape[0]) ** 4, np.ones(shape[1])))
    assert "fails" in decided(figure_6(circle)).values()


def lemma_1(circle):
    clean, matrices, drawn = circle
    coverages = {("circle", k): theory.coverage(drawn["RCL"], clean, matrices["RCL"], 25, k) for k in density.KERNELS}
    mean = theory.predicted(clean, matrices["RCL"], 25).mean
    return theorems.lemma_1(
        coverages, theory.measure_errors(clean, 8), theory.corner_error(theory.maps(drawn["RCL"], 25), mean, 25)
    )


def test_lemma_1_holds_but_its_error_is_a_constant_for_symmetric_flips_alone(circle):
    assert decided(lemma_1(circle)) == {
        "lemma1_circle_box": "holds",
        "lemma1_circle_gaussian": "holds",
        "delta_symmetric_flips": "holds",
        "delta_class-dependent_flips": "fails",
        "delta_corner": "check",
    }


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_a_wrong_standard_error_breaks_lemma_1(circle, monkeypatch, factor):
    right = density._ratio_error
    monkeypatch.setattr(density, "_ratio_error", lambda *of: factor * right(*of))
    found = decided(lemma_1(circle))
    assert {found["lemma1_circle_box"], found["lemma1_circle_gaussian"]} == {"fails"}


def test_a_corner_without_our_correction_fails_its_check():
    stated = theorems.lemma_1({}, {}, np.array([0.9, 1.0, 1.2]))
    assert decided(stated) == {"delta_corner": "fails"}


def test_the_window_law_holds_and_shows_faults(monkeypatch):
    _, areas = theory.measure_windows((0.2, 0.4), (3, 5), groups=6)
    stated = theorems.window_law(areas)
    assert decided(stated) == {"window_3": "holds", "window_5": "holds"}
    areas[0.4, 5] = 1.3 * areas[0.4, 5]
    assert decided(theorems.window_law(areas)) == {"window_3": "holds", "window_5": "fails"}
    assert "p = 0.4" in theorems.window_law(areas)["window_5"][2].reason
    monkeypatch.setattr(theory, "law_area", lambda p, z: z**2 / (4 * (1 - 2 * p) ** 2))  # without p(1-p)
    assert decided(theorems.window_law(areas))["window_3"] == "fails"


@pytest.mark.parametrize(("percent", "verdict"), [(89.5, "fails"), (90.5, "holds"), (109.5, "holds"), (110.5, "fails")])
def test_the_window_law_holds_within_a_tenth_either_way(percent, verdict):
    areas = {(0.3, 3): np.full(4, theory.law_area(0.3, 3) * percent / 100)}
    assert decided(theorems.window_law(areas)) == {"window_3": verdict}


@pytest.fixture
def families():
    return theory.measure_families(3)


def test_lemma_2_holds_but_where_unequal_rows_depend_on_each_other(families):
    stated = theorems.lemma_2(*families)
    assert set(decided(stated).values()) == {"holds"}
    assert "7 kinds" in stated["lemma2"][0]  # of ten
    assert "3 kinds" in stated["lemma2_dependent_rows"][0]


def test_verdicts_on_lemma_2_turn_with_what_is_measured(families):
    apart, ranks, errors = families
    found = decided(theorems.lemma_2(ranks, ranks, errors))  # if areas were ranks
    expected = {"lemma2": "holds", "lemma2_dependent_rows": "fails", "distinct_rows": "fails"}
    assert found == expected | {"full_rank": "holds", "deficient_rank": "holds"}
    wrong = apart | {"two equal rows": apart["two equal rows"] + 1}  # one family is enough
    assert decided(theorems.lemma_2(wrong, ranks, errors))["lemma2"] == "fails"
    swapped = errors | {"flips, 0.3": errors["critical flips, 2/3"], "critical flips, 2/3": errors["flips, 0.3"]}
    found = decided(theorems.lemma_2(apart, ranks, swapped))
    assert (found["full_rank"], found["deficient_rank"]) == ("fails", "fails")


def test_a_test_too_strict_or_a_matrix_transposed_is_noticed(monkeypatch):
    strict = theory.areas_apart
    monkeypatch.setattr(theory, "areas_apart", lambda *of: strict(*of, level=1e-300))
    assert decided(theorems.lemma_2(*theory.measure_families(3)))["distinct_rows"] == "fails"


def test_every_statement_of_the_theory_is_stored():
    stored = {row["id"] for row in tables.load() if row["notebook"] == "06_meta_structure_maps"}
    wanted = {"lemma2", "lemma2_dependent_rows", "distinct_rows", "full_rank", "deficient_rank", "window_3", "window_6"}
    wanted |= {"delta_symmetric_flips", "delta_class-dependent_flips", "delta_corner"}
    scenes = ("circle", *theory.scenes())
    wanted |= {f"lemma1_{of.replace(' ', '_')}_{kernel}" for of in scenes for kernel in density.KERNELS}
    assert wanted <= stored


def made(level, noise=NOISE):
    """A score of three seeds; of its test images nothing is known."""
    return Score(level + noise)


def curves(offsets):
    """Scores of three seeds: the reference on the law, every other kind so many points from it."""
    kinds = {theorems.REFERENCE: 0.0} | offsets
    return {
        kind: {x: made(effective.power_law(x, *LAW) + off) for x in (X if off == 0 else X[1:-1])}
        for kind, off in kinds.items()
    }


@pytest.mark.parametrize(("off", "verdict"), [(0.5, "holds"), (-1, "holds"), (6, "fails"), (-6, "fails")])
def test_kinds_are_compared_at_equal_information(off, verdict):
    stated = theorems.one_curve(curves({"replaced by one": off}), "bits")
    assert decided(stated) == {"bits_replaced_by_one": verdict, "bits_cost": verdict}
    assert stated["bits_cost"][2].value == pytest.approx(off, abs=0.1)


def test_one_of_a_kind_fails_it_and_all_together():
    scores = curves({"sampled": 0.5, "replaced": 0.4})
    scores["sampled"][X[2]] = made(scores["sampled"][X[2]].values.mean() - 9)
    stated = theorems.one_curve(scores, "bits")
    assert decided(stated) == {"bits_sampled": "fails", "bits_replaced": "holds", "bits_cost": "fails"}
    verdict = stated["bits_cost"][2]
    assert (verdict.value, verdict.reason) == (pytest.approx(-8.5), "of 8: sampled, 63.1 bits, margin ±3")


def test_labels_beyond_the_reference_are_left_out():
    scores = curves({"sampled": 0.5})
    scores["sampled"] |= {
        X[0] / 10: Score(NOISE),
        X[-1] * 10: Score(NOISE),
    }  # Dice 0 where nothing is known of the curve
    verdict = theorems.one_curve(scores, "bits")["bits_sampled"][2]
    assert (verdict.verdict, verdict.reason[:5]) == ("holds", "of 4:")
    only_outside = {theorems.REFERENCE: scores[theorems.REFERENCE], "sampled": {1e9: Score(NOISE)}}
    found = decided(theorems.one_curve(only_outside, "bits"))
    assert found == {"bits_sampled": "not run", "bits_cost": "not run"}


def test_the_curve_has_the_error_of_its_seeds_and_test_images():
    """A kind that is the reference itself is as good, however seeds and images vary; one that is not gets their error."""
    of_images = np.array([-3.0, 0, 3])  # what each left-out image does to a score
    reference = {x: Score(power + 30 * NOISE, power + np.tile(of_images, (3, 1))) for x, power in law_at(X).items()}
    (same, *_), (other, *_) = (
        [of[2] for of in theorems.one_curve({theorems.REFERENCE: reference, "other": of}, "bits").values()]
        for of in (reference, {x: Score(power + NOISE, np.full((3, 3), power)) for x, power in law_at(X).items()})
    )
    assert (same.verdict, same.images) == ("holds", 3)
    assert (other.verdict, other.images) == ("undecided", 3)
    assert other.high - other.low > 10


def law_at(places):
    return {x: effective.power_law(x, *LAW) for x in places}


def test_full_rank_is_to_train_like_clean_labels_and_rank_one_not_at_all():
    clean, floor = made(88, -NOISE), 50.0
    full, random = {"0.4 flipped": made(87), "0.47 flipped": made(83)}, {"0.2": made(50), "0.5": made(50.5)}
    stated = theorems.two_classes(clean, full, random, floor, 32)
    assert decided(stated) == {"as_clean": "holds", "rank_one": "holds"}
    assert stated["as_clean"][2].value == pytest.approx(-5)
    assert stated["as_clean"][0].startswith("full rank, two classes, 32 images")
    full["0.47 flipped"], random["0.5"] = made(70), made(60)
    stated = theorems.two_classes(clean, full, random, floor, 32)
    assert decided(stated) == {"as_clean": "fails", "rank_one": "fails"}
    assert "0.47 flipped" in stated["as_clean"][2].reason


def test_rank_is_to_decide_where_labels_are_decoded():
    clean, two = made(80), {"mixed": made(42, -NOISE), "shared": made(38, -NOISE)}
    plain = {"flips": made(79), "one class": made(8)}
    decoded = {"flips": made(79), "one class": made(78.5)}
    stated = theorems.three_classes(clean, plain, decoded, ["one class"], two, 96)
    expected = {"decodable": "holds", "most_likely": "fails", "decoding": "holds", "rank_two": "holds"}
    assert decided(stated) == expected
    assert "one class" in stated["most_likely"][2].reason
    assert stated["rank_two"][2].value == pytest.approx(-36.5)
    swapped = theorems.three_classes(clean, decoded, plain, ["one class"], two, 96)
    assert decided(swapped) == {
        "decodable": "fails",
        "most_likely": "holds",
        "decoding": "fails",
        "rank_two": "fails",
    }


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_the_critical_flips(classes):
    recipes = designs.critical_recipes(classes)
    plain = {f"critical x {recipe}": 60 * max(value, 0) ** 0.2 for recipe, value in recipes.items()}
    made = world(plain)
    inverted = world({run: 60 * max(-value, 0) ** 0.2 for run, value in zip(plain, recipes.values(), strict=True)})
    for run in plain:
        made.runs[run]["miou_inverted"] = inverted.runs[run]["miou"]
    found = decided(theorems.critical(made.of("critical x"), classes))
    assert found == {f"critical_{classes}": "holds", f"inverted_{classes}": "holds", f"full_rank_{classes}": "fails"}
    blind = decided(theorems.critical(world(dict.fromkeys(plain, 60)).of("critical x"), classes))
    assert blind[f"full_rank_{classes}"] == "holds"
    assert "holds" not in (blind[f"critical_{classes}"], blind[f"inverted_{classes}"])
