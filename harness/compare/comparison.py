"""Two sides → a comparison: which cells belong together, and a verdict on each metric of each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.compare.besides import besides
from harness.compare.divergence import divergences
from harness.compare.documents import ByDocuments, by_documents
from harness.compare.invented import made_up, made_up_devices
from harness.compare.judging import corrected, judge
from harness.compare.judging.corrections import Correction
from harness.compare.matching import Pair, pairs_of, same_measurement
from harness.compare.naming import named
from harness.compare.refusals import Around, refused, unlike_losses
from harness.compare.summary import DIVERGED
from harness.records.metrics import OF_A_METHOD, Direction, Margin, metric
from harness.records.results import TrialResult
from harness.records.verdict import CellComparison, Comparison, Divergence, Ruling, Run, Selected, Verdict

_USUAL = ("tokens_per_second", "energy_per_token", "final_loss", "final_eval_loss")
_BAD = ("oom", "diverged", "timeout", "crashed")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """The question: which metrics, judged by which margins and directions, of trials with what around them."""

    metrics: Sequence[str]
    margins: Mapping[str, Margin]
    better: Mapping[str, Direction]  # where it is not the metric's own
    reference: Around
    candidate: Around
    across: bool


_OF_TENSORS = (
    *("weight_memory", "gradient_memory", "optimizer_memory", "reference_memory", "activation_memory"),
    *("peak_allocated", "padding_share"),
)
"""Counted from the batches and tensors of the training alone."""


def compare(
    reference: Selected,
    candidate: Selected,
    *,
    metrics: Sequence[str] = (),
    margins: Mapping[str, Margin] | None = None,
    across: bool = False,
    flips: int | None = 0,
) -> Comparison:
    """The candidate beside the reference, cell by cell; corrected over all that is asked: scores among themselves by
    Holm, the rest by Benjamini & Hochberg.

    Scores are judged by their documents where both sides have them, else by seeds. Without `metrics` those that are
    usually asked about: throughput, memory, loss, energy, scores. With `across` environments may differ; else what ran
    in others is refused. Metrics that neither more nor less of is better are left out. `flips`: how many documents of
    each cell and score that were fixed, and that were broken, are listed with their answers; None for all.
    """
    asked = tuple(metrics) or usual_metrics(reference.trials, candidate.trials)
    own = margins or {}
    matched = pairs_of(reference.trials, candidate.trials)
    cells = judged(matched.pairs, reference, candidate, metrics=asked, margins=own, across=across, flips=flips)
    common = _common([cell.what_else for cell in cells])
    return Comparison(
        reference=reference.label,
        candidate=candidate.label,
        metrics=asked,
        cells=tuple(
            replace(cell, what_else=tuple(said for said in cell.what_else if said not in common)) for cell in cells
        ),
        margins={name: own.get(name, known.margin) for name in asked if (known := metric(name))},
        only_reference=matched.only_reference,
        only_candidate=matched.only_candidate,
        findings=tuple(_findings(reference, candidate)),
        what_else=common,
    )


def judged(
    pairs: Sequence[Pair],
    reference: Selected,
    candidate: Selected,
    *,
    metrics: Sequence[str],
    margins: Mapping[str, Margin],
    better: Mapping[str, Direction] | None = None,
    across: bool = False,
    flips: int | None = 0,
) -> tuple[CellComparison, ...]:
    """Cells that are known to belong together, in their order; for the rest see `compare`.

    `better` are directions in place of the metrics' own.
    """
    asked = _Asked(
        metrics=metrics,
        margins=margins,
        better=better or {},
        reference=Around.of(reference.results),
        candidate=Around.of(candidate.results),
        across=across,
    )
    documents = by_documents(pairs, metrics, reference, candidate, margins=margins, listed=flips)
    return tuple(_corrected([_cell(pair, asked, told) for pair, told in zip(pairs, documents, strict=True)]))


def usual_metrics(*sides: Sequence[TrialResult]) -> tuple[str, ...]:
    """What is compared unless asked otherwise: those that some trial has."""
    present = {name for trials in sides for trial in trials for name in trial.metrics}
    memory = "peak_device_memory" if "peak_device_memory" in present else "peak_host_memory"
    scores = sorted(name for name in present if name.startswith("score."))
    return tuple(name for name in (*scores, _USUAL[0], memory, *_USUAL[1:]) if name in present)


def runs_of(trials: Sequence[TrialResult], name: str) -> list[Run]:
    """One run per trial that ended `ok` and has the metric, or lost it to a loss that became no number."""
    return [
        Run(seed=trial.seed, value=value, disturbed=bool(trial.disturbed) and not _unmoved(name, trial))
        for trial in trials
        if trial.outcome == "ok" and (value := _value(name, trial)) is not None
    ]


def _value(name: str, trial: TrialResult) -> float | None:
    """The trial's figure. Summaries hold finite ones alone, and yet a final loss that is none is a result."""
    if name == "final_loss" and any(one.name == DIVERGED for one in trial.findings):
        return trial.metrics.get(name, math.nan)
    return trial.metrics.get(name)


def same_measurements(reference: Sequence[TrialResult], candidate: Sequence[TrialResult]) -> list[str]:
    """Names of the candidate's trials that are the very same measurement as one of the reference's."""
    known = {trial.trial_id: trial for trial in reference if trial.metrics}
    return [
        trial.name
        for trial in candidate
        if (one := known.get(trial.trial_id)) is not None and same_measurement(one, trial)
    ]


def is_unmoved(name: str) -> bool:
    """Whether what disturbs a machine leaves a metric of that very attempt alone."""
    return name.startswith("score.") or name in OF_A_METHOD or name in _OF_TENSORS


