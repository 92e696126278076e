"""The main job through the real command line, on made-up trials."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]


def _spec_of(folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    return spec


def _attempts(results: Path) -> dict[str, int]:
    """Trial name → number of attempts, of everything in the results folder."""
    return {
        _spec_of(spec.parent)["name"]: len(list((spec.parent / "attempts").iterdir()))
        for spec in results.glob("*/*/spec.json")
    }


def test_a_run_ends_with_the_headline_and_the_reports_path(suite: Path, harness: Harness) -> None:
    answer = harness("run", suite.name, "--engine", "debug")
    assert answer.returncode == 0, answer.stderr
    headline, report = answer.stdout.splitlines()
    assert headline
    assert report == "report: reports/tiny/report.md"
    assert headline in (suite.parent / "reports/tiny/report.md").read_text(encoding="utf-8")
    assert "[3/3]" in answer.stderr
    assert ": ok in " in answer.stderr


def test_a_report_that_cannot_be_written_shows_before_anything_is_trained(suite: Path, harness: Harness) -> None:
    (suite.parent / "reports").write_text("a file in the way")
    answer = harness("run", suite.name, "--engine", "debug")
    assert answer.returncode == 2
    assert "cannot use reports/tiny" in answer.stderr
    assert "--reports" in answer.stderr
    assert not (suite.parent / "results").exists()


def test_a_second_run_trains_nothing(ran: Path, harness: Harness) -> None:
    before = _attempts(ran.parent / "results")
    answer = harness("run", ran.name, "--engine", "debug")
    assert answer.returncode == 0, answer.stderr
    assert "3 of 3 trials are finished already; 0 to run" in answer.stderr
    assert _attempts(ran.parent / "results") == before == dict.fromkeys(before, 1)
    assert len(before) == 3


def test_force_runs_everything_again_and_keeps_the_old_attempts(ran: Path, harness: Harness) -> None:
    assert harness("run", ran.name, "--engine", "debug", "--force").returncode == 0
    assert set(_attempts(ran.parent / "results").values()) == {2}


def test_only_and_skip_choose_trials(suite: Path, harness: Harness) -> None:
    names = [trial["name"] for trial in json.loads(harness("plan", suite.name, "--json").stdout)["trials"]]
    chosen = names[-1]
    assert harness("run", suite.name, "--engine", "debug", "--only", chosen).returncode == 0
    assert set(_attempts(suite.parent / "results")) == {chosen}
    others = ",".join(name for name in names if name != names[1])
    assert harness("run", suite.name, "--engine", "debug", "--skip", others).returncode == 0
    assert set(_attempts(suite.parent / "results")) == {chosen, names[1]}


def test_failed_trials_end_with_5_after_the_report_and_are_retried_when_asked(suite: Path, harness: Harness) -> None:
    bad = harness("run", suite.name, "--engine", "debug", "--pretend", "*0.002*=oom")
    assert bad.returncode == 5, bad.stderr
    assert "report: reports/tiny/report.md" in bad.stdout
    assert "1 of 3 trials did not end well" in bad.stderr
    assert "oom" in bad.stderr
    assert "--retry failed" in bad.stderr
    again = harness("run", suite.name, "--engine", "debug")
    assert again.returncode == 5  # the failure is a result: kept, told again, not tried again
    assert sum(_attempts(suite.parent / "results").values()) == 3
    retried = harness("run", suite.name, "--engine", "debug", "--retry", "failed")
    assert retried.returncode == 0, retried.stderr
    assert sorted(_attempts(suite.parent / "results").values()) == [1, 1, 2]


def test_a_crashed_trial_is_tried_again_by_itself(suite: Path, harness: Harness) -> None:
    answer = harness("run", suite.name, "--engine", "debug", "--pretend", "*0.002*=crash,ok")
    assert answer.returncode == 0, answer.stderr
    assert "crashed" in answer.stderr
    assert "trying again" in answer.stderr
    assert "started (attempt 2)" in answer.stderr


def test_trials_of_a_failed_stage_are_skipped_and_say_why(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("  method: sft", "  method: sft\n  init: {stage: first}")
    suite.write_text(text + "stages:\n  first: {method: sft, train: {max_steps: 5}}\n", encoding="utf-8")
    answer = harness("run", suite.name, "--engine", "debug", "--pretend", "*first*=diverge")
    assert answer.returncode == 5
    assert "diverged" in answer.stderr
    assert "skipped" in answer.stderr


def test_pretending_needs_the_debug_engine_and_a_known_end(suite: Path, harness: Harness) -> None:
    local = harness("run", suite.name, "--pretend", "*=oom")
    assert local.returncode == 2
    assert "--engine debug" in local.stderr
    unknown = harness("run", suite.name, "--engine", "debug", "--pretend", "*=ooom")
    assert unknown.returncode == 2
    assert "did you mean 'oom'" in unknown.stderr


def test_json_is_one_document_and_quiet_is_silent(suite: Path, harness: Harness) -> None:
    answer = harness("run", suite.name, "--engine", "debug", "--json", "--quiet")
    assert answer.returncode == 0
    assert answer.stderr == ""
    document = json.loads(answer.stdout)
    assert document["suite"] == "tiny"
    assert document["report"] == "reports/tiny/report.md"
    assert [trial["outcome"] for trial in document["trials"]] == ["ok"] * 3
    assert document["failed"] == []


def test_json_stays_whole_when_trials_fail(suite: Path, harness: Harness) -> None:
    answer = harness("run", suite.name, "--engine", "debug", "--json", "--quiet", "--pretend", "*=oom")
    assert answer.returncode == 5
    document = json.loads(answer.stdout)
    assert len(document["failed"]) == 2  # the floor trains nothing and cannot fail so
    assert "did not end well" in answer.stderr


def test_results_and_reports_go_where_they_are_asked_to(suite: Path, harness: Harness) -> None:
    answer = harness("run", suite.name, "--engine", "debug", "--reports", "out", env={"HARNESS_RESULTS": "elsewhere"})
    assert answer.returncode == 0, answer.stderr
    assert "report: out/tiny/report.md" in answer.stdout
    assert (suite.parent / "elsewhere/harness.duckdb").exists()
    assert not (suite.parent / "results").exists()


def test_a_run_warns_of_what_the_plan_warns_of(suite: Path, harness: Harness) -> None:
    suite.write_text(suite.read_text(encoding="utf-8") + "exclude: [{train.learning_rate: 9}]\n", encoding="utf-8")
    warned = harness("plan", suite.name).stderr
    assert "exclude rule 1 matches no cell" in warned
    answer = harness("run", suite.name, "--engine", "debug", "--json")
    assert answer.stderr.startswith(warned)
    assert json.loads(answer.stdout)["failed"] == []
    assert harness("run", suite.name, "--engine", "debug", "--quiet").stderr == ""
