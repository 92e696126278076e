"""Checks through the real command line that train: more replicates, and trainings that are slow for real."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compare.gate import gate
from harness.compare.sides import sides_of
from harness.records.baseline import Baseline
from harness.records.gate import Rules
from harness.records.results import SuiteResults
from harness.store import Store
from harness.store.baselines.documents import SavedDocuments
from tests.functional.conftest import call

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

DEBUG = ("--engine", "debug", "--quiet", "--no-score")
SLOWED = Path(__file__).parent / "slowed"
SPEED = """\
name: speed
question: Did training get slower?
base:
  method: sft
  model: {shape: tiny, overrides: {num_hidden_layers: 1}}
  data: {source: arithmetic, rows: 40}
  train: {max_steps: 5, max_length: 32, per_device_train_batch_size: 2, logging_steps: 1}
  measure: {warmup_steps: 1}
  checkpoint: drop
replicates: {seeds: [0, 1, 2, 3, 4, 5]}
"""


def test_more_replicates_are_trained_where_it_is_doubtful(harness: Harness, suite: Path) -> None:
    text = suite.read_text(encoding="utf-8").replace("seeds: [0]", "seeds: [0, 1]")
    suite.write_text(f"{text}exclude: [{{method: dpo}}]\n", encoding="utf-8")
    assert harness("run", suite, *DEBUG).returncode == 0
    assert harness("baseline", "save", "before", suite, "--quiet").returncode == 0
    idle = harness("check", "--baseline", "before")
    assert idle.returncode == 1
    said = " ".join(idle.stderr.split())
    assert "nothing was measured since baseline before was saved" in said
    assert f"harness run {suite.name} --force" in said  # by its file: what is stored has more than the file asks for
    assert harness("run", suite, *DEBUG, "--force").returncode == 0
    asked = ("check", "--baseline", "before", suite, "--metric", "tokens_per_second", "--engine", "debug")
    answer = harness(*asked, "--confirm", "2", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "exclude rule 1 matches no cell" in answer.stderr  # what the plan warns of is said before more is trained
    found = json.loads(answer.stdout)
    assert set(found["added"]) == {"sft-learning_rate0.001", "sft-learning_rate0.002"}
    assert all(seeds == [2, 3] for seeds in found["added"].values())
    started = [line.split()[1].rstrip(":") for line in answer.stderr.splitlines() if line.endswith("started")]
    assert started == [f"sft-learning_rate{rate}-s{seed}" for seed in (2, 3) for rate in ("0.001", "0.002")]
    assert [verdict["effect"]["n"] for verdict in found["verdicts"]] == [[2, 4], [2, 4]]

    again = harness(*asked, "--confirm", "2", "--json")  # what was added is found again
    assert json.loads(again.stdout)["added"] == found["added"]
    assert "started" not in again.stderr


@pytest.fixture(scope="module")
def slowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SuiteResults]:
    """A folder in which training became 10% slower since its baseline, for real; and the results before that."""
    folder = tmp_path_factory.mktemp("speed")
    (folder / "speed.yaml").write_text(SPEED, encoding="utf-8")

    def run(seconds: float, *options: str) -> None:
        told = {"STEP_LASTS": str(seconds), "PYTHONPATH": f"{SLOWED}:{Path(__file__).parents[2]}"}
        answer = call(folder, "run", "speed.yaml", "--quiet", "--no-score", *options, env=told, timeout=300)
        assert answer.returncode == 0, answer.stderr

    run(0.25)
    before = Store(folder / "results" / "harness.duckdb").results("speed")
    assert call(folder, "baseline", "save", "before", "speed.yaml", "--only", "*-s[012]").returncode == 0
    run(0.275, "--force", "--only", "*-s[012]")
    return folder, before


def test_a_callback_that_sleeps_is_a_regression(slowed: tuple[Path, SuiteResults]) -> None:
    folder, _ = slowed
    asked = ("check", "speed.yaml", "--baseline", "before", "--only", "*-s[012]", "--metric", "step_seconds_p50")
    answer = call(folder, *asked)
    assert answer.returncode == 1, answer.stdout
    assert answer.stdout.startswith("regressed")
    assert "1 regression since baseline before" in answer.stderr
    assert "harness baseline save before speed.yaml --replace" in answer.stderr
    (verdict,) = json.loads(call(folder, *asked, "--json").stdout)["verdicts"]
    assert (verdict["ruling"], verdict["effect"]["n"]) == ("regressed", [3, 3])
    assert 1.04 < verdict["effect"]["value"] < 1.16


def test_the_same_training_never_regresses_beside_itself(slowed: tuple[Path, SuiteResults]) -> None:
    """The 20 ways to part six real runs into three and three; no seed is on both sides, so nothing is paired."""
    _, before = slowed
    trials = [trial for trial in before.trials if trial.outcome == "ok"]
    assert len(trials) == 6
    metrics = ("tokens_per_second", "step_seconds_p50", "train_seconds", "peak_host_memory")
    for some in itertools.combinations(trials, 3):
        others = [trial for trial in trials if trial not in some]
        known = Baseline(name="before", results=replace(before, trials=some), documents=SavedDocuments({}))
        found = gate(sides_of(known, some, before, others, across=False), Rules(), metrics=metrics)
        assert [(one.metric, one.verdict.effect) for one in found.regressed] == []
        assert found.equivalent + len(found.undecided) + len(found.improved) == len(metrics)
        assert not found.improved
