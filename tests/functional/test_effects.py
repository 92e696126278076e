"""`harness effects` on figures that the debug engine made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.functional.conftest import Answer

SUITE = """\
name: two
question: What do packing and adapters do?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic, rows: 200}
  train: {max_steps: 10}
matrix:
  train.packing: [false, true]
  lora: {full: null, r8: {r: 8}}
replicates: {seeds: [0, 1, 2]}
"""


def test_effects_are_told_once_there_are_some(harness: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(SUITE, encoding="utf-8")

    nothing = harness("effects", "two.yaml")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "nothing to tell yet" in nothing.stderr
    assert harness("run", "two.yaml", "--engine", "debug", "--quiet").returncode == 0

    told = harness("effects", "two.yaml")
    assert told.returncode == 0
    assert "train.packing, false → true: +" in told.stdout
    assert "lora: full → r8" in told.stdout
    assert told.stdout.startswith("- MADE UP: the debug engine trained nothing in all 12 trials;")
    assert "tokens/s: how much runs of one cell vary (8 degrees of freedom)" in told.stderr

    narrow = harness("effects", "two.yaml", env={"COLUMNS": "60"}).stdout
    assert "\ntrain.packing: false → true\n  tokens/s " in narrow, "no name is cut"
    assert max(map(len, narrow.splitlines())) <= 80

    asked = harness("effects", "two.yaml", "--metric", "step_seconds_p50", "--json")
    document = json.loads(asked.stdout)
    assert document["metrics"] == ["step_seconds_p50"]
    assert {one["level"] for one in document["effects"]} == {"true", "r8"}

    report = (tmp_path / "reports" / "two" / "report.md").read_text(encoding="utf-8")
    assert "## What each axis does\n\n- train.packing, false → true: " in report


def test_metrics_that_have_no_effects_are_refused_together(harness: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(SUITE, encoding="utf-8")

    answer = harness("effects", "two.yaml", "-m", "tokens_per_secnd", "-m", "real_tokens")

    assert answer.returncode == 2
    assert "unknown metric 'tokens_per_secnd'" in answer.stderr
    assert "tokens_per_second" in answer.stderr
    assert "real_tokens cannot be judged" in answer.stderr
    assert "Traceback" not in answer.stderr
