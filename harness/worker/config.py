"""The keyword arguments of TRL's config class for one trial: what the suite says, and what this machine needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import SuiteError
from harness.methods import Method
from harness.records.spec import Spec

HARNESS_DEFAULTS: Mapping[str, Any] = {
    "report_to": "none",  # the run folder is where a trial reports to
    "save_strategy": "no",  # the weights are saved after training; on the way where `save_every` says so
    "disable_tqdm": True,  # progress comes from events.jsonl
    "logging_nan_inf_filter": False,  # Hugging Face would log the last finite loss in place of NaN
}
"""What the harness sets for every method; of these a suite may set what `harness.methods.OWNED` does not name."""

OF_A_GPU: Mapping[str, str] = {
    "activation_offloading": "TRL moves activations off a GPU",
    "tf32": "only a GPU multiplies in TF32 (transformers refuses it without one)",
}
"""Fields of `train` that only a GPU can do, and why. `bf16` a CPU does too, slowly; `fp16` it does not (a note)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """Keyword arguments of the config class, and what a reader should know of how they came about."""

    kwargs: dict[str, Any]
    notes: tuple[str, ...]


def resolve(spec: Spec, method: Method, *, scratch: Path, cuda: bool, eval_rows: int) -> Resolved:
    """The config of a trial on this machine; `scratch` takes what the trainer insists on writing.

    Raises:
        SuiteError: the trial asks for what TRL does not do for this method, or on this machine.
    """
    refused = method.refused(spec.train, lora=spec.lora is not None)
    if refused:
        raise SuiteError.of(
            "; ".join(f"train.{name}: {reason}" for name, reason in refused.items()),
            hint=f"leave it out for {method.name}, or exclude the combination",
        )
    given = method.accepted(spec.train)
    on_cpu = given.get("use_cpu") or not cuda
    if beyond := [f"train.{name}: {why}" for name, why in OF_A_GPU.items() if on_cpu and given.get(name)]:
        raise SuiteError.of(
            f"{'; '.join(beyond)}, and this trial trains on the CPU",
            hint="leave it out here (--skip), or run it where a GPU is",
        )
    kwargs: dict[str, Any] = {**HARNESS_DEFAULTS, **method.defaults, **given}
    kwargs.update(output_dir=str(scratch), seed=spec.seed, **_saving(spec.save_every))
    notes: list[str] = []
    if not cuda:
        notes += _without_cuda(kwargs, given)
    if eval_rows == 0 and kwargs.get("eval_strategy", "no") != "no":
        notes.append("evaluation during training is off: the data has no rows for it (data.eval_fraction)")
        kwargs["eval_strategy"] = "no"
    return Resolved(kwargs=kwargs, notes=tuple(notes))


def _saving(every: float | str | None) -> dict[str, Any]:
    """When the trainer asks for its weights to be saved; `harness.worker.saving` is who saves them."""
    if every is None or every == "epoch":
        return {"save_strategy": every or "no"}
    return {"save_strategy": "steps", "save_steps": every}


def _without_cuda(kwargs: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    kwargs.setdefault("use_cpu", True)
    kwargs.setdefault("dataloader_pin_memory", False)
    if "bf16" in given or "fp16" in given:
        return []
    kwargs["bf16"] = False
    return ["bf16 is off: this machine has no CUDA device (TRL's own default is on)"]
