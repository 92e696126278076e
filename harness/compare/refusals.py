"""What cannot be compared, and why: a difference would say something else than the reader takes it for.

Speed, time, memory and energy belong to a device. All figures belong to an environment, unless it is what is compared.
Losses belong to a method and its data, scores to their documents, prompts, task and backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.compare.alike import Scores, scores_of, task_of
from harness.compare.alike import differences as unlike
from harness.compare.differences import Difference, differences, listed
from harness.compare.divergence import LOSS
from harness.compare.libraries import owners
from harness.compare.matching import Pair
from harness.records.machine import machine
from harness.records.metrics import OF_A_METHOD
from harness.records.results import Curve, SuiteResults, TrialResult

_OF_ANY_DEVICE = (*OF_A_METHOD, "padding_share", "loss_spikes")
"""Metrics that a device has no part in, but for its rounding; scores are such too."""
_OWN_SOURCES = "editable.trl-harness"
_MOST_NAMED = 4
_SIDES = ("reference", "candidate")


@dataclass(frozen=True, slots=True)
class _Of:
    """A scored trial, called by its side and name."""

    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """What is known around the trials of one side."""

    results: SuiteResults
    scores: Scores
    losses: Mapping[str, Curve]  # by trial id

    @classmethod
    def of(cls, results: SuiteResults) -> Around:
        losses = {curve.trial_id: curve for curve in results.curves if curve.metric == LOSS}
        return cls(results=results, scores=scores_of(results), losses=losses)

    def environment_of(self, trial: TrialResult) -> Mapping[str, Any]:
        """environment.json of the trial; empty where nothing is known of it."""
        return self.results.environments.get(trial.environment or "", {})


def refused(
    pair: Pair, asked: Sequence[str], reference: Around, candidate: Around, *, across: bool = False
) -> dict[str, str]:
    """The metrics on which these two cells cannot be compared, each with the reason and what to do about it.

    Only metrics that both sides have. With `across`, or where the cells are configured for environments of
    their own, environments may differ.
    """
    sides = [(_fine(trials), around) for trials, around in ((pair.reference, reference), (pair.candidate, candidate))]
    names = [name for name in asked if all(any(name in trial.metrics for trial in trials) for trials, _ in sides)]
    if not names:
        return {}
    free = across or _asked_for(pair)
    device = _devices(sides)
    environment = None if free else _environments(sides)
    losses = unlike_losses(pair)
    found: dict[str, str] = {}
    for name in names:
        reasons = (
            device if not _of_any_device(name) else None,
            environment,
            _libraries(name, sides),
            losses if name in OF_A_METHOD else None,
            _scores(name, sides, across=free),
        )
        why = next((reason for reason in reasons if reason), None)
        if why:
            found[name] = why
    return found


_Side = tuple[Sequence[TrialResult], Around]


def _fine(trials: Iterable[TrialResult]) -> list[TrialResult]:
    return [trial for trial in trials if trial.outcome == "ok"]


def _of_any_device(name: str) -> bool:
    return name.startswith("score.") or name in _OF_ANY_DEVICE


def _libraries(name: str, sides: Sequence[_Side]) -> str | None:
    found = owners(name, [trial for trials, _ in sides for trial in trials])
    if not found:
        return None
    names = ", ".join(dict.fromkeys(trial.name for trial in found))
    return f"that of {names} holds the training libraries too, since it was trained alone: harness run --force"


def _asked_for(pair: Pair) -> bool:
    """Whether the two cells were configured to be trained in environments of their own."""
    one, other = (trials[0].config.get("environment") for trials in (pair.reference, pair.candidate))
    return bool(one != other)


def _devices(sides: Sequence[_Side]) -> str | None:
    told = [
        sorted({name for trial in trials if (name := machine(around.environment_of(trial)))})
        for trials, around in sides
    ]
    if not all(told) or told[0] == told[1]:
        return None
    before, after = (" and ".join(names) for names in told)
    return (
        f"the reference ran on {before}, the candidate on {after}: figures of two devices are of the devices; "
        "run both on one"
    )


def _environments(sides: Sequence[_Side]) -> str | None:
    """None too where nothing differs but the state of the harness's own sources, which is told beside the verdicts."""
    before, after = (_by_hash(trials, around) for trials, around in sides)
    if not before or not after or before.keys() == after.keys():
        return None
    pairs = [(one, other) for key, one in before.items() for again, other in after.items() if key != again]
    moved = [_deciding(one, other) for one, other in pairs if one and other]
    if len(moved) == len(pairs) and not any(moved):
        return None
    first = next((entries for entries in moved if entries), ())
    words = f" ({listed(first, _MOST_NAMED)})" if first else ""
    return f"the two ran in other environments{words}: `harness compare --across` compares just that"


def _by_hash(trials: Iterable[TrialResult], around: Around) -> dict[str, Mapping[str, Any]]:
    return {trial.environment: around.environment_of(trial) for trial in trials if trial.environment}


def _deciding(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What of two environments can move a figure: what their hashes are made of, the harness's own sources aside."""
    from harness.measure.environment import deciding

    before, after = ({part: value or {} for part, value in deciding(side).items()} for side in (one, other))
    found = differences(before, after)
    return tuple(entry for entry in found if not entry.name.startswith(_OWN_SOURCES))


def unlike_losses(pair: Pair) -> str | None:
    """Why losses of the two cells are different quantities; None where they are the same."""
    one, other = pair.reference[0], pair.candidate[0]
    if one.method != other.method:
        return f"the losses of {one.method} and of {other.method} are different quantities"
    told = list(differences(one.config.get("data") or {}, other.config.get("data") or {}, "data"))
    return f"they are losses on other data ({listed(told, _MOST_NAMED)})" if told else None


def _scores(name: str, sides: Sequence[_Side], *, across: bool) -> str | None:
    """Why two sides' scores of a task cannot be compared: they were not made alike."""
    task = task_of(name)
    if task is None:
        return None
    made = [
        (_Of(f"{side} {trial.name}", trial.config), around.scores[trial.trial_id, task])
        for side, (trials, around) in zip(_SIDES, sides, strict=True)
        for trial in trials
        if name in trial.metrics and (trial.trial_id, task) in around.scores
    ]
    told = unlike(made, across=across)
    if told is None or not told[1]:
        return None
    return f"the scores were not made alike: {told[0]}; score both alike: harness score --force"
