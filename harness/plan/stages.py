"""The trainings that cells start from: which are needed, and what each of them is.

A stage is the base with the stage's own fields over it. It takes its model from whoever starts from it unless it names
one; its data is the base's unless it names some. Stages that come out equal are one training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.plan.canonical import canonical
from harness.plan.checks import Checks
from harness.plan.doubtful import doubtful, losses_of
from harness.plan.draft import Config, Draft, Losses
from harness.plan.findings import Findings
from harness.plan.naming import model_label, slug
from harness.plan.resolve import MERGED, stage_config
from harness.records.doubts import NONE, Doubts, overlap
from harness.records.suite import Suite

_NOT_THE_WEIGHTS = {"dtype", "attn_implementation"}


def check_stages(suite: Suite, findings: Findings) -> None:
    """Finds stages that start from each other in a circle, or from one that is not there."""
    start = {name: stage.init.stage for name, stage in suite.stages.items() if stage.init is not None}
    in_circles: set[str] = set()
    for name in suite.stages:
        path = [name]
        while path[-1] in start and start[path[-1]] not in path:
            path.append(start[path[-1]])
        if start.get(path[-1]) == name and not in_circles & set(path):
            in_circles |= set(path)
            findings.add(
                f"stages form a circle: {' → '.join([*path, name])}",
                why="each would have to be trained before the other",
                hint="let one of them start from its model: leave out its init",
                where=suite.where("stages", name, "init.stage"),
            )


@dataclass(slots=True)
class Stages:
    """Makes the drafts of the stages that cells need; each once."""

    suite: Suite
    base: Config
    checks: Checks
    findings: Findings
    doubts: Doubts = NONE
    made: dict[tuple[str, str], Draft] = field(default_factory=dict)

    def attach(self, draft: Draft) -> None:
        """Sets what the draft starts from, as its `init` says."""
        init = draft.config["init"]
        if init is None or draft.wrong & {"init", "model"}:
            return
        draft.needs = self._stage(init["stage"], draft)
        needs = draft.needs
        if "model" in needs.wrong or any(doubtful(one, "model") for one in (draft, needs)) or doubtful(draft, "init"):
            return
        if _weights(draft.config["model"]) != _weights(needs.config["model"]):
            self.findings.add(
                f"stage {init['stage']!r} trains another model than what starts from it",
                why="weights come from the stage's checkpoint, so a second model would say nothing",
                hint="leave the model out of the stage: it takes the model of the cell that needs it",
                of=draft,
                path="init.stage",
            )

    def _stage(self, name: str, cell: Draft) -> Draft:
        setup = self.suite.stages[name]
        model = cell.config["model"]
        key = (name, canonical(model) if setup.model is None else "")
        if key not in self.made:
            config = stage_config(self.base, setup)
            if setup.model is None:
                config["model"] = model
            self.made[key] = self._draft(name, config, cell)
        return self.made[key]

    def _draft(self, name: str, config: Config, cell: Draft) -> Draft:
        setup = self.suite.stages[name]
        label = f"stage-{slug(name)}"
        draft = Draft(
            kind="stage",
            config=config,
            names=(label, f"{label}-{model_label(config['model'] or {})}"),
            origin=("stages", name),
            seed=setup.seed if "seed" in setup.model_fields_set else self.suite.base.seed,
            losses=self._losses(name, cell),
            perhaps=cell.perhaps,
        )
        config["checkpoint"] = "keep"
        self.checks.complete(draft)
        self.attach(draft)
        return draft

    def _losses(self, name: str, cell: Draft) -> Losses:
        """What the stage and the base lack, and the model of the cell that the stage takes it from."""
        if not cell.losses and not self.doubts:
            return frozenset()
        setup = self.suite.stages[name]
        own = losses_of(self.doubts, {}, ("stages", name), setup.model_fields_set - set(MERGED))
        inherited = cell.losses if setup.model is None else ()
        return own | {(scope, loss) for scope, loss in inherited if overlap(loss.path, "model")}


def _weights(model: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (model or {}).items() if key not in _NOT_THE_WEIGHTS}
