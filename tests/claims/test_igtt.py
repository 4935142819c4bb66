"""Each statement on iGTT holds in a world made after it, fails in one made against it, and is open in between."""

import numpy as np
import pytest
from small_world import decided

from metalib.claims import igtt, verdicts
from metalib.runs import table3
from metalib.runs.results import Page, Results

SEEDS = 3
JITTER = 0.05 * np.array([0, 1, -1, 2, -2, 0, 1, -1, 2, -2])  # Dice points
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
}
AIMS = {
    *(f"plus_above_{name}" for name in ("never", "start", "otsu_smoothed", "agt_smoothed", "agt_oracle")),
    *("plus_within", "plus_steady", "upright_iGTT", "upright_iGTT+"),
}


def run(values, auc=90.0):
    """A run that ends at these Dice values (seeds,) and this AUC, in percent, having been elsewhere before."""
    values = np.asarray(values, dtype=float)
    last = np.stack([50 - values, values], axis=1) / 100
    return {"dice_half": last, "auc": np.stack([values * 0, values * 0 + auc], axis=1) / 100}


def world(prefix="", seeds=SEEDS, **levels):
    """Results in which rows end near LEVELS, in percent; levels: other ones by row, a number or the values of the seeds."""
    runs = {}
    for row, level in (LEVELS | levels).items():
        count = 1 if row in PLAIN else 5 if row == "iGTT" else seeds
        runs[f"{prefix} {row}".strip()] = run(level + JITTER[:count] if np.isscalar(level) else level)
    return Results(runs, {}, {})


def named(prefix, names):
    return {f"{prefix}_{name}" if prefix else name for name in names}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_all_holds_in_a_world_after_the_paper(prefix):
    made = world(prefix)
    assert decided(igtt.table(made.of(prefix))) == dict.fromkeys(named(prefix, TABLE), "holds")
    assert decided(igtt.aims(made.of(prefix))) == dict.fromkeys(named(prefix, AIMS), "holds")


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
    (name,) = named(prefix, [name])
    for level, expected in ((LEVELS[upper] - 1, "holds"), (LEVELS[upper], "not tested"), (LEVELS[upper] + 1, "fails")):
        # Without jitter on one side, and with more on the other, equal means are undecided.
        made = world(prefix, **{lower: level, upper: LEVELS[upper] + np.array([0.3, -0.3, 0])})
        claim, _, verdict = function(made.of(prefix))[name]
        assert verdict.verdict == expected, (level, verdict)
        assert verdict.seeds == SEEDS
        assert verdict.ours == f"{LEVELS[upper] - level:.1f} Dice points lower"
        assert claim.startswith((f"{lower} < {upper}", f"{upper} without EMS < with"))
        assert claim.endswith(f"; {prefix}") == bool(prefix)


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
    for below, expected in ((margin - 0.5, "holds"), (margin, "not tested"), (margin + 0.5, "fails")):
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
    for other in (
        {name: paper for name, paper in told.items() if name.startswith("plus_")},
        {name: paper for name, (_, paper, _) in igtt.table(world("mito-like").of("mito-like")).items()},
    ):
        assert {paper for name, paper in other.items() if not name.endswith("supervised")} == {"lower"}


# --- pairing ---


def test_the_seeds_that_both_have_are_paired():
    """Of five seeds the first three; the differences are then constant, and unpaired ones would be undecided."""
    spread = np.array([0.0, 8.0, 16.0])
    made = world(**{"iGTT": 70 + np.array([*spread, 0, 0]), "DFC": 69.0 + spread})
    verdict = igtt.table(made)["above_dfc"][2]
    assert (verdict.verdict, verdict.seeds, verdict.ours, verdict.spread) == ("holds", 3, "1.0 Dice points lower", "0")
    shuffled = world(**{"iGTT": 70 + np.array([*spread, 0, 0]), "DFC": 69.0 + spread[::-1]})
    assert igtt.table(shuffled)["above_dfc"][2].verdict == "not tested"


def test_one_value_stands_against_every_seed():
    made = world(**{"iGTT": 70 + np.array([0, 1, 2, 3, 4]), "Otsu": 60.0 + np.zeros(1)})
    verdict = igtt.table(made)["above_otsu"][2]
    assert (verdict.verdict, verdict.seeds, verdict.ours) == ("holds", 5, "12.0 Dice points lower")
    assert verdict.spread == f"{np.std([0, 1, 2, 3, 4], ddof=1):.2g}"
    assert igtt.table(made)["plus_above_otsu"][2].seeds == 3


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_test_nothing(seeds):
    made = world(seeds=seeds, **{"iGTT": 79 + JITTER[:seeds]})
    stated = igtt.table(made) | igtt.aims(made)
    assert set(decided(stated).values()) == {"not tested"}
    assert {verdict.seeds for _, _, verdict in stated.values()} == {seeds}
    assert all("at least 3 are needed" in verdict.reason for _, _, verdict in stated.values())


# --- orientation ---


def aucs(**values):
    """Results of runs with these test AUCs in percent, one a seed."""
    return Results({row: run(np.zeros(len(auc)), np.array(auc)) for row, auc in values.items()}, {}, {})


