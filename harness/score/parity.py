"""Two backends on the same documents: how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.score import Document

NOTE = "parity: "
"""How notes on it begin."""

TOLERANCE = 0.01
"""Nats per answer that two backends may differ by and still count as equal: far above what float32 leaves (some 1e-5
on answers of a few tokens), below what half precision does, whose differences are therefore told."""


def compare(ours: Sequence[Document], theirs: Sequence[Document], *, backend: str) -> dict[str, Any]:
    """The `parity` of a score: `ours` are its documents, `theirs` the same ones as `backend` answered them.

    documents: how many were compared; max_logprob_difference and mean_logprob_difference: |Δ| of the log-probability of
    an answer, in nats, None for generated text; same_answers: documents with the same answer; metrics: each metric's
    mean over those documents, ours then theirs; other_prompts: documents whose prompts differ, which are left out.
    """
    known = {document.index: document for document in ours}
    pairs = [(known[other.index], other) for other in theirs if other.index in known]
    asked = [(mine, other) for mine, other in pairs if mine.prompt_hash == other.prompt_hash]
    apart = [
        _apart(a, b)
        for mine, other in asked
        if len(mine.logprobs) == len(other.logprobs)
        for a, b in zip(mine.logprobs, other.logprobs, strict=True)
    ]
    return {
        "backend": backend,
        "documents": len(asked),
        "other_prompts": len(pairs) - len(asked),
        "max_logprob_difference": max(apart, default=None),
        "mean_logprob_difference": math.fsum(apart) / len(apart) if apart else None,
        "same_answers": sum(_ended(mine.response) == _ended(other.response) for mine, other in asked),
        "metrics": {name: list(both) for name, both in _means(asked).items()},
        "tolerance": TOLERANCE,
    }


def _ended(text: str) -> str:
    return text.rstrip("\ufffd")


def _apart(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    return 0.0 if a == b else abs(a - b)


def _means(pairs: Sequence[tuple[Document, Document]]) -> Mapping[str, tuple[float, float]]:
    names = sorted({name for pair in pairs for one in pair for name in one.metrics})
    means = {}
    for name in names:
        both = [(a.metrics[name], b.metrics[name]) for a, b in pairs if name in a.metrics and name in b.metrics]
        if both:
            means[name] = (sum(a for a, _ in both) / len(both), sum(b for _, b in both) / len(both))
    return means


def note(parity: Mapping[str, Any]) -> str | None:
    """What a reader must know of it; None where the backends agree."""
    apart, same, count = parity["max_logprob_difference"], parity["same_answers"], parity["documents"]
    if parity["other_prompts"]:
        return f"{NOTE}{parity['other_prompts']} documents were asked with another prompt by {parity['backend']}"
    if not count:
        return f"{NOTE}no document could be compared with {parity['backend']}"
    far = apart is not None and apart > TOLERANCE
    if not far and same == count:
        return None
    said = f"{NOTE}{parity['backend']} gave the same answer on {same} of {count} documents"
    return f"{said}; log-probabilities differ by up to {apart:.2g} nats" if far else said
