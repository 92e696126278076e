"""A trial made ready for a worker that knows nothing but its run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.methods.catalog import Catalog
from harness.methods.fields import owned
from harness.plan.estimates import estimate
from harness.plan.saving import FIELDS, save_every
from harness.plan.train_files import absolute
from harness.records.plan import Plan, Trial
from harness.records.spec import Spec
from harness.records.suite import Suite
from harness.records.units import parse_duration, parse_size


def spec_of(trial: Trial, plan: Plan, catalog: Catalog | None) -> Spec:
    """The trial's spec.json: paths absolute, limits in seconds and bytes, TRL's defaults beside what the suite says.

    `start` is the needed trial's checkpoint, relative to the run folder: `../<trial id>/checkpoint`. `catalog` may have
    those of the suite's environments beside it.
    """
    config, root = trial.cell.config, plan.suite.file.parent
    own = catalog.within(config.get("environment")) if catalog is not None else None
    limits, memory = config["limits"], config["limits"]["host_memory"]
    return Spec(
        suite=plan.suite.name,
        suite_file=str(plan.suite.file),
        question=plan.suite.question,
        trial_id=trial.id,
        cell_id=trial.cell.id,
        name=trial.name,
        cell_name=trial.cell.name,
        kind=trial.cell.kind,
        levels=dict(trial.cell.levels),
        seed=trial.seed,
        method=config["method"],
        model=_placed(config["model"], root),
        data=None if config["data"] is None else _placed(config["data"], root),
        train=absolute(config["train"], root),
        lora=config["lora"],
        start=None if trial.needs is None else f"../{trial.needs}/checkpoint",
        warmup_steps=config["measure"]["warmup_steps"],
        timeout_s=parse_duration(limits["timeout"]),
        host_memory=None if memory is None else parse_size(memory),
        retries=limits["retries"],
        checkpoint=_checkpoint(config["checkpoint"], plan),
        save_every=save_every(config, plan.suite.score, catalog),
        reference=config["reference"],
        device_hz=config["measure"]["device_hz"],
        diverged=limits["diverged"],
        max_loss=limits["max_loss"],
        max_grad_norm=limits["max_grad_norm"],
        expect=trial.expect,
        init=None if trial.needs is None else {"stage": config["init"]["stage"], "trial_id": trial.needs},
        environment=_environment(plan.suite, config.get("environment")),
        defaults=_defaults(config["method"], config["train"], own),
        predicted_memory=estimate(trial.cell, root, catalog).to_json() or None,
    )


def _environment(suite: Suite, name: str | None) -> dict[str, Any] | None:
    """What an attempt needs to find its environment, and a reader to know it; without passwords."""
    if name is None:
        return None
    from harness import environments  # most suites declare none

    declaration = environments.declare(name, suite.environments[name])
    return {"name": name, "spec_hash": declaration.spec_hash(), "declaration": declaration.shown()}


def _checkpoint(asked: str, plan: Plan) -> str:
    """`none` where it would be written only to be deleted: gigabytes for each trial of a large model.

    What other trials start from is kept, whatever the suite says, so it never asks for `drop`.
    """
    return "none" if asked == "drop" and plan.suite.score is None else asked


def _placed(part: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The model or data with its path, if it has one, absolute; links are kept, so that the file says what was said."""
    if "path" not in part:
        return dict(part)
    return {**part, "path": os.path.abspath(root / Path(part["path"]).expanduser())}  # noqa: PTH100 — no links resolved


def _defaults(method: str | None, train: Mapping[str, Any], catalog: Catalog | None) -> dict[str, Any]:
    """TRL's declared defaults of the fields that neither the suite nor the harness sets."""
    if catalog is None or method is None:
        return {}
    fields = catalog.methods[method]
    ours = {name for name in fields if name in FIELDS or owned(name) is not None}  # saving is in `save_every`
    return {name: known.default for name, known in fields.items() if name not in train and name not in ours}
