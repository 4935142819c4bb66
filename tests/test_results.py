"""Records, verdicts, experiments and figures."""

import errno
import fcntl
import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalib import claims, experiments, grids, readme, records, style, transition
from metalib.training import TrainConfig


def test_a_record_comes_back_and_stands_while_numbers_and_configuration_do():
    first = records.save("01_x", {"dice": [[0.5, 0.25]]}, {"seeds": 3}, seconds=1)
    path = records.figures_folder() / "01_x.json"
    assert records.load(path) == first
    assert first["provenance"]["torch"]
    assert records.save("01_x", {"dice": [[0.5, 0.25]]}, {"seeds": 3}, seconds=2) == first
    assert records.save("01_x", {"dice": [[0.5, 0.75]]}, {"seeds": 3}, seconds=3)["provenance"]["seconds"] == 3
    assert records.save("01_x", {"dice": [[0.5, 0.75]]}, {"seeds": 4}, seconds=4)["provenance"]["seconds"] == 4
    assert "[0.5, 0.75]" in path.read_text()  # a list of numbers stays on one line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON.*make figures"),
        ('{"schema": 0}', "has schema 0, this version reads 1"),
        ("[]", "has schema None"),
    ],
)
def test_unreadable_records_say_how_to_make_them_anew(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        records.load(tmp_path / "r.json")
    with pytest.raises(FileNotFoundError, match=r"no record .*: compute it with `make figures`"):
        records.load(tmp_path / "absent.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """A real failure of write(2), as on a full disk: the process may not write files of more than 1,000 bytes."""
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    code = f"from metalib import records; records.atomic_write({str(path)!r}, b'x' * 5000)"
    limited = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert limited.returncode != 0
    assert "figure.png" in limited.stderr
    assert "check free space and permissions" in limited.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]
    assert path.read_bytes() == b"old"


KILLED = """
import os, signal, sys
from metalib import records
with records.atomic_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_what_a_killed_write_left_goes_with_the_next_one(tmp_path):
    path = tmp_path / "[1].png"  # no pattern of other names
    (tmp_path / ".[1].png.swp").write_text("of an editor")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        left = [name for name in names(tmp_path) if name.endswith(".part")]
        assert len(left) == 1  # that of the first went with the second
        assert not path.exists()
    records.atomic_write(path, b"whole")
    assert names(tmp_path) == [".[1].png.swp", "[1].png"]


def test_two_writes_at_once_are_both_whole_and_the_last_stays(tmp_path):
    path = tmp_path / "x"
    with records.atomic_file(path) as slow:
        slow.write(b"slow")
        records.atomic_write(path, b"quick")
        assert path.read_bytes() == b"quick"
    assert path.read_bytes() == b"slow"
    assert names(tmp_path) == ["x"]


def test_a_file_that_is_removed_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    path, lock = tmp_path / "x", fcntl.flock

    def late(file, how):
        monkeypatch.undo()
        records._remove_left(path)
        assert names(tmp_path) == []
        lock(file, how)

    monkeypatch.setattr(records.fcntl, "flock", late)
    records.atomic_write(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == ["x"]


def test_where_locks_are_unknown_writes_work_and_remove_nothing(tmp_path, monkeypatch):
    def unknown(file, how):
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(records.fcntl, "flock", unknown)
    (tmp_path / ".x.abcdefgh.part").write_text("half")
    records.atomic_write(tmp_path / "x", b"whole")
    assert names(tmp_path) == [".x.abcdefgh.part", "x"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/figure.png"):
        records.atomic_write(tmp_path / "file" / "figure.png", b"x")


def test_similar_and_below_need_an_effect_beyond_its_spread():
    clean = np.array([90.0, 91, 90])
    assert claims.similar(clean, clean - [3, 3.5, 2.5], margin=7).verdict == "holds"
    assert claims.similar(clean, clean - [8, 8, 8], margin=7).verdict == "fails"
    assert claims.below(clean - [3, 3.5, 2.5], clean).verdict == "holds"
    assert claims.below(clean + np.array([3, 3.5, 2.5]), clean).verdict == "fails"
    for undecided in (claims.similar(clean, clean - [1, 6, 11], margin=7), claims.below(clean - [-1, 5, -1], clean)):
        assert undecided.verdict == "not tested"
        assert undecided.reason.startswith("3 seeds cannot decide: bounds")


def test_the_bounds_are_students():
    gap, half = np.array([2.0, 3.0, 4.0]), 2.91999 / np.sqrt(3)
    verdicts = [
        claims.similar(gap, np.zeros(3), margin=3 + shift).verdict for shift in (half + 1e-3, half - 1e-3, -half - 1e-3)
    ]
    assert verdicts == ["holds", "not tested", "fails"]


def test_equal_has_two_sides():
    values = np.array([90.0, 90.5, 91.0])
    verdicts = [claims.equal(values, values + shift, 3).verdict for shift in (-5, -1, 1, 5)]
    assert verdicts == ["fails", "holds", "holds", "fails"]


def test_a_correlation_is_negative_if_its_bound_is():
    verdicts = [
        claims.negative(values, "rho").verdict for values in ([-0.9, -0.8, -0.9], [0.9, 0.8, 0.9], [-0.9, 0.8, 0])
    ]
    assert verdicts == ["holds", "fails", "not tested"]
    assert claims.negative([-0.9, -0.8, -0.7], "rho").ours == "rho -0.80"


def test_near_compares_the_mean():
    assert claims.near([2, 2, 2], 2, tolerance=0).verdict == "holds"
    assert claims.near([2, 2, 1], 2, tolerance=0).verdict == "fails"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=2))
def test_fewer_than_three_seeds_test_nothing(values):
    for verdict in (claims.similar(values, values, 7), claims.below(values, values), claims.near(values, values[0], 1)):
        assert verdict.verdict == "not tested"
        assert "at least 3 are needed" in verdict.reason


def row(name="a", verdict="holds", **changes):
    given = claims.Verdict(verdict, "gap 1.0 points", "0.1", 3, "why")
    return claims.row(name, "02_x", "CL ≈ RCL", "7", given, profile="quick") | changes


def test_a_table_of_verdicts_is_aligned():
    head, first, second = claims.table([row("a"), row("long-name", "fails")]).splitlines()
    assert head.split() == ["verdict", "id", "paper", "ours", "spread", "seeds", "reason"]
    assert first.index("gap 1.0") == second.index("gap 1.0") == head.index("ours")


def test_saved_verdicts_replace_those_of_the_same_notebook_profile_and_data():
    claims.save([row("b"), row("a")])
    claims.save([row("a", data="nuc")])
    claims.save([row("c", "fails"), row("a")])
    found = claims.load(records.figures_folder() / "claims.json")
    assert [(r["id"], r["data"], r["verdict"]) for r in found] == [
        ("c", "er-like", "fails"),
        ("a", "er-like", "holds"),
        ("a", "nuc", "holds"),
    ]
    claims.save([row("a", data="mito-like")])
    drawn = [(r["id"], r["data"]) for r in claims.load(records.figures_folder() / "claims.json")]
    assert drawn == [("a", "mito-like"), ("a", "nuc")]  # what a notebook no longer states is gone
    assert {"id", "notebook", "claim", "paper", "ours", "spread", "seeds", "profile", "data", "verdict"} <= found[
        0
    ].keys()


SAVING = """
import sys
from metalib import claims
for number in range(50):
    told = claims.Verdict("holds", "1", "0", 3, "why")
    claims.save([claims.row("a", sys.argv[1], "claim", "paper", told, profile="quick", data=str(number))])
"""


def test_verdicts_of_notebooks_that_run_side_by_side_are_all_kept():
    both = [subprocess.Popen([sys.executable, "-c", SAVING, notebook]) for notebook in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    found = claims.load(records.figures_folder() / "claims.json")
    assert [(row["notebook"], int(row["data"])) for row in found] == sorted(
        ((notebook, number) for notebook in "ab" for number in range(50)), key=lambda place: (place[0], str(place[1]))
    )


def test_the_readme_table_is_renewed_between_its_marks():
    text = "before\n<!-- verdicts -->\nstale\n<!-- end of verdicts -->\nafter\n"
    renewed = readme.between(text, "verdicts", claims.markdown([row()]))
    assert "stale" not in renewed
    assert "| statement | paper | er-like, n = 3 | verdict |" in renewed
    assert "| CL ≈ RCL | 7 | gap 1.0 points ± 0.1 | **holds** |" in renewed
    assert "| **fails**: why |" in claims.markdown([row("a", "fails")])
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert readme.between(renewed, "verdicts", claims.markdown([row()])) == renewed
    with pytest.raises(ValueError, match=r"the text needs the marks"):
        readme.between("before\n<!-- verdicts -->\nafter\n", "verdicts", "")


def test_moved_verdicts_are_told():
    assert claims.moved([row("a"), row("b")], [row("a", "fails"), row("b")]) == ["02_x er-like quick a: holds -> fails"]
    assert claims.moved([], [row()]) == ["02_x er-like quick a: None -> holds"]


def test_embedded_and_real_results_stand_side_by_side():
    rows = [row("a"), row("b"), row("a", "fails") | {"data": "nuc"}, row("c") | {"data": "er", "seeds": 0}]
    text = claims.markdown(rows)
    assert "| statement | paper | er-like, n = 3 | verdict | nuc, n = 3 | verdict |" in text
    assert "| CL ≈ RCL | 7 | gap 1.0 points ± 0.1 | **holds** | gap 1.0 points ± 0.1 | **fails**: why |" in text
    assert "| CL ≈ RCL | 7 | gap 1.0 points ± 0.1 | **holds** |  |  |" in text  # b was not run on nuclei
    assert text.endswith("\n**not tested** on er: why")
    assert "| CL ≈ RCL | 7 |  | **holds**" in claims.markdown([row("a"), row("d") | {"seeds": 0}])


def configs(profile, data="", notebook="02_training_curves"):
    return [config for of in grids.runs(notebook, profile, data).values() for config in of]


def networks(profile, data="", notebook="02_training_curves"):
    """The runs of a notebook that learn from labels; those that see none are tested in test_comparison.py."""
    return [config for config in configs(profile, data, notebook) if isinstance(config, TrainConfig)]


@pytest.mark.parametrize("notebook", [name for name in grids.GRIDS if name != "12_igtt_choices"])  # has none
def test_profiles_differ_in_scale_and_not_in_recipes(notebook):
    quick, long, paper = (networks(profile, notebook=notebook) for profile in ("quick", "long", "paper"))
    assert {config.recipe for config in paper} - {config.recipe for config in quick} <= {"rcl_flip:0.49"}
    assert {config.seed for config in quick} == {0, 1, 2}
    assert {config.seed for config in long} == set(range(5))
    assert {config.seed for config in paper} == set(range(10))
    every, some = ({replace(config, seed=0) for config in of} for of in (long, quick))
    assert some <= every
    other = [config for config in every - some if "unet" not in config.model or config.data == "nuc-like"]
    assert {config.data for config in other} <= {"mito-like", "nuc-like"}
    assert len(other) == len(every - some)
    assert {config.model.removesuffix("_light") for config in quick} == {config.model for config in paper}
    assert {(config.model == "hrnet", config.width) for config in paper} <= {(False, 64), (True, 32)}


def test_quick_images_are_of_one_size_in_every_set():
    for notebook in ("02_training_curves", "07_igtt", "12_igtt_choices"):
        assert {config.size for config in configs("quick", notebook=notebook)} == {96}


def test_the_paper_profile_is_that_of_the_official_code():
    found = {(c.width, c.size, c.epochs, c.batch, c.lr) for c in configs("paper")}
    assert found == {(64, 256, 100, 32, 0.05)}
    assert {config.model for config in configs("paper")} == {"unet", "deeplabv3plus"}


def test_other_data_leave_out_the_sets_that_stand_beside_the_default(nuc, street):
    assert {config.data for config in configs("quick")} == {"er-like", "mito-like", "nuc-like"}
    assert {config.data for config in configs("quick", "nuc")} == {"nuc"}
    assert {config.size for config in configs("quick", "nuc")} == {128}  # a divisor of 256
    assert {config.size for config in configs("quick", "street", "03_multiclass_labels")} == {96}  # of 192


def test_notebooks_share_runs():
    first, second = (set(configs("quick", notebook=name)) for name in ("02_training_curves", "04_perturbed_labels"))
    assert {config.recipe for config in first & second} == {"cl", "pcl_skeleton", "rcl_flip:0.45"}


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_critical_recipes_have_the_eigenvalues_they_are_named_by(classes):
    for recipe, value in grids.critical_recipes(classes).items():
        eigenvalue = transition.eigenvalues(transition.matrix(recipe, classes))[-1].real
        assert eigenvalue == pytest.approx(value, abs=2e-4)


@pytest.mark.parametrize("images", grids.TRAINING_IMAGES)
def test_effective_recipes_are_worth_what_they_are_named_by(images):
    for effective in grids.EFFECTIVE_IMAGES:
        p = float(grids.effective_recipe(images, effective).partition(":")[2])
        assert images * transition.effective_share(p) == pytest.approx(effective, rel=1e-2)


def test_the_presets_differ_in_every_choice_and_reach_the_runs():
    paper, official = grids.PRESETS["paper"], grids.PRESETS["official"]
    assert all(paper[name] != official[name] for name in paper)
    planned = grids.runs("11_text_and_code", "quick")
    for run, (config, *_) in planned.items():
        expected = official if run.startswith("official") else paper
        assert (config.exact, config.one_sided) == (expected["exact"], expected["one_sided"])


def test_unknown_profiles_notebooks_and_sources_are_named(monkeypatch):
    with pytest.raises(ValueError, match="unknown profile 'quik', expected one of smoke, quick, long, paper"):
        experiments.profile_name("quik")
    with pytest.raises(ValueError, match="unknown notebook with runs '03'"):
        grids.runs("03", "quick")
    with pytest.raises(ValueError, match="unknown source 'stored'"):
        experiments.results("02_training_curves", "quick", source="stored")
    monkeypatch.setenv("METALIB_PROFILE", "paper")
    assert (experiments.profile_name(), experiments.profile_name("smoke")) == ("paper", "smoke")


def test_results_read_from_the_record_are_those_computed(monkeypatch):
    computed = experiments.results("03_multiclass_labels", "smoke")
    monkeypatch.setattr(records, "committed_folder", records.figures_folder)
    stored = experiments.results("03_multiclass_labels", "smoke", source="record")
    assert computed.runs.keys() == stored.runs.keys()
    for recipe, of in computed.runs.items():
        for name, values in of.items():
            np.testing.assert_array_equal(values, stored.runs[recipe][name])
    assert stored.runs["cl"]["miou"].shape == (1, 2)
    assert (stored.config["width"], stored.config["seed"]) == (4, [0])


def strict(text):
    """What a reader of JSON makes of a text that knows no NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_nan_is_null_in_a_record_which_stands_then_too():
    numbers = {"dice": [[0.5, float("nan")], [np.float64("nan")] * 2], "about": ("a", None)}
    first = records.save("01_x", numbers, {"width": None}, seconds=1)
    text = (records.figures_folder() / "01_x.json").read_text()
    assert strict(text)["numbers"] == {"dice": [[0.5, None], [None, None]], "about": ["a", None]}
    assert "[0.5, null]" in text  # still one line
    assert "[null, null]" in text
    assert records.save("01_x", numbers, {"width": None}, seconds=2) == first
    with pytest.raises(ValueError, match="JSON compliant"):
        records.save("01_x", {"loss": [float("inf")]}, {})


def test_null_is_nan_in_results(monkeypatch):
    numbers = {"runs": {"cl": {"iou_2": [[0.5, float("nan")]], "example": "1x1:", "foreground": 0.5}}}
    records.save("02_training_curves", numbers, {})
    monkeypatch.setattr(records, "committed_folder", records.figures_folder)
    found = experiments.results("02_training_curves", "quick", source="record").runs["cl"]
    np.testing.assert_array_equal(found["iou_2"], [[0.5, np.nan]])
    assert found["iou_2"].dtype == float
    assert (found["example"], found["foreground"]) == ("1x1:", 0.5)


def test_class_ids_come_back_from_the_text_of_a_record(rng):
    ids = rng.integers(0, 256, (7, 5)).astype(np.uint8)
    found = records.unpack(records.pack(ids))
    np.testing.assert_array_equal(found, ids)
    assert found.dtype == np.uint8


def test_a_figure_has_the_same_bytes_each_time():
    style.use()

    def draw():
        figure, ax = style.plt.subplots(figsize=(style.COLUMN_IN, 2))
        style.band(ax, np.arange(3), np.random.default_rng(0).random((3, 3)), style.colour("rcl_flip:0.45"))
        path = style.save(figure, "x")
        style.plt.close(figure)
        return path.read_bytes()

    assert draw() == draw()


def test_the_command_line_tells_what_is_done_and_writes_whole_records_alone():
    command = [sys.executable, "-m", "metalib.experiments", "11_text_and_code", "--profile", "smoke"]
    path = records.figures_folder() / "11_text_and_code.smoke.json"
    started = subprocess.run([*command, "--limit-s", "0"], capture_output=True, text=True, check=True)
    assert started.stdout == "0 of 5 runs done: call again to go on\n"
    assert not path.exists()
    trained = subprocess.run([*command, "--no-records"], capture_output=True, text=True, check=True)
    assert trained.stdout == "5 of 5 runs done\n"
    assert not path.exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "5 of 5 runs done\n"
    assert len(records.load(path)["numbers"]["runs"]) == 5


def test_every_numbered_notebook_has_runs_or_is_known_to_have_none(monkeypatch, capsys):
    names = {path.stem for path in Path(__file__).parents[1].glob("notebooks/[0-9]*.ipynb")}
    assert names == {*grids.GRIDS, *grids.WITHOUT_RUNS}
    monkeypatch.setattr("sys.argv", ["experiments", *grids.WITHOUT_RUNS, "--profile", "smoke"])
    experiments._main()
    assert "0 of 0 runs done" in capsys.readouterr().out
