"""Cells that come out equal: they would train the same thing twice under two names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.plan.canonical import canonical
from harness.plan.draft import Draft, in_words
from harness.plan.findings import Findings
from harness.plan.identity import joined
from harness.plan.places import place_of_level
from harness.plan.training import Training

_SHOWN = 3


@dataclass(slots=True)
class Equals:
    """Looks for cells that do the same, TRL's own defaults considered: `packing: false` is the same as nothing."""

    training: Training
    findings: Findings
    first: dict[str, Draft] = field(default_factory=dict)
    pairs: list[tuple[Draft, Draft]] = field(default_factory=list)

    def add(self, draft: Draft, content: Mapping[str, str]) -> None:
        """Takes a cell with what its id was made of."""
        train, lora = self.training.beyond_defaults(draft.config)
        beyond = {"train": canonical(train or None), "lora": canonical(lora)}
        other = self.first.setdefault(joined({**content, **beyond}), draft)
        if other is not draft:
            self.pairs.append((other, draft))

    def report(self) -> None:
        """Notes the first pairs, and how many there are."""
        for number, (one, other) in enumerate(self.pairs[:_SHOWN]):
            more = len(self.pairs) - _SHOWN if number == _SHOWN - 1 else 0
            self.findings.add(
                f"two cells come out equal: {_named(one)} and {_named(other)}"
                + (f" (and {more:,} more)" if more else ""),
                why=_why(one, other),
                hint="take one of them out of the matrix, exclude it, or let it differ",
                where=place_of_level(self.findings.suite, other, next(iter(_differing(one, other)), "")),
            )


def _named(draft: Draft) -> str:
    return f"{draft.names[0]} ({in_words(draft.levels)})"


def _differing(one: Draft, other: Draft) -> list[str]:
    return [axis for axis in {**one.levels, **other.levels} if one.levels.get(axis) != other.levels.get(axis)]


def _why(one: Draft, other: Draft) -> str:
    axes = _differing(one, other)
    if not axes:
        return "their levels and overrides are the same"
    return f"{' and '.join(axes)} differ, but not in what is trained: TRL's defaults count as if they were written"
