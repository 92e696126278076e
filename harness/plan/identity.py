"""What a cell is, as a short hash of what decides its result.

In it: method, model identity, data identity, `train`, `lora`, the stage trial it starts from, `measure`. Not in it:
limits, checkpoint, names, levels, order, kind. What is null is left out, and the harness's own defaults are filled in,
so writing one of them down moves nothing; TRL's defaults are not, so a new TRL field moves nothing either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import data as data_room
from harness import models as model_room
from harness.errors import HarnessError
from harness.plan.canonical import canonical, digest
from harness.plan.draft import Draft
from harness.plan.findings import Findings

Identify = Callable[[Mapping[str, Any], Path], dict[str, Any]]


def trial_id(cell_id: str, seed: int) -> str:
    """The id of one cell with one seed."""
    return digest(f"{cell_id}-{seed}")


@dataclass(slots=True)
class Identities:
    """Gives drafts their ids. Equal models and equal data are looked at once, since files are hashed for them."""

    root: Path
    findings: Findings
    known: dict[tuple[str, str], dict[str, Any] | None] = field(default_factory=dict)

    def model(self, model: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The model's identity; None, and a finding, where it cannot be used."""
        return self._of("model", model, model_room.identity)

    def data(self, data: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The data's identity; None, and a finding, where it cannot be used."""
        return self._of("data", data, data_room.identity)

    def give_id(self, draft: Draft) -> dict[str, Any]:
        """Sets the draft's id, and its stage's before it. Returns what was hashed."""
        if draft.needs is not None and not draft.needs.id:
            self.give_id(draft.needs)
        content = self._content(draft)
        draft.id = digest(canonical(content))
        return content

    def _content(self, draft: Draft) -> dict[str, Any]:
        config = draft.config
        start = trial_id(draft.needs.id, draft.needs.seed) if draft.needs is not None else None
        content = {
            "method": config["method"],
            "model": self.model(config["model"]),
            "data": self.data(config["data"]),
            "train": config["train"] or None,
            "lora": config["lora"],
            "start": start,
            "measure": config["measure"] if draft.kind != "floor" else None,
        }
        return {key: value for key, value in content.items() if value is not None}

    def _of(self, name: str, value: Mapping[str, Any] | None, identify: Identify) -> dict[str, Any] | None:
        if value is None:
            return None
        key = (name, canonical(value))
        if key not in self.known:
            self.known[key] = self._look(value, identify)
        return self.known[key]

    def _look(self, value: Mapping[str, Any], identify: Identify) -> dict[str, Any] | None:
        try:
            return identify(value, self.root)
        except HarnessError as error:
            for problem in error.problems:
                self.findings.add(problem.what, why=problem.why, hint=problem.hint)
            return None
