"""Run folders written by hand, as the protocol says, without the rooms that write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.records.events import encode
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from harness.records.score import Score
from harness.records.spec import Spec

ENVIRONMENT = {
    "hash": "env1",
    "python": "3.11.7",
    "platform": "Linux",
    "packages": {"torch": "2.13.0", "trl": "1.16.0"},
}
OUTCOME = Outcome(
    outcome="ok",
    attempt=1,
    started_at="2026-11-22T10:00:00Z",
    ended_at="2026-11-22T10:00:30Z",
    duration_s=30.0,
    summary={"tokens_per_second": 1000.0, "final_loss": 0.5, "train_seconds": 20.0, "peak_host_memory": 2.0**29},
    weights_hash="w1",
    environment="env1",
)


def spec_of(cell: str = "dpo", seed: int = 0, *, suite: str = "quick", **changes: Any) -> Spec:
    """A plausible spec; its ids are made of the cell's name and the seed."""
    spec = Spec(
        suite=suite,
        suite_file=f"suites/{suite}.yaml",
        question="Which method?",
        trial_id=f"{cell}-id-{seed}",
        cell_id=f"{cell}-id",
        name=f"{cell}-s{seed}",
        cell_name=cell,
        kind="cell",
        levels={"method": cell.partition("-")[0]},
        seed=seed,
        method=cell.partition("-")[0],
        model={"shape": "tiny", "seed": 0},
        data={"source": "arithmetic"},
        train={"max_steps": 3, "learning_rate": 1e-3},
        lora=None,
        start=None,
        warmup_steps=1,
        timeout_s=60.0,
        host_memory=None,
        retries=1,
        checkpoint="keep",
    )
    return replace(spec, **changes)


def step_events(steps: int, *, every_log: int = 1, margin: bool = True) -> list[dict[str, Any]]:
    """The events of a training: a step, a log and a memory event each step."""
    events: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        t = round(0.1 * step, 4)
        events.append(
            {"t": t, "kind": "step", "step": step, "wall_s": 0.1, "data_s": 0.01, "real_tokens": 900 + step}
            | {"padded_tokens": 1024, "loss_tokens": 300, "reference_tokens": 0, "samples": 32, "measured": step > 1}
        )
        if step % every_log == 0:
            values = {"loss": 2.0 * math.exp(-step / 300), "grad_norm": 1.0 / step, "learning_rate": 1e-3}
            events.append(
                {
                    "t": t,
                    "kind": "log",
                    "step": step,
                    "values": values | ({"rewards/margins": step / 100} if margin else {}),
                }
            )
        events.append({"t": t, "kind": "memory", "step": step, "values": {"host_uss": 500_000_000 + step}})
    return events


def whole_attempt(steps: int = 3) -> list[dict[str, Any]]:
    """A training with its phases, notes and what was active."""
    return [
        {"t": 0.0, "kind": "phase", "name": "model", "edge": "start"},
        {"t": 0.05, "kind": "phase", "name": "model", "edge": "end"},
        {"t": 0.05, "kind": "active", "values": {"optimizer": "AdamW"}},
        {"t": 0.06, "kind": "note", "level": "warning", "text": "8 prompts were cut off"},
        {"t": 0.07, "kind": "note", "level": "info", "text": "padding-free is off"},
        {"t": 0.08, "kind": "phase", "name": "train", "edge": "start"},
        *step_events(steps),
        {"t": 8.0, "kind": "breakdown", "device": "cuda", "values": {"weights": 400.0, "gradients": 300, "peak": 1000}},
        {"t": 8.1, "kind": "compute", "values": {"peak_flops": 1e15, "source": "data sheet"}},
        {"t": 8.2, "kind": "finding", "name": "loss_spike", "step": 2, "level": "warning", "text": "loss rose 3-fold"},
        {"t": 9.0, "kind": "phase", "name": "train", "edge": "end"},
    ]


