"""What is said of trials, in words: the same on the live table, in plain lines and in `status`."""

from __future__ import annotations

from harness.cli.output import number
from harness.records.outcome import Outcome
from harness.records.plan import Trial
from harness.records.progress import Live
from harness.records.units import format_duration


def ended(trial: Trial, outcome: Outcome, *, will_retry: bool) -> str:
    """`sft-s0: ok in 12.3 s, loss 0.412, 9,412 tokens/s`; for a bad end the phase and the cause."""
    said = f"{trial.name}: {outcome.outcome}"
    if outcome.outcome == trial.expect != "ok":
        said += ", as expected,"
    if outcome.outcome == "skipped":
        return f"{said}: {outcome.cause}" if outcome.cause else said
    said += f" in {format_duration(outcome.duration_s)}"
    if outcome.outcome == "ok":
        unmet = [f"where {trial.expect} is expected"] if trial.expect != "ok" else []
        return ", ".join([said, *unmet, *_figures(outcome)])
    if outcome.phase:
        said += f", during {outcome.phase}"
    if outcome.cause:
        said += f": {outcome.cause}"
    return f"{said}; trying again" if will_retry else said


def _figures(outcome: Outcome) -> list[str]:
    figures = []
    loss = outcome.summary.get("final_loss")
    if loss is not None:
        figures.append(f"loss {loss:.3f}")
    speed = outcome.summary.get("tokens_per_second")
    if speed is not None:
        figures.append(f"{number(float(round(speed)))} tokens/s")
    if outcome.disturbed:
        figures.append("disturbed")
    return figures


def step_of(state: Live) -> str:
    """`12/200`, `12` where the end is unknown, – before the first step."""
    if state.step is None:
        return "–"
    return f"{state.step}/{state.max_steps}" if state.max_steps else str(state.step)
