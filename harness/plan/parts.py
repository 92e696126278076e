"""The parts of a configuration but for `train`: checked, and with the harness's own defaults filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.plan.canonical import Canon, canonical
from harness.plan.draft import Config
from harness.records import suite as nouns
from harness.records.units import parse_duration, parse_limit

_MODELS: dict[str, type[BaseModel]] = {"shape": nouns.ShapeModel, "hub": nouns.HubModel, "path": nouns.PathModel}
_DATA: dict[str, type[BaseModel]] = {"source": nouns.SourceData, "hub": nouns.HubData, "path": nouns.PathData}

_RECORDS: dict[str, tuple[type[BaseModel], ...]] = {
    "model": tuple(_MODELS.values()),
    "data": tuple(_DATA.values()),
    "measure": (nouns.Measure,),
    "limits": (nouns.Limits,),
}

_NULLABLE = frozenset({"model", "data", "lora", "reference", "init", "environment", "method"})
_FILLED = (
    *("model", "data", "lora", "reference", "init", "environment"),
    *("measure", "limits", "checkpoint", "method"),
)

Filled = tuple[Any, str | None]
"""The completed part and, where it is wrong, what is wrong with it."""


def defaults_of(name: str, entry: str) -> list[Any]:
    """The harness's own defaults of `name.entry`, of every kind of model or data that has it."""
    fields = [kind.model_fields[entry] for kind in _RECORDS.get(name, ()) if entry in kind.model_fields]
    return [field.get_default(call_default_factory=True) for field in fields if not field.is_required()]


@dataclass(slots=True)
class Parts:
    """Completes parts of configurations; equal parts are worked out once."""

    stages: frozenset[str]
    environments: frozenset[str] | None = None
    """Names that may be chosen; None where they are not known."""
    known: dict[tuple[str, str], Filled] = field(default_factory=dict)
    canon: Canon = field(default_factory=Canon)

    def fill(self, config: Config) -> list[str]:
        """Completes `config` in place and returns what is wrong with it, one sentence each."""
        wrong = [] if isinstance(config["train"], dict) else ["train must be a mapping of fields"]
        for name in _FILLED:
            value, trouble = self.part(name, config[name])
            if trouble:
                wrong.append(trouble)
                config[name] = None if name == "environment" else config[name]
            else:
                config[name] = value
        return wrong

    def part(self, name: str, value: Any) -> Filled:
        """One part completed, by its field's name."""
        key = (name, self.canon(value))
        if key not in self.known:
            self.known[key] = self._work_out(name, value)
        return self.known[key]

    def _work_out(self, name: str, value: Any) -> Filled:
        if value is None and name in _NULLABLE:
            return None, None
        if name == "environment":
            return self._environment(value)
        if name == "method":
            return (value, None) if isinstance(value, str) else (None, f"method must be a name, not {canonical(value)}")
        if name == "reference":
            known = get_args(nouns.Reference)
            return (value, None) if value in known else (None, f"reference must be {' or '.join(known)}, or null")
        if name == "checkpoint":
            return (value, None) if value in ("keep", "drop") else (None, "checkpoint must be keep or drop")
        if not isinstance(value, Mapping):
            return None, f"{name} must be a mapping, not {canonical(value)}"
        return self._mapping(name, dict(value))

    def _mapping(self, name: str, value: dict[str, Any]) -> Filled:
        if name == "lora":
            return value, None
        if name == "model":
            return _one_of(name, value, _MODELS)
        if name == "data":
            return _one_of(name, value, _DATA)
        if name == "init":
            return self._init(value)
        if name == "measure":
            return _record(name, value, nouns.Measure)
        return _limits(value)

    def _environment(self, value: Any) -> Filled:
        if not isinstance(value, str):
            return None, f"environment must be a name or null, not {canonical(value)}"
        if self.environments is not None and value not in self.environments:
            named = ", ".join(sorted(self.environments)) or "none"
            return None, f"environment: there is none called {value!r} (environments of this suite: {named})"
        return value, None

    def _init(self, value: dict[str, Any]) -> Filled:
        filled, trouble = _record("init", value, nouns.Init)
        if not trouble and filled["stage"] not in self.stages:
            named = ", ".join(sorted(self.stages)) or "none"
            return None, f"init.stage: no stage {filled['stage']!r} (stages of this suite: {named})"
        return filled, trouble


def _one_of(name: str, value: dict[str, Any], kinds: Mapping[str, type[BaseModel]]) -> Filled:
    chosen = [kind for kind in kinds if kind in value]
    if len(chosen) != 1:
        has = " and ".join(chosen) or "none of them"
        return None, f"{name} must have exactly one of {', '.join(kinds)}; it has {has}"
    return _record(name, value, kinds[chosen[0]])


def _record(name: str, value: dict[str, Any], kind: type[BaseModel]) -> Filled:
    try:
        return kind.model_validate(value).model_dump(mode="json"), None
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([name, *(str(part) for part in first["loc"])])
        return None, f"{path}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _limits(value: dict[str, Any]) -> Filled:
    filled, trouble = _record("limits", value, nouns.Limits)
    if trouble:
        return None, trouble
    return filled, _unreadable("limits.timeout", filled["timeout"], parse_duration) or _unreadable(
        "limits.host_memory", filled["host_memory"], parse_limit
    )


def _unreadable(path: str, value: Any, parse: Callable[[Any], object]) -> str | None:
    try:
        if value is not None:
            parse(value)
    except ValueError as error:
        return f"{path}: {error}"
    return None