def test_inverted_runs_are_counted():
    auc = [90, 49.9, 50, 10, 80]
    made = aucs(up=[50, 60, 51], down=auc, few=[90, 90], one=[10])
    stated = igtt.inverted(made, ("up", "down", "few", "one"))
    assert decided(stated) == {
        **{"upright_up": "holds", "upright_down": "fails"},
        **{"upright_few": "not tested", "upright_one": "not tested"},
    }
    assert [verdict.ours for _, _, verdict in stated.values()] == [
        *("0 of 3 inverted", "2 of 5 inverted"),
        *("0 of 2 inverted", "1 of 1 inverted"),
    ]
    assert [verdict.seeds for _, _, verdict in stated.values()] == [3, 5, 2, 1]
    assert stated["upright_down"][2].spread == f"{np.std(auc, ddof=1):.2g}"
    assert stated["upright_one"][2].reason == "1 seeds, at least 3 are needed"


def test_names_of_rows_and_sets_go_into_ids_that_are_one_word():
    made = aucs(**{"nuc-like iGTT, no EMS": [90, 90, 90], "iGTT, no EMS": [10, 10, 10]})
    assert decided(igtt.inverted(made.of("nuc-like"), ["iGTT, no EMS"])) == {"upright_iGTT_no_EMS": "holds"}
    page = Page("07_igtt", "quick", "er-like", "train")
    rows = verdicts.rows(page, igtt.aims(world("mito-like").of("mito-like")), "mito-like")
    assert all(" " not in row["id"] and row["id"].startswith("mito-like_") for row in rows)
    assert all(row["claim"].endswith("; mito-like") for row in rows)
    assert len(verdicts.table(rows).splitlines()) == 1 + len(rows)


def test_one_inverted_run_is_enough_against_a_preset():
    made = world("mito-like")
    made.runs["mito-like iGTT"]["auc"][4, -1] = 0.3
    assert decided(igtt.aims(made.of("mito-like")))["mito-like_upright_iGTT"] == "fails"
    assert decided(igtt.aims(made.of("mito-like")))["mito-like_upright_iGTT+"] == "holds"


@pytest.mark.parametrize(
    ("correlations", "expected", "wrong"),
    [
        ([0.5, -0.5, 0.1], "holds", 0),  # inverted is the second alone
        ([0.5, 0.5, 0.1], "fails", 1),  # an inverted run that the rule does not name
        ([-0.5, -0.5, 0.1], "fails", 1),  # an upright one that it names
        ([-0.5, 0.5, -0.1], "fails", 3),
    ],
)
def test_the_rule_must_name_the_inverted_runs_and_only_those(correlations, expected, wrong):
    made = aucs(iGTT=[90, 20, 60])
    made.runs["iGTT"]["label_correlation"] = np.array([[-value, value] for value in correlations])
    ((name, (_, _, verdict)),) = igtt.orientation(made, ["iGTT"]).items()
    assert (name, verdict.verdict, verdict.seeds) == ("orientation_rule", expected, 3)
    assert verdict.ours == f"{wrong} of 3 runs named wrongly"


def test_the_rule_is_counted_over_all_rows():
    made = aucs(first=[90], second=[10, 90])
    for row, values in (("first", [0.2]), ("second", [-0.3, -0.3])):
        made.runs[row]["label_correlation"] = np.array(values)[:, None]
    ((_, _, verdict),) = igtt.orientation(made, ["first", "second"]).values()
    assert (verdict.verdict, verdict.ours, verdict.seeds) == ("fails", "1 of 3 runs named wrongly", 3)
    ((_, _, verdict),) = igtt.orientation(made, ["second"]).values()
    assert verdict.verdict == "not tested"


# --- the rest ---


def test_steadiness_is_the_deviation_over_seeds():
    for deviation, expected in ((1.9, "holds"), (2.1, "fails")):
        made = world(**{"iGTT+": 82 + deviation * np.array([-1, 0, 1])})
        verdict = igtt.aims(made)["plus_steady"][2]
        assert (verdict.verdict, verdict.ours, verdict.spread) == (
            expected,
            f"{deviation} Dice points",
            f"{deviation}",
        )


def test_each_change_stands_against_the_unchanged_preset():
    base = 80 + JITTER[:5]
    made = Results({"a": run(base[:3] - 1), "b": run(base[:3] + 1), "c": run(base[:2] - 1)}, {}, {})
    stated = igtt.steps_of_change(made, base, ["a", "b", "c"])
    assert decided(stated) == {"needs_a": "holds", "needs_b": "fails", "needs_c": "not tested"}
    assert stated["needs_b"][0] == "iGTT+ with b < iGTT+"
    assert [verdict.seeds for _, _, verdict in stated.values()] == [3, 3, 2]


def test_changes_have_ids_of_their_own_that_are_one_word():
    changes = table3.ABLATIONS
    made = Results({change: run(80 + JITTER[:3]) for change in changes}, {}, {})
    names = list(igtt.steps_of_change(made, 81 + JITTER[:3], changes))
    assert len(set(names)) == len(changes)
    assert not any(set(name) & set(" :=") for name in names)
    assert "needs_loss_Eq._6" in names


def test_statements_ask_for_rows_of_table_3_alone():
    assert LEVELS.keys() <= {*table3.TABLE, *table3.SUPERVISED.values()}
