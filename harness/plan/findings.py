"""Problems found while expanding a suite: each kind once, with how many cells it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import InputError, Location, Problem
from harness.records.suite import Suite


@dataclass(slots=True)
class _Finding:
    what: str
    why: str | None
    hint: str | None
    count: int = 0
    example: str | None = None


@dataclass(slots=True)
class Findings:
    """Collects problems. The same `what` said of many cells is one problem that counts them."""

    suite: Suite
    found: dict[str, _Finding] = field(default_factory=dict)

    def add(
        self,
        what: str,
        *,
        why: str | None = None,
        hint: str | None = None,
        of: str | None = None,
    ) -> None:
        """Notes a problem; `of` describes the cell it was found in, None where it is the suite's own."""
        finding = self.found.setdefault(what, _Finding(what, why, hint))
        if of is not None:
            finding.count += 1
            finding.example = finding.example or of

    def problems(self) -> tuple[Problem, ...]:
        """Every problem found, in the order of finding."""
        return tuple(self._problem(finding) for finding in self.found.values())

    def _problem(self, finding: _Finding) -> Problem:
        what = finding.what
        if finding.count > 1:
            what = f"{what} ({finding.count:,} cells, the first: {finding.example})"
        elif finding.count == 1:
            what = f"{what} ({finding.example})"
        return Problem(what=what, where=Location(file=self.suite.file), why=finding.why, hint=finding.hint)

    def raise_any(self) -> None:
        """Raises everything found so far at once.

        Raises:
            InputError: something was found.
        """
        if self.found:
            raise InputError(problems=self.problems())


def in_words(levels: Mapping[str, str]) -> str:
    """A combination of levels for people: `recipe: dpo, train.packing: true`."""
    return ", ".join(f"{axis}: {level}" for axis, level in levels.items()) or "the base itself"
