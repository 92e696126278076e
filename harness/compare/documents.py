"""Scores of two sides by their single documents, wherever both sides have them: verdicts, refusals and flips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.compare.alike import task_of
from harness.compare.judging.documents import judge_documents
from harness.compare.judging.flips import flips, with_answers
from harness.compare.judging.pairing import Answered, Paired, paired
from harness.compare.matching import Pair
from harness.records.document_scores import DocumentProvider, DocumentScores, Flips
from harness.records.metrics import Margin
from harness.records.results import TrialResult
from harness.records.verdict import Selected, Verdict

_TRAINED = ("cell", "stage")


@dataclass(slots=True)
class ByDocuments:
    """What documents say of one pair of cells, by metric. `by_seeds`: why a score is to be judged by seeds alone."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    by_seeds: dict[str, str] = field(default_factory=dict)
    flips: dict[str, Flips] = field(default_factory=dict)


def by_documents(
    pairs: Sequence[Pair],
    asked: Sequence[str],
    reference: Selected,
    candidate: Selected,
    *,
    margins: Mapping[str, Margin],
    listed: int | None = 0,
) -> list[ByDocuments]:
    """For each pair of cells, in their order. `listed`: how many flips of each kind come with their answers.

    Only scores that both cells have are looked at, and nothing where a side has no documents at all. Each side is asked
    once for a task, and what one task needs is let go before the next.
    """
    found = [ByDocuments() for _ in pairs]
    if reference.documents is None or candidate.documents is None:
        return found
    tasks: dict[str, list[str]] = {}
    for name in asked:
        if task := task_of(name):
            tasks.setdefault(task, []).append(name)
    for task, names in tasks.items():
        sides = (_Side(reference.documents, task, names), _Side(candidate.documents, task, names))
        sides[0].fetch([trial for pair in pairs for trial in pair.reference])
        sides[1].fetch([trial for pair in pairs for trial in pair.candidate])
        turned: list[tuple[ByDocuments, str, Paired]] = []
        for pair, into in zip(pairs, found, strict=True):
            for name in names:
                together = _judge(pair, name, sides, into, margins.get(name))
                counted = flips(task, _metric(name), together, most=listed) if together else None
                if together and counted:
                    into.flips[name] = counted
                    turned.append((into, name, together))
        _answer(turned, sides)
    return found


@dataclass(slots=True)
class _Side:
    provider: DocumentProvider
    task: str
    names: Sequence[str]
    held: Mapping[str, DocumentScores] = field(default_factory=dict)

    def fetch(self, trials: Sequence[TrialResult]) -> None:
        ids = list(dict.fromkeys(trial.trial_id for trial in trials if any(_has(trial, name) for name in self.names)))
        self.held = self.provider.scores(self.task, [_metric(name) for name in self.names], ids) if ids else {}


def _metric(name: str) -> str:
    """lm-eval's name of a score: the last part of `score.<task>.<metric>`."""
    return name.rpartition(".")[2]


def _has(trial: TrialResult, name: str) -> bool:
    return trial.outcome == "ok" and name in trial.metrics


def _judge(
    pair: Pair, name: str, sides: tuple[_Side, _Side], into: ByDocuments, margin: Margin | None
) -> Paired | None:
    """Puts what documents say of one score where it belongs; the pairs, where they could be formed."""
    trials = [[trial for trial in cell if _has(trial, name)] for cell in (pair.reference, pair.candidate)]
    if not all(trials):
        return None
    answered: list[list[Answered]] = []
    for label, some, side in zip(("reference", "candidate"), trials, sides, strict=True):
        of_side = _answered(some, name, side.held)
        if isinstance(of_side, str):
            into.by_seeds[name] = f"judged by seeds alone: {of_side.format(side=label)}"
            return None
        answered.append(of_side)
    together = paired(*answered)
    if isinstance(together, str):
        into.refused[name] = f"{together}; scores are compared document by document: score both alike"
        return None
    trained = pair.candidate[0].kind in _TRAINED and pair.reference[0].kind in _TRAINED
    into.verdicts[name] = judge_documents(name, together, margin=margin, trained=trained)
    return together


def _answered(trials: Sequence[TrialResult], name: str, held: Mapping[str, DocumentScores]) -> list[Answered] | str:
    """The trials' documents; a sentence where some have none, or the score is something else than their mean."""
    metric = _metric(name)
    found = []
    without = []
    for trial in trials:
        scores = held.get(trial.trial_id)
        values = scores.values.get(metric) if scores else None
        if scores is None or values is None:
            without.append(trial.name)
            continue
        if not _is_mean(trial.metrics[name], values):
            return f"it is no mean over documents (of {trial.name}, the {{side}})"
        found.append(Answered(trial_id=trial.trial_id, seed=trial.seed, asked=scores.asked, values=values))
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        return f"the {{side}} has no values of single documents ({without[0]}{more})"
    return found


def _is_mean(figure: float, values: object) -> bool:
    """Whether the score is the mean of its documents' values, NaN aside."""
    import numpy as np

    own = np.asarray(values, dtype=np.float64)
    own = own[~np.isnan(own)]
    if not math.isfinite(figure) or not len(own):
        return not math.isfinite(figure)
    return math.isclose(float(own.mean()), figure, rel_tol=1e-6, abs_tol=1e-6)


def _answer(turned: Sequence[tuple[ByDocuments, str, Paired]], sides: tuple[_Side, _Side]) -> None:
    """Puts the answers to the flips that are listed; asked of each side at once."""
    hashes = {flip.doc_hash for into, name, _ in turned for flip in into.flips[name].listed}
    if not hashes:
        return
    reference, candidate = (
        side.provider.answers(
            side.task,
            sorted({trial for into, name, pair in turned if into.flips[name].listed for trial in pair.trials[place]}),
            sorted(hashes),
        )
        for place, side in enumerate(sides)
    )
    for into, name, pair in turned:
        into.flips[name] = with_answers(into.flips[name], pair, reference, candidate)
