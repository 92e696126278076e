"""A suite becomes a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import InputError, Problem, in_order
from harness.methods.catalog import Catalog
from harness.plan.baseline import check_baseline, ids_of_baseline
from harness.plan.cells import cells_of
from harness.plan.checks import Checks
from harness.plan.claims import Claims
from harness.plan.doubtful import doubtful
from harness.plan.draft import Draft
from harness.plan.equal import Equals
from harness.plan.findings import Findings
from harness.plan.floors import floors_of
from harness.plan.identity import Identities, trial_id
from harness.plan.matrix import check_axes, check_fields, check_size
from harness.plan.naming import candidates, give_names
from harness.plan.order import cell_of, first_stages
from harness.plan.order import in_order as in_order_of_running
from harness.plan.parts import Parts
from harness.plan.places import place_of
from harness.plan.resolve import base_config
from harness.plan.saving import check_saving, saves_none
from harness.plan.stages import Stages, check_stages
from harness.plan.training import Training
from harness.records.doubts import NONE, Doubts, Loss
from harness.records.plan import Cell, Plan
from harness.records.suite import Suite

_OF_ROWS = ("path", "hub", "source", "columns", "format", "options")  # fields of `data` that decide what its rows are
_SOME = 2_000  # cells looked at of a matrix that is too large


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What expanding a suite came to: the plan, or else everything that is wrong.

    `cells` are those whose data may be looked into; without a method where it is in doubt, so that only what is wrong
    for every method counts.
    """

    plan: Plan | None
    problems: tuple[Problem, ...] = ()
    cells: tuple[Cell, ...] = ()


def expand(suite: Suite, catalog: Catalog | None = None, *, limit: int = 100_000) -> Plan:
    """Every trial the suite comes to, in running order, with what is excluded and why; for the arguments see `attempt`.

    Raises:
        InputError: everything that is wrong with the combinations, at once; more than `limit` of them; two cells
            that come out equal; stages in a circle; a model or a data source that cannot be used.
    """
    attempted = attempt(suite, catalog, limit=limit)
    if attempted.plan is None:
        raise InputError(problems=in_order(attempted.problems, suite.file))
    return attempted.plan


def attempt(suite: Suite, catalog: Catalog | None = None, doubts: Doubts = NONE, *, limit: int = 100_000) -> Attempt:
    """The plan of a suite, or all that is wrong with it that no other problem brings about.

    `catalog` holds the fields of the installed TRL; without it `train` is only checked against what methods refuse,
    and cells that are equal by TRL's defaults are not noticed. `doubts` is what was left out of the suite because it is
    wrong: with any, there is no plan, and what may only seem wrong is not told. Of more than `limit` cells some are
    looked at.
    """
    findings = Findings(suite)
    check_fields(suite, findings)
    check_stages(suite, findings)
    if findings.found:  # no cell can be made
        return Attempt(plan=None, problems=findings.problems())
    doubts = _in_doubt_too(doubts, check_axes(suite, findings))
    findings.count = check_size(suite, doubts, limit, findings)

    base = base_config(suite.base)
    training = Training(catalog)
    declared = None if doubts else frozenset(suite.environments)
    checks = Checks(suite, Parts(frozenset(suite.stages), declared), training, findings)
    cells = cells_of(suite, base, checks, doubts, most=None if findings.count else _SOME)
    drafts = cells.running if not doubts else sorted(cells.running, key=lambda draft: draft.perhaps)
    if findings.count:
        check_baseline(suite, drafts, checks, doubts)
    claims = Claims(suite, drafts, cells.lacking, checks)
    if findings.count and not doubts:
        claims.check()

    stages = Stages(suite, base, checks, findings, doubts)
    for draft in drafts:
        stages.attach(draft)
        draft.names = draft.names or candidates(draft)
    checks.report()
    if "score" not in doubts.unread:
        check_saving(suite, [*drafts, *stages.made.values()], catalog, findings)

    identities = Identities(suite.file.parent, findings)
    equals = Equals(training, findings)
    _identify(drafts, stages, identities, equals)
    if findings.count:
        equals.report()
    if findings.found or doubts:
        return _refused([*drafts, *stages.made.values()], identities, findings, _only_perhaps(drafts, doubts))

    floors = floors_of(suite, base, drafts, checks.parts, identities)
    needed = first_stages(drafts)
    give_names([*needed, *floors, *drafts])
    kept = _keep_shared(suite, needed, drafts)
    told = cells.surroundings.doubts([*needed, *drafts])
    planned, trials = in_order_of_running(needed, floors, drafts, suite.replicates.seeds)
    plan = Plan(
        suite=suite,
        cells=planned,
        trials=trials,
        excluded=tuple(cells.excluded),
        warnings=(*cells.warnings, *told, *_said_otherwise(suite), *kept, *saves_none(suite, drafts, catalog)),
        baseline=ids_of_baseline(suite, drafts, checks),
        claims=claims.planned(),
    )
    return Attempt(plan=plan, cells=planned)


