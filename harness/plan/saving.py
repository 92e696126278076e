"""Which weights a training saves on the way, for scores of its intermediate checkpoints: `score.every`.

`train.save_strategy` and `train.save_steps` say it to TRL, and here where the suite asks for `every: checkpoint`; a
number in `every` says it for every training of the suite. What is saved changes nothing about the training, so none of
this is part of what a cell is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import Problem
from harness.methods.catalog import Catalog
from harness.plan.doubtful import doubtful
from harness.plan.draft import Draft
from harness.plan.findings import Findings
from harness.plan.places import place_of
from harness.records.suite import Score, Suite

FIELDS = ("save_strategy", "save_steps")
"""Fields of `train` that are about saving alone."""

SaveEvery = float | str | None
"""Optimizer steps, below 1 a share of all steps; "epoch"; None: nothing on the way."""

_TRL_STEPS = 500  # transformers.TrainingArguments.save_steps, where no catalogue says it


def deciding(train: Mapping[str, Any]) -> dict[str, Any]:
    """`train` without what is about saving alone."""
    return {name: value for name, value in train.items() if name not in FIELDS}


def save_every(config: Mapping[str, Any], wanted: Score | None, catalog: Catalog | None) -> SaveEvery:
    """When a training saves weights on the way: what `wanted` asks for, as the configuration says it."""
    if wanted is None or wanted.every == "end" or config["method"] is None:
        return None
    return wanted.every if isinstance(wanted.every, int) else _as_trl(config, catalog)


def _as_trl(config: Mapping[str, Any], catalog: Catalog | None) -> SaveEvery:
    """What the training's own fields say; a number of steps alone means the strategy `steps`."""
    train = config["train"]
    match train.get("save_strategy", "steps" if "save_steps" in train else "no"):
        case "epoch":
            return "epoch"
        case "steps":
            catalog = catalog.within(config.get("environment")) if catalog else None
            known = catalog.methods[config["method"]].get("save_steps") if catalog else None
            steps: float = train.get("save_steps", known.default if known else _TRL_STEPS)
            return steps
    return None


def check_saving(suite: Suite, drafts: Iterable[Draft], catalog: Catalog | None, findings: Findings) -> None:
    """Finds fields about saving that nothing asks for, and cells that save nothing of what is to be scored.

    Stages need not save on the way; they do where their `train` says so.
    """
    every = suite.score.every if suite.score else "end"
    for draft in drafts:
        if draft.wrong & {"method", "train"} or any(doubtful(draft, f"train.{name}") for name in FIELDS):
            continue
        if every == "checkpoint":
            _check_saved(suite, draft, catalog, findings)
        else:
            _check_unasked(draft, every, findings)


def _check_unasked(draft: Draft, every: str | int, findings: Findings) -> None:
    train = draft.config["train"]
    for name in [name for name in FIELDS if name in train and train[name] != "no"]:
        hint = f"set score: {{every: checkpoint}} to score those on the way too, or leave train.{name} out"
        why = "the harness saves the trained weights once, at the end"
        if every != "end":
            hint = f"keep one of them: score: {{every: checkpoint}} takes train.{name}"
            why = f"score.every: {every} says when weights are saved"
        findings.add(f"train.{name} saves nothing in this suite", why=why, hint=hint, of=draft, path=f"train.{name}")


def _check_saved(suite: Suite, draft: Draft, catalog: Catalog | None, findings: Findings) -> None:
    train = draft.config["train"]
    if train.get("save_strategy") == "best":
        why = "what is best is found by evaluating, and a curve has its points at chosen steps"
        hint = "set save_strategy: steps with save_steps, or save_strategy: epoch"
        what = "train.save_strategy: best saves nothing here"
        findings.add(what, why=why, hint=hint, of=draft, path="train.save_strategy")
    elif draft.kind == "cell" and _as_trl(draft.config, catalog) is None:
        said = "save_strategy" in train
        findings.add(
            "score.every: checkpoint, but this training saves none on the way",
            why="its train.save_strategy is no" if said else "it has neither train.save_steps nor train.save_strategy",
            hint="set train.save_steps: 50 (or save_strategy: epoch), or score: {every: 50} for every training",
            of=draft,
            where=place_of(suite, draft, "train.save_strategy") if said else suite.where("score", "every"),
        )


def saves_none(suite: Suite, drafts: Iterable[Draft], catalog: Catalog | None) -> list[Problem]:
    """Warnings of cells that end before they would save anything on the way: their curve is one point."""
    found: dict[str, list[Draft]] = {}
    for draft in drafts:
        every = save_every(draft.config, suite.score, catalog)
        steps = draft.config["train"].get("max_steps", -1)
        if isinstance(every, int | float) and every >= 1 and 0 < steps <= every:
            found.setdefault(f"{steps:,} steps, and would save every {every:g}", []).append(draft)
    return [
        Problem(
            what=f"{_cells(short)} {said}: only the weights of the end are scored",
            where=place_of(suite, short[0], "train.max_steps"),
            hint="save more often: train.save_steps, or a number in score.every",
        )
        for said, short in found.items()
    ]


def _cells(drafts: list[Draft]) -> str:
    if len(drafts) == 1:
        return f"{drafts[0].name} trains"
    return f"{len(drafts):,} cells (the first: {drafts[0].name}) train"
