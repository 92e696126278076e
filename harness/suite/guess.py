"""What an unknown key may mean, by its spelling and by what it holds: so that one mistake is told as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.errors import nearest
from harness.methods import METHODS
from harness.suite.document import Node
from harness.suite.fields import DATA, FIELDS, MODELS

_BY_KEY: Mapping[str, Iterable[str]] = {"model": MODELS, "data": DATA, "init": ("stage",)}


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names that a misspelled one may mean."""
    names = list(known)
    return [*(one for one in names if one.casefold() == name.casefold()), *nearest(name, names)]


def fields_meant(key: str, node: Node | None) -> list[str]:
    """The fields of a configuration that an unknown key of one may mean."""
    spelled = near(key, FIELDS)
    if spelled or node is None:
        return spelled
    if node.is_scalar:
        return ["method"] if node.raw in METHODS else []
    return [name for name, kinds in _BY_KEY.items() if set(kinds) & set(node.entries)]


def sections_meant(key: str, node: Node | None, known: Iterable[str]) -> list[str]:
    """The sections of a suite that an unknown key at its top may mean."""
    spelled = near(key, known)
    if spelled or node is None:
        return spelled
    if any(item.is_mapping for item in node.items):
        return ["include", "exclude"]
    if "tasks" in node.entries:
        return ["score"]
    if any("requirements" in inner.entries for inner in node.entries.values()):
        return ["environments"]
    return ["matrix", "stages"] if any(not inner.is_scalar for inner in node.entries.values()) else []
