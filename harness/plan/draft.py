"""A cell in the making: what `Cell` will be, before ids and names are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records.doubts import Loss, Scope
from harness.records.plan import Kind
from harness.records.suite import Step

Losses = frozenset[tuple[Scope, Loss]]
"""What was left out of the parts of the suite that a cell is made of."""

Config = dict[str, Any]
"""A resolved configuration by field: method, model, data, train, lora, reference, init, environment,
measure, limits, checkpoint."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """`tokens` are what its levels add to a name, `says_method` whether one of them is about the method.

    `names` are its possible names, from the shortest to the most explicit; `seed` is a stage's own.
    `losses`: see `Losses`. `perhaps`: a rule of which something was left out may exclude it. `wrong` are the fields
    that something is wrong with, `refused` the field paths that its method does not take.
    """

    kind: Kind
    config: Config
    levels: dict[str, str] = field(default_factory=dict)
    origin: tuple[Step, ...] = ()  # see `Cell.origin`
    tokens: tuple[tuple[str, str], ...] = ()
    says_method: bool = False
    names: tuple[str, ...] = ()
    needs: Draft | None = None
    seed: int = 0
    id: str = ""
    name: str = ""
    losses: Losses = frozenset()
    perhaps: bool = False
    wrong: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether it can be told from others: all its parts, and what it starts from, are known."""
        return not self.wrong and (self.needs is None or self.needs.is_whole)

    def in_words(self) -> str:
        """The draft for people, before it has a name."""
        if self.kind == "stage":
            return self.names[0]
        return in_words(self.levels)


def in_words(levels: Mapping[str, str]) -> str:
    """A combination of levels for people: `recipe: dpo, train.packing: true`."""
    return ", ".join(f"{axis}: {level}" for axis, level in levels.items()) or "the base itself"
