"""Files of figures, as their own readers take them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.export import FORMATS, left_out
from harness.export.bencher import slug
from tests.unit.export.made import export, figures, given, trial


def test_pytest_benchmark_compares_two_nights(tmp_path: Path) -> None:
    before, after = tmp_path / "0001_before.json", tmp_path / "0002_after.json"
    before.write_text(export("pytest-benchmark", given()), encoding="utf-8")
    slower = given(*(trial("sft", seed, {"step_seconds_p50": 0.02 + seed / 1000}) for seed in (0, 1)))
    after.write_text(export("pytest-benchmark", slower), encoding="utf-8")

    table = tmp_path / "table.csv"
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(before), str(after), f"--csv={table}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sft[step_seconds_p50] ") == 2
    assert done.stdout.count("dpo[step_seconds_p50] ") == 1
    assert "0.0205" in table.read_text(encoding="utf-8")


def test_its_figures_are_those_that_github_action_benchmark_reads() -> None:
    (one,) = json.loads(export("pytest-benchmark", given(*given().trials[:2])))["benchmarks"]

    stats = one["stats"]
    assert one["fullname"] == "nightly::dpo[step_seconds_p50]"
    assert stats["mean"] == pytest.approx((1 / 100 + 1 / 101) / 2)
    assert stats["ops"] == pytest.approx(1 / stats["mean"])
    assert (stats["rounds"], stats["data"]) == (2, [1 / 100, 1 / 101])
    assert stats["stddev"] > 0


def test_pytest_benchmark_knows_durations_alone() -> None:
    with pytest.raises(InputError, match="durations are"):
        export("pytest-benchmark", given(asked=("tokens_per_second",)))


def test_no_host_and_no_user_in_what_is_published() -> None:
    assert json.loads(export("pytest-benchmark", given()))["machine_info"]["node"] == ""


def test_bigger_and_smaller_are_apart() -> None:
    """As the README of benchmark-action/github-action-benchmark has it: a list of name, unit, value, range, extra."""
    made = FORMATS["github-benchmark"].make(given())

    read: dict[str, Any] = {name: json.loads(content) for name, content in made.items()}
    assert set(read) == {"bigger.json", "smaller.json"}
    assert {one["name"] for one in read["bigger.json"]} == {
        f"{cell}: {metric}" for cell in ("dpo", "sft") for metric in ("tokens_per_second", "score.arithmetic_mc.acc")
    }
    assert {one["name"].split(": ")[1] for one in read["smaller.json"]} == {"step_seconds_p50", "peak_host_memory"}
    speed = read["bigger.json"][0]
    assert speed["value"] == pytest.approx((100 * 101) ** 0.5)
    assert speed["unit"] == "tokens/s"
    assert speed["range"].startswith("± 0.707")
    assert speed["extra"].startswith("seeds: 0, 1")


def test_a_file_that_would_be_empty_is_an_error() -> None:
    failed = trial("sft", 0, {}, outcome="crashed", last_outcome="crashed")
    for form in ("github-benchmark", "pytest-benchmark", "bencher"):
        with pytest.raises(InputError, match="nothing to export"):
            FORMATS[form].make(given(failed))
    half = trial("sft", 0, {"tokens_per_second": 1.0})
    with pytest.raises(InputError, match=r"smaller\.json would be empty"):
        FORMATS["github-benchmark"].make(given(half))


def test_one_direction_is_one_file_where_it_was_asked_for() -> None:
    assert set(FORMATS["github-benchmark"].make(given(asked=("tokens_per_second",)))) == {"bigger.json"}
    with pytest.raises(InputError, match="neither more nor less of measured_steps"):
        FORMATS["github-benchmark"].make(given(asked=("measured_steps",)))
    with pytest.raises(InputError, match="did you mean 'tokens_per_second'"):
        FORMATS["github-benchmark"].make(given(asked=("tokens_per_secon",)))


def test_bencher_metric_format() -> None:
    read = json.loads(export("bencher", given()))

    assert set(read) == {"nightly/dpo", "nightly/sft"}
    assert read["nightly/sft"]["tokens-per-second"] == {
        "value": pytest.approx((100 * 101) ** 0.5), "lower_value": 100, "upper_value": 101
    }  # fmt: skip
    assert "score-arithmetic-mc-acc" in read["nightly/sft"]
    alone = json.loads(export("bencher", given(trial("sft", 0, figures(5)))))
    assert alone["nightly/sft"]["tokens-per-second"] == {"value": 5.0}
    assert len(slug("score." + "a" * 200 + ".acc")) == 64


def test_what_does_not_count_is_left_out_and_said() -> None:
    nan = {**figures(100), "final_loss": float("nan")}
    trials = (
        trial("sft", 0, nan),
        trial("sft", 1, figures(50), disturbed=("throttled",)),
        trial("sft", 2, figures(60), attempts=2, counted=1, last_outcome="crashed"),
        trial("sft", 3, {}, outcome="oom", last_outcome="oom"),
    )
    read = json.loads(export("bencher", given(*trials)))

    assert read["nightly/sft"]["tokens-per-second"] == {"value": 100.0}
    assert "final-loss" not in read["nightly/sft"]
    assert left_out(given(*trials)) == [
        "left out: 1 that did not end well (sft-s3)",
        "left out: 1 that were disturbed (sft-s1)",
        "left out: 1 that have figures of an earlier attempt than the latest (sft-s2)",
        "left out: 1 that have figures that are not finite (sft-s0)",
    ]


def test_cells_of_one_name_are_told_apart() -> None:
    other = trial("sft", 0, figures(7), cell_id="0123456789ab", trial_id="other")
    assert set(json.loads(export("bencher", given(trial("sft", 0, figures(5)), other)))) == {
        "nightly/sft [sft-id]", "nightly/sft [01234567]"
    }  # fmt: skip


@pytest.mark.parametrize("form", [name for name, one in FORMATS.items() if one.text])
def test_the_same_results_give_the_same_bytes(form: str) -> None:
    assert FORMATS[form].make(given()) == FORMATS[form].make(given())
