"""Access keys and passwords that somebody pasted into a suite, which every run folder and report would carry on."""

from __future__ import annotations

from collections.abc import Iterator

from harness.records.secrets import holds_a_key
from harness.suite.document import Node, Place, Problems

_MASKED = ("environments",)
"""Sections that keep passwords out of what they record themselves: addresses of package indexes may need one."""


def refuse_keys(problems: Problems, root: Node) -> None:
    """Notes every text, and every name of a field, that holds what looks like an access key or a password.

    None is repeated.
    """
    sections = [section for name, section in root.entries.items() if name not in _MASKED]
    for place in dict.fromkeys(place for section in sections for place in _pasted(section)):  # an alias repeats it
        problems.add(
            "this looks like an access key or a password",
            place,
            why="a suite is copied into every run folder and its report",
            hint="take it out and revoke it; put a token into the HF_TOKEN environment variable",
        )


def _pasted(node: Node) -> Iterator[Place]:
    if isinstance(node.value, str) and holds_a_key(node.value):
        yield node.place
    yield from (node.keys[key] for key in node.entries if holds_a_key(key))
    for inner in (*node.entries.values(), *node.items):
        yield from _pasted(inner)
