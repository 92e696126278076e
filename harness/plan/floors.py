"""Floors: the models as they come, untrained, so that a score can be read against where it started."""

from __future__ import annotations

from collections.abc import Iterable

from harness.plan.draft import Config, Draft
from harness.plan.identity import Identities
from harness.plan.naming import model_label
from harness.plan.parts import Parts
from harness.records.suite import Suite


def floors_of(suite: Suite, base: Config, cells: Iterable[Draft], parts: Parts, identities: Identities) -> list[Draft]:
    """One floor for every distinct model among the cells, where the suite scores at all and wants its floor.

    Cells that start from a stage have the floor of their model, before any training. Nothing is trained in it, so it is
    made in the harness's own environment, whatever those of the cells are.
    """
    if suite.score is None or not suite.score.floor:
        return []
    models: dict[str, Config] = {}
    for cell in cells:
        models.setdefault(identities.model(cell), cell.config["model"])
    floors = [_floor(base, model, parts) for model in models.values()]
    for floor in floors:
        identities.give_id(floor)
    return floors


def _floor(base: Config, model: Config, parts: Parts) -> Draft:
    nothing: Config = dict.fromkeys(("method", "data", "lora", "init", "environment"))
    nothing["train"] = {}
    config = {**base, **nothing, "model": model}
    parts.fill(config)
    label = model_label(model)
    return Draft(kind="floor", config=config, names=("floor", f"floor-{label}", f"floor-{label}-{model['dtype']}"))
