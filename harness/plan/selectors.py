"""Selectors of the suite: which configurations they choose, and how they read in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.plan.canonical import canonical
from harness.plan.doubtful import doubtful
from harness.plan.draft import Draft
from harness.plan.parts import Parts, defaults_of
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
            _is_one_of(values, draft.config, root, path, training) for root, path, values in self.fields
        )

    def may_match(self, draft: Draft, training: Training) -> bool:
        """Whether it holds of the cell, or would if values that are in doubt were others."""
        return all(doubtful(draft, name) for name in self.missing(draft, training))

    def is_certain(self, draft: Draft) -> bool:
        """Whether nothing that it looks at is in doubt."""
        return not any(doubtful(draft, ".".join((root, *path))) for root, path, _ in self.fields)

    def missing(self, draft: Draft, training: Training) -> list[str]:
        """The axes and field paths of the entries that do not hold of the cell."""
        levels = [axis for axis, names in self.levels if draft.levels.get(axis) not in names]
        fields = [
            ".".join((root, *path))
            for root, path, values in self.fields
            if not _is_one_of(values, draft.config, root, path, training)
        ]
        return levels + fields


def rule_of(selector: Selector, parts: Parts) -> Rule:
    """The selector, its values completed as those of configurations are.

    So `{shape: tiny}` finds `tiny` whatever its options' defaults, and null finds a field that is left to its default.
    """
    fields = []
    for path, values in selector.fields.items():
        root, _, rest = path.partition(".")
        whole = not rest and root in FIELDS and root != "train"
        keys = {canonical(_filled(root, value, parts) if whole else value) for value in values}
        if _NOTHING in keys and rest:
            keys |= {canonical(default) for default in defaults_of(root, rest)}
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


def _is_one_of(
    values: frozenset[str], config: Mapping[str, Any], root: str, path: tuple[str, ...], training: Training
) -> bool:
    """Whether the field has one of these values. Null finds what is not said; TRL's default counts as if it were."""
    value = _said(config, root, path)
    if value is not None:
        return canonical(value) in values
    if _NOTHING in values:
        return True
    default = training.default(config, path[0]) if root == "train" and len(path) == 1 else None
    return default is not None and canonical(default) in values


def shown(draft: Draft, name: str, training: Training) -> str:
    """A cell's level of an axis or its value of a field path, in words; TRL's default where nothing is said."""
    if name in draft.levels:
        return draft.levels[name]
    root, *path = name.split(".")
    value = _said(draft.config, root, tuple(path))
    if value is None and root == "train" and len(path) == 1:
        value = training.default(draft.config, path[0])
    return _word(value)


def _said(config: Mapping[str, Any], root: str, path: tuple[str, ...]) -> Any:
    value = config.get(root)
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
