"""Problems found while expanding a suite: each kind once, with how many cells it concerns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.errors import Location, Problem
from harness.plan.draft import Draft
from harness.plan.places import place_of
from harness.records.suite import Suite


@dataclass(slots=True)
class _Finding:
    """`cells` of those that run, and of those that perhaps do, with an example of each in words."""

    problem: Problem
    certain: bool = False
    cells: list[int] = field(default_factory=lambda: [0, 0])
    examples: list[str] = field(default_factory=lambda: ["", ""])


@dataclass(slots=True)
class Findings:
    """Collects problems. The same `what` said of many cells is one problem that counts them, at the first's place.

    What only concerns cells that perhaps do not run is not told, unless it concerns all of them and `only_perhaps`, the
    number of all cells, says that no cell is certain to run. `count` is false where not every cell was looked at.
    """

    suite: Suite
    only_perhaps: int = 0
    count: bool = True
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
        counted: bool = True,
    ) -> None:
        """Notes a problem of the suite, or of the draft `of`, whose value of a field path is what is wrong.

        `where` is its place, where that is known better than by draft and path. `counted`: cells are counted.
        """
        certain = of is None or not of.perhaps
        finding = self.found.get(what)
        if finding is None or (certain and not finding.certain):
            place = where or (place_of(self.suite, of, path) if of else Location(file=self.suite.file))
            problem = Problem(what=what, where=place, why=why, hint=hint)
            finding = self.found[what] = replace(finding, problem=problem) if finding else _Finding(problem)
        finding.certain = finding.certain or certain
        if of is None:
            return
        finding.cells[of.perhaps] += of.kind == "cell"
        if counted:
            finding.examples[of.perhaps] = finding.examples[of.perhaps] or of.in_words()

    def problems(self) -> tuple[Problem, ...]:
        """Every problem that is certain, in the order of finding."""
        return tuple(self._counted(finding) for finding in self.found.values() if self._is_certain(finding))

    def _is_certain(self, finding: _Finding) -> bool:
        return finding.certain or 0 < self.only_perhaps == finding.cells[True]

    def _counted(self, finding: _Finding) -> Problem:
        count, example = finding.cells[not finding.certain], finding.examples[not finding.certain]
        if not example:
            return finding.problem
        many = f"{count:,} cells, the first: " if count > 1 and self.count else ""
        return replace(finding.problem, what=f"{finding.problem.what} ({many}{example})")
