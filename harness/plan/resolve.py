"""The base's configuration, and what levels make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.plan.draft import Config
from harness.records.suite import Setup

FIELDS = (
    *("method", "model", "data", "train", "lora", "reference", "init", "environment"),
    *("measure", "limits", "checkpoint"),
)
MERGED = ("train", "measure", "limits")


@dataclass(frozen=True, slots=True)
class Sets:
    """Field paths and their values, whole fields apart from single entries of a field."""

    whole: Mapping[str, Any]
    entries: tuple[tuple[str, tuple[str, ...], Any], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The field paths that are set."""
        return (*self.whole, *(".".join((root, *path)) for root, path, _ in self.entries))


def sets_of(sets: Mapping[str, Any]) -> Sets:
    """Sorts field paths. A mapping for train, measure or limits sets its entries and leaves the others alone."""
    whole: dict[str, Any] = {}
    entries: list[tuple[str, tuple[str, ...], Any]] = []
    for path, value in sets.items():
        root, _, rest = path.partition(".")
        if rest:
            entries.append((root, tuple(rest.split(".")), value))
        elif root in MERGED and isinstance(value, dict):
            entries.extend((root, (key,), inner) for key, inner in value.items())
        else:
            whole[root] = value
    return Sets(whole, tuple(entries))


def base_config(setup: Setup) -> Config:
    """What a setup says, as plain JSON values; what it leaves out is left out."""
    said = setup.model_dump(mode="json", exclude_unset=True, exclude={"seed"})
    return {
        "method": setup.method,
        "model": said.get("model"),
        "data": said.get("data"),
        "train": dict(setup.train),
        "lora": None if setup.lora is None else dict(setup.lora),
        "reference": setup.reference,
        "init": said.get("init"),
        "environment": setup.environment,
        "measure": said.get("measure", {}),
        "limits": said.get("limits", {}),
        "checkpoint": setup.checkpoint,
    }


def stage_config(base: Config, stage: Setup) -> Config:
    """The base with a stage's own fields over it: train, measure and limits entry by entry, the others whole.

    `init` and `checkpoint` of the base are about cells: a stage starts from its model unless it says otherwise,
    and is kept, since others start from it.
    """
    own = base_config(stage)
    config = {**base, "init": None, "checkpoint": "keep"}
    for name in stage.model_fields_set - {"seed"}:
        config[name] = {**base[name], **own[name]} if name in MERGED else own[name]
    return config


def apply(base: Config, several: Iterable[Sets]) -> Config:
    """The base with every set applied; shares with the base whatever no set touches.

    Whole fields go before their entries and shallow entries before deep ones, so that the order of the axes does
    not matter. An entry set to null is taken out, except in `train`, where null can be a value of TRL's
    (see `harness.plan.training`).
    """
    config = dict(base)
    entries: list[tuple[str, tuple[str, ...], Any]] = []
    for sets in several:
        config.update(sets.whole)
        entries.extend(sets.entries)
    entries.sort(key=lambda entry: len(entry[1]))
    copied: set[str] = set()
    for root, path, value in entries:
        if value is None and config[root] is None:
            continue
        if root not in copied:
            copied.add(root)
            config[root] = dict(config[root]) if isinstance(config[root], dict) else {}
        _put(config[root], path, value, keep_null=root == "train")
    return config


def _put(mapping: dict[str, Any], path: tuple[str, ...], value: Any, *, keep_null: bool) -> None:
    for key in path[:-1]:
        inner = mapping.get(key)
        mapping[key] = dict(inner) if isinstance(inner, dict) else {}
        mapping = mapping[key]
    if value is None and not keep_null:
        mapping.pop(path[-1], None)
    else:
        mapping[path[-1]] = value
