"""The spec of one trial, made by hand."""

from __future__ import annotations

from typing import Any

from harness.records.spec import Spec


def spec_of(model: dict[str, Any], train: dict[str, Any], data: dict[str, Any], *, seed: int = 0) -> Spec:
    """A supervised training of one step's warm-up; tests replace what they are about."""
    return Spec(
        suite="s",
        suite_file="/nowhere/s.yaml",
        trial_id="t-0",
        cell_id="t",
        name="t",
        cell_name="t",
        kind="cell",
        levels={},
        seed=seed,
        method="sft",
        model=model,
        data=data,
        train=train,
        lora=None,
        start=None,
        warmup_steps=1,
        timeout_s=60.0,
        host_memory=None,
        retries=0,
        checkpoint="keep",
    )
