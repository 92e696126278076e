"""Memory of real trials on the CPU: what it is held for, to the byte, and what is told where it runs out."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.events import read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from tests.unit.worker.made import spec_of

pytestmark = pytest.mark.slow

TINY = {"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}}
TRAIN = {
    "max_steps": 3,
    "per_device_train_batch_size": 2,
    "max_length": 32,
    "learning_rate": 1e-3,
    "optim": "adamw_torch",
    "gradient_checkpointing": False,
}
TOO_MUCH = 2**52


def _run(folder: Path, **changes: Any) -> Outcome:
    from harness.worker.trial import run_trial

    spec = spec_of(TINY, TRAIN, {"source": "arithmetic", "rows": 40, "eval_fraction": 0.25}, seed=3)
    run = RunFolder(folder)
    write_json(run.spec_file, replace(spec, **changes).to_json())
    attempt = run.new_attempt()
    outcome = run_trial(run, attempt)
    attempt.close(outcome)
    return outcome


def _tensors(outcome: Outcome, folder: Path) -> int:
    """How many weights were trained, told by the state's step counters of four bytes each."""
    (last,) = [e for e in read_events(RunFolder(folder).attempts()[0].events) if e["kind"] == "breakdown"][-1:]
    moments = 2 * 4 * int(outcome.summary["trainable_parameters"])
    return int(last["values"]["optimizer"] - moments) // 4


@pytest.mark.parametrize(
    ("method", "lora", "train"),
    [
        ("sft", None, {}),
        ("sft", {"r": 2}, {"gradient_accumulation_steps": 2}),
        ("dpo", None, {}),
        ("dpo", {"r": 2}, {"gradient_checkpointing": True}),
        ("orpo", None, {"optim": "sgd"}),
    ],
)
def test_memory_is_told_to_the_byte(
    method: str, lora: dict[str, int] | None, train: dict[str, Any], tmp_path: Path
) -> None:
    outcome = _run(tmp_path, method=method, lora=lora, train={**TRAIN, **train})
    assert outcome.outcome == "ok", outcome.cause
    summary = outcome.summary
    assert summary["weight_memory"] == 4 * summary["total_parameters"]
    assert summary["gradient_memory"] == 4 * summary["trainable_parameters"]
    if train.get("optim") == "sgd":
        assert summary["optimizer_memory"] == 0
    else:
        assert 1 <= _tensors(outcome, tmp_path) < 100
    own_reference = method == "dpo" and lora is None
    assert ("reference_memory" in summary) == own_reference
    if own_reference:
        assert summary["reference_memory"] == pytest.approx(summary["weight_memory"], rel=0.01)
    assert "activation_memory" not in summary  # the host keeps no peak of what torch allocates
    assert outcome.facts["peak_phase"] in ("import", "model", "data", "trainer", "train", "eval", "save")
    assert summary["step_seconds_p50"] <= summary["step_seconds_p90"] <= summary["step_seconds_p99"]
    for name in ("import", "model", "data", "trainer", "first_step"):
        assert summary[f"{name}_seconds"] >= 0
    assert "device_step_seconds_p50" not in summary


def _takes_too_much(*args: Any, **kwargs: Any) -> Any:
    import torch

    return torch.empty(TOO_MUCH, dtype=torch.uint8)


@pytest.mark.parametrize("where", ["model", "forward", "backward", "optimizer", "eval", "save"])
def test_where_memory_ran_out_and_what_was_asked_for_is_told(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import transformers

    target, name = {
        "model": (importlib.import_module("harness.models.load"), "load"),
        "forward": (torch.nn.Embedding, "forward"),
        "backward": (torch.Tensor, "backward"),
        "optimizer": (torch.optim.AdamW, "step"),
        "eval": (transformers.Trainer, "evaluation_loop"),
        "save": (importlib.import_module("harness.models"), "save"),
    }[where]
    monkeypatch.setattr(target, name, _takes_too_much)
    outcome = _run(tmp_path)
    assert outcome.outcome == "oom", outcome.cause
    found = outcome.facts["oom"]
    assert (found["phase"], found["device"], found["requested_bytes"]) == (where, "host", TOO_MUCH)
    assert found["peaks"]["peak_host_memory"] > 2**20
    assert outcome.cause == f"out of host memory in {where}: 4194304.00 GiB more were asked for"
