"""`harness compare` through the real command line; what else it does is in tests/unit/test_comparing.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.functional.conftest import Answer

SUITE = """\
name: two
question: Which method?
base:
  model: {shape: tiny}
  data: {source: arithmetic, rows: 200}
  train: {max_steps: 10}
matrix:
  method: [sft, dpo]
  lora: [null, {r: 8}]
replicates: 3
margins: {tokens_per_second: 90%}
"""

FIGURES = r"^tokens/s +[\d,]+ +[\d,]+ +−\d+\.\d+% \[−[\d.]+, −?[\d.]+\] +equivalent +[\d.]+%$"


def test_two_levels_are_compared_cell_by_cell(tmp_path: Path, harness: Callable[..., Answer]) -> None:
    (tmp_path / "two.yaml").write_text(SUITE, encoding="utf-8")
    assert harness("run", "two.yaml", "--engine", "debug", "--quiet").returncode == 0

    shown = harness("compare", "method=sft", "method=dpo")
    told = harness("compare", "two:method=sft", "two.yaml:method=dpo", "--margin", "tokens_per_second=1%", "--json")
    wrong = harness("compare", "method=sft", "method=dop")

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("A  method=sft\nB  method=dpo\n2 cells, 4 figures: ")
    assert "MADE UP" in shown.stdout
    assert "sft → dpo  (3 runs a side)" in shown.stdout
    assert "not compared: final loss: the losses of sft and of dpo are different" in shown.stdout
    assert re.search(FIGURES, shown.stdout, re.MULTILINE)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    verdicts = {cell["candidate"]: cell["verdicts"] for cell in json.loads(told.stdout)["cells"]}
    assert verdicts["dpo"]["tokens_per_second"]["ruling"] == "regressed"
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'dpo'?" in wrong.stderr
