"""How an attempt ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

OutcomeName = Literal["ok", "oom", "diverged", "timeout", "crashed", "interrupted", "skipped"]
OUTCOMES: tuple[OutcomeName, ...] = ("ok", "oom", "diverged", "timeout", "crashed", "interrupted", "skipped")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """outcome.json, written last and atomically. Times are ISO 8601 UTC, durations seconds, memory bytes.

    `phase` is the phase it ended in; `cause` one line a reader understands; `summary` the public
    metrics of the attempt (see `harness.records.metrics`), absent rather than zero when not measured.
    """

    outcome: OutcomeName
    attempt: int
    started_at: str
    ended_at: str
    duration_s: float
    phase: str | None = None
    cause: str | None = None
    summary: Mapping[str, float] = field(default_factory=dict)
    weights_hash: str | None = None  # of the checkpoint the attempt left behind
    step_hashes: Mapping[str, str] = field(default_factory=dict)  # of those it saved on the way, by optimizer step
    data_fingerprint: str | None = None  # of the rows it trained on
    environment: str | None = None  # hash of environment.json
    facts: Mapping[str, Any] = field(default_factory=dict)  # in words: peak_phase, oom, kernels, …; see docs/measuring
    disturbed: Sequence[str] = ()  # why its figures are not to be trusted: throttled, shared device, …
    certain: bool = False  # another attempt would end the same way, so none is made
    killed: bool = False  # its process was killed from outside: that says nothing of the trial, and it runs again
    schema: int = 1

    def to_json(self) -> dict[str, Any]:
        """The JSON object of outcome.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        """The outcome of a parsed outcome.json; unknown keys are ignored so that older readers manage."""
        known = {key: inner for key, inner in value.items() if key in cls.__dataclass_fields__}
        return cls(**{**known, "disturbed": tuple(known.get("disturbed") or ())})
