"""Two sides → a comparison: which cells belong together, and a verdict on each metric of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.compare.columns import OF_A_METHOD
from harness.compare.judging import corrected, judge
from harness.compare.matching import Pair, pairs_of
from harness.records.metrics import Margin, metric
from harness.records.results import TrialResult
from harness.records.verdict import CellComparison, Comparison, Ruling, Run, Selected, Verdict

_USUAL = ("tokens_per_second", "energy_per_token", "final_loss", "final_eval_loss")
_BAD = ("oom", "diverged", "timeout", "crashed")


def compare(
    reference: Selected,
    candidate: Selected,
    *,
    metrics: Sequence[str] = (),
    margins: Mapping[str, Margin] | None = None,
) -> Comparison:
    """The candidate beside the reference, cell by cell; corrected over all that is asked (Benjamini & Hochberg).

    Without `metrics` those that are usually asked about: throughput, memory, loss, energy, scores.
    """
    asked = tuple(metrics) or usual_metrics(reference.trials, candidate.trials)
    matched = pairs_of(reference.trials, candidate.trials)
    judged = [_verdicts(pair, asked, margins or {}) for pair in matched.pairs]
    flat = iter(corrected([verdict for verdicts in judged for verdict in verdicts.values()]))
    return Comparison(
        reference=reference.label,
        candidate=candidate.label,
        metrics=asked,
        cells=tuple(
            _cell(pair, {name: next(flat) for name in verdicts})
            for pair, verdicts in zip(matched.pairs, judged, strict=True)
        ),
        margins={name: (margins or {}).get(name, known.margin) for name in asked if (known := metric(name))},
        only_reference=matched.only_reference,
        only_candidate=matched.only_candidate,
    )


def usual_metrics(*sides: Sequence[TrialResult]) -> tuple[str, ...]:
    """What is compared unless asked otherwise: those that some trial has."""
    present = {name for trials in sides for trial in trials for name in trial.metrics}
    memory = "peak_device_memory" if "peak_device_memory" in present else "peak_host_memory"
    scores = sorted(name for name in present if name.startswith("score."))
    return tuple(name for name in (*scores, _USUAL[0], memory, *_USUAL[1:]) if name in present)


def runs_of(trials: Sequence[TrialResult], name: str) -> list[Run]:
    """One run per trial that ended `ok` and has the metric."""
    return [
        Run(seed=trial.seed, value=trial.metrics[name], disturbed=bool(trial.disturbed) and not _unmoved(name))
        for trial in trials
        if trial.outcome == "ok" and name in trial.metrics
    ]


def _unmoved(name: str) -> bool:
    """Whether what disturbs a machine leaves a metric alone: losses and scores are what they are."""
    return name.startswith("score.") or name in OF_A_METHOD


def _verdicts(pair: Pair, asked: Sequence[str], margins: Mapping[str, Margin]) -> dict[str, Verdict]:
    one_method = len({trial.method for trial in (*pair.reference, *pair.candidate)}) == 1
    found: dict[str, Verdict] = {}
    for name in asked:
        runs = runs_of(pair.reference, name), runs_of(pair.candidate, name)
        known = metric(name)
        if not any(runs) or known is None or known.better == "none" or (name in OF_A_METHOD and not one_method):
            continue
        found[name] = judge(name, *runs, margin=margins.get(name))
    return found


def _cell(pair: Pair, verdicts: Mapping[str, Verdict]) -> CellComparison:
    one, other = pair.reference[0], pair.candidate[0]
    outcomes = _outcomes(pair.reference), _outcomes(pair.candidate)
    return CellComparison(
        reference=one.cell_name,
        candidate=other.cell_name,
        kind=other.kind,
        levels={axis: level for axis, level in one.levels.items() if other.levels.get(axis) == level},
        verdicts=verdicts,
        outcomes=outcomes,
        ended=_ended(*outcomes),
    )


def _outcomes(trials: Sequence[TrialResult]) -> dict[str, int]:
    return dict(Counter(trial.outcome or "missing" for trial in trials))


def _ended(reference: Mapping[str, int], candidate: Mapping[str, int]) -> Ruling:
    """Whether trials end badly on one side alone; on both sides in part, that says nothing sure."""
    before, after = (sum(outcomes.get(name, 0) for name in _BAD) for outcomes in (reference, candidate))
    if bool(before) == bool(after):
        return "inconclusive" if before else "equivalent"
    return "regressed" if after else "improved"
