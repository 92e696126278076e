"""The cells of a suite: the combinations that run, the ones that do not and why, and the ones included by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import Location, Problem
from harness.plan.checks import Checks
from harness.plan.draft import Config, Draft
from harness.plan.matrix import Matrix
from harness.plan.naming import candidates
from harness.plan.selectors import Rule, rule_of
from harness.records.plan import Excluded
from harness.records.suite import Suite


@dataclass(slots=True)
class Cells:
    """What the matrix comes to. `running` are completed and checked; what is wrong with them lies in the findings."""

    running: list[Draft] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def cells_of(suite: Suite, base: Config, checks: Checks) -> Cells:
    """Combines, excludes, completes and checks. An excluded combination need not make sense, so it is not checked."""
    cells = Cells()
    matrix = Matrix.of(suite, base)
    rules = [rule_of(selector, checks.parts) for selector in suite.exclude]
    used: set[int] = set()
    for draft in matrix.combinations():
        trouble = checks.parts.fill(draft.config)
        matching = [number for number, rule in enumerate(rules) if rule.matches(draft, checks.training)]
        if matching:
            used.update(matching)
            cells.excluded.append(_excluded(draft, matching[0], rules))
            continue
        checks.note(draft, trouble)
        if not trouble:
            checks.settle(draft)
        cells.running.append(draft)
    for draft in matrix.included(checks.findings):
        checks.complete(draft)
        cells.running.append(draft)
    if not cells.running:
        checks.findings.add("every cell is excluded", hint="take an exclude rule out, or include a cell")
    cells.warnings = [_unused(suite, number, rules) for number in range(len(rules)) if number not in used]
    return cells


def _excluded(draft: Draft, number: int, rules: Sequence[Rule]) -> Excluded:
    reason = f"exclude rule {number + 1}: {rules[number].words}"
    return Excluded(name=candidates(draft)[0], levels=draft.levels, reason=reason)


def _unused(suite: Suite, number: int, rules: Sequence[Rule]) -> Problem:
    return Problem(
        what=f"exclude rule {number + 1} matches no cell: {rules[number].words}",
        where=Location(file=suite.file),
        hint="correct it, or take it out",
    )
