"""What must hold of every cell before anything runs, said once for all cells that break it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.errors import Problem, did_you_mean
from harness.methods import METHODS
from harness.methods.together import BESIDE
from harness.plan.canonical import canonical
from harness.plan.doubtful import doubtful, may_be_set
from harness.plan.draft import Draft
from harness.plan.findings import Findings
from harness.plan.parts import Parts
from harness.plan.training import Training
from harness.records.suite import Suite

_NEEDED = {"method": "method: sft", "model": "model: {shape: tiny}", "data": "data: {source: arithmetic}"}
_BESIDE = {**BESIDE, "reference": ("lora", "train.precompute_ref_log_probs")}
"""Field paths that something may be refused beside."""


@dataclass(slots=True)
class _Refused:
    """One field that one method refuses, and every cell and value that asks for it."""

    problem: Problem
    values: dict[str, None] = field(default_factory=dict)
    cells: list[Draft] = field(default_factory=list)


@dataclass(slots=True)
class Checks:
    """Completes drafts and finds what is wrong with them."""

    suite: Suite
    parts: Parts
    training: Training
    findings: Findings
    refused: dict[tuple[str, str, str], _Refused] = field(default_factory=dict)

    def complete(self, draft: Draft) -> None:
        """Completes the whole draft and notes what is wrong with it."""
        self.note(draft, self.parts.fill(draft.config))
        self.settle(draft)

    def note(self, draft: Draft, trouble: Iterable[str]) -> None:
        """Notes what is wrong with the draft's parts."""
        for said in trouble:
            path = said.replace(":", " ").partition(" ")[0]  # each sentence begins with what it is about
            root = path.partition(".")[0]
            draft.wrong |= {root}
            if not doubtful(draft, root, loosely=True):
                self.findings.add(said, of=draft, path=path)

    def settle(self, draft: Draft) -> None:
        """Completes `train` and checks it against the draft's method; the parts must be filled already.

        A method that is in doubt is left alone: nothing can be said of what it would take.
        """
        config = draft.config
        for name, example in _NEEDED.items():
            if config[name] is None and name not in draft.wrong:
                self._lacks(draft, name, example)
        method = config["method"]
        if draft.wrong & {"method", "train", "lora", "environment"} or doubtful(draft, "method"):
            return
        if method not in METHODS:
            draft.wrong |= {"method"}
            hint = did_you_mean(method, METHODS)
            self.findings.add(f"unknown method {method!r}", hint=hint, of=draft, path="method")
            return
        self._settle_reference(draft)
        self.training.settle(config)
        for path, problem in self.training.problems(config):
            draft.refused |= {path}
            if not self._may_change(draft, path):
                self._refuse(draft, path, problem)

    def _settle_reference(self, draft: Draft) -> None:
        """Checks `reference` against the method, and takes it out where it says what TRL does anyway."""
        config = draft.config
        asked, method = config["reference"], config["method"]
        if asked is None:
            return
        own = "explicit" if config["lora"] is None else "shared"
        if not METHODS[method].reference:
            hint = "set it only in the levels of methods that have one"
            self._refuse_reference(draft, f"{method} has no reference model to choose", hint=hint)
        elif config["train"].get("precompute_ref_log_probs"):
            why = "the reference runs before training, and none is held during it"
            what = f"reference: {asked} and train.precompute_ref_log_probs exclude each other"
            self._refuse_reference(draft, what, why=why, hint="keep one of the two")
        elif asked == "shared" and own == "explicit":
            why = "all weights are trained, so there is no adapter that turned off would leave the reference"
            hint = "train with lora, or leave reference out: a second model is held"
            self._refuse_reference(draft, f"{method} cannot share its reference here", why=why, hint=hint)
        elif asked == own:
            config["reference"] = None

    def _refuse_reference(self, draft: Draft, what: str, *, hint: str, why: str | None = None) -> None:
        draft.refused |= {"reference"}
        if not self._may_change(draft, "reference"):
            self.findings.add(what, why=why, hint=hint, of=draft, path="reference")

    def _lacks(self, draft: Draft, name: str, example: str) -> None:
        if name != "method" or not doubtful(draft, "method"):
            draft.wrong |= {name}
        if not may_be_set(draft, name):
            hint = f"set it in base, or in every level of one axis: {example}"
            self.findings.add(f"no {name} is given", hint=hint, of=draft, path=name)

    def _may_change(self, draft: Draft, path: str) -> bool:
        """Whether what is refused at a path may be right once the file is."""
        if not draft.losses:
            return False
        reasons = [path, *_BESIDE.get(path, ())]
        if path.partition(".")[2] in METHODS[draft.config["method"]].refuses_with_lora:
            reasons.append("lora")
        return any(doubtful(draft, reason) for reason in reasons)

    def _refuse(self, draft: Draft, path: str, problem: Problem) -> None:
        key = (draft.config["method"], path, problem.why or problem.what)
        refused = self.refused.setdefault(key, _Refused(problem))
        root, _, name = path.partition(".")
        refused.values[canonical(draft.config[root][name])] = None
        refused.cells.append(draft)

    def report(self) -> None:
        """Turns what methods refused into findings: one for each method and field."""
        for (method, path, _), refused in self.refused.items():
            problem = refused.problem
            hint = self._hint(method, path, refused)
            for draft in refused.cells:
                self.findings.add(problem.what, why=problem.why, hint=hint, of=draft, path=path)
        self.refused.clear()

    def _hint(self, method: str, path: str, refused: _Refused) -> str | None:
        """How to go on: leave these cells out where an axis brought them, else say the field elsewhere."""
        name = path.partition(".")[2]
        if not _belongs_elsewhere(method, name, path, self.training):
            return refused.problem.hint
        if not any(axis.field == path for axis in self.suite.matrix):
            return f"set {path} only in the levels or stages whose method takes it, not for {method}"
        values = [_bare(value) for value in refused.values]
        listed = values[0] if len(values) == 1 else f"[{', '.join(values)}]"
        return f"leave these cells out; add to exclude:  - {{method: {method}, {path}: {listed}}}"


def _belongs_elsewhere(method: str, name: str, path: str, training: Training) -> bool:
    """Whether the field means something, only not for this method."""
    if not path.startswith("train."):
        return False
    known = METHODS[method]
    if name in known.refuses or name in known.refuses_with_lora or name in known.refuses_values:
        return True
    catalog = training.catalog
    if catalog is None or name in catalog.methods[method]:
        return False
    return any(name in fields for fields in catalog.methods.values())


def _bare(text: str) -> str:
    """A JSON text as YAML takes it inside braces: plain words without their quotes."""
    inner = text[1:-1]
    plain = text.startswith('"') and inner.replace("_", "").replace("-", "").isalnum() and not inner[:1].isdigit()
    return inner if plain and inner not in {"true", "false", "null"} else text
