"""What a reader must know before believing the table: each finding one sentence, the gravest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from harness.compare.baseline import baseline_of
from harness.compare.columns import methods
from harness.compare.invented import made_up, made_up_devices
from harness.compare.libraries import HOST, owners
from harness.compare.naming import MOST_NAMES, named
from harness.compare.overlaps import overlap_findings
from harness.compare.precision import not_reached
from harness.compare.scoring import doubts
from harness.records import figures
from harness.records.plan import Plan
from harness.records.results import CellFinding, CellSummary, Decision, SuiteResults, TrialResult

_MOST_NOTES = 10
_DECIDING = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")


def findings_of(
    plan: Plan,
    results: SuiteResults,
    trials: Sequence[TrialResult],
    cells: Sequence[CellSummary],
    columns: Sequence[str],
    decision: Decision | None,
    health: Sequence[CellFinding],
    unlike: Sequence[str] = (),
) -> tuple[str, ...]:
    """Every finding; none where there is nothing to tell. `unlike`: what is said of scores not made alike."""
    return (
        *made_up(results, trials),
        *made_up_devices(trials),
        *doubts(trials, results.scores),
        *unlike,
        *_failed(trials),
        *_impossible(cells),
        *overlap_findings(trials, results.overlaps),
        *_diverged(cells),
        *_disturbed(trials),
        *_libraries(trials),
        *_out_of_bounds(decision),
        *_no_better_than_stages(plan, cells, decision),
        *_health(health),
        *_environments(results, trials),
        *_backends(results, unlike),
        *_baseline(plan, cells),
        *_few_seeds(cells),
        *not_reached(plan, trials),
        *_scores(plan, trials),
        *_methods(cells, columns),
        *_ended_badly(trials),
        *_attempts(trials),
        *_unpinned(cells),
        *_others(plan, results),
        *_notes(trials),
    )


def _failed(trials: Sequence[TrialResult]) -> Iterable[str]:
    for outcome in dict.fromkeys(trial.expect for trial in trials if trial.expect != "ok"):
        meant = [trial for trial in trials if trial.expect == outcome]
        met = [trial.name for trial in meant if trial.outcome == outcome]
        unmet = [trial.name for trial in meant if trial.outcome == "ok"]
        if met:
            yield f"Ended {outcome}, as the suite expects: {named(met, 0)}."
        if unmet:
            yield f"Ended ok, where the suite expects {outcome}: {named(unmet, 0)}."
    outcomes = Counter(trial.outcome for trial in trials if trial.failed and trial.outcome != "ok")
    if outcomes:
        kinds = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        failed = f"{sum(outcomes.values())} of {len(trials)} trials"
        yield f"{failed} did not end well ({kinds}); their figures are left out."
    missing = [trial.name for trial in trials if trial.outcome is None]
    if missing:
        yield f"Not finished yet: {named(missing, len(trials))}."


def _impossible(cells: Sequence[CellSummary]) -> Iterable[str]:
    """A device does no more than its peak: such a share is a wrong peak or a wrong count, and no record."""
    for name, what in (("mfu", "MFU"), ("hfu", "HFU")):
        above = [f"{cell.name} ({cell.metrics[name].high:.2f})" for cell in cells if _above_one(cell, name)]
        if above:
            yield (
                f"Impossible: {what} above 1 in {named(above, len(cells), 'cells')}: the peak that it is measured by, "
                "or the count of FLOPs, is wrong for this device, and so is every figure made from it."
            )


def _above_one(cell: CellSummary, name: str) -> bool:
    return name in cell.metrics and cell.metrics[name].high > 1


def _diverged(cells: Sequence[CellSummary]) -> Iterable[str]:
    """Trials that went on to their end are in the tables as if nothing had happened."""
    went_wrong = [
        f"{figures.called(cell.kind, cell.name)} ({len(cell.diverged)} of {cell.outcomes['ok']})"
        for cell in cells
        if cell.diverged
    ]
    if went_wrong:
        yield (
            f"Diverged, and trained to the end as limits.diverged asks: {named(went_wrong, 0, 'cells')}; "
            "their speed and memory are in the tables, of trainings that went wrong."
        )


def _disturbed(trials: Sequence[TrialResult]) -> Iterable[str]:
    names = [trial.name for trial in trials if trial.outcome == "ok" and trial.disturbed]
    if names:
        yield (
            f"Disturbed: figures of {named(names, len(trials))} are in the tables, marked †, and not to be trusted; "
            "the command under Disturbed measures them again."
        )


def _libraries(trials: Sequence[TrialResult]) -> Iterable[str]:
    names = [trial.name for trial in owners(HOST, trials)]
    if names:
        yield (
            f"Peak host memory of {named(names, len(trials))} holds the training libraries too, since it was trained "
            "alone (command.sh); that of others does not. harness run with --force measures it again."
        )


def _no_better_than_stages(plan: Plan, cells: Sequence[CellSummary], decision: Decision | None) -> Iterable[str]:
    """Said where all that was trained on top of a stage lost, or gained nothing, on the score that decides."""
    if decision is None or not decision.metric.startswith("score."):
        return
    name, sign = decision.metric, 1 if decision.better == "higher" else -1
    starts = {cell.id: cell.needs for cell in plan.cells if cell.kind == "cell" and cell.needs}
    stages = {cell.cell_id: cell for cell in cells if cell.kind == "stage" and name in cell.metrics}
    after = [
        (cell, stage)
        for cell in cells
        if cell.kind == "cell" and name in cell.metrics and (stage := stages.get(starts.get(cell.cell_id) or ""))
    ]
    if after and not any(
        _beats(cell.metrics[name].mean, stage.metrics[name].mean, name, sign) for cell, stage in after
    ):
        best, stage = max(after, key=lambda pair: sign * (pair[0].metrics[name].mean - pair[1].metrics[name].mean))
        reached, had = (figures.said(name, one.metrics[name].mean) for one in (best, stage))
        yield (
            f"No cell beats the stage it starts from on {figures.title(name)}: "
            f"{best.name} comes nearest with {reached}, {figures.called(stage.kind, stage.name)} has {had}."
        )


def _beats(mean: float, other: float, name: str, sign: int) -> bool:
    return sign * (mean - other) > 0 and not figures.alike(name, mean, other)


def _health(health: Sequence[CellFinding]) -> Iterable[str]:
    warned = list(dict.fromkeys(figures.called(one.kind, one.cell) for one in health if one.level == "warning"))
    if warned:
        yield f"The health of trainings gives reason to look at {named(warned, 0, 'cells')}: see Health."


def _out_of_bounds(decision: Decision | None) -> Iterable[str]:
    if decision is not None:
        for name, why in decision.out_of_bounds.items():
            yield f"Out of bounds: {name}: {why}."


def _environments(results: SuiteResults, trials: Sequence[TrialResult]) -> Iterable[str]:
    """Environments that the suite asks for, and what else differs between them; then those that it does not ask for."""
    fine = [trial for trial in trials if trial.outcome == "ok" and trial.environment]
    asked: dict[str | None, list[TrialResult]] = {}
    for trial in fine:
        asked.setdefault(environment_named(trial), []).append(trial)
    if len(asked) > 1:
        yield _compared(asked, results)
    for name, those in asked.items():
        yield from _mixed(results, those, f" of {_called(name)}" if len(asked) > 1 else "")


def environment_named(trial: TrialResult) -> str | None:
    """The suite's environment that a trial belongs in; None for the harness's own."""
    told = trial.config.get("environment")
    return str(told["name"]) if isinstance(told, Mapping) and "name" in told else None


def _called(name: str | None) -> str:
    return "the harness's own environment" if name is None else f"environment {name!r}"


def _compared(asked: Mapping[str | None, Sequence[TrialResult]], results: SuiteResults) -> str:
    first = [results.environments.get(trials[0].environment or "", {}) for trials in asked.values()]
    names = ", ".join(name or "the harness's own" for name in asked)
    differ = _differences(first)
    return f"Environments are compared: {names}" + (f"; they differ in {differ}." if differ else ".")


def _mixed(results: SuiteResults, trials: Sequence[TrialResult], within: str) -> Iterable[str]:
    used = Counter(trial.environment for trial in trials)
    if len(used) > 1:
        differ = _differences([results.environments.get(key, {}) for key in used if key])
        many = f"{len(used)} {'builds' if within else 'environments'}{within}"
        yield (
            f"Results of {many} are mixed ({', '.join(str(n) for n in used.values())} trials)"
            + (f"; they differ in {differ}." if differ else ".")
        )
    unlike = _unlike_settings(trials)
    if unlike:
        yield f"Trials{within} ran with unlike threads or variables: {unlike}."


def _unlike_settings(trials: Sequence[TrialResult]) -> str:
    """Threads and variables that differ between trials, which no environment's hash tells, with their values."""
    told = [_settings(trial.surroundings) for trial in trials if trial.surroundings]
    values = {name: sorted({str(one.get(name, "none")) for one in told}) for name in sorted({*chain(*told)})}
    differ = [f"{name} ({', '.join(found)})" for name, found in values.items() if len(found) > 1]
    return ", ".join(differ[:MOST_NAMES]) + (
        f" and {len(differ) - MOST_NAMES} more" if len(differ) > MOST_NAMES else ""
    )


