"""`harness bisect` through the real command line: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Harness = Callable[..., subprocess.CompletedProcess[str]]

SUITE = """\
name: which
question: Which release?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10, max_length: 32}
margins: {tokens_per_second: 45%}
"""
ASKED = (
    "--package",
    "trl",
    "--good",
    "1.0",
    "--bad",
    "1.3",
    "--engine",
    "debug",
    "--replicates",
    "5",
    "--confirm",
    "0",
)


def test_the_answer_is_printed_and_the_exit_code_says_whether_there_is_one(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "which.yaml").write_text(SUITE, encoding="utf-8")
    slow = ("--pretend", "*@1.3*=slower", "--pretend", "*@1.2*=slower")
    asked = ("bisect", "which.yaml", *ASKED, "--versions", "1.1,1.2", *slow)
    found = harness(*asked)
    assert found.returncode == 0, found.stderr
    said = " ".join(found.stdout.split())
    assert (
        "MADE UP, not measured: trl 1.2 is the first release in which tokens_per_second regressed (1.1 was good)"
        in said
    )
    assert "1.3 sft −" in said
    assert "bad (regressed)" in said
    assert all(len(line) <= 80 for line in found.stdout.splitlines())
    assert "trl 1.3: bad" in found.stderr

    told = json.loads(harness(*asked, "--json", "--quiet").stdout)
    assert (told["first_bad"], told["last_good"], told["decided"]) == ("1.2", "1.1", True)
    assert [one["found"] for one in told["tries"]] == ["bad", "good", "bad"]

    broken = harness(*asked[:-4], "--pretend", "*@1.3*=slower", "--pretend", "*@1.[12]*=oom", "--results", "elsewhere")
    assert broken.returncode == 3
    assert "is one of 1.1, 1.2, 1.3" in " ".join(broken.stdout.split())
    assert "the first bad release is not known" in broken.stderr
