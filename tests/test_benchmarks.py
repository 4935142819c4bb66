"""What `make bench` compares does the same work; how long it takes is not tested."""

from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest

from benchmarks import baselines, cases, choice, table, waits
from metalib.data import fields

SMALL = replace(cases.QUICK, width=4, size=32, train=8, val=2, test=2, epochs=1)


def small_cases():
    yield from cases.of_labels(size=64)
    yield from cases.of_structure(size=64)
    yield cases.of_thresholds(images=2, size=48)
    yield cases.of_density(size=48, window_px=9)
    yield cases.of_evaluation(images=2, size=48, levels=20)
    yield cases.of_step("step", SMALL)
    yield cases.of_run("run", SMALL)


@pytest.mark.parametrize("case", list(small_cases()), ids=lambda case: case.name)
def test_a_baseline_computes_the_same(case):
    ours = np.asarray(case.ours(np.random.default_rng(0)))
    compared = [against for against in case.against if against.close is not None]
    assert compared or case.name.startswith("EMS")
    for against in compared:
        np.testing.assert_allclose(against.run(np.random.default_rng(0)), ours, rtol=against.close, atol=1e-12)
    assert case.share > 0
    if case.limit == "convolutions":  # the other limit copies more memory than a test should
        case.limiting()


@pytest.mark.parametrize("name", ["er-like", "street-like"])
def test_drawing_is_compared_with_fields_that_are_filtered_in_space(name, monkeypatch, rng):
    called, in_space = [], baselines.smooth_noise
    monkeypatch.setattr(baselines, "smooth_noise", lambda *of: called.append(of) or in_space(*of))
    case = cases.of_drawing(name, size=64)
    case.ours(rng)
    assert not called
    case.against[0].run(rng)
    assert called
    image = rng.random((48, 64), np.float32)
    found, expected = (of.blurred(image, (1, 2), (0.5, 6)) for of in (fields, baselines))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_choice_of_igtt_is_tried_on_every_degradation_of_a_set(capsys):
    found = list(choice.cases({"nuc-like": 64, "no such set": 64}, count=4))
    assert "no such set is not here" in capsys.readouterr().err
    assert [(name, how) for name, how, *_ in found] == [("nuc-like", how) for how in choice.DEGRADED]
    for _, how, images, masks in found:
        assert images.shape == (4, 1, *masks.shape[1:])
        assert masks.shape[1:] == ((32, 32) if how == "every other pixel" else (64, 64))
    _, _, images, masks = found[0]
    scores = choice.thresholds(images, masks)
    assert scores["chosen"] >= max(scores.values()) - 5
    assert choice.dice(masks, masks) == 100
    of, used = choice.networks(images, masks, steps=2, width=4)
    assert used or of["used"] == pytest.approx(scores["chosen"])


def test_the_table_names_what_is_missed():
    def row(side, seconds, **about):
        return {"extra_info": {"case": "flips", "side": side} | about, "stats": {"min": seconds}}

    versions = dict.fromkeys(("torch", "numpy", "scipy", "scikit-image", "python", "precision"), "1.0") | {"cores": 2}
    timings = {
        "machine_info": {"cpu": {"brand_raw": "A CPU"}, "system": "Linux", "environment": versions},
        "benchmarks": [
            row("ours", 0.001),
            row("loop", 0.25, least=100),
            row("drawing", 0.0002, least=0.5),
            row("limit", 0.1, limit="memory", share=0.001),
        ],
    }
    text = table.markdown(timings)
    assert "A CPU, 2 cores" in text
    assert (
        "| flips | 1 ms | 10% (memory) | loop | 250 ms | 250 times as fast | at least 100 times as fast | met |" in text
    )
    assert "| drawing | 200 µs | 5.00 times its time | at most 2.00 times its time | **missed** |" in text


def test_what_people_wait_for_is_timed_by_its_command_and_told(tmp_path):
    waits.write(tmp_path / "images", 2, 32)
    assert [iio.imread(path).shape for path in sorted((tmp_path / "images").iterdir())] == [(32, 32)] * 2
    seconds, mib = waits.timed(["--help"])
    assert seconds > 0
    assert mib > 5
    with pytest.raises(SystemExit, match="segment"):
        waits.timed(["segment", tmp_path / "absent", tmp_path / "out"])
    lines = waits.markdown([waits.Wait("a", 60, 59.6, 1000.4), waits.Wait("b", 60, 61, 3)]).splitlines()
    assert lines[2:] == ["| a | 60 s | 60 s | met | 1000 MiB |", "| b | 61 s | 60 s | **missed** | 3 MiB |"]
