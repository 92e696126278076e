"""What every part of the reading needs: the collector of problems, and what names are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.errors import Problem, did_you_mean
from harness.methods.catalog import Catalog
from harness.suite.document import Node, Place, Problems


class Scoring(Protocol):
    """What a suite's scoring is checked by, which is not this room's to know: tasks, their metrics, and backends.

    Paths of tasks are relative to `root`. A problem without a place gets the one in the suite.
    """

    def wrong_tasks(self, names: Sequence[str], root: Path) -> list[tuple[str, Problem]]:
        """What is wrong with tasks, each with the name it is about."""

    def check_backend(self, name: str) -> Problem | None:
        """What is wrong with asking for a backend."""

    def task_metrics(self, name: str, root: Path) -> Mapping[str, tuple[str, ...] | None]:
        """What a name stands for (one task, or a group's and the groups themselves), each with its metrics.

        None where those are not known; nothing where something is wrong with the name.
        """


@dataclass(slots=True)
class Context:
    """The reading of one suite file.

    `methods` are those that cells of this suite may have, `all_methods` those of its stages too; `any_method` says that
    one of them is misspelled, so that they may be any. `stages` are the names of its stages, None where they cannot be
    made out. `environments` are the names of those it declares, and whether the harness runs in each; None where they
    cannot be made out. `scoring` checks tasks and backends; without it they are taken as they are. `metrics` are those
    of the tasks that the suite scores, by the task's own name (None: not known); `every_task` says that no further ones
    are scored; `scored` says whether it wants to score at all. `misspelled` are the sections that unknown keys at the
    top of the file may mean. `again`: what is wrong has been told and left out, so that what now seems wrong is only
    left out as well.
    """

    problems: Problems
    catalog: Catalog
    methods: tuple[str, ...] = ()
    all_methods: tuple[str, ...] = ()
    any_method: bool = False
    stages: tuple[str, ...] | None = ()
    environments: Mapping[str, bool] | None = field(default_factory=dict)
    scoring: Scoring | None = None
    scored: bool = False
    metrics: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    every_task: bool = False
    misspelled: frozenset[str] = frozenset()
    again: bool = False
    reported: set[int] = field(default_factory=set)

    def add(self, what: str, at: Node | Place | None, *, why: str | None = None, hint: str | None = None) -> None:
        """Notes a problem."""
        self.problems.add(what, at, why=why, hint=hint)

    def mapping(self, node: Node, label: str, *, example: str | None = None) -> bool:
        """Whether the node is a mapping; else that is a problem, told once."""
        return node.is_mapping or self._wrong(node, f"{label} must be a mapping", example)

    def listing(self, node: Node, label: str, *, example: str | None = None) -> bool:
        """Whether the node is a list; else that is a problem, told once."""
        return node.is_list or self._wrong(node, f"{label} must be a list", example)

    def unknown(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        at: Node | Place,
        *,
        hint: str | None = None,
        harmless: bool = False,
    ) -> None:
        """Notes that a name is none of the known ones, with the nearest of them; `harmless` where it is understood."""
        what = f"unknown {kind} {name!r}"
        self.problems.add(what, at, hint=hint or did_you_mean(name, known), blames=None if harmless else at)

    def _wrong(self, node: Node, said: str, example: str | None) -> bool:
        if id(node) not in self.reported:  # an alias may lead here twice
            self.reported.add(id(node))
            self.add(f"{said}, not {kind_of(node)}", node, hint=f"write {example}" if example else None)
        return False


def kind_of(node: Node) -> str:
    """What a node is, in words."""
    if node.is_mapping:
        return "a mapping"
    if node.is_list:
        return "a list"
    return "empty" if node.value is None else repr(node.raw)
