"""A suite file as a tree of values that know where they stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import EllipsisType
from typing import Any, NamedTuple

from harness.errors import Location, Problem, SuiteError, in_order
from harness.suite.scalars import Scalar

Place = tuple[int, int]
"""Line and column, from 1."""


class Lost(NamedTuple):
    """What is wrong and was left out of a mapping or a list: its key (of a mapping) and what stood there."""

    key: str
    node: Node | None


class Node:
    """One value: a scalar, a list of nodes, or a mapping of text to nodes.

    `raw` is a scalar as written. `keys` says where each key of a mapping stands. `size` counts the values in it,
    those behind aliases every time they are used; `depth` how many lists and mappings lie in each other. `lost` is
    what has been left out of it.
    """

    __slots__ = ("depth", "keys", "lost", "place", "raw", "size", "value")

    def __init__(self, value: Scalar | list[Node] | dict[str, Node], place: Place, raw: str = "") -> None:
        self.value = value
        self.place = place
        self.raw = raw
        self.keys: dict[str, Place] = {}
        self.size = 1
        self.depth = 0
        self.lost: tuple[Lost, ...] = ()

    @property
    def entries(self) -> dict[str, Node]:
        """The mapping's entries; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The list's items; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def is_scalar(self) -> bool:
        return not isinstance(self.value, dict | list)

    def plain(self) -> Any:
        """The value as JSON-able Python objects."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, path: Iterable[str | int]) -> Node:
        """The node at a path of keys and positions, or the deepest one on the way that exists."""
        node = self
        for step in path:
            inner = _step(node, step)
            if inner is None:
                break
            node = inner
        return node


def _step(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(str(step))
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


Blamed = Node | Place | None
"""What a problem is about: a value, or the place of a key; None for nothing that could be left out."""


@dataclass(slots=True)
class Problems:
    """Collects everything that is wrong with one file, so that it can be told at once.

    `blamed` is what each of the `found` is about: without it, the rest of the file can still be looked at.
    """

    file: Path
    lines: list[str]
    found: list[Problem] = field(default_factory=list)
    blamed: list[Blamed] = field(default_factory=list)

    def add(
        self,
        what: str,
        at: Blamed,
        *,
        why: str | None = None,
        hint: str | None = None,
        blames: Blamed | EllipsisType = ...,
    ) -> None:
        """Notes a problem at a node or a place; None means the file as a whole. `blames`: something else than `at`."""
        self.found.append(Problem(what=what, where=self.location(at), why=why, hint=hint))
        self.blamed.append(at if blames is ... else blames)

    def place(self, problem: Problem, at: Node | Place) -> None:
        """Notes a problem somebody else found, at a node or a place unless it has one of its own."""
        where = problem.where or self.location(at)
        self.found.append(Problem(what=problem.what, where=where, why=problem.why, hint=problem.hint))
        self.blamed.append(at)

    def location(self, at: Blamed) -> Location:
        """The place in the file, with its line."""
        if at is None:
            return Location(file=self.file)
        line, column = at.place if isinstance(at, Node) else at
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else None
        return Location(file=self.file, line=line, column=column, text=text)

    def raise_any(self) -> None:
        """Raises what was found, in the order of the file.

        Raises:
            SuiteError: something was found.
        """
        if self.found:
            raise SuiteError(problems=in_order(self.found, self.file))
