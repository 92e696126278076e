"""A suite becomes a plan."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import Problem
from harness.methods.catalog import Catalog
from harness.plan.baseline import check_baseline, ids_of_baseline
from harness.plan.cells import cells_of
from harness.plan.checks import Checks
from harness.plan.draft import Draft
from harness.plan.equal import Equals
from harness.plan.findings import Findings
from harness.plan.floors import floors_of
from harness.plan.identity import Identities, trial_id
from harness.plan.matrix import check_axes, check_size
from harness.plan.naming import candidates, give_names
from harness.plan.order import first_stages, in_order
from harness.plan.parts import Parts
from harness.plan.places import place_of
from harness.plan.resolve import base_config
from harness.plan.stages import Stages, check_stages
from harness.plan.training import Training
from harness.records.plan import Plan
from harness.records.suite import Suite


def expand(suite: Suite, catalog: Catalog | None = None, *, limit: int = 100_000) -> Plan:
    """Every trial the suite comes to, in running order, with what is excluded and why.

    `catalog` holds the fields of the installed TRL; without it `train` is only checked against what methods refuse,
    and cells that are equal by TRL's defaults are not noticed.

    Raises:
        InputError: everything that is wrong with the combinations, at once; more than `limit` of them; two cells
            that come out equal; stages in a circle; a model or a data source that cannot be used.
    """
    check_size(suite, limit)
    findings = Findings(suite)
    check_axes(suite, findings)
    check_stages(suite, findings)
    findings.raise_any()

    base = base_config(suite.base)
    training = Training(catalog)
    checks = Checks(suite, Parts(frozenset(suite.stages)), training, findings)
    cells = cells_of(suite, base, checks)
    check_baseline(suite, cells.running, checks)
    checks.report()
    findings.raise_any()

    stages = Stages(suite, base, checks, findings)
    for draft in cells.running:
        stages.attach(draft)
        draft.names = draft.names or candidates(draft)
    checks.report()
    findings.raise_any()

    identities = Identities(suite.file.parent, findings)
    equals = Equals(training, findings)
    for draft in cells.running:
        equals.add(draft, identities.give_id(draft))
    equals.report()
    floors = floors_of(suite, base, cells.running, checks.parts, identities)
    findings.raise_any()

    needed = first_stages(cells.running)
    give_names([*needed, *floors, *cells.running])
    kept = _keep_shared(suite, needed, cells.running)
    planned, trials = in_order(needed, floors, cells.running, suite.replicates.seeds)
    return Plan(
        suite=suite,
        cells=planned,
        trials=trials,
        excluded=tuple(cells.excluded),
        warnings=(*cells.warnings, *_said_otherwise(suite), *kept),
        baseline=ids_of_baseline(suite, cells.running, checks),
    )


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
