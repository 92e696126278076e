"""A baseline and trials → a gate: every figure of every cell judged, and everything that is not alike told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.compare.comparison import compare
from harness.compare.naming import named
from harness.compare.sides import Key, Sides
from harness.records.gate import Absent, Ended, Gate, Judged, Rules
from harness.records.metrics import Margin, metric
from harness.records.results import TrialResult
from harness.records.verdict import Comparison, Selected, Verdict

_WORSE = ("oom", "diverged")
"""Ends that are a regression; the others below are failures that may have any cause."""
_FAILED = ("crashed", "timeout", "interrupted", "skipped")


def gate(
    sides: Sides,
    rules: Rules,
    *,
    metrics: Sequence[str] = (),
    margins: Mapping[str, Margin] | None = None,
) -> Gate:
    """Every figure that is asked for of every cell that both have, corrected over all of them; see `compare`.

    Environments may differ, since that is what a gate is for; what differs is told.
    """
    shared = sides.shared
    reference = [trial for key in shared for trial in sides.before[key]]
    candidate = [trial for key in shared for trial in sides.now[key]]
    comparison = compare(
        replace(sides.baseline.selected, trials=reference),
        Selected(label=sides.results.suite, results=sides.results, trials=candidate, documents=sides.documents),
        metrics=metrics,
        margins=margins,
        across=True,
    )
    ids = {(key[0], sides.now[key][0].cell_name): key for key in shared}
    judged = [
        Judged(
            cell_id=ids[cell.kind, cell.candidate][1],
            cell=cell.candidate,
            kind=cell.kind,
            metric=name,
            verdict=verdict,
        )
        for cell in comparison.cells
        for name, verdict in cell.verdicts.items()
    ]
    by_ruling: dict[str, list[Judged]] = {}
    for one in sorted(judged, key=_severity, reverse=True):
        by_ruling.setdefault(one.verdict.ruling, []).append(one)
    lost, new = _figures_gone(by_ruling.get("missing", ()), sides)
    ended = [one for key in shared for one in _ends(key, sides)]
    return Gate(
        baseline=sides.baseline.name,
        suite=sides.results.suite,
        rules=rules,
        comparison=comparison,
        regressed=tuple(by_ruling.get("regressed", ())),
        improved=tuple(by_ruling.get("improved", ())),
        undecided=tuple(by_ruling.get("inconclusive", ())),
        insufficient=tuple(one for one in by_ruling.get("insufficient", ()) if one.kind == "cell"),
        equivalent=len(by_ruling.get("equivalent", ())),
        ended=tuple(one for one in ended if one.outcome in _WORSE),
        failed=tuple(one for one in ended if one.outcome in _FAILED),
        missing=(*sides.missing, *lost),
        extra=sides.extra,
        refused=tuple((cell.candidate, name, why) for cell in comparison.cells for name, why in cell.refused.items()),
        findings=(*sides.findings, *_findings(sides, new), *comparison.findings, *_changed(comparison)),
    )


def _severity(one: Judged) -> float:
    """How many times its margin a change is; those without an effect (a loss that is no number any more) first."""
    effect, margin = one.verdict.effect, one.verdict.margin
    if effect is None or margin is None:
        return math.inf
    if effect.kind == "ratio":
        size, bound = abs(math.log(effect.value)) if effect.value > 0 else math.inf, math.log1p(margin)
    else:
        size, bound = abs(effect.value), margin
    return size / bound if bound > 0 else math.inf


def _figures_gone(missing: Sequence[Judged], sides: Sides) -> tuple[list[Absent], list[str]]:
    """Figures that the baseline alone has, of cells with a trial that ended ok; and names of those that it lacks."""
    fine = {found[0].cell_name: [trial for trial in found if trial.outcome == "ok"] for found in sides.now.values()}
    gone = [one for one in missing if not any(one.metric in trial.metrics for trial in fine[one.cell])]
    why = "its trials have no such figure any more"
    return (
        [Absent(cell=one.cell, metric=one.metric, why=why) for one in gone if fine[one.cell]],
        list(dict.fromkeys(one.metric for one in missing if one not in gone)),
    )


def _ends(key: Key, sides: Sides) -> list[Ended]:
    """Bad ends that are a larger share of the cell's trials now than they were."""
    before, now = sides.before[key], [trial for trial in sides.now[key] if trial.outcome]
    found = []
    for outcome in (*_WORSE, *_FAILED):
        there = _count(before, outcome)
        here = [trial for trial in now if trial.outcome == outcome]
        new = here and not there if outcome in _WORSE else len(here) * len(before) > there * len(now)
        if new:
            found.append(
                Ended(
                    cell_id=key[1],
                    cell=now[0].cell_name,
                    outcome=outcome,
                    before=(there, len(before)),
                    now=(len(here), len(now)),
                    seeds=tuple(trial.seed for trial in here),
                )
            )
    return found


