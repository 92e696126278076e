"""The cells of a suite: the combinations that run, the ones that do not and why, and the ones included by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import Problem
from harness.methods.requirements import unmet
from harness.plan.checks import Checks
from harness.plan.draft import Config, Draft, in_words
from harness.plan.matrix import Matrix
from harness.plan.naming import candidates
from harness.plan.places import place_of
from harness.plan.selectors import Rule, rule_of
from harness.plan.surroundings import Surroundings
from harness.records.doubts import NONE, Doubts
from harness.records.metrics import OF_A_METHOD
from harness.records.plan import Excluded
from harness.records.suite import Suite


@dataclass(slots=True)
class Cells:
    """What the matrix comes to. `running` are completed and checked; what is wrong with them lies in the findings.

    `lacking` are those of the `excluded` that need what is not installed here, with the reason.
    """

    surroundings: Surroundings
    running: list[Draft] = field(default_factory=list)
    lacking: list[tuple[Draft, str]] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def add(self, draft: Draft) -> None:
        """A cell that is to run; one that needs what is not installed here is excluded and says so.

        One that something is wrong with is kept: that has been found, and will be told.
        """
        missing = [] if draft.wrong else unmet(draft.config, self.surroundings.has(draft.config["environment"]))
        if missing and draft.losses:
            draft.perhaps = True  # what asks for the package may be overridden
            self.running.append(draft)
        elif missing:
            reason = "; ".join(missing)
            name = (draft.names or candidates(draft))[0]
            self.excluded.append(Excluded(name=name, levels=draft.levels, reason=reason))
            self.lacking.append((draft, reason))
        else:
            self.running.append(draft)


def cells_of(suite: Suite, base: Config, checks: Checks, doubts: Doubts = NONE, *, most: int | None = None) -> Cells:
    """Combines, excludes, completes and checks. An excluded combination need not make sense, so it is not checked.

    `most`: of a matrix too large, so many combinations that differ in one or two axes.
    """
    cells = Cells(Surroundings(suite, checks.training))
    matrix = Matrix.of(suite, base, doubts)
    rules = [rule_of(selector, checks.parts) for selector in suite.exclude]
    used: set[int] = set()
    tolerant = bool(doubts)
    for draft in matrix.combinations() if most is None else matrix.some(most):
        trouble = checks.parts.fill(draft.config)
        matching = [number for number, rule in enumerate(rules) if rule.matches(draft, checks.training)]
        if tolerant:
            draft.perhaps = "exclude" in doubts.open or any(rule.may_match(draft, checks.training) for rule in rules)
            matching = [number for number in matching if number not in doubts.wide and rules[number].is_certain(draft)]
        if matching:
            used.update(matching)
            cells.excluded.append(_excluded(draft, matching[0], rules))
            continue
        checks.note(draft, trouble)
        checks.settle(draft)
        cells.add(draft)
    for draft in matrix.included(checks.findings):
        checks.complete(draft)
        cells.add(draft)
    if not cells.running and most is None and not doubts.open & {"matrix", "include"}:
        lacking = next((one.reason for one in cells.excluded if "not installed" in one.reason), None)
        hint = "install it" if lacking else "take an exclude rule out, or include a cell"
        checks.findings.add("every cell is excluded", why=lacking, hint=hint, where=suite.where("exclude"))
    cells.warnings = [_unused(suite, number, rules) for number in range(len(rules)) if number not in used]
    cells.warnings += [*_unmeasured(suite, cells.running), *_unevaluated(suite, cells.running)]
    cells.warnings += _unranked(suite, cells.running)
    return cells


def _excluded(draft: Draft, number: int, rules: Sequence[Rule]) -> Excluded:
    reason = f"exclude rule {number + 1}: {rules[number].words}"
    return Excluded(name=candidates(draft)[0], levels=draft.levels, reason=reason)


def _unused(suite: Suite, number: int, rules: Sequence[Rule]) -> Problem:
    return Problem(
        what=f"exclude rule {number + 1} matches no cell: {rules[number].words}",
        where=suite.where("exclude", number),
        hint="correct it, or take it out",
    )


def _unmeasured(suite: Suite, cells: Sequence[Draft]) -> list[Problem]:
    """Warns of cells whose every step is warm-up."""
    found = [draft for draft in cells if _is_all_warmup(draft)]
    if not found:
        return []
    first = found[0]
    which = _which(found, cells)
    warmup, steps = first.config["measure"]["warmup_steps"], first.config["train"]["max_steps"]
    what = f"nothing is left to measure: of {steps} train.max_steps, {warmup} are measure.warmup_steps{which}"
    return [
        Problem(
            what=what,
            where=place_of(suite, first, "train.max_steps"),
            why="throughput and step times are taken after warm-up, so such cells will have none",
            hint="train longer, or set measure: {warmup_steps: …} below it",
        )
    ]


def _is_all_warmup(draft: Draft) -> bool:
    train, measure = draft.config["train"], draft.config["measure"]
    steps = train.get("max_steps") if isinstance(train, dict) else None
    warmup = measure.get("warmup_steps") if isinstance(measure, dict) else None
    return isinstance(steps, int) and isinstance(warmup, int) and 0 < steps <= warmup


def _unevaluated(suite: Suite, cells: Sequence[Draft]) -> list[Problem]:
    """Warns of cells that ask for evaluations of no rows."""
    found = [draft for draft in cells if _has_nothing_to_evaluate(draft)]
    if not found:
        return []
    strategy = found[0].config["train"]["eval_strategy"]
    which = _which(found, cells)
    what = f"nothing is left to evaluate: train.eval_strategy is {strategy}, data.eval_fraction is 0{which}"
    return [
        Problem(
            what=what,
            where=place_of(suite, found[0], "train.eval_strategy"),
            why="the data keeps no rows for it, so such cells train without evaluation",
            hint="set data: {eval_fraction: 0.1} below it, or take train.eval_strategy out",
        )
    ]


def _has_nothing_to_evaluate(draft: Draft) -> bool:
    train, data = draft.config["train"], draft.config["data"]
    asks = isinstance(train, dict) and train.get("eval_strategy") in ("steps", "epoch")
    return asks and isinstance(data, dict) and not data.get("eval_fraction")


def _unranked(suite: Suite, cells: Sequence[Draft]) -> list[Problem]:
    """Warns of a decision by what is another quantity of each method."""
    methods = list(dict.fromkeys(str(draft.config.get("method")) for draft in cells))
    if suite.decide is None or len(methods) < 2:
        return []
    goals = {"maximise": suite.decide.maximise, "minimise": suite.decide.minimise}
    asked = [((way,), name) for way, name in goals.items()] + [(("keep", name), name) for name in suite.decide.keep]
    return [
        Problem(
            what=f"decide goes by {name}, which is another quantity of each of the methods {', '.join(methods)}",
            where=suite.where("decide", *path),
            why="the answer names no clear leader by it",
            hint="decide by a score or a cost, or have cells of one method alone",
        )
        for path, name in asked
        if name in OF_A_METHOD
    ]


def _which(found: Sequence[Draft], cells: Sequence[Draft]) -> str:
    """How many of the cells, and the first of them; nothing where there is but one cell."""
    if len(cells) == 1:
        return ""
    first = in_words(found[0].levels)
    return f" ({len(found):,} cells, the first: {first})" if len(found) > 1 else f" ({first})"