def _refused(drafts: Sequence[Draft], identities: Identities, findings: Findings, only_perhaps: int) -> Attempt:
    """No plan, but all problems, and the cells as far as they can be looked into."""
    findings.only_perhaps = only_perhaps
    cells = _with_data(drafts, identities, only_perhaps > 0)
    return Attempt(plan=None, problems=findings.problems(), cells=cells)


def _in_doubt_too(doubts: Doubts, shared: Sequence[str]) -> Doubts:
    """Adds the fields that two axes set."""
    if not shared:
        return doubts
    losses = (*doubts.losses.get(("matrix",), ()), *(Loss(path) for path in shared))
    return replace(doubts, losses={**doubts.losses, ("matrix",): losses})


def _identify(drafts: Sequence[Draft], stages: Stages, identities: Identities, equals: Equals) -> None:
    """Gives ids, and compares cells by what these are made of; of a cell that is not whole, looks at what there is."""
    for draft in drafts:
        if draft.is_whole:
            equals.add(draft, identities.give_id(draft))
    for draft in [*drafts, *stages.made.values()]:
        if draft.is_whole:
            continue
        if "model" not in draft.wrong:
            identities.model(draft)
        if "data" not in draft.wrong:
            identities.data(draft)


def _only_perhaps(drafts: Sequence[Draft], doubts: Doubts) -> int:
    """How many cells there are where none is certain to run, but one of them must; else 0."""
    if doubts.open & {"matrix", "include"} or not all(draft.perhaps for draft in drafts):
        return 0
    return len(drafts)


def _with_data(drafts: Sequence[Draft], identities: Identities, only_perhaps: bool) -> tuple[Cell, ...]:
    """The cells whose data can be looked into, and surely will be used as they use it."""
    usable = [draft for draft in drafts if _has_data(draft, identities)]
    if only_perhaps and len({identities.data(draft) for draft in drafts if draft.kind == "cell"}) > 1:
        return ()
    if not only_perhaps:
        usable = [draft for draft in usable if not draft.perhaps]
    cells = [cell_of(draft) for draft in usable]
    return tuple(
        replace(cell, config={**cell.config, "method": None}) if doubtful(draft, "method") else cell
        for cell, draft in zip(cells, usable, strict=True)
    )


def _has_data(draft: Draft, identities: Identities) -> bool:
    if draft.wrong & {"data", "method"} or not identities.can_use("data", draft):
        return False
    return not any(doubtful(draft, f"data.{name}", loosely=True) for name in _OF_ROWS)


def _keep_shared(suite: Suite, stages: Sequence[Draft], cells: Sequence[Draft]) -> list[Problem]:
    """Keeps the checkpoint of a cell that is a stage at the same time; says so where it was to be dropped."""
    starts = {trial_id(stage.id, stage.seed) for stage in stages}
    kept = []
    for draft in cells:
        if draft.config["checkpoint"] == "drop" and any(
            trial_id(draft.id, s) in starts for s in suite.replicates.seeds
        ):
            draft.config["checkpoint"] = "keep"
            what = f"the checkpoint of {draft.name} is kept although the suite says drop: other cells start from it"
            kept.append(Problem(what=what, where=place_of(suite, draft, "checkpoint")))
    return kept


def _said_otherwise(suite: Suite) -> list[Problem]:
    """Stages are kept; warns of those that were to be dropped."""
    return [
        Problem(
            what=f"the checkpoint of stage {name!r} is kept although the suite says drop: cells start from it",
            where=suite.where("stages", name, "checkpoint"),
        )
        for name, stage in suite.stages.items()
        if stage.checkpoint == "drop"
    ]
