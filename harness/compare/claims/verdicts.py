"""A verdict on each claim of a suite.

A claim is confirmed where the whole 95% interval lies within what it says, refuted where all of it lies outside, else
inconclusive: the claim's own bounds are tested, so no margin comes in. Several pairs of cells count alike: their mean
is judged, and what single pairs speak against is not sure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.compare.claims.devices import device_of, fits, lacking, named, wanted
from harness.compare.claims.measured import TOO_FEW, Told, pooled, told_of
from harness.compare.comparison import runs_of
from harness.records import commands
from harness.records.claimed import claimed
from harness.records.claims import ClaimRuling, ClaimVerdict, Device
from harness.records.figures import title
from harness.records.metrics import metric
from harness.records.plan import Plan, PlannedClaim
from harness.records.request import Places
from harness.records.results import TrialResult
from harness.records.suite import Claim, Needs
from harness.records.verdict import Run

_USUAL = Places()


def claims_of(
    plan: Plan,
    trials: Sequence[TrialResult],
    environments: Mapping[str, Mapping[str, Any]],
    *,
    devices: Sequence[Device] | None = None,
    places: Places = _USUAL,
) -> tuple[ClaimVerdict, ...]:
    """A verdict on each claim of the plan, from its trials as `summary.measured` gives them.

    `environments` by hash. `devices` are the GPUs of this machine, for claims that have not run; None: not known.
    `places`, the usual ones without, are for the commands a reader may copy.
    """
    again = commands.again(str(plan.suite.file), str(places.results), str(places.reports))
    by_cell: dict[str, list[TrialResult]] = {}
    for trial in trials:
        by_cell.setdefault(trial.cell_id, []).append(trial)
    return tuple(
        _verdict(_Claimed(planned=one, by_cell=by_cell, environments=environments, again=again), devices)
        for one in plan.claims
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claimed:
    """A claim with the trials of its cells."""

    planned: PlannedClaim
    by_cell: Mapping[str, Sequence[TrialResult]]
    environments: Mapping[str, Mapping[str, Any]]
    again: str

    @property
    def claim(self) -> Claim:
        return self.planned.claim

    def trials(self) -> list[TrialResult]:
        cells = dict.fromkeys(cell for pair in self.planned.pairs for cell in pair)
        return [trial for cell in cells for trial in self.by_cell.get(cell, ())]

    def device(self, trial: TrialResult) -> Device | None:
        return device_of(trial, self.environments)

    def fit(self, trial: TrialResult) -> bool:
        return fits(self.claim.needs, self.device(trial))


def _verdict(asked: _Claimed, devices: Sequence[Device] | None) -> ClaimVerdict:
    claim = asked.claim
    fine = [trial for trial in asked.trials() if trial.outcome == "ok"]
    able = [trial for trial in fine if asked.fit(trial)]
    why = _untested(asked, fine, able, devices)
    if why:
        return ClaimVerdict(claim=claim, ruling="untested", claimed=claimed(claim), why=why)
    told, silent, gone = _pairs(asked)
    if len(able) < len(fine):
        gone.append(f"{len(fine) - len(able)} runs on other devices")
    if asked.planned.alone:
        gone.append(f"cells without a counterpart: {_few(asked.planned.alone)}")
    on = sorted({named(asked.device(trial)) for trial in able})
    more: dict[str, Any] = {"claim": claim, "claimed": claimed(claim), "on": tuple(on)}
    if not told:
        few = all(one.startswith(TOO_FEW) for one in silent)
        ruling: ClaimRuling = "inconclusive" if few else "untested"
        return ClaimVerdict(ruling=ruling, why="; ".join(dict.fromkeys(silent)), left_out=tuple(gone), **more)
    whole = pooled(told)
    ruling, why = _ruled(claim, whole, told)
    return ClaimVerdict(ruling=ruling, why=why, measured=whole.measured(len(told)), left_out=(*gone, *silent), **more)


def _untested(
    asked: _Claimed, fine: Sequence[TrialResult], able: Sequence[TrialResult], devices: Sequence[Device] | None
) -> str:
    """Why nothing was measured; empty where something was."""
    needs = asked.claim.needs
    if asked.planned.lacking:
        return asked.planned.lacking
    if able:
        return ""
    if fine:
        where = ", ".join(sorted({named(asked.device(trial)) for trial in fine}))
        return f"it needs {wanted(needs)}, and was run on {where}"
    return _not_run(asked.trials(), needs, devices)


def _not_run(trials: Sequence[TrialResult], needs: Needs, devices: Sequence[Device] | None) -> str:
    outcomes = Counter(trial.outcome for trial in trials if trial.outcome is not None)
    if outcomes:
        kinds = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        return f"none of its trials ended well ({kinds})"
    return lacking(needs, devices) or ("not run yet" if trials else "its cells are not among the chosen trials")


def _pairs(asked: _Claimed) -> tuple[list[Told], list[str], list[str]]:
    """What each pair of cells tells; why others tell nothing; and runs that were not counted."""
    claim, known = asked.claim, metric(asked.claim.metric)
    assert known is not None  # the suite was checked
    told: list[Told] = []
    silent: list[str] = []
    gone: list[str] = []
    for cells in asked.planned.pairs:
        sides = [[trial for trial in asked.by_cell.get(cell, ()) if asked.fit(trial)] for cell in cells]
        runs = [_counted(side, claim.metric) for side in sides]
        gone += [
            one for side in dict(zip(cells, sides, strict=True)).values() for one in _uncounted(side, claim.metric)
        ]
        absent = [side for side, counted in zip(sides, runs, strict=True) if not counted]
        if absent:
            silent.append(_absent(absent, claim.metric, asked.again))
            continue
        found = told_of(claim.kind, known, *runs)
        if isinstance(found, str):
            silent.append(found)
        else:
            told.append(found)
    return told, silent, list(dict.fromkeys(gone))


def _absent(sides: Sequence[Sequence[TrialResult]], name: str, again: str) -> str:
    names = " and ".join(dict.fromkeys(_name(side) for side in sides))
    if all(_uncounted(side, name) for side in sides):
        return f"no run of {names} counts; {again} measures them again"
    return f"no {title(name)} of {names}"


def _name(trials: Sequence[TrialResult]) -> str:
    return trials[0].cell_name if trials else "a cell that was not chosen"


def _counted(trials: Sequence[TrialResult], name: str) -> list[Run]:
    return [run for run in runs_of(trials, name) if math.isfinite(run.value) and not run.disturbed]


def _uncounted(trials: Sequence[TrialResult], name: str) -> list[str]:
    kinds = Counter(
        "disturbed" if run.disturbed else "not finite"
        for run in runs_of(trials, name)
        if run.disturbed or not math.isfinite(run.value)
    )
    return [f"{count} {kind} of {_name(trials)}" for kind, count in kinds.items()]


def _ruled(claim: Claim, whole: Told, told: Sequence[Told]) -> tuple[ClaimRuling, str]:
    ruling = _ruling(claim, whole)
    singles = Counter(_ruling(claim, one) for one in told)
    if ruling == "confirmed" and singles["refuted"]:
        return "inconclusive", f"so it is on average, yet {singles['refuted']} of {len(told)} pairs of cells refute it"
    if ruling == "refuted" and singles["confirmed"]:
        return "inconclusive", f"not so on average, yet {singles['confirmed']} of {len(told)} pairs of cells confirm it"
    return ruling, ""


def _ruling(claim: Claim, told: Told) -> ClaimRuling:
    measured = told.measured()
    low = -math.inf if claim.low is None else claim.low
    high = math.inf if claim.high is None else claim.high
    if low <= measured.low and measured.high <= high:
        return "confirmed"
    return "refuted" if measured.high < low or measured.low > high else "inconclusive"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