def _unmoved(name: str, trial: TrialResult) -> bool:
    """Whether what disturbs a machine leaves a metric alone: losses and scores are what they are, tensors as large.

    A loss of an earlier attempt is not that of a later one, which was disturbed; a score is of the weights there are.
    """
    return name.startswith("score.") or (is_unmoved(name) and not trial.stale)


def _cell(pair: Pair, asked: _Asked, documents: ByDocuments) -> CellComparison:
    one, other = pair.reference[0], pair.candidate[0]
    outcomes = _outcomes(pair.reference), _outcomes(pair.candidate)
    not_alike = refused(pair, asked.metrics, asked.reference, asked.candidate, across=asked.across)
    not_so = {**documents.refused, **not_alike}
    judged = {name: _verdict(name, pair, asked, documents) for name in asked.metrics if name not in not_so}
    return CellComparison(
        reference=one.cell_name,
        candidate=other.cell_name,
        kind=other.kind,
        levels={axis: level for axis, level in one.levels.items() if other.levels.get(axis) == level},
        verdicts={name: verdict for name, verdict in judged.items() if verdict is not None},
        refused={name: not_so[name] for name in asked.metrics if name in not_so},
        outcomes=outcomes,
        ended=_ended(*outcomes),
        what_else=besides(pair, asked.reference.results.environments, asked.candidate.results.environments),
        divergences=_divergences(pair, asked),
        flips={name: found for name, found in documents.flips.items() if name not in not_so},
    )


def _verdict(name: str, pair: Pair, asked: _Asked, documents: ByDocuments) -> Verdict | None:
    """None where neither side has the metric, or there is nothing in it to be judged: a floor trains nothing."""
    if not name.startswith("score.") and "floor" in (pair.reference[0].kind, pair.candidate[0].kind):
        return None
    runs = runs_of(pair.reference, name), runs_of(pair.candidate, name)
    known = metric(name)
    better = asked.better.get(name, known.better) if known else "none"
    if not any(runs) or better == "none":
        return None
    if name in documents.verdicts:
        return _towards(better, documents.verdicts[name])
    verdict = judge(name, *runs, margin=asked.margins.get(name), better=better)
    by_seeds = documents.by_seeds.get(name)
    return replace(verdict, why="; ".join(filter(None, (verdict.why, by_seeds)))) if by_seeds else verdict


def _towards(better: Direction, verdict: Verdict) -> Verdict:
    """The same verdict where the other direction is the better one."""
    if verdict.better == better:
        return verdict
    turned: Mapping[Ruling, Ruling] = {"improved": "regressed", "regressed": "improved"}
    return replace(verdict, better=better, ruling=turned.get(verdict.ruling, verdict.ruling))


def _divergences(pair: Pair, asked: _Asked) -> tuple[Divergence, ...]:
    """Also where environments differ: what a new version rounds otherwise shows here first."""
    known = metric("final_loss")
    assert known is not None
    if unlike_losses(pair):
        return ()
    losses = asked.reference.losses, asked.candidate.losses
    return divergences(pair.reference, pair.candidate, losses, asked.margins.get("final_loss", known.margin))


def _corrected(cells: Sequence[CellComparison]) -> list[CellComparison]:
    """All scores among themselves, and all other metrics among themselves."""
    found: list[dict[str, Verdict]] = [dict(cell.verdicts) for cell in cells]
    families: tuple[tuple[bool, Correction], ...] = ((True, "holm"), (False, "benjamini-hochberg"))
    for scores, correction in families:
        places = [
            (number, name)
            for number, cell in enumerate(cells)
            for name in cell.verdicts
            if name.startswith("score.") == scores
        ]
        after = corrected([cells[number].verdicts[name] for number, name in places], correction)
        for (number, name), verdict in zip(places, after, strict=True):
            found[number][name] = verdict
    return [replace(cell, verdicts=verdicts) for cell, verdicts in zip(cells, found, strict=True)]


def _outcomes(trials: Sequence[TrialResult]) -> dict[str, int]:
    return dict(Counter(trial.outcome or "missing" for trial in trials))


def _ended(reference: Mapping[str, int], candidate: Mapping[str, int]) -> Ruling:
    """Whether trials end badly on one side alone; on both sides in part, that says nothing sure."""
    before, after = (sum(outcomes.get(name, 0) for name in _BAD) for outcomes in (reference, candidate))
    if bool(before) == bool(after):
        return "inconclusive" if before else "equivalent"
    return "regressed" if after else "improved"


def _common(said: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What is said of every one of several cells."""
    if len(said) < 2:
        return ()
    return tuple(one for one in said[0] if all(one in others for others in said[1:]))


def _findings(reference: Selected, candidate: Selected) -> Iterator[str]:
    environments = {**reference.results.environments, **candidate.results.environments}
    backends = (*reference.results.score_backends, *candidate.results.score_backends)
    around = replace(candidate.results, environments=environments, score_backends=backends)
    yield from made_up(around, (*reference.trials, *candidate.trials))
    yield from made_up_devices((*reference.trials, *candidate.trials))
    same = same_measurements(reference.trials, candidate.trials)
    if same:
        yield (
            f"The very same measurement is on both sides: {named(same, 0)}. "
            "Beside itself a trial shows no change, whatever has changed since."
        )
    for label, side in (("reference", reference), ("candidate", candidate)):
        disturbed = [trial.name for trial in side.trials if trial.outcome == "ok" and trial.disturbed]
        if disturbed:
            way_on = side.results.again
            yield (
                f"Left out as disturbed, of the {label}: {named(disturbed, 0)} (not their losses and scores)"
                f"{f'; {way_on} measures again' if way_on else ''}."
            )
