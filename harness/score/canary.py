"""Proof that the weights a score names are those that answered. Imported by the scoring child alone.

Before a checkpoint's tasks the same few texts are asked of it. Their log-probabilities must differ from those of its
base and of every other checkpoint of the job; at the end the base an engine began with is asked once more, and must
answer to the last bit as it did: then nothing that came between has stayed in it.

lm-eval with vLLM has ignored adapters silently (EleutherAI/lm-evaluation-harness, issue 2432), and an engine that is
given an adapter under a used id answers with the earlier one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from harness.records.fingerprint import of_value

_TEXTS = (
    ("The capital of France is", " Paris"),
    ("def add(a, b):\n    return", " a + b"),
    ("Once upon a time", " there was a king"),
    ("Question: 17 + 25 =", " 42"),
    ("Water boils at", " 100 degrees"),
    ("List: red, green,", " blue"),
    ("Der Hund liegt", " auf dem Sofa"),
    ("a b c d e f g", " h i j"),
)
TEXTS = of_value(_TEXTS)
"""Names the texts: canaries are compared with those of the same texts only."""


def sing(lm: Any) -> tuple[float, ...]:
    """The log-probability of each text's end after its beginning, in nats, by lm-eval's own way of asking.

    Raises:
        Exception: whatever the model raises: it cannot be scored then.
    """
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index) for index, pair in enumerate(_TEXTS)
    ]
    return tuple(float(answer[0]) for answer in lm.loglikelihood(requests, disable_tqdm=True))


def finite(song: tuple[float, ...]) -> bool:
    """Whether every log-probability is a finite number."""
    return all(map(math.isfinite, song))


@dataclass(kw_only=True, slots=True)
class Canaries:
    """What every checkpoint of a job has answered so far, by the hash of its weights."""

    heard: dict[str, tuple[str, tuple[float, ...]]] = field(default_factory=dict)
    null: set[str] = field(default_factory=set)

    def same_as(self, weights: str | None, song: tuple[float, ...]) -> list[str]:
        """Names of checkpoints with other weights that answered just so. Numbers that are none are equal to nothing."""
        if not finite(song):
            return []
        return sorted(
            name
            for other, (name, heard) in self.heard.items()
            if other != weights and other not in self.null and heard == song
        )

    def keep(self, weights: str | None, name: str, song: tuple[float, ...], *, null: bool) -> None:
        """Remembers an answer; that of an adapter that changes nothing is its base's, and proves nothing of others."""
        self.heard[weights or name] = (name, song)
        if null:
            self.null.add(weights or name)


def record(
    song: tuple[float, ...], *, base: tuple[float, ...] | None, same_as: list[str], null: bool
) -> dict[str, Any]:
    """The `canary` of a score.

    `differs_from_base` is None where there is no base to differ from; `null` says of an adapter that it changes
    nothing, so that it must not differ; `base_again` says at the end of a job whether the engine's first weights still
    answer to the last bit as at its beginning.
    """
    return {
        "texts": TEXTS,
        "logprobs": list(song),
        "differs_from_base": None if base is None else song != base,
        "same_as": same_as,
        "null": null,
        "base_again": None,
    }
