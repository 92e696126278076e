"""What of a baseline and of trials is compared: the same cells, by id, on the same machine, and no run with itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.compare.matching import same_measurement
from harness.compare.naming import named
from harness.errors import NoBaseline
from harness.records.baseline import Baseline
from harness.records.document_scores import DocumentProvider
from harness.records.gate import Absent
from harness.records.machine import machine_of, machines_of
from harness.records.results import SuiteResults, TrialResult

Key = tuple[str, str]
"""Kind and id of a cell: a stage that is a cell at the same time is one of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """What is compared: trials of the baseline's cells that are here too, both by cell; and what was left out of it."""

    baseline: Baseline
    results: SuiteResults
    before: Mapping[Key, Sequence[TrialResult]]
    now: Mapping[Key, Sequence[TrialResult]]
    missing: Sequence[Absent]
    extra: Sequence[str]
    findings: Sequence[str]
    documents: DocumentProvider | None = None  # of the trials to be checked

    @property
    def shared(self) -> list[Key]:
        """Cells of both, in the baseline's order."""
        return [key for key in self.before if key in self.now]


def sides_of(
    baseline: Baseline,
    kept: Sequence[TrialResult],
    results: SuiteResults,
    trials: Sequence[TrialResult],
    *,
    across: bool,
) -> Sides:
    """The baseline's chosen trials (`kept`) and the trials to be checked, those of one machine unless `across`.

    Trials that are the baseline's own runs are left out: beside themselves they show no change, whatever has changed.
    Of a trial whose latest attempt does not count, an earlier one's figures are not what is asked about either.

    Raises:
        NoBaseline: they ran on other machines, or there is no cell in common.
    """
    findings: list[str] = []
    old, new = list(kept), [_latest(trial) for trial in trials]
    if not across:
        old, new, told = _of_one_machine(baseline, old, results, new)
        findings += told
    disturbed = [trial.name for trial in trials if trial.stale and trial.last_outcome in (None, "ok")]
    if disturbed:
        way_on = results.again or "harness run with --retry disturbed"
        findings.append(
            f"Left out, since the latest attempt was disturbed (or runs now): {named(disturbed, 0)}; figures of an "
            f"earlier attempt would count. {way_on} measures again."
        )
    own = _own_runs(old, new)
    if own:
        new = [trial for trial in new if trial.trial_id not in own]
        names = [trial.name for trial in trials if trial.trial_id in own]
        findings.append(f"Left out, as the baseline's own runs: {named(names, 0)}; nothing of them was measured since.")
    before, now = _by_cell(old), _by_cell(new)
    if not before.keys() & {*now, *_by_cell(trials)}:
        raise _no_cell(baseline, trials)
    return Sides(
        baseline=baseline,
        results=results,
        before=before,
        now={key: found for key, found in now.items() if any(trial.outcome for trial in found)},
        missing=_missing(before, now, own),
        extra=tuple(found[0].cell_name for key, found in now.items() if key not in before),
        findings=findings,
    )


def _latest(trial: TrialResult) -> TrialResult:
    """A trial as its latest attempt left it: ended badly, or, where that ran well and does not count, not judged."""
    if not trial.stale:
        return trial
    if trial.last_outcome not in (None, "ok"):
        return replace(trial, outcome=trial.last_outcome, metrics={}, counted=trial.attempts, disturbed=())
    return replace(trial, disturbed=("its latest attempt does not count; the figures are an earlier one's",))


def _by_cell(trials: Iterable[TrialResult]) -> dict[Key, list[TrialResult]]:
    cells: dict[Key, list[TrialResult]] = {}
    for trial in trials:
        cells.setdefault((trial.kind, trial.cell_id), []).append(trial)
    return cells


def _of_one_machine(
    baseline: Baseline, old: list[TrialResult], results: SuiteResults, new: list[TrialResult]
) -> tuple[list[TrialResult], list[TrialResult], list[str]]:
    """The trials of machines that both ran on; those of which none is known stay."""
    there, here = machines_of(old, baseline.results), machines_of(new, results)
    both = {None, *there} & {None, *here}
    if there and here and both == {None}:
        raise NoBaseline.of(
            f"baseline {baseline.name!r} is of another machine",
            why=f"its trials ran on {' and '.join(there)}, these on {' and '.join(here)}",
            hint="save one of this machine, or compare what does not depend on it (scores, losses) with --across",
        )
    if not there or not here:
        unknown = "baseline's" if not there else "checked"
        told = [f"Of the {unknown} trials no machine is known: that both ran on one is taken for granted."]
        return old, new, told
    kept_old, gone_old = _parted(old, baseline.results, both)
    kept_new, gone_new = _parted(new, results, both)
    told = [
        f"Left out, as of another machine: {named(gone, 0)} of the {side}."
        for side, gone in (("baseline", gone_old), ("checked trials", gone_new))
        if gone
    ]
    return kept_old, kept_new, told


def _parted(
    trials: Sequence[TrialResult], results: SuiteResults, machines: Collection[str | None]
) -> tuple[list[TrialResult], list[str]]:
    """The trials of these machines, and names of the others."""
    of = [(trial, machine_of(trial, results) in machines) for trial in trials]
    return [trial for trial, held in of if held], [trial.name for trial, held in of if not held]


def _own_runs(old: Sequence[TrialResult], new: Sequence[TrialResult]) -> set[str]:
    """Ids of trials that count with the very attempt that the baseline holds: no two runs take the same times."""
    known = {trial.trial_id: trial for trial in old if any(name.endswith("_seconds") for name in trial.metrics)}
    return {
        trial.trial_id
        for trial in new
        if (one := known.get(trial.trial_id)) is not None and same_measurement(one, trial)
    }


def _no_cell(baseline: Baseline, trials: Sequence[TrialResult]) -> NoBaseline:
    why = "a cell is matched by all that decides its result: model, data, method, train, lora"
    if not trials:
        return NoBaseline.of("there is no trial to check", why="none was chosen that has run", hint="harness run SUITE")
    here = dict.fromkeys(trial.cell_name for trial in trials)
    there = dict.fromkeys(trial.cell_name for trial in baseline.results.trials)
    what = f"baseline {baseline.name!r} has no cell in common with these trials"
    if edited := [name for name in there if name in here]:
        why += f"; of {named(edited, 0)} the configuration is another now"
        return NoBaseline.of(what, why=why, hint="harness compare sets both side by side; else save one of this suite")
    why += f"; it has {named(list(there), 0)}, these are {named(list(here), 0)}"
    return NoBaseline.of(what, why=why, hint="save one of this suite")


def _missing(
    before: Mapping[Key, Sequence[TrialResult]],
    now: Mapping[Key, Sequence[TrialResult]],
    own: Collection[str],
) -> list[Absent]:
    """Cells of the baseline without a trial that has run."""
    by_name = {found[0].cell_name for key, found in now.items() if key not in before}
    absent = []
    for key, trials in before.items():
        name = trials[0].cell_name
        if any(trial.outcome for trial in now.get(key, ())):
            continue
        idle = any(trial.trial_id in own for trial in trials)
        if idle:
            why = "nothing was measured since the baseline was saved"
        elif key in now:
            why = "it has not run"
        else:
            why = "its configuration is another now" if name in by_name else "it is not there any more"
        absent.append(Absent(cell=name, why=why, idle=idle))
    return absent
