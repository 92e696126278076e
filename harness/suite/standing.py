"""What stands of a file when what is wrong is left out, so that the plan can look at the rest in the same round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.suite.document import Blamed, Lost, Node
from harness.suite.fields import MERGED, is_path
from harness.suite.guess import near

Path = tuple[str | int, ...]

_AS_A_WHOLE = ("baseline", "replicates", "score", "decide")  # of half of one nothing can be said


def leave_out(root: Node, blamed: Iterable[Blamed]) -> bool:
    """Takes what problems are about out of the tree, as little as makes sense; false where it is nowhere in it."""
    about = list(blamed)
    nodes = {id(one) for one in about if isinstance(one, Node)}
    places = {one for one in about if isinstance(one, tuple)}
    units = {
        unit_of(root, path)
        for path, holder, inner in _entries(root)
        if id(inner) in nodes or (isinstance(path[-1], str) and holder.keys[path[-1]] in places)
    }
    found = [(root.at(unit[:-1]), unit[-1]) for unit in units]
    gone = {id(holder.items[step]) for holder, step in found if isinstance(step, int)}
    for holder, step in found:
        _take_out(holder, step, gone)
    return bool(found)


def _entries(root: Node) -> Iterator[tuple[Path, Node, Node]]:
    """Every entry of every mapping and list: the path to it, what holds it, and itself. What is shared comes once."""
    seen: set[int] = set()
    waiting: list[tuple[Path, Node]] = [((), root)]
    while waiting:
        path, holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        steps: Iterable[tuple[str | int, Node]] = (
            holder.entries.items() if holder.is_mapping else enumerate(holder.items)
        )
        for step, inner in steps:
            yield (*path, step), holder, inner
            if not inner.is_scalar:
                waiting.append(((*path, step), inner))


def unit_of(root: Node, path: Path) -> Path:
    """The smallest part of a suite around a path that can be missing without the rest meaning something else.

    A level of a field axis is one value; an entry of an exclude rule without one of its values chooses other cells.
    """
    match path:
        case (str(section), *_) if section in _AS_A_WHOLE:
            return path[:1]
        case ("matrix", str(axis), _, *_) if is_path(axis):
            return path[:3]
        case ("exclude", int(), str(key), *rest):
            return path[:4] if rest and key in MERGED and root.at(path[:3]).is_mapping else path[:3]
    return path


def _take_out(holder: Node, step: str | int, gone: set[int]) -> None:
    if isinstance(step, str):
        was = holder.entries.pop(step, None)
        if was is not None:
            holder.lost += (Lost(step, was),)
        return
    items = holder.items
    holder.lost += tuple(Lost("", item) for item in items if id(item) in gone)
    holder.value = [item for item in items if id(item) not in gone]


def adopt_exclude(root: Node) -> bool:
    """Takes a misspelled `exclude`, or a rule in place of a list, for what is meant: which cells it may leave out.

    False where there is none.
    """
    for lost in root.lost:
        means_it = lost.key == "exclude" or "exclude" in near(lost.key, ("exclude", "include"))
        if means_it and lost.node is not None and not lost.node.is_scalar and "exclude" not in root.entries:
            root.keys["exclude"] = root.keys.get(lost.key, lost.node.place)
            root.entries["exclude"] = lost.node if lost.node.is_list else Node([lost.node], lost.node.place)
            return True
    return False


def lost_keys(node: Node | None) -> Sequence[str]:
    """The keys that have been left out of a mapping."""
    return [lost.key for lost in node.lost] if node is not None else []