def _settings(surroundings: Mapping[str, Any]) -> dict[str, Any]:
    """Without which device may be seen: trials that run side by side have one each."""
    variables, torch = surroundings.get("variables") or {}, surroundings.get("torch") or {}
    threads = {f"torch.{name}": torch[name] for name in ("threads", "interop_threads") if name in torch}
    return {**threads, **{name: value for name, value in variables.items() if name != "CUDA_VISIBLE_DEVICES"}}


def _differences(environments: Sequence[Mapping[str, Any]]) -> str:
    """What differs between environments, in words: other parts by name; the sources of packages that came from no
    index; versions of packages that all of them have, those first that train; then packages that some of them lack.
    """
    packages = [content.get("packages") or {} for content in environments]
    every = {name for found in packages if isinstance(found, dict) for name in found}
    names = sorted(every, key=lambda name: (not all(name in found for found in packages), name not in _DECIDING, name))
    differ = [name for name in names if len({str(found.get(name)) for found in packages}) > 1]
    said = [f"{name} ({', '.join(sorted({str(found.get(name, 'none')) for found in packages}))})" for name in differ]
    parts = ("python", "implementation", "device", "cpu", "platform", "limits")
    other = [part for part in parts if len({str(content.get(part)) for content in environments}) > 1]
    said = other + _sources(environments) + said
    return ", ".join(said[:MOST_NAMES]) + (f" and {len(said) - MOST_NAMES} more" if len(said) > MOST_NAMES else "")


