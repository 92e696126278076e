"""Scores: what lm-eval said of one checkpoint on one task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import quote

Served = Literal["loaded", "base", "adapter", "merged", "reloaded"]
"""How a backend came to the weights: loaded for themselves; the engine's own; a LoRA request beside its base; an
adapter merged into its base, then given to the engine; or a full checkpoint given to an engine that runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """score.json: one task's metrics for one checkpoint. `metrics[name]` = value; `stderr[name]` its standard error.

    `weights_hash` names the weights that were scored; a score is stale when the checkpoint's differ.
    """

    task: str
    backend: str
    metrics: Mapping[str, float]
    stderr: Mapping[str, float]
    higher_is_better: Mapping[str, bool]
    n_documents: int
    task_hash: str
    task_version: str
    weights_hash: str | None
    flags: Mapping[str, Any]  # limit, num_fewshot, apply_chat_template, system_instruction, batch_size, …
    versions: Mapping[str, str]  # lm_eval, transformers, torch, vllm
    scored_at: str
    duration_s: float
    notes: Sequence[str] = ()  # what a reader of the score should know, e.g. log-probabilities that are no numbers
    members: Sequence[str] = ()  # of a group: the tasks whose scores its figures are means of; it has no documents
    template_hash: str | None = None  # of the chat template as text and the system prompt; None where none is applied
    tokenizer_hash: str | None = None
    step: int | None = None  # the optimizer step whose weights these are; None for those that training ended with
    served: Served = "loaded"
    canary: Mapping[str, Any] | None = None  # what proves that these weights answered: see `harness.score.canary`
    parity: Mapping[str, Any] | None = None  # the same documents by transformers: see `harness.score.parity`
    environment: Mapping[str, Any] | None = None  # name, spec_hash and lock_hash of the environment that scored
    schema: int = 2

    def to_json(self) -> dict[str, Any]:
        """The JSON object of score.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Score:
        """The score of a parsed score.json; unknown keys are ignored."""
        return cls(**{key: inner for key, inner in value.items() if key in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One line of documents.jsonl: one document's result. `metrics` are its own values (0/1 for accuracy)."""

    index: int
    doc_hash: str
    prompt_hash: str
    target_hash: str
    target: str
    response: str
    metrics: Mapping[str, float]
    logprobs: list[float] = field(default_factory=list)
    source_hash: str | None = None  # of what it was made from, where the task says which of its fields that is


EARLIER = "earlier.jsonl"
"""Beside score.json: the score.json, one a line, of weights that earlier trainings of the trial left."""

_LONGEST = 120  # letters of a task's name in a file's; file systems take 255 bytes for the whole


def file_name(task: str) -> str:
    """A task's name as part of a file's or folder's: it may hold a slash, a dot in front, hundreds of letters.

    No letter of it means anything to a shell or to `glob`, and none is an `@`.
    """
    name = quote(task, safe="")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(task.encode()).hexdigest()[:16]}"
