"""Problems found while expanding a suite: each kind once, with how many cells it concerns."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import InputError, Location, Problem
from harness.plan.draft import Draft
from harness.plan.places import place_of
from harness.records.suite import Suite


@dataclass(slots=True)
class _Finding:
    problem: Problem
    count: int = 0
    example: str | None = None


@dataclass(slots=True)
class Findings:
    """Collects problems. The same `what` said of many cells is one problem that counts them, at the first's place."""

    suite: Suite
    found: dict[str, _Finding] = field(default_factory=dict)

    def add(
        self,
        what: str,
        *,
        why: str | None = None,
        hint: str | None = None,
        of: Draft | None = None,
        path: str = "",
        where: Location | None = None,
    ) -> None:
        """Notes a problem of the suite, or of the draft `of`, whose value of a field path is what is wrong.

        `where` is its place, where that is known better than by draft and path.
        """
        finding = self.found.get(what)
        if finding is None:
            place = where or (place_of(self.suite, of, path) if of else Location(file=self.suite.file))
            finding = self.found[what] = _Finding(Problem(what=what, where=place, why=why, hint=hint))
        if of is not None:
            finding.count += 1
            finding.example = finding.example or of.in_words()

    def problems(self) -> tuple[Problem, ...]:
        """Every problem found, in the order of finding."""
        return tuple(_counted(finding) for finding in self.found.values())

    def raise_any(self) -> None:
        """Raises everything found so far at once.

        Raises:
            InputError: something was found.
        """
        if self.found:
            raise InputError(problems=self.problems())


def _counted(finding: _Finding) -> Problem:
    problem, what = finding.problem, finding.problem.what
    if finding.count > 1:
        what = f"{what} ({finding.count:,} cells, the first: {finding.example})"
    elif finding.count == 1:
        what = f"{what} ({finding.example})"
    return Problem(what=what, where=problem.where, why=problem.why, hint=problem.hint)