def _sources(environments: Sequence[Mapping[str, Any]]) -> list[str]:
    """`the source of trl-harness`: packages whose commit, changes or archive differ."""
    told = [{**(one.get("editable") or {}), **(one.get("origins") or {})} for one in environments]
    names = sorted({name for found in told for name in found})
    return [f"the source of {name}" for name in names if len({str(found.get(name)) for found in told}) > 1]


def _backends(results: SuiteResults, unlike: Sequence[str]) -> Iterable[str]:
    """Of several backends over tasks; where one task has several, what is not alike says so already."""
    if len(results.score_backends) > 1 and not any("backend " in said for said in unlike):
        backends = ", ".join(results.score_backends)
        yield f"Scores come from several backends ({backends}); small differences may be theirs."


def _baseline(plan: Plan, cells: Sequence[CellSummary]) -> Iterable[str]:
    if plan.suite.baseline is None:
        return
    baseline = baseline_of(plan, cells)
    if not baseline:
        yield "The baseline is not among the chosen trials: nothing is compared with it."
    bare = [cell.name for cell in baseline if not cell.metrics]
    if bare:
        yield f"No figures of the baseline: {named(bare, len(baseline), 'cells')}; nothing is compared with it."


def _few_seeds(cells: Sequence[CellSummary]) -> Iterable[str]:
    matrix = [cell for cell in cells if cell.kind == "cell"]
    short = [
        f"{cell.name} ({cell.outcomes.get('ok', 0)} of {len(cell.seeds)})"
        for cell in matrix
        if 0 < cell.outcomes.get("ok", 0) < len(cell.seeds)
    ]
    if short:
        yield f"Fewer seeds than planned: {named(short, len(matrix), 'cells')}."
    if matrix and all(len(cell.seeds) == 1 for cell in matrix):
        yield "One seed per cell: nothing here tells chance from effect."


