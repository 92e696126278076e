"""Where the values of a suite's file stand, for problems that are only found once it has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import Location
from harness.records.suite import Step
from harness.suite.document import Node, Place, Problems


@dataclass(frozen=True, slots=True)
class Tree:
    """A file's values, to be asked for places by the steps that lead to them."""

    root: Node
    problems: Problems

    def __call__(self, steps: Sequence[Step]) -> Location:
        """The place of the deepest value on the way that is there; the file alone where none is."""
        node, place = self.root, None
        for step in steps:
            found = _inside(node, step) if isinstance(step, str) else _item(node, step)
            if found is None:
                break
            node, place, whole = found
            if not whole:
                break
        return self.problems.location(place)


_Found = tuple[Node, Place, bool]
"""What a step leads to, where it stands, and whether the step was gone to its end."""


def _item(node: Node, position: int) -> _Found | None:
    if position >= len(node.items):
        return None
    item = node.items[position]
    return item, item.place, True


def _inside(node: Node, path: str) -> _Found | None:
    """What a field path leads to, written with dots or nested, or in part each; the nearest of it that is there."""
    for key, rest in _splits(path):
        inner = node.entries.get(key)
        if inner is None:
            continue
        place = inner.place if inner.is_scalar else node.keys[key]
        if not rest:
            return inner, place, True
        return _inside(inner, rest) or (inner, place, False)
    return None


def _splits(path: str) -> list[tuple[str, str]]:
    """A path's possible first keys, the longest first, with what follows each."""
    parts = path.split(".")
    return [(".".join(parts[:n]), ".".join(parts[n:])) for n in range(len(parts), 0, -1)]
