"""Each statement on iGTT holds in a world made after it, fails in one made against it, and is open in between."""

import numpy as np
import pytest
from scipy import stats
from small_world import decided

from metalib.claims import igtt, tables
from metalib.runs import table3
from metalib.runs.results import Page, Results

SEEDS, ENOUGH = 3, 11  # so many runs without a single bad one show that at most a quarter are
JITTER = 0.05 * np.tile([0, 1, -1, 2, -2], 3)  # Dice points
LEVELS = {
    **{"Otsu": 69, "AGT": 76, "DFC": 78.1, "AC": 73, "unet cl": 85, "unet_longer cl": 86},
    **{"iGTT": 79, "iGTT, no EMS": 74, "iGTT+": 82, "iGTT+, no EMS": 80, "iGTT+, never refreshed": 77},
    **{"initial mask": 75, "Otsu, smoothed": 71, "AGT, smoothed": 78, "AGT, smoothed, oracle": 80},
}
PLAIN = {"Otsu", "AGT", "initial mask", "Otsu, smoothed", "AGT, smoothed", "AGT, smoothed, oracle"}
PREFIXES = ["", "mito-like"]
TABLE = {
    f"{preset}{name}"
    for preset in ("", "plus_")
    for name in ("above_otsu", "above_agt", "above_dfc", "above_ac", "ems", "supervised")
} | {"above_otsu_lenient"}
OUTCOMES = {"upright_iGTT", "upright_iGTT+", "alive_iGTT", "alive_iGTT+"}
AIMS = {
    *(f"plus_above_{name}" for name in ("never", "start", "otsu_smoothed", "agt_smoothed", "agt_oracle")),
    *("plus_harmless", "plus_gains", "plus_within", "plus_steady", "upright_above_all", *OUTCOMES),
}


def run(values, auc=90.0):
    """A run that ends at these Dice values (seeds,) and this AUC, in percent, having been elsewhere before."""
    values = np.asarray(values, dtype=float)
    last = np.stack([50 - values, values], axis=1) / 100
    return {"dice_half": last, "dice_lenient": last, "auc": np.stack([values * 0, values * 0 + auc], axis=1) / 100}


def world(prefix="", seeds=SEEDS, **levels):
    """Results in which rows end near LEVELS, in percent; levels: other ones by row, a number or the values of the seeds.

    iGTT has two seeds more than the others, as in the quick profile.
    """
    runs = {}
    for row, level in (LEVELS | levels).items():
        count = 1 if row in PLAIN else seeds + 2 if row == "iGTT" else seeds
        runs[f"{prefix} {row}".strip()] = run(level + JITTER[:count] if np.isscalar(level) else level)
    return Results(runs, {}, {})


@pytest.mark.parametrize("prefix", PREFIXES)
def test_all_holds_in_a_world_after_the_paper(prefix):
    """A data set stands in the rows, and not in the ids."""
    made = world(prefix, seeds=ENOUGH)
    assert decided(igtt.table(made.of(prefix))) == dict.fromkeys(TABLE, "holds")
    assert decided(igtt.aims(made.of(prefix))) == dict.fromkeys(AIMS, "holds")


def test_three_seeds_leave_open_what_happens_rarely():
    open_ = {name for name, verdict in decided(igtt.aims(world())).items() if verdict != "holds"}
    assert open_ == OUTCOMES


def telling(slope, gain, used):
    """`Accounts` of runs (n,), as records hold them: one list a seed, of one value each."""
    dropped, base = np.full((len(slope), 1), 0.2), np.full((len(slope), 1), 0.7)
    column = {name: np.reshape(of, (-1, 1)) for name, of in (("slope", slope), ("gain", gain), ("used", used))}
    told = dict(network=1.0 * column["used"], added=dropped + column["slope"], dropped=dropped, dice_base=base)
    told |= dict(low=column["slope"] - 0.01, high=column["slope"] + 0.01, dice_network=base + column["gain"] / 100)
    made = world()
    for row in ("iGTT+", "mito-like iGTT+"):  # another set has an account of its own
        made.runs[row] = made.runs["iGTT+"] | {f"label_{name}": of for name, of in told.items()}
    return igtt.accounts(made)