def _scores(plan: Plan, trials: Sequence[TrialResult]) -> Iterable[str]:
    if plan.suite.score is None:
        return
    unscored = [
        trial.name
        for trial in trials
        if trial.outcome == "ok" and not any(name.startswith("score.") for name in trial.metrics)
    ]
    if unscored:
        yield f"Without a score: {named(unscored, len(trials))}."


def _methods(cells: Sequence[CellSummary], columns: Sequence[str]) -> Iterable[str]:
    if len(methods(cells)) > 1 and {"final_loss", "final_reward_margin"} & set(columns):
        yield (
            "Losses and reward margins of different methods are different quantities: "
            "compare them within a method only; none is marked as best."
        )


def _ended_badly(trials: Sequence[TrialResult]) -> Iterable[str]:
    """Trials that were run again and failed: their figures are true, but of an earlier attempt than one may think."""
    for trial in trials:
        if _failed_since(trial):
            said = f"{trial.name}: its last attempt ended {trial.last_outcome}"
            yield f"{said}; figures are of attempt {trial.counted}." if trial.counted else f"{said}."


def _failed_since(trial: TrialResult) -> bool:
    return trial.outcome == "ok" and trial.last_outcome not in (None, "ok")


def _attempts(trials: Sequence[TrialResult]) -> Iterable[str]:
    again = [f"{trial.name} ({trial.attempts})" for trial in trials if trial.attempts > 1 and not _failed_since(trial)]
    if again:
        yield f"More than one attempt was needed: {named(again, len(trials))}."


def _unpinned(cells: Sequence[CellSummary]) -> Iterable[str]:
    loose = set()
    for cell in cells:
        for part in ("model", "data"):
            said = cell.config.get(part)
            if isinstance(said, Mapping) and said.get("hub") and not said.get("revision"):
                loose.add(str(said["hub"]))
    if loose:
        yield f"No revision is pinned for {', '.join(sorted(loose))}: what the hub serves under a name may change."


def _others(plan: Plan, results: SuiteResults) -> Iterable[str]:
    planned = {trial.id for trial in plan.trials}
    others = [trial for trial in results.trials if trial.trial_id not in planned]
    if others:
        yield (
            f"{len(others)} trial{'' if len(others) == 1 else 's'} of this suite's folder "
            f"{'is' if len(others) == 1 else 'are'} not in this plan (not chosen, or of an earlier state of the suite) "
            "and left out."
        )


def _notes(trials: Sequence[TrialResult]) -> Iterable[str]:
    """Each note of the workers once, with how many trials said it; those said most often first."""
    who: dict[str, list[str]] = {}
    for trial in trials:
        for note in dict.fromkeys(trial.notes):
            if "made up" not in note:  # said above, once
                who.setdefault(note, []).append(trial.name)
    ranked = sorted(who.items(), key=lambda entry: -len(entry[1]))
    trained = {trial.name for trial in trials if trial.kind != "floor" and trial.outcome not in (None, "skipped")}
    for note, names in ranked[:_MOST_NOTES]:
        all_of_them = len(trained) > 1 and set(names) == trained
        said = f"all {len(trained)} trainings" if all_of_them else named(names, len(trials))
        yield f"{said}: {note.rstrip('.')}."
    if len(ranked) > _MOST_NOTES:
        yield f"{len(ranked) - _MOST_NOTES} more notes of the workers are in the store's table notes."
