"""Cells that come out equal: they would train the same thing twice under two names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.methods import METHODS
from harness.plan.canonical import canonical
from harness.plan.doubtful import doubtful
from harness.plan.draft import Config, Draft, in_words
from harness.plan.findings import Findings
from harness.plan.identity import joined
from harness.plan.places import place_of_level
from harness.plan.training import Training
from harness.records.doubts import Loss, overlap

_SHOWN = 3
_NOT_UNDERSTOOD = Loss("", vague=True)  # an entry that is like nothing known: not one of the fields they differ by


@dataclass(slots=True)
class Equals:
    """Looks for cells that do the same, TRL's own defaults considered: `packing: false` is the same as nothing."""

    training: Training
    findings: Findings
    first: dict[str, Draft] = field(default_factory=dict)
    pairs: list[tuple[Draft, Draft]] = field(default_factory=list)

    def add(self, draft: Draft, content: Mapping[str, str]) -> None:
        """Takes a cell with what its id was made of."""
        if doubtful(draft, "method"):
            key = self._whatever_its_method(draft, content)
        else:
            key = self._key(draft.config, content)
        other = self.first.setdefault(key, draft)
        if other is not draft and self._surely(other, draft):
            self.pairs.append((other, draft))

    def _key(self, config: Config, content: Mapping[str, str]) -> str:
        train, lora = self.training.beyond_defaults(config)
        return joined({**content, "train": canonical(train or None), "lora": canonical(lora)})

    def _whatever_its_method(self, draft: Draft, content: Mapping[str, str]) -> str:
        """What would have to be equal under every method, for a draft whose method is in doubt."""
        keys = []
        for method in METHODS:
            config = {**draft.config, "method": method}
            self.training.settle(config)
            keys.append(self._key(config, {**content, "method": canonical(method)}))
        return "\n".join(keys)

    def _surely(self, one: Draft, other: Draft) -> bool:
        """Whether two equal cells are equal however what is wrong with them is put right."""
        if not (_touched(one) or _touched(other)):
            return True
        if one.perhaps or other.perhaps or one.losses != other.losses or one.refused != other.refused:
            return False
        if one.needs is not other.needs and any(draft.needs and _touched(draft.needs) for draft in (one, other)):
            return False
        paths = {loss.path for _, loss in one.losses if loss != _NOT_UNDERSTOOD} | one.refused
        apart = self._set_apart(one, other)
        return not any(overlap(path, own) for path in paths for own in apart)

    def _set_apart(self, one: Draft, other: Draft) -> set[str]:
        """The field paths that the two cells' differing levels and overrides set."""
        suite = self.findings.suite
        differing = set(_differing(one, other))
        axes = {axis.name: axis for axis in suite.matrix}
        levels = [(draft.levels.get(name), axes[name]) for name in differing & set(axes) for draft in (one, other)]
        paths = {path for name, axis in levels for level in axis.levels if level.name == name for path in level.sets}
        return paths | (differing - set(axes))  # included cells list their overrides among their levels

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


def _touched(draft: Draft) -> bool:
    return bool(draft.losses or draft.perhaps or draft.refused or (draft.needs and _touched(draft.needs)))


def _named(draft: Draft) -> str:
    return f"{draft.names[0]} ({in_words(draft.levels)})"


def _differing(one: Draft, other: Draft) -> list[str]:
    return [axis for axis in {**one.levels, **other.levels} if one.levels.get(axis) != other.levels.get(axis)]


def _why(one: Draft, other: Draft) -> str:
    axes = _differing(one, other)
    if not axes:
        return "their levels and overrides are the same"
    differ = "differs" if len(axes) == 1 else "differ"
    return f"{' and '.join(axes)} {differ}, but not in what is trained: TRL's defaults count as if they were written"