def write_folder(
    results: Path,
    spec: Spec,
    *,
    events: Sequence[Mapping[str, Any]] | None = None,
    outcome: Outcome | None = OUTCOME,
    environment: Mapping[str, Any] | None = ENVIRONMENT,
) -> RunFolder:
    """A run folder with one attempt; without an outcome it looks like one that runs."""
    folder = RunFolder(results / spec.suite / spec.trial_id)
    write_json(folder.spec_file, spec.to_json())
    if environment is not None:
        write_json(folder.environment_file, environment)
    add_attempt(folder, events=events, outcome=outcome)
    return folder


def add_attempt(
    folder: RunFolder, *, events: Sequence[Mapping[str, Any]] | None = None, outcome: Outcome | None = OUTCOME
) -> None:
    """One more attempt."""
    attempt = folder.new_attempt()
    lines = whole_attempt() if events is None else events
    attempt.events.write_text("".join(encode(dict(event)) for event in lines), encoding="utf-8")
    if outcome is not None:
        attempt.close(replace(outcome, attempt=attempt.number))


def add_device(folder: RunFolder, samples: int = 3, *, attempt: int = 1) -> None:
    """What a process beside the worker sampled of the device, ten times a second."""
    events: list[dict[str, Any]] = [{"t": 0.0, "kind": "note", "level": "info", "text": "the device tells no clocks"}]
    for number in range(samples):
        values = {"power": 300.0 + number, "utilization": 0.9, "memory_used": 2**30, "sm_clock": None}
        events.append({"t": 0.1 * number, "kind": "device", "device": "GPU-1", "values": values})
    place = folder.path / "attempts" / str(attempt) / "device.jsonl"
    place.write_text("".join(encode(event) for event in events), encoding="utf-8")


def add_score(
    folder: RunFolder,
    task: str = "arithmetic_mc",
    *,
    acc: float = 0.9,
    backend: str = "hf",
    documents: int = 4,
    lines: Sequence[Mapping[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """A score with its documents, made up or as `lines` have them. Returns its folder."""
    score = Score(
        task=task,
        backend=backend,
        metrics={"acc": acc},
        stderr={"acc": 0.01},
        higher_is_better={"acc": True},
        n_documents=documents,
        task_hash="t1",
        task_version="1.0",
        weights_hash="w1",
        flags={"limit": None, "num_fewshot": 0},
        versions={"lm_eval": "0.4.13"},
        scored_at="2026-11-22T10:01:00Z",
        duration_s=2.0,
    )
    step = changes.get("step")
    place = folder.scores / f"{task}.{backend}{'' if step is None else f'@{step}'}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "documents.jsonl").open("w", encoding="utf-8") as file:
        for document in made_up_documents(documents) if lines is None else lines:
            file.write(json.dumps(document) + "\n")
    write_json(place / "score.json", replace(score, **changes).to_json())
    return place


def made_up_documents(count: int) -> list[dict[str, Any]]:
    """Documents of two choices, the first of which is always answered; every second document is right."""
    documents = []
    for index in range(count):
        asked = {"index": index, "doc_hash": f"d{index}", "prompt_hash": "p", "target_hash": "t", "target": "4"}
        answer = {"response": "5", "metrics": {"acc": float(index % 2)}, "logprobs": [-0.5, -1.5]}
        documents.append(asked | answer)
    return documents


def add_overlap(folder: RunFolder, task: str = "arithmetic_mc", **changes: Any) -> Path:
    """What was found of the task in the data of the trial."""
    place = folder.scores / f"{task}.overlap.json"
    found = {
        "task": task,
        "task_hash": "t1",
        "data_fingerprint": "f1",
        "documents": 200,
        "exact": 3,
        "ngram": 5,
        "n": 13,
    }
    found |= {"short": 1, "rows": 4000, "trained_on": [{"trial_id": folder.path.name, "rows": 4000}], "reason": None}
    write_json(place, found | {"share": 0.03, "examples": [{"document": 7, "text": "7+5="}]} | changes)
    return place


def a_few(results: Path) -> list[RunFolder]:
    """Four trials with a score each."""
    folders = []
    for cell in ("dpo", "orpo"):
        for seed in (0, 1):
            folders.append(write_folder(results, spec_of(cell, seed)))
            add_score(folders[-1], acc=0.9 + seed / 100)
    return folders
