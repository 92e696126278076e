"""`harness claims` on figures that the debug engine made up, and on what cannot run here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.functional.conftest import Answer

SUITES = Path(__file__).parents[2] / "suites"
SUITE = """\
name: two
question: What does packing do?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic, rows: 200}
  train: {max_steps: 10}
matrix:
  train.packing: [false, true]
replicates: {seeds: [0, 1, 2]}
claims:
  - says: Packing makes training faster
    source: https://example.org/a
    compare: {train.packing: [false, true]}
    metric: tokens_per_second
    expect: {ratio_at_least: 1.1}
  - says: Packing makes training ten times as fast
    source: https://example.org/b
    compare: {train.packing: [false, true]}
    metric: tokens_per_second
    expect: {ratio_at_least: 10}
  - says: Packing is no worse for the device
    source: https://example.org/c
    compare: {train.packing: [false, true]}
    metric: peak_device_memory
    expect: {no_worse_than: 2%}
    needs: {device: cuda}
"""


def test_claims_are_told_with_their_sources(harness: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "two.yaml").write_text(SUITE, encoding="utf-8")
    assert harness("run", "suites/two.yaml", "--engine", "debug", "--quiet").returncode == 0

    told = harness("claims", "suites/two.yaml")
    assert told.returncode == 0
    assert told.stdout.startswith("two: 3 claims, 1 confirmed, 1 refuted, 1 untested\n")
    assert "\nconfirmed     Packing makes training faster\n" in told.stdout
    text = " ".join(told.stdout.split())
    assert "claimed at least 10×, measured 1." in text
    assert "3 vs 3 runs" in text
    assert "source: https://example.org/c" in told.stdout
    assert "MADE UP" in told.stderr
    assert max(map(len, told.stdout.splitlines())) <= 80

    every = json.loads(harness("claims", "--json").stdout)
    assert [one["ruling"] for one in every] == ["confirmed", "refuted", "untested"]
    assert {one["suite"] for one in every} == {"two"}
    assert every[0]["measured"]["n"] == [3, 3]
    assert every[0]["made_up"][0].startswith("MADE UP")

    report = (tmp_path / "reports" / "two" / "report.md").read_text(encoding="utf-8")
    assert "## Claims\n\n" in report
    assert "1. https://example.org/a; 3 vs 3 runs" in report


def test_a_suite_of_claims_about_gpus_is_untested_without_one(harness: Callable[..., Answer], tmp_path: Path) -> None:
    shutil.copy(SUITES / "claims.yaml", tmp_path)

    answer = harness("claims", "claims.yaml", "--json", env={"CUDA_VISIBLE_DEVICES": ""})

    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert len(found) > 8
    assert {one["ruling"] for one in found} == {"untested"}
    assert all(one["why"] for one in found)
    assert all(one["source"].startswith("https://") for one in found)


def test_a_suite_without_claims_says_so(harness: Callable[..., Answer], suite: Path) -> None:
    answer = harness("claims", suite)

    assert (answer.returncode, answer.stdout) == (0, "")
    assert "makes no claims" in answer.stderr


def test_a_claim_that_no_cell_can_tell_of_is_an_error_of_the_suite(
    harness: Callable[..., Answer], tmp_path: Path
) -> None:
    text = SUITE.replace("compare: {train.packing: [false, true]}", "compare: {train.max_steps: [10, 20]}", 1)
    (tmp_path / "two.yaml").write_text(text, encoding="utf-8")

    answer = harness("validate", "two.yaml")

    assert answer.returncode == 2
    assert "two.yaml:14" in answer.stderr
    assert "claim 1 matches no cell: train.max_steps is 20" in answer.stderr
    assert "train.max_steps is 10" in answer.stderr
    assert "Traceback" not in answer.stderr
