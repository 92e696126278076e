"""The combinations of a suite: every level of every axis with every other, and the cells it includes by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError, Location, Problem, did_you_mean
from harness.plan.canonical import canonical
from harness.plan.draft import Config, Draft
from harness.plan.findings import Findings
from harness.plan.naming import Token, level_tokens, slug, token
from harness.plan.resolve import FIELDS, Sets, apply, sets_of
from harness.records.suite import Axis, Include, Suite

_ENTRIES = {"model", "data", "train", "lora", "init", "measure", "limits"}


def check_size(suite: Suite, limit: int) -> None:
    """Refuses a suite with too many combinations, before any of them is made.

    Raises:
        InputError: more than `limit`.
    """
    combinations = math.prod(len(axis.levels) for axis in suite.matrix)
    if combinations + len(suite.include) <= limit:
        return
    sizes = " × ".join(f"{len(axis.levels):,} {axis.name}" for axis in suite.matrix)
    problem = Problem(
        what=f"the matrix comes to {combinations:,} cells; at most {limit:,} are planned",
        where=suite.where("matrix"),
        why=f"every level meets every other: {sizes}",
        hint="take levels out, move fields together in one axis of named levels, or split the question into suites",
    )
    raise InputError(problems=(problem,))


def check_axes(suite: Suite, findings: Findings) -> None:
    """Finds what no combination can mend: unknown fields, and two axes that set the same one."""
    owner: dict[str, str] = {}
    for axis in suite.matrix:
        for path in dict.fromkeys(path for level in axis.levels for path in level.sets):
            _check_path(path, f"axis {axis.name!r}", findings, suite.where("matrix", axis.name))
            if path in owner:
                findings.add(
                    f"axes {owner[path]!r} and {axis.name!r} both set {path}",
                    hint="set it in one of them, or move both together in one axis of named levels",
                    where=suite.where("matrix", axis.name),
                )
            owner.setdefault(path, axis.name)
    for number, include in enumerate(suite.include, start=1):
        for path in include.sets:
            _check_path(path, f"include {number}", findings, suite.where("include", number - 1, path))
    if len(set(suite.replicates.seeds)) < len(suite.replicates.seeds):
        hint = "one trial per seed and cell: list each seed once"
        findings.add("replicates.seeds names a seed twice", hint=hint, where=suite.where("replicates", "seeds"))


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

    @classmethod
    def of(cls, suite: Suite, base: Config) -> Matrix:
        """Makes levels ready to be combined many times."""
        tokens = level_tokens(suite)
        choices = {
            axis.name: {
                level.name: _Choice(axis.name, level.name, sets_of(level.sets), tokens[axis.name][level.name])
                for level in axis.levels
            }
            for axis in suite.matrix
        }
        return cls(suite, base, choices, frozenset(axis.name for axis in suite.matrix if _says_method(axis)))

    def combinations(self) -> Iterator[Draft]:
        """One draft per combination of levels; the base alone where there is no axis."""
        for combination in itertools.product(*(levels.values() for levels in self.choices.values())):
            yield self._draft(combination)

    def included(self, findings: Findings) -> Iterator[Draft]:
        """One draft per included cell; unknown axes and levels are found, not raised."""
        for number, include in enumerate(self.suite.include, start=1):
            chosen = [self._choice(axis, level, number, findings) for axis, level in include.levels.items()]
            draft = self._include([choice for choice in chosen if choice is not None], include)
            draft.origin = ("include", number - 1)
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

    def _include(self, chosen: list[_Choice], include: Include) -> Draft:
        draft = self._draft(tuple(chosen))
        draft.config = apply(draft.config, [sets_of(include.sets)])
        draft.levels.update({path: _shown(value) for path, value in include.sets.items()})
        draft.tokens += tuple(token(path, value) for path, value in include.sets.items())
        draft.says_method = draft.says_method or "method" in include.sets
        if include.name:
            draft.names = (slug(include.name),)
        return draft

    def _draft(self, chosen: tuple[_Choice, ...]) -> Draft:
        return Draft(
            kind="cell",
            config=apply(self.base, [choice.sets for choice in chosen]),
            levels={choice.axis: choice.level for choice in chosen},
            tokens=tuple(choice.token for choice in chosen),
            says_method=any(choice.axis in self.says_method for choice in chosen),
        )


def _says_method(axis: Axis) -> bool:
    return any("method" in level.sets for level in axis.levels)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
