"""What a cell is, as a short hash of what decides its result.

In it: method, model identity, data identity, `train`, `lora`, `reference`, the stage trial it starts from, what its
environment is declared to be, the measured window. Not in it: sampling rates, limits, what is saved and when, names,
levels, order, kind. What is null is left out, and the harness's own defaults are filled in, so writing one of them down
moves nothing; TRL's are not, so a new TRL field moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import data as data_room
from harness import models as model_room
from harness.errors import HarnessError, Problem
from harness.plan.canonical import Canon, canonical, digest
from harness.plan.doubtful import doubtful
from harness.plan.draft import Draft
from harness.plan.findings import Findings
from harness.plan.places import place_of
from harness.plan.saving import deciding
from harness.plan.train_files import file_identity, file_problem, names_files

_KINDS = ("path", "hub", "shape", "source")  # the key that says which model or data

Identify = Callable[[Mapping[str, Any], Path], dict[str, Any]]


def trial_id(cell_id: str, seed: int) -> str:
    """The id of one cell with one seed."""
    return digest(f"{cell_id}-{seed}")


def joined(content: Mapping[str, str]) -> str:
    """The canonical JSON object of values that are canonical JSON texts already; null ones are left out."""
    return "{" + ",".join(f'"{key}":{content[key]}' for key in sorted(content) if content[key] != "null") + "}"


@dataclass(slots=True)
class Identities:
    """Gives drafts their ids. Equal models and equal data are looked at once, since files are hashed for them."""

    root: Path
    findings: Findings
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    unusable: dict[tuple[str, str], tuple[Problem, ...]] = field(default_factory=dict)
    canon: Canon = field(default_factory=Canon)

    def model(self, draft: Draft) -> str:
        """The identity of the draft's model as canonical JSON; what it says, and a finding, where it cannot be used."""
        return self._of("model", draft, model_room.identity)

    def data(self, draft: Draft) -> str:
        """The identity of the draft's data as canonical JSON; what it says, and a finding, where it cannot be used."""
        return self._of("data", draft, data_room.identity)

    def train(self, draft: Draft) -> str:
        """The draft's `train` as canonical JSON, the files that it names by their content."""
        train = deciding(draft.config["train"])
        named = names_files(train)
        if not named:
            return canonical(train or None)
        for name in named:
            problem = file_problem(name, train[name], self.root)
            if problem is not None and not doubtful(draft, f"train.{name}"):
                where = place_of(self.findings.suite, draft, f"train.{name}")
                self.findings.add(
                    problem.what, why=problem.why, hint=problem.hint, of=draft, where=where, counted=False
                )
        return canonical({**train, **{name: file_identity(name, train[name], self.root) for name in named}})

    def environment(self, name: str | None) -> str:
        """What the environment is declared to be, as canonical JSON: its name decides nothing, nor does the machine."""
        if name is None:
            return "null"
        key = ("environment", name)
        if key not in self.known:
            self.known[key] = canonical(self._declared(name))
        return self.known[key]

    def _declared(self, name: str) -> dict[str, Any]:
        from harness import environments  # most suites declare none

        fields = self.findings.suite.environments.get(name)
        if fields is None:  # something is wrong with its declaration, and has been said
            return {"in doubt": name}
        return environments.declare(name, fields).decisive()

    def can_use(self, name: str, draft: Draft) -> bool:
        """Whether the draft's model or data can be used, as far as that has been looked at."""
        return (name, self.canon(draft.config[name])) in self.known

    def give_id(self, draft: Draft) -> dict[str, str]:
        """Sets the draft's id, and its stage's before it. Returns what was hashed: canonical JSON by field."""
        if draft.needs is not None and not draft.needs.id:
            self.give_id(draft.needs)
        content = self._content(draft)
        draft.id = digest(joined(content))
        return content

    def _content(self, draft: Draft) -> dict[str, str]:
        config = draft.config
        start = trial_id(draft.needs.id, draft.needs.seed) if draft.needs is not None else None
        return {
            "method": canonical(config["method"]),
            "model": self.model(draft),
            "data": self.data(draft),
            "train": self.train(draft),
            "lora": self.canon(config["lora"]),
            "reference": canonical(config["reference"]),
            "start": canonical(start),
            "environment": self.environment(config["environment"]),
            "measure": self.canon(_decisive(config["measure"])) if draft.kind != "floor" else "null",
        }

    def _of(self, name: str, draft: Draft, identify: Identify) -> str:
        value = draft.config[name]
        if value is None:
            return "null"
        key = (name, self.canon(value))
        if key in self.known:
            return self.known[key]
        kind = next((f"{name}.{kind}" for kind in _KINDS if kind in value), name)
        if doubtful(draft, kind):
            return canonical({"in doubt": value})
        if key not in self.unusable:
            try:
                self.known[key] = canonical(identify(value, self.root))
                return self.known[key]
            except HarnessError as error:
                self.unusable[key] = tuple(error.problems)
        for problem in self.unusable[key]:
            where = problem.where or place_of(self.findings.suite, draft, kind)
            self.findings.add(problem.what, why=problem.why, hint=problem.hint, of=draft, where=where, counted=False)
        return canonical({"unusable": value})


def _decisive(measure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What of `measure` says which figures a trial has; the rest only says how closely its device is watched."""
    return None if measure is None else {"warmup_steps": measure["warmup_steps"]}
