"""The cells that can tell whether a suite's claims hold, and what to write where none can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.plan.checks import Checks
from harness.plan.draft import Draft, in_words
from harness.plan.selectors import in_words as chosen_in_words
from harness.plan.selectors import rule_of, shown
from harness.records.doubts import overlap
from harness.records.plan import PlannedClaim
from harness.records.suite import Axis, Claim, Selector, Suite

_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a suite beside its cells: those that run, and those that lack what is not installed here."""

    suite: Suite
    running: Sequence[Draft]
    lacking: Sequence[tuple[Draft, str]]
    checks: Checks

    def check(self) -> None:
        """Finds claims that no cells can tell of, here or elsewhere."""
        for number, claim in enumerate(self.suite.claims):
            wrong = [draft for draft in self.running if draft.wrong]
            if not wrong:  # a cell that is not whole may be one that a claim means
                self._check(number, claim)

    def planned(self) -> tuple[PlannedClaim, ...]:
        """Each claim with its pairs of cells; ids must have been given."""
        return tuple(self._planned(claim) for claim in self.suite.claims)

    def _check(self, number: int, claim: Claim) -> None:
        everywhere = [*self.running, *(draft for draft, _ in self.lacking)]
        for selector, key in ((claim.reference, "compare"), (claim.candidate, "compare"), (claim.where, "where")):
            if selector is not None and not self._matching(selector, everywhere):
                self._no_cell(number, key, selector, everywhere)
                return
        one, other = self._sides(claim, everywhere)
        if not one or not other:
            missing = claim.candidate if one else claim.reference
            assert missing is not None
            what = f"claim {number + 1}: no cell of its where is one with {chosen_in_words(missing)}"
            self.checks.findings.add(what, where=self.suite.where("claims", number, "where"))
            return
        pairs, _, several = self._pairs(claim, one, other)
        if several:
            cells = " and ".join(in_words(levels) for levels in several)
            what = f"claim {number + 1} compares several cells with one: {cells}"
            hint = "say in where which of them it means"
            self.checks.findings.add(what, hint=hint, where=self.suite.where("claims", number))
        elif not pairs:
            what = f"claim {number + 1}: no two cells differ in {claim.axis} alone"
            why = f"for example {in_words(one[0].levels)}, and {in_words(other[0].levels)}"
            self.checks.findings.add(what, why=why, where=self.suite.where("claims", number, "compare"))

    def _no_cell(self, number: int, key: str, selector: Selector, cells: Sequence[Draft]) -> None:
        names = [*selector.levels, *selector.fields]
        values = []
        for name in names:
            there = list(dict.fromkeys(shown(draft, name, self.checks.training) for draft in cells))
            more = f" or one of {len(there) - _MOST_SHOWN:,} more" if len(there) > _MOST_SHOWN else ""
            values.append(f"{name} is {' or '.join(there[:_MOST_SHOWN])}{more}")
        self.checks.findings.add(
            f"claim {number + 1} matches no cell: {chosen_in_words(selector)}",
            hint="; ".join(values),
            where=self.suite.where("claims", number, key),
        )

    def _planned(self, claim: Claim) -> PlannedClaim:
        one, other = self._sides(claim, self.running)
        pairs, alone, _ = self._pairs(claim, one, other)
        lacking = ""
        if not pairs:
            sides = self._sides(claim, [draft for draft, _ in self.lacking])
            reasons = {id(draft): reason for draft, reason in self.lacking}
            lacking = "; ".join(dict.fromkeys(reasons[id(draft)] for side in sides for draft in side))
        return PlannedClaim(
            claim=claim,
            pairs=tuple((before.id, after.id) for before, after in pairs),
            lacking=lacking,
            alone=tuple(draft.name for draft in alone),
        )

    def _sides(self, claim: Claim, cells: Sequence[Draft]) -> tuple[list[Draft], list[Draft]]:
        kept = self._matching(claim.where, cells) if claim.where else list(cells)
        other = self._matching(claim.candidate, kept) if claim.candidate else kept
        return (self._matching(claim.reference, kept) if claim.reference else other), other

    def _matching(self, selector: Selector, cells: Sequence[Draft]) -> list[Draft]:
        rule = rule_of(selector, self.checks.parts)
        return [draft for draft in cells if rule.matches(draft, self.checks.training)]

    def _pairs(
        self, claim: Claim, one: Sequence[Draft], other: Sequence[Draft]
    ) -> tuple[list[tuple[Draft, Draft]], list[Draft], list[dict[str, str]]]:
        """Cells alike but for what is compared; those without a counterpart; and two that are alike on one side."""
        if claim.axis is None:
            return [(draft, draft) for draft in other], [], []
        moved = self._moved(claim.axis)
        sides: list[dict[frozenset[tuple[str, str]], Draft]] = [{}, {}]
        for side, drafts in zip(sides, (one, other), strict=True):
            for draft in drafts:
                key = frozenset((axis, level) for axis, level in draft.levels.items() if axis not in moved)
                if key in side:
                    return [], [], [side[key].levels, draft.levels]
                side[key] = draft
        before, after = sides
        pairs = [(draft, after[key]) for key, draft in before.items() if key in after]
        alone = [draft for key, draft in (*before.items(), *after.items()) if (key in before) != (key in after)]
        return pairs, alone, []

    def _moved(self, compared: str) -> set[str]:
        """The axes whose levels make the difference that is compared: the axis itself, and those that set its field."""
        setting = [axis.name for axis in self.suite.matrix if _sets(axis, compared)]
        return {compared, *setting}


def _sets(axis: Axis, path: str) -> bool:
    return any(overlap(path, one) for level in axis.levels for one in level.sets)
