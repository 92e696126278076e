"""Sides of a comparison with documents, as a store or a baseline would give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.records.document_scores import Asked, DocumentAnswer, DocumentScores


@dataclass(slots=True)
class MadeDocuments:
    """Values by trial id and metric, all of one task. `asked_for` are the calls."""

    values: Mapping[str, Mapping[str, Any]]
    task: str = "arithmetic_mc"
    prompt: str = "p"
    asked_for: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def scores(self, task: str, metrics: Sequence[str], trial_ids: Sequence[str]) -> Mapping[str, DocumentScores]:
        self.asked_for.append((task, tuple(trial_ids)))
        if task != self.task:
            return {}
        known: dict[int, Asked] = {}
        found = {}
        for trial in trial_ids:
            if trial in self.values:
                own = {name: np.asarray(self.values[trial][name], dtype=float) for name in metrics}
                count = len(next(iter(own.values())))
                asked = known.setdefault(count, self._asked(count))
                found[trial] = DocumentScores(trial_id=trial, asked=asked, values=own)
        return found

    def _asked(self, count: int) -> Asked:
        hashes = [f"d{number}" for number in range(count)]
        prompts = [f"{self.prompt}{number}" for number in range(count)]
        return Asked(task=self.task, indices=range(count), doc_hashes=hashes, prompt_hashes=prompts)

    def answers(
        self, task: str, trial_ids: Sequence[str], doc_hashes: Sequence[str]
    ) -> Mapping[str, Mapping[str, DocumentAnswer]]:
        return {
            trial: {
                digest: DocumentAnswer(index=int(digest[1:]), target="4", response=f"{trial} says")
                for digest in doc_hashes
            }
            for trial in trial_ids
        }
