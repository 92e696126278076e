"""The hf backend's scores beside those of lm-eval's own command line, on the same checkpoints: equal, every digit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.score.taskfiles import FOLDER
from tests.functional.conftest import call, environment

TASKS = ("arithmetic_mc", "arithmetic_gen")
LIMIT, BATCH, SHOTS = 24, 5, 2
SUITE = f"""\
name: equal
question: Does an adapter learn as much as the whole model?
base:
  method: sft
  model: {{shape: tiny, overrides: {{num_hidden_layers: 2}}}}
  data: {{source: arithmetic, rows: 512}}
  init: {{stage: start}}
  train: {{max_steps: 8, per_device_train_batch_size: 8, learning_rate: 2.0e-3}}
stages:
  start: {{init: null}}
matrix:
  weights:
    full: {{lora: null}}
    lora: {{lora: {{r: 4, lora_alpha: 64, target_modules: all-linear}}}}
replicates: {{seeds: [0]}}
score:
  {{tasks: [{", ".join(TASKS)}], backend: hf, limit: {LIMIT}, num_fewshot: {SHOTS}, batch_size: {BATCH}, floor: false}}
"""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders by trial name, trained and scored by the harness."""
    root = tmp_path_factory.mktemp("equal")
    (root / "equal.yaml").write_text(SUITE, encoding="utf-8")
    answer = call(root, "run", "equal.yaml", "--quiet", timeout=300)
    assert answer.returncode == 0, answer.stderr
    specs = [(file.parent, json.loads(file.read_bytes())) for file in root.glob("results/equal/*/spec.json")]
    return {spec["name"]: folder for folder, spec in specs}


Told = tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def told(trials: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """lm-eval's own results and samples by task, of both checkpoints; the two commands run side by side."""
    start = trials["stage-start"] / "checkpoint"
    model_args = {
        "sft-full-s0": f"pretrained={trials['sft-full-s0'] / 'checkpoint'}",  # dtype=auto: as it was saved
        "sft-lora-s0": f"pretrained={start},peft={trials['sft-lora-s0'] / 'checkpoint'},dtype=float32",
    }
    out = tmp_path_factory.mktemp("lm-eval")
    running = {name: _lm_eval(out / name, said) for name, said in model_args.items()}
    for name, process in running.items():
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{name}: {said}"
    return {name: _read(out / name) for name in running}


def _lm_eval(out: Path, model_args: str) -> subprocess.Popen[str]:
    command: Sequence[str | Path] = (
        *(sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", model_args, "--tasks", ",".join(TASKS)),
        *("--include_path", FOLDER, "--limit", str(LIMIT), "--num_fewshot", str(SHOTS), "--batch_size", str(BATCH)),
        *("--device", "cpu", "--log_samples", "--output_path", out),
    )
    log = subprocess.PIPE
    return subprocess.Popen(command, env=environment(), cwd=out.parent, stdout=log, stderr=subprocess.STDOUT, text=True)


def _read(out: Path) -> Told:
    (results,) = out.rglob("results_*.json")
    samples = {}
    for task in TASKS:
        (file,) = out.rglob(f"samples_{task}_*.jsonl")
        samples[task] = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return json.loads(results.read_bytes())["results"], samples


@pytest.mark.parametrize("name", ["sft-full-s0", "sft-lora-s0"])
@pytest.mark.parametrize("task", TASKS)
def test_scores_are_those_of_lm_evals_own_command(
    trials: dict[str, Path], told: dict[str, Told], name: str, task: str
) -> None:
    results, samples = told[name]
    place = trials[name] / "scores" / f"{task}.hf"
    theirs = {key.removesuffix(",none"): value for key, value in results[task].items() if key.endswith(",none")}
    metrics = json.loads((place / "score.json").read_bytes())["metrics"]
    assert metrics == {metric: value for metric, value in theirs.items() if not metric.endswith("_stderr")}
    documents = [json.loads(line) for line in (place / "documents.jsonl").read_text("utf-8").splitlines()]
    assert len(documents) == LIMIT
    assert [_ours(document, task) for document in documents] == [_theirs(sample) for sample in samples[task]]


def _ours(document: dict[str, Any], task: str) -> tuple[Any, ...]:
    hashes = (document["doc_hash"], document["prompt_hash"], document["target_hash"])
    answer = document["response"] if task.endswith("_gen") else document["logprobs"]
    return document["index"], *hashes, answer, document["metrics"]


def _theirs(sample: dict[str, Any]) -> tuple[Any, ...]:
    hashes = (sample["doc_hash"], sample["prompt_hash"], sample["target_hash"])
    said = sample["filtered_resps"]
    answer = said[0] if isinstance(said[0], str) else [float(logprob) for logprob, _ in said]
    return sample["doc_id"], *hashes, answer, {metric: sample[metric] for metric in sample["metrics"]}
