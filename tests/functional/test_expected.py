"""Trials that are meant to end otherwise than ok."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as Xml
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

SUITE = """\
name: meant
question: Does it run out of memory where it should?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10}
  limits: {retries: 0}
matrix:
  lever:
    small: {}
    large: {train.per_device_train_batch_size: 64, limits.expect: oom}
"""


@pytest.fixture
def meant(tmp_path: Path) -> Path:
    file = tmp_path / "meant.yaml"
    file.write_text(SUITE, encoding="utf-8")
    return file


@pytest.fixture
def run(meant: Path, harness: Harness) -> Callable[..., Answer]:
    return lambda *arguments: harness("run", meant.name, "--engine", "debug", *arguments)


def _attempts(meant: Path) -> int:
    return len(list((meant.parent / "results").glob("*/*/attempts/*")))


def _report(meant: Path) -> str:
    return (meant.parent / "reports" / "meant" / "report.md").read_text(encoding="utf-8")


def test_the_end_that_is_expected_is_no_failure(meant: Path, run: Callable[..., Answer], harness: Harness) -> None:
    answer = run("--pretend", "sft-large-*=oom")
    assert answer.returncode == 0, answer.stderr
    assert "sft-large-s0: oom, as expected, in " in answer.stderr
    assert "- Ended oom, as the suite expects: sft-large-s0." in _report(meant)
    assert "did not end well" not in _report(meant) + answer.stderr
    assert _attempts(meant) == 2
    assert run("--retry", "failed").returncode == 0
    assert _attempts(meant) == 2  # it is finished as it is
    figures = harness("export", "meant", "--format", "bencher")
    assert "left out: 1 that ended badly, as expected (sft-large-s0)" in figures.stderr
    assert "did not end well" not in figures.stderr
    exported = harness("export", "meant", "--format", "junit")
    (suite,) = Xml.fromstring(exported.stdout).findall("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")


def test_any_other_end_is_one(meant: Path, run: Callable[..., Answer], harness: Harness) -> None:
    answer = run()
    assert answer.returncode == 5
    assert "1 of 2 trials did not end as expected" in answer.stderr
    assert "ok (oom is expected): sft-large-s0" in answer.stderr
    assert "--retry" not in answer.stderr  # it would end the same
    assert "sft-large-s0: ok in " in answer.stderr
    assert ", where oom is expected" in answer.stderr
    assert "- Ended ok, where the suite expects oom: sft-large-s0." in _report(meant)
    exported = harness("export", "meant", "--format", "junit")
    (failure,) = Xml.fromstring(exported.stdout).iter("failure")
    assert failure.get("message") == "ended ok, where oom is expected"
    summary = harness("export", "meant", "--format", "github-summary").stdout
    assert "| sft-large-s0 | ok | oom is expected |" in summary


def test_a_baseline_names_other_ends_than_the_expected(
    meant: Path, run: Callable[..., Answer], harness: Harness
) -> None:
    assert run("--pretend", "sft-large-*=oom").returncode == 0
    kept = harness("baseline", "save", "good", meant.name)
    assert "Part of it as they ended" not in kept.stdout + kept.stderr
    assert run("--force", "--pretend", "sft-*=diverge").returncode == 5
    kept = harness("baseline", "save", "bad", meant.name)
    assert "Part of it as they ended: sft-large-s0 (diverged)" in " ".join((kept.stdout + kept.stderr).split())


def test_what_fits_expects_nothing(meant: Path, harness: Harness) -> None:
    answer = harness(
        *("fit", meant.name, "--engine", "debug", "--only", "sft-large", "--limit", "1TiB"),
        *("--axis", "train.per_device_train_batch_size", "--pretend", "*@4=oom", "--to", "8"),
    )
    assert "@4: oom in " in answer.stderr
    assert "expected" not in answer.stdout + answer.stderr
    assert "3 fits in" in " ".join(answer.stdout.split())


def test_a_crash_where_oom_is_expected_is_tried_again_when_asked(meant: Path, run: Callable[..., Answer]) -> None:
    assert run("--pretend", "sft-large-*=crash").returncode == 5
    assert "1 of 2 trials did not end well (1 crashed)" in _report(meant)
    assert run("--retry", "failed", "--pretend", "sft-large-*=oom").returncode == 0
    assert _attempts(meant) == 3


def test_what_is_expected_is_the_suites_of_now(meant: Path, run: Callable[..., Answer]) -> None:
    assert run("--pretend", "sft-large-*=oom").returncode == 0
    meant.write_text(SUITE.replace(", limits.expect: oom", ""), encoding="utf-8")
    answer = run()
    assert answer.returncode == 5
    assert _attempts(meant) == 2  # what is expected is no part of a trial's identity
    assert "1 of 2 trials did not end well (1 oom)" in _report(meant)


def test_an_end_that_cannot_be_expected_is_refused(meant: Path, harness: Harness) -> None:
    meant.write_text(SUITE.replace("limits.expect: oom", "limits.expect: crashed"), encoding="utf-8")
    answer = harness("validate", meant.name)
    assert answer.returncode == 2
    assert "meant.yaml:12:" in answer.stderr
    assert "expect" in answer.stderr


def test_a_run_and_its_document_agree(run: Callable[..., Answer]) -> None:
    document = json.loads(run("--json", "--quiet", "--pretend", "sft-large-*=oom").stdout)
    assert document["failed"] == []
    assert sorted(trial["outcome"] for trial in document["trials"]) == ["ok", "oom"]
