"""spec.json: the resolved trial that a worker trains from, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.records.plan import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Everything a worker needs, no secrets.

    `method` is null for a floor. `train` holds what the suite says plus the harness's own defaults;
    `defaults` holds the remaining fields of TRL's config class as the installed TRL defines them,
    so that the file is complete. `start` is the checkpoint to start from, relative to the run folder.
    `timeout_s` seconds, `host_memory` bytes. `checkpoint` is keep, drop (once scored) or none (never written).
    `save_every`: optimizer steps between checkpoints during training, below 1 a share of all steps, or "epoch".
    """

    suite: str
    suite_file: str
    trial_id: str
    cell_id: str
    name: str
    cell_name: str
    kind: Kind
    levels: Mapping[str, str]
    seed: int
    method: str | None
    model: Mapping[str, Any]
    data: Mapping[str, Any] | None
    train: Mapping[str, Any]
    lora: Mapping[str, Any] | None
    start: str | None
    warmup_steps: int
    timeout_s: float
    host_memory: int | None
    retries: int
    checkpoint: str
    save_every: float | str | None = None  # None: only the weights that training ends with are saved
    reference: str | None = None  # where the method's reference comes from: explicit, shared; None as TRL does
    device_hz: float = 10.0  # samples per second of the device
    diverged: str = "stop"  # what a loss that is no longer finite does: stop or report
    max_loss: float | None = None
    max_grad_norm: float | None = None
    expect: str = "ok"  # the outcome it is meant to have
    init: Mapping[str, Any] | None = None  # {"stage": name, "trial_id": id} when `start` is a stage's checkpoint
    environment: Mapping[str, Any] | None = None  # name, spec_hash and declaration; None: the harness's own
    question: str = ""  # the suite's, so that run folders alone can answer for it
    defaults: Mapping[str, Any] = field(default_factory=dict)
    predicted_memory: Mapping[str, int] | None = None  # bytes by part (see docs/measuring); None: not predicted
    schema: int = 1

    def to_json(self) -> dict[str, Any]:
        """The JSON object of spec.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spec:
        """The spec of a parsed spec.json; unknown keys are ignored."""
        return cls(**{key: inner for key, inner in value.items() if key in cls.__dataclass_fields__})
