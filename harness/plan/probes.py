"""The short trials that `fit` tries: a cell with another value of one field, on rows as long as they can get.

A probe is its cell in everything that costs memory. It starts from the model as it comes, since weights cost the same
whatever they say, trains a few steps, and is neither scored nor kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.data import filler
from harness.data import identity as data_identity
from harness.errors import InputError, Problem, did_you_mean
from harness.methods.catalog import Catalog
from harness.models import identity as model_identity
from harness.plan.canonical import canonical, digest
from harness.plan.draft import Config
from harness.plan.identity import trial_id
from harness.plan.training import Training
from harness.records.plan import Cell, Plan, Trial
from harness.records.run_folder import FIT

MOST = 65_536
"""The largest value that is tried where nobody says otherwise."""
LEAST = {"train.max_length": 64}
"""The smallest value that is tried where nobody says otherwise, if not 1: a prompt alone, in a chat's markers, fills
less, and TRL drops rows that are cut before their answer."""
_ALLOCATING = ("torch", "accelerate", "bitsandbytes", "liger-kernel", "flash-attn")
_ROOTS = ("train", "lora", "model.overrides")
_OWN = {"max_steps": "fit sets it itself: --steps", "num_train_epochs": "fit trains a few steps: --steps"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The field that varies, as a path: `train.…`, `lora.…` or `model.overrides.…`."""

    path: str

    @property
    def root(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """A cell whose limit is searched for; `alike` are names of cells that differ from it in nothing but the axis."""

    cell: Cell
    axis: Axis
    steps: int
    alike: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cell's name, without the part that a level of the axis itself gives it."""
        level = self.cell.levels.get(self.axis.path)
        if level is None:
            return self.cell.name
        own = f"(?:{re.escape(self.axis.name)})?{re.escape(level)}"
        return re.sub(rf"-{own}(?=-|$)", "", self.cell.name, count=1)

    def config(self, value: int) -> Config:
        """The cell's configuration with this value."""
        config: Config = dict(self.cell.config)
        _put(config, self.axis, value)
        config["train"] = {**config["train"], "max_steps": self.steps}
        config["init"] = None
        config["checkpoint"] = "drop"
        config["measure"] = {**config["measure"], "warmup_steps": self.steps // 3}
        loose = {"diverged": "report", "max_loss": None, "max_grad_norm": None, "retries": 0, "expect": "ok"}
        config["limits"] = {**config["limits"], **loose}
        return config


def axis_of(path: str) -> Axis:
    """The axis of a field path.

    Raises:
        InputError: no path of a field that costs memory, or one that fit sets itself.
    """
    axis = Axis(path=path)
    if axis.root not in _ROOTS or not axis.name:
        hint = "e.g. train.per_device_train_batch_size, train.max_length, lora.r or model.overrides.num_hidden_layers"
        what = f"--axis {path!r} is no field of train, lora or model.overrides"
        raise InputError.of(what, why="others cost no memory in training", hint=hint)
    if axis.root == "train" and axis.name in _OWN:
        raise InputError.of(f"--axis {path!r} cannot be searched", why=_OWN[axis.name])
    return axis


def probed(plan: Plan, axis: Axis, catalog: Catalog, *, steps: int, low: int) -> tuple[list[Probed], dict[str, str]]:
    """The cells of the plan's matrix that have this axis, equal ones once, and by name why others are left out.

    Raises:
        InputError: no cell has it, it takes no whole numbers, or it does not take `low`, the smallest to be tried.
    """
    found: dict[str, Probed] = {}
    left: dict[str, str] = {}
    problems: dict[Problem, str] = {}
    for cell in plan.cells:
        if cell.kind != "cell":
            continue
        problem = _refused(cell, axis, catalog, low)
        if problem is not None:
            left[cell.name] = problem.why or problem.what
            problems[problem] = cell.name
            continue
        key = _content(cell, axis, plan.suite.file.parent)
        known = found.get(key)
        found[key] = (
            replace(known, alike=(*known.alike, cell.name)) if known else Probed(cell=cell, axis=axis, steps=steps)
        )
    if not found:
        raise InputError(problems=list(problems) or [Problem(what="no cell is chosen")])
    return list(found.values()), left


def probe(of: Probed, value: int, plan: Plan, catalog: Catalog, rows: Path, *, machine: str) -> Plan:
    """A plan of one trial, in a suite of its own: the cell with this value. Writes the rows that it trains on.

    `machine` names what it runs on: what fits elsewhere, or fitted with other libraries, says nothing here.

    Raises:
        OSError: the rows cannot be written into the folder `rows`.
    """
    config, root = of.config(value), plan.suite.file.parent
    content = {"of": _content(of.cell, of.axis, root), "axis": of.axis.path, "value": value, "steps": of.steps}
    content |= {"rows": _lengthen(config, catalog, rows, root), "machine": machine}
    if config.get("environment") is not None:
        content["environment"] = plan.suite.environments[config["environment"]]
    else:
        content["libraries"] = {**catalog.versions, **_beneath()}
    cell = Cell(
        id=digest(canonical(content)),
        name=of.name,
        kind="cell",
        levels={**of.cell.levels, of.axis.path: str(value)},
        config=config,
    )
    trial = Trial(id=trial_id(cell.id, 0), name=f"{of.name}@{value}", cell=cell, seed=0)
    score = plan.suite.score and plan.suite.score.model_copy(update={"every": "end"})
    suite = plan.suite.model_copy(update={"name": f"{plan.suite.name}{FIT}", "score": score})
    return Plan(suite=suite, cells=(cell,), trials=(trial,))


def _beneath() -> dict[str, str]:
    """Versions of what allocates below TRL, of what is installed."""
    found = {}
    for package in _ALLOCATING:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def bounded(config: Mapping[str, Any], catalog: Catalog) -> int | None:
    """The length that rows are cut to; None where nothing bounds them, so that the cell's own rows must do."""
    length = _setting(config, catalog, "max_length")
    return 512 if length is None and config["method"] == "orpo" else length  # ORPOTrainer's own


def _lengthen(config: Config, catalog: Catalog, folder: Path, root: Path) -> Any:
    """Puts rows of full length in place of the cell's; what decides them, to be part of the probe's identity."""
    length = bounded(config, catalog)
    if length is None:
        return data_identity(config["data"], root)
    forwarded = int(_setting(config, catalog, "per_device_train_batch_size") or 8)
    batch = forwarded * int(_setting(config, catalog, "gradient_accumulation_steps") or 1)
    count = 2 * batch  # two of them
    held = float(config["data"].get("eval_fraction") or 0.0)
    if held:  # evaluation costs memory too: so many rows that a whole batch of them is kept for it
        evaluated = int(_setting(config, catalog, "per_device_eval_batch_size") or 8)
        count = math.ceil(max(count / (1 - held), 1.5 * evaluated / held))
    # A row alone is never padded: a short one only makes steps that hold less. The full one could come in the first
    # step alone, before there is an optimizer state.
    alone = config["method"] == "sft" and forwarded == 1 and not held
    full = alone or bool(_setting(config, catalog, "packing"))
    made = [filler.VERSION, length, count, *(["full"] if full else [])]
    file = folder / f"rows-{'-'.join(map(str, made))}.jsonl"
    filler.write(file, length, count, ragged=not full)
    kept = {name: config["data"].get(name) for name in ("format", "conversational", "eval_fraction")}
    if _setting(config, catalog, "assistant_only_loss"):  # TRL takes it for messages alone, which the rows must be then
        kept["conversational"] = True
    config["data"] = {"path": str(file.resolve()), "columns": {}, "rows": None, "seed": 0, **kept}
    return made


def _setting(config: Mapping[str, Any], catalog: Catalog, name: str) -> Any:
    known = catalog.within(config.get("environment")).methods[config["method"]].get(name)
    return config["train"].get(name, known.default if known else None)


def _put(config: Config, axis: Axis, value: int) -> None:
    if axis.root == "model.overrides":
        model = config["model"]
        config["model"] = {**model, "overrides": {**(model.get("overrides") or {}), axis.name: value}}
    else:
        config[axis.root] = {**(config[axis.root] or {}), axis.name: value}


def _content(cell: Cell, axis: Axis, root: Path) -> str:
    """What of a cell decides its memory, less the axis, as canonical JSON."""
    config = dict(cell.config)
    _put(config, axis, 0)
    content = {name: config.get(name) for name in ("method", "train", "lora", "reference", "model")}
    if config.get("environment") is not None:
        content["environment"] = config["environment"]
    shaped = model_identity(
        {**config["model"], "overrides": {}} if axis.root == "model.overrides" else config["model"], root
    )
    kept = ("format", "conversational", "eval_fraction")
    return canonical(
        {**content, "model": [content["model"], shaped], "data": [config["data"].get(name) for name in kept]}
    )


def _refused(cell: Cell, axis: Axis, catalog: Catalog, low: int) -> Problem | None:
    """Why the axis is none of this cell's; None where it is one."""
    method, whole, catalog = cell.config["method"], catalog, catalog.within(cell.config.get("environment"))
    if axis.root == "model.overrides":
        return _refused_override(cell, axis)
    if axis.root == "lora":
        if cell.config["lora"] is None:
            return Problem(what=f"{cell.name} has no lora", why="it trains all weights")
        field, problem = catalog.lora.get(axis.name), catalog.check_lora(axis.name, low)
    else:
        adapted = cell.config["lora"] is not None
        field, problem = catalog.methods[method].get(axis.name), catalog.check(method, axis.name, low, lora=adapted)
    if field is not None and "integer" not in field.types:
        types = " or ".join(field.types)
        return Problem(what=f"--axis {axis.path!r} takes no whole numbers", why=f"it is of type {types}")
    return problem or _refused_beside(cell, axis, whole, low)


def _refused_beside(cell: Cell, axis: Axis, catalog: Catalog, low: int) -> Problem | None:
    """Why the rest of the cell does not go with the axis."""
    config: Config = dict(cell.config)
    _put(config, axis, low)
    beside = (problem for _, problem in Training(catalog).problems(config))
    return next((replace(one, hint="leave such cells out, or search another axis") for one in beside), None)


def _refused_override(cell: Cell, axis: Axis) -> Problem | None:
    from harness.models.identity import shape_of

    model = cell.config["model"]
    if "shape" not in model:
        return Problem(what=f"{cell.name} has no shape to override", why="its model is not a shape")
    facts = {name: value for name, value in shape_of(model).config.items() if type(value) is int}
    if axis.name not in facts:
        return Problem(what=f"the shape has no whole number {axis.name!r}", hint=did_you_mean(axis.name, facts))
    return None
