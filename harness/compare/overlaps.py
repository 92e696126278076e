"""How much of each task is in what was trained on, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.records.figures import called
from harness.records.overlap import Overlap
from harness.records.results import TrialResult

_MOST_NAMES = 4

_Found = dict[str, dict[str, list[TrialResult]]]
"""Trials by task and by what is to be said of it."""


def overlaps(trials: Sequence[TrialResult], found: Mapping[str, Sequence[Overlap]]) -> tuple[str, ...]:
    """One sentence per task; cells are named where not all of them saw the same."""
    sentences = []
    for task, said in _folded(trials, found).items():
        parts = [f"{text}{f' ({_cells(whose)})' if len(said) > 1 else ''}" for text, whose in said.items()]
        sentences.append(f"Of {task}, {'; '.join(parts)}.")
    return tuple(sentences)


def overlap_findings(trials: Sequence[TrialResult], found: Mapping[str, Sequence[Overlap]]) -> Iterable[str]:
    """A warning for each task of which documents were seen in training."""
    seen = {key: [one for one in own if one.share] for key, own in found.items()}
    for task, said in _folded(trials, seen).items():
        for text, whose in said.items():
            yield f"Overlap: of {task}, {text} of {_cells(whose)}: their scores are not of unseen documents."


def _folded(trials: Sequence[TrialResult], found: Mapping[str, Sequence[Overlap]]) -> _Found:
    """The tasks by name, what most was seen of first."""
    ranked: dict[str, list[tuple[float, str, TrialResult]]] = {}
    for trial in trials:
        for one in found.get(trial.trial_id, ()):
            if trial.outcome == "ok":
                ranked.setdefault(one.task, []).append((one.share or 0.0, _text(one), trial))
    said: _Found = {}
    for task in sorted(ranked):
        for _, text, trial in sorted(ranked[task], key=lambda entry: -entry[0]):
            said.setdefault(task, {}).setdefault(text, []).append(trial)
    return said


def _text(one: Overlap) -> str:
    if one.reason is not None or one.share is None or one.documents is None:
        return f"no overlap could be measured: {(one.reason or 'no reason was given').rstrip('.')}"
    if not one.share:
        return f"none of {one.documents:,} documents is in the training data"
    seen = round(one.share * one.documents)
    ways = f"{one.exact or 0:,} whole, {one.ngram or 0:,} by {one.n} words in a row"
    return f"{seen:,} of {one.documents:,} documents ({one.share:.1%}; {ways}) are in the training data"


def _cells(trials: Sequence[TrialResult]) -> str:
    names = list(dict.fromkeys(called(trial.kind, trial.cell_name) for trial in trials))
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more cells"