def test_an_account_is_that_of_the_runs_that_tell_of_themselves():
    found = telling([0.1, -0.1, 0.0], [5, -3, 1], [True, False, False])
    np.testing.assert_array_equal(found.used, [True, False, False])
    np.testing.assert_allclose(found.slope, [0.1, -0.1, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.gain, [5, -3, 1])
    np.testing.assert_allclose(found.high - found.low, 0.02)
    assert igtt.accounts(world()).used.size == 0
    assert set(decided(igtt.account([igtt.accounts(world())])).values()) == {"not run"}


def test_an_account_is_true_where_steep_outlines_are_better_and_used_networks_do_no_harm(rng):
    slope = np.linspace(-0.1, 0.1, 24)
    true = [telling(slope[half::2], 100 * slope[half::2], slope[half::2] > 0) for half in (0, 1)]
    assert decided(igtt.account(true)) == {"account_ranks": "holds", "account_harmless": "holds"}
    false = [telling(slope, -100 * slope, slope > 0)]
    assert decided(igtt.account(false)) == {"account_ranks": "fails", "account_harmless": "fails"}
    chance = [telling(slope, rng.permutation(slope), slope > 0)]
    assert decided(igtt.account(chance))["account_ranks"] == "undecided"


AGAINST = [
    *((igtt.table, f"above_{row.lower()}", row, "iGTT") for row in ("Otsu", "AGT", "DFC", "AC")),
    *((igtt.table, f"plus_above_{row.lower()}", row, "iGTT+") for row in ("Otsu", "AGT", "DFC", "AC")),
    (igtt.table, "ems", "iGTT, no EMS", "iGTT"),
    (igtt.table, "plus_ems", "iGTT+, no EMS", "iGTT+"),
    (igtt.aims, "plus_above_never", "iGTT+, never refreshed", "iGTT+"),
    (igtt.aims, "plus_above_start", "initial mask", "iGTT+"),
    (igtt.aims, "plus_above_otsu_smoothed", "Otsu, smoothed", "iGTT+"),
    (igtt.aims, "plus_above_agt_smoothed", "AGT, smoothed", "iGTT+"),
    (igtt.aims, "plus_above_agt_oracle", "AGT, smoothed, oracle", "iGTT+"),
]


@pytest.mark.parametrize(("function", "name", "lower", "upper"), AGAINST)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_row_that_rises_above_another_turns_their_statement_over(function, name, lower, upper, prefix):
    for level, expected in ((LEVELS[upper] - 1, "holds"), (LEVELS[upper], "undecided"), (LEVELS[upper] + 1, "fails")):
        # Without jitter on one side, and with more on the other, equal means are undecided.
        made = world(prefix, **{lower: level, upper: LEVELS[upper] + np.array([0.3, -0.3, 0])})
        claim, _, verdict = function(made.of(prefix))[name]
        assert verdict.verdict == expected, (level, verdict)
        assert (verdict.seeds, verdict.unit) == (SEEDS, "Dice points")
        assert verdict.value == pytest.approx(level - LEVELS[upper])
        assert claim in (f"{lower} < {upper}", f"{upper} without EMS < with")


@pytest.mark.parametrize(
    ("function", "name", "row", "margin"),
    [
        (igtt.table, "supervised", "iGTT", 7.15),
        (igtt.table, "plus_supervised", "iGTT+", 7.15),
        (igtt.aims, "plus_within", "iGTT+", 5),
    ],
)
def test_nearness_to_the_unet_is_a_margin(function, name, row, margin):
    run, called = {"iGTT": ("unet cl", "the U-Net"), "iGTT+": ("unet_longer cl", "a U-Net of as many steps")}[row]
    for below, expected in ((margin - 0.5, "holds"), (margin, "undecided"), (margin + 0.5, "fails")):
        made = world(**{row: LEVELS[run] - below + np.array([0.2, -0.2, 0])})
        claim, _, verdict = function(made)[name]
        assert verdict.verdict == expected, below
        assert claim == f"{row} at most {margin:g} Dice points below {called}"
    assert function(world(**{row: 95}))[name][2].verdict == "holds"  # above it


def test_what_the_paper_says_is_told_of_its_own_preset_and_set():
    told = {name: paper for name, (_, paper, _) in igtt.table(world()).items()}
    dice = {row: float(text.split()[0].strip(",")) for row, text in table3.PAPER.items()}
    for row in ("Otsu", "AGT", "DFC", "AC"):
        assert told[f"above_{row.lower()}"] == f"{dice['iGTT'] - dice[row]:.1f} lower"
    assert told["ems"] == f"{dice['iGTT'] - dice['iGTT, no EMS']:.1f} lower"
    assert pytest.approx(dice["U-Net"] - dice["iGTT"]) == igtt.PAPER_BELOW_UNET
    assert told["supervised"] == "7.15 below, competitive"
    assert {paper for name, paper in told.items() if name.startswith("plus_")} == {"-"}
    other = {name: paper for name, (_, paper, _) in igtt.table(world("mito-like").of("mito-like")).items()}
    assert {paper for name, paper in other.items() if not name.startswith("plus_")} == {"lower", "competitive"}
    assert {paper for _, paper, _ in igtt.aims(world()).values()} == {"-"}


# --- pairing ---


def test_two_methods_are_compared_with_all_seeds_of_both():
    ours, other, unet = 70 + np.array([0, 8, 16, 3, 5]), 60.0 + np.array([0, 8, 16]), 85 + np.array([0, 2, 4.0])
    stated = igtt.table(world(**{"iGTT": ours, "DFC": other, "unet cl": unet}))
    verdict = stated["above_dfc"][2]
    assert verdict.p_holds == pytest.approx(stats.ttest_ind(other, ours, equal_var=False, alternative="less").pvalue)
    assert verdict.value == pytest.approx(other.mean() - ours.mean())
    near = stats.ttest_ind(ours + 7.15, unet, equal_var=False, alternative="greater")
    assert stated["supervised"][2].p_holds == pytest.approx(near.pvalue)


def test_a_row_is_paired_with_its_own_variants():
    """Over the seeds that both have, whose differences are constant here."""
    spread = np.array([0.0, 8.0, 16.0])
    made = world(**{"iGTT": 70 + np.array([*spread, 0, 0]), "iGTT, no EMS": 69 + spread})
    verdict = igtt.table(made)["ems"][2]
    assert (verdict.verdict, verdict.seeds, verdict.value) == ("holds", 3, pytest.approx(-1))
    shuffled = world(**{"iGTT": 70 + np.array([*spread, 0, 0]), "iGTT, no EMS": 69 + spread[::-1]})
    assert igtt.table(shuffled)["ems"][2].verdict == "undecided"


def test_one_value_stands_against_every_seed():
    ours = 70 + np.array([0, 1, 2, 3, 4])
    made = world(**{"iGTT": ours, "Otsu": 60.0 + np.zeros(1)})
    verdict = igtt.table(made)["above_otsu"][2]
    assert (verdict.verdict, verdict.seeds, verdict.value) == ("holds", 5, pytest.approx(-12))
    assert verdict.p_holds == pytest.approx(stats.ttest_1samp(ours, 60, alternative="greater").pvalue)
    assert igtt.table(made)["plus_above_otsu"][2].seeds == 3


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(seeds):
    made = world(seeds=seeds, **{"iGTT": 79 + JITTER[:seeds]})
    stated = igtt.table(made) | igtt.aims(made)
    assert set(decided(stated).values()) == {"undecided"}
    assert {verdict.seeds for _, _, verdict in stated.values()} == {seeds}
    assert all("at least 3 are needed" in verdict.reason for _, _, verdict in stated.values())


# --- inverted and collapsed runs ---


def aucs(**values):
    """Results of runs with these test AUCs in percent, one a seed."""
    return Results({row: run(np.zeros(len(auc)), np.array(auc)) for row, auc in values.items()}, {}, {})


def test_half_a_point_around_chance_is_collapsed():
    found = igtt.outcomes(np.array([10, 49.4, 49.6, 50, 50.4, 50.6, 90]))
    assert found.tolist() == ["inverted"] * 2 + ["collapsed"] * 3 + ["upright"] * 2


def test_inverted_and_collapsed_runs_are_counted_apart():
    made = aucs(
        well=[90] * ENOUGH, short=[90] * (ENOUGH - 1), down=[90, 10, 20, 50, 30, 40], flat=[50, 49.8, 50.2], one=[10]
    )
    stated = igtt.upright(made, ("well", "short", "down", "flat", "one"))
    assert decided(stated) == {
        **{"upright_well": "holds", "alive_well": "holds", "upright_short": "undecided", "alive_short": "undecided"},
        **{"upright_down": "fails", "alive_down": "undecided", "upright_flat": "undecided", "alive_flat": "fails"},
        **{"upright_one": "undecided", "alive_one": "undecided"},
    }
    verdict = stated["upright_down"][2]
    assert (verdict.value, verdict.unit, verdict.seeds) == (pytest.approx(100 * 4 / 6), "%", 6)
    assert verdict.p_fails == pytest.approx(stats.binomtest(4, 6, 0.25, alternative="greater").pvalue)
    assert stated["upright_down"][0] == "down is inverted in at most 25% of its runs"
    assert stated["alive_down"][0] == "down collapses in at most 25% of its runs"


def heaps(**without):
    """A world in which two of the five runs of iGTT are no good: one is inverted, one has collapsed."""
    made = world(**{"iGTT": [79, 80, 81, 5, 0]})
    made.runs["iGTT"] |= {"auc": np.array([[90], [90], [90], [20], [50]]) / 100, **without}
    return made


def test_where_runs_go_wrong_the_upright_ones_are_told():
    stated = igtt.table(heaps())
    for name in ("above_otsu", "above_dfc", "ems", "supervised"):
        assert stated[name][2].reason.endswith("; 3 of 5 runs are upright, Dice 80.0")
    assert "upright" not in stated["plus_above_otsu"][2].reason
    made = heaps()
    made.runs["iGTT"]["auc"] = np.full((5, 1), 0.5)
    assert igtt.table(made)["above_otsu"][2].reason.endswith("; 0 of 5 runs are upright")


def test_the_upright_runs_alone_stand_against_every_method_without_labels():
    made = heaps()
    assert igtt.table(made)["above_otsu"][2].verdict != "holds"
    verdict = igtt.aims(made)["upright_above_all"][2]
    assert (verdict.verdict, verdict.seeds, verdict.value) == ("holds", 3, pytest.approx(78.1 - 80))
    made.runs["AC"] = run(95 + JITTER[:3])
    assert igtt.aims(made)["upright_above_all"][2].verdict == "fails"
    made.runs["iGTT"]["auc"][0] = 0.5
    verdict = igtt.aims(made)["upright_above_all"][2]
    assert (verdict.verdict, verdict.reason) == ("undecided", "2 of 5 runs are upright, at least 3 are needed")


def test_test_images_count_for_upright_runs_too():
    """Images of an inverted run, on which everything hangs, do not widen the interval of the others."""
    without = np.full((5, 8), 0.8)
    without[3:] = np.linspace(0, 1, 8)
    made = heaps(without_dice_half=without)
    for row in igtt.PAPER_GAPS:
        made.runs[row]["without_dice_half"] = np.full((len(made.runs[row]["auc"]), 8), 0.7)
    verdict = igtt.aims(made)["upright_above_all"][2]
    assert (verdict.verdict, verdict.images) == ("holds", 8)
    without[0] = np.linspace(0, 1, 8)
    assert igtt.aims(made)["upright_above_all"][2].verdict == "undecided"


def test_names_of_rows_go_into_ids_that_are_one_word_and_sets_do_not():
    made = aucs(**{"nuc-like iGTT, no EMS": [90, 90, 90]})
    assert list(igtt.upright(made.of("nuc-like"), ["iGTT, no EMS"])) == ["upright_iGTT_no_EMS", "alive_iGTT_no_EMS"]
    page = Page("07_igtt", "quick", "er-like", "train")
    rows = tables.rows(page, igtt.aims(world("mito-like").of("mito-like")), "mito-like")
    assert {row["id"] for row in rows} == AIMS
    assert {(row["data"], row["kind"]) for row in rows} == {("mito-like", "ours")}
    assert not any("mito-like" in row["claim"] for row in rows)
    assert len(tables.table(rows).splitlines()) == 1 + len(rows)


# --- orientation ---


def named_by(auc, correlations):
    """The verdict on the rule, for runs of these AUCs that end at these correlations of P and brightness."""
    made = aucs(iGTT=auc)
    made.runs["iGTT"]["label_correlation"] = np.array([[-value, value] for value in correlations])
    ((name, (_, _, verdict)),) = igtt.orientation(made, ["iGTT"]).items()
    assert name == "orientation_rule"
    return verdict


@pytest.mark.parametrize(
    ("correlations", "expected", "wrong"),
    [
        ([0.5] * 10 + [-0.5] * 10, "holds", 0),  # inverted is the second half alone
        ([0.5] * 20, "fails", 10),  # inverted runs that the rule does not name
        ([-0.5] * 20, "fails", 10),  # upright ones that it names
        ([0.5] * 15 + [-0.5] * 5, "undecided", 5),
    ],
)
def test_the_rule_must_name_the_inverted_runs_and_only_those(correlations, expected, wrong):
    verdict = named_by([90] * 10 + [20] * 10, correlations)
    assert (verdict.verdict, verdict.seeds, verdict.value) == (expected, 20, pytest.approx(100 * wrong / 20))


def test_collapsed_runs_have_no_orientation():
    verdict = named_by([90, 50, 49.8], [0.5, -0.5, 0.1])
    assert (verdict.value, verdict.seeds) == (0, 1)
    assert named_by([50, 50], [0, -0.1]).verdict == "not run"


def test_the_rule_is_counted_over_all_rows():
    made = aucs(first=[90], second=[10, 90])
    for row, values in (("first", [0.2]), ("second", [-0.3, -0.3])):
        made.runs[row]["label_correlation"] = np.array(values)[:, None]
    ((_, _, verdict),) = igtt.orientation(made, ["first", "second"]).values()
    assert (verdict.value, verdict.seeds) == (pytest.approx(100 / 3), 3)


# --- the rest ---


@pytest.mark.parametrize(("deviation", "expected"), [(0.3, "holds"), (2.1, "undecided"), (5, "fails")])
def test_steadiness_is_the_deviation_over_seeds(deviation, expected):
    made = world(**{"iGTT+": 82 + deviation * np.array([-1, 0, 1])})
    verdict = igtt.aims(made)["plus_steady"][2]
    assert (verdict.verdict, verdict.value) == (expected, pytest.approx(deviation))


def test_each_change_stands_against_the_unchanged_preset():
    base = 80 + JITTER[:5]
    made = Results({"iGTT+": run(base), "a": run(base[:3] - 1), "b": run(base[:3] + 1), "c": run(base[:2] - 1)}, {}, {})
    stated = igtt.steps_of_change(made, ["a", "b", "c"])
    assert decided(stated) == {"needs_a": "holds", "needs_b": "fails", "needs_c": "undecided"}
    assert stated["needs_b"][0] == "iGTT+ with b < iGTT+"
    assert [verdict.seeds for _, _, verdict in stated.values()] == [3, 3, 2]


def test_changes_have_ids_of_their_own_that_are_one_word():
    changes = table3.ABLATIONS
    made = Results({change: run(80 + JITTER[:3]) for change in ("iGTT+", *changes)}, {}, {})
    names = list(igtt.steps_of_change(made, changes))
    assert len(set(names)) == len(changes)
    assert not any(set(name) & set(" :=") for name in names)
    assert "needs_loss_Eq._6" in names


def test_statements_ask_for_rows_of_table_3_alone():
    assert LEVELS.keys() <= {*table3.TABLE, *table3.SUPERVISED.values()}
