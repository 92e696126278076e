"""Selectors of the suite: which configurations they choose, and how they read in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.plan.canonical import canonical
from harness.plan.draft import Draft
from harness.plan.parts import Parts
from harness.plan.resolve import FIELDS
from harness.plan.training import Training
from harness.records.suite import Selector

_NOTHING = canonical(None)


@dataclass(frozen=True, slots=True)
class Rule:
    """A selector made ready to be asked of many cells."""

    levels: tuple[tuple[str, frozenset[str]], ...]
    fields: tuple[tuple[str, tuple[str, ...], frozenset[str]], ...]
    words: str

    def matches(self, draft: Draft, training: Training) -> bool:
        """Whether every entry of the selector holds of the cell."""
        return all(draft.levels.get(axis) in names for axis, names in self.levels) and all(
            _value(draft.config, root, path, training) in values for root, path, values in self.fields
        )


def rule_of(selector: Selector, parts: Parts) -> Rule:
    """The selector, its values completed as those of configurations are, so that `{shape: tiny}` finds `tiny`."""
    fields = []
    for path, values in selector.fields.items():
        root, _, rest = path.partition(".")
        whole = not rest and root in FIELDS and root != "train"
        keys = [canonical(_filled(root, value, parts) if whole else value) for value in values]
        fields.append((root, tuple(rest.split(".")) if rest else (), frozenset(keys)))
    levels = tuple((axis, frozenset(names)) for axis, names in selector.levels.items())
    return Rule(levels=levels, fields=tuple(fields), words=in_words(selector))


def in_words(selector: Selector) -> str:
    """`method is dpo or orpo, and train.packing is true`."""
    entries: list[tuple[str, Iterable[Any]]] = [*selector.levels.items(), *selector.fields.items()]
    return ", and ".join(f"{name} is {' or '.join(_word(value) for value in values)}" for name, values in entries)


def _filled(root: str, value: Any, parts: Parts) -> Any:
    filled, trouble = parts.part(root, value)
    return value if trouble else filled


def _word(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _value(config: Mapping[str, Any], root: str, path: tuple[str, ...], training: Training) -> str:
    value = config.get(root)
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None and root == "train" and len(path) == 1 and path[0] not in config["train"]:
        value = training.default(config["method"], path[0])
    return _NOTHING if value is None else canonical(value)