def _findings(sides: Sides, new: Sequence[str]) -> list[str]:
    found = []
    seeds = _seeds(sides)
    if seeds:
        found.append(seeds)
    idle = [trial.name for key in sides.shared for trial in sides.now[key] if not trial.outcome]
    if idle:
        found.append(f"Not run yet: {named(idle, 0)}.")
    if new:
        found.append(f"Not in the baseline, so not judged: {named(new, 0)}.")
    more = [
        f"{now[0].cell_name} ({outcome} {there} of {len(before)}, now {here} of {len(now)})"
        for before, now in ((sides.before[key], sides.now[key]) for key in sides.shared)
        for outcome in _WORSE
        if (there := _count(before, outcome)) and (here := _count(now, outcome))
    ]
    if more:
        found.append(f"Ended so in the baseline too: {named(more, 0)}.")
    return found


def _changed(comparison: Comparison) -> list[str]:
    """What changed besides in all cells, or in those of one sentence."""
    told = {said: [""] for said in comparison.what_else}
    for cell in comparison.cells:
        for said in cell.what_else:
            told.setdefault(said, []).append(cell.candidate)
    return [said if not cells[0] else f"{named(cells, 0)}: {said}" for said, cells in told.items()]


def _count(trials: Sequence[TrialResult], outcome: str) -> int:
    return sum(trial.outcome == outcome for trial in trials)


def _seeds(sides: Sides) -> str | None:
    """Seeds of the baseline that are not there now, in a sentence."""
    lost: dict[str, list[str]] = {}
    for key in sides.shared:
        now = {trial.seed for trial in sides.now[key]}
        gone = sorted({trial.seed for trial in sides.before[key]} - now)
        if gone:
            lost.setdefault(", ".join(map(str, gone)), []).append(sides.now[key][0].cell_name)
    told = [f"seed {seeds} of {named(cells, 0)}" for seeds, cells in lost.items()]
    return f"In the baseline and not here: {'; '.join(told)}." if told else None


def suspicious(found: Gate, before: Gate | None) -> set[str]:
    """Ids of cells that another replicate may tell more of.

    That is where a verdict is open, or one of a change is new: of two looks at growing numbers of runs the second must
    say the same, since the first may have been taken by chance (see docs/baselines.md).
    """
    known = {one.key for one in (*before.regressed, *before.improved)} if before else set()
    changed = (*found.regressed, *(found.improved if found.rules.fail_on_improvement else ()))
    looked = [one for one in changed if one.key not in known] + [*found.undecided, *found.insufficient]
    return {one.cell_id for one in looked if _curable(one.verdict)}


def _curable(verdict: Verdict) -> bool:
    """Whether more runs of the candidate can change it: not where it counts pairs of seeds alone, where the baseline
    has too few runs, where ranges of memory are too wide, or where the documents of a score are too few rather than the
    seeds."""
    documents, effect = verdict.documents, verdict.effect
    if documents is not None:
        return documents.seed_error is not None and documents.seed_error > documents.document_error
    if effect is not None and effect.error is None and verdict.ruling == "inconclusive":
        return False  # ranges that are too wide, or meet, grow with every run
    if effect is not None:
        return effect.pairs is None
    known = metric(verdict.metric)
    one_tells = known is not None and known.judged == "most" and not known.varies
    return len(verdict.values[0]) >= (1 if one_tells else 2)
