"""The combinations of a suite: every level of every axis with every other, and the cells it includes by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import Location, did_you_mean
from harness.plan.canonical import canonical
from harness.plan.doubtful import losses_of
from harness.plan.draft import Config, Draft, Losses
from harness.plan.findings import Findings
from harness.plan.naming import Token, level_tokens, slug, token
from harness.plan.resolve import FIELDS, Sets, apply, sets_of
from harness.records.doubts import NONE, Doubts, Loss
from harness.records.suite import Axis, Include, Step, Suite

_ENTRIES = {"model", "data", "train", "lora", "init", "measure", "limits"}


def check_size(suite: Suite, doubts: Doubts, limit: int, findings: Findings) -> bool:
    """Whether there are few enough combinations to make them all; else that is found."""
    sizes = {axis.name: len(axis.levels) + doubts.levels.get(axis.name, 0) for axis in suite.matrix}
    combinations = math.prod(sizes.values())
    if combinations + len(suite.include) <= limit:
        return True
    said = " × ".join(f"{size:,} {name}" for name, size in sizes.items())
    findings.add(
        f"the matrix comes to {combinations:,} cells; at most {limit:,} are planned",
        where=suite.where("matrix"),
        why=f"every level meets every other: {said}",
        hint="take levels out, move fields together in one axis of named levels, or split the question into suites",
    )
    return False


def check_fields(suite: Suite, findings: Findings) -> None:
    """Finds fields that there are not, which no combination could be made with, and seeds that are there twice."""
    for axis in suite.matrix:
        for path in dict.fromkeys(path for level in axis.levels for path in level.sets):
            _check_path(path, f"axis {axis.name!r}", findings, suite.where("matrix", axis.name))
    for number, include in enumerate(suite.include, start=1):
        for path in include.sets:
            _check_path(path, f"include {number}", findings, suite.where("include", number - 1, path))
    if len(set(suite.replicates.seeds)) < len(suite.replicates.seeds):
        hint = "one trial per seed and cell: list each seed once"
        findings.add("replicates.seeds names a seed twice", hint=hint, where=suite.where("replicates", "seeds"))


def check_axes(suite: Suite, findings: Findings) -> tuple[str, ...]:
    """Finds axes that set the same field, and returns these fields: what cells have there is not known."""
    owner: dict[str, str] = {}
    shared: list[str] = []
    for axis in suite.matrix:
        for path in dict.fromkeys(path for level in axis.levels for path in level.sets):
            if path in owner:
                shared.append(path)
                findings.add(
                    f"axes {owner[path]!r} and {axis.name!r} both set {path}",
                    hint="set it in one of them, or move both together in one axis of named levels",
                    where=suite.where("matrix", axis.name),
                )
            owner.setdefault(path, axis.name)
    return tuple(shared)


def _check_path(path: str, said: str, findings: Findings, where: Location) -> None:
    root, _, rest = path.partition(".")
    if root not in FIELDS or (rest and root not in _ENTRIES) or any(not part for part in path.split(".")):
        findings.add(f"{said} sets an unknown field {path!r}", hint=did_you_mean(root, FIELDS), where=where)


@dataclass(frozen=True, slots=True)
class _Choice:
    axis: str
    level: str
    sets: Sets
    token: Token


@dataclass(slots=True)
class Matrix:
    """Makes the drafts of a suite's cells, in the order of the file, the first axis slowest."""

    suite: Suite
    base: Config
    choices: dict[str, dict[str, _Choice]]
    says_method: frozenset[str]
    doubts: Doubts = NONE

    @classmethod
    def of(cls, suite: Suite, base: Config, doubts: Doubts = NONE) -> Matrix:
        """Makes levels ready to be combined many times."""
        tokens = level_tokens(suite)
        choices = {
            axis.name: {
                level.name: _Choice(axis.name, level.name, sets_of(level.sets), tokens[axis.name][level.name])
                for level in axis.levels
            }
            for axis in suite.matrix
        }
        about_method = frozenset(axis.name for axis in suite.matrix if _says_method(axis))
        return cls(suite, base, choices, about_method, doubts)

    def combinations(self) -> Iterator[Draft]:
        """One draft per combination of levels; the base alone where there is no axis."""
        for combination in itertools.product(*(levels.values() for levels in self.choices.values())):
            yield self._draft(combination)

    def some(self, most: int) -> Iterator[Draft]:
        """At most so many drafts: the first combination, then what differs from it in one axis, then in two."""
        axes = [list(levels.values()) for levels in self.choices.values()]
        return itertools.islice((self._draft(combination) for combination in _around_first(axes)), most)

    def included(self, findings: Findings) -> Iterator[Draft]:
        """One draft per included cell; unknown axes and levels are found, not raised."""
        for number, include in enumerate(self.suite.include, start=1):
            chosen = [self._choice(axis, level, number, findings) for axis, level in include.levels.items()]
            draft = self._include([choice for choice in chosen if choice is not None], include, number - 1)
            if None in chosen:
                draft.losses |= {(draft.origin, Loss(""))}
            yield draft

    def _choice(self, axis: str, level: str, number: int, findings: Findings) -> _Choice | None:
        if axis not in self.choices:
            hint = did_you_mean(axis, self.choices)
            where = self.suite.where("include", number - 1, axis)
            findings.add(f"include {number} names an unknown axis {axis!r}", hint=hint, where=where)
            return None
        if level not in self.choices[axis]:
            hint = did_you_mean(level, self.choices[axis])
            what = f"include {number} names an unknown level {level!r} of axis {axis!r}"
            findings.add(what, hint=hint, where=self.suite.where("include", number - 1, axis))
            return None
        return self.choices[axis][level]

    def _include(self, chosen: list[_Choice], include: Include, position: int) -> Draft:
        draft = self._draft(tuple(chosen), origin=("include", position), sets=include.sets)
        draft.config = apply(draft.config, [sets_of(include.sets)])
        draft.levels.update({path: _shown(value) for path, value in include.sets.items()})
        draft.tokens += tuple(token(path, value) for path, value in include.sets.items())
        draft.says_method = draft.says_method or "method" in include.sets
        if include.name:
            draft.names = (slug(include.name),)
        return draft

    def _draft(
        self, chosen: tuple[_Choice, ...], *, origin: tuple[Step, ...] = (), sets: Mapping[str, Any] | None = None
    ) -> Draft:
        levels = {choice.axis: choice.level for choice in chosen}
        return Draft(
            kind="cell",
            config=apply(self.base, [choice.sets for choice in chosen]),
            levels=levels,
            origin=origin,
            tokens=tuple(choice.token for choice in chosen),
            says_method=any(choice.axis in self.says_method for choice in chosen),
            losses=self._losses(chosen, levels, origin, sets or {}) if self.doubts.losses else frozenset(),
        )

    def _losses(
        self, chosen: tuple[_Choice, ...], levels: Mapping[str, str], origin: tuple[Step, ...], own: Mapping[str, Any]
    ) -> Losses:
        return losses_of(
            self.doubts, levels, origin, {*own, *(path for choice in chosen for path in choice.sets.paths)}
        )


def _around_first(axes: Sequence[Sequence[_Choice]]) -> Iterator[tuple[_Choice, ...]]:
    first = tuple(levels[0] for levels in axes)
    yield first
    for moved in (1, 2):
        for places in itertools.combinations(range(len(axes)), moved):
            for levels in itertools.product(*(axes[place][1:] for place in places)):
                changed = dict(zip(places, levels, strict=True))
                yield tuple(changed.get(place, choice) for place, choice in enumerate(first))


def _says_method(axis: Axis) -> bool:
    return any("method" in level.sets for level in axis.levels)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
