"""What else changed between two cells besides what they are compared for, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.compare.differences import Side, listed, side_of, what_else, worth_saying
from harness.compare.matching import Pair, Trials
from harness.records.results import TrialResult

Environments = Mapping[str, Mapping[str, Any]]


def besides(pair: Pair, before: Environments, after: Environments) -> tuple[str, ...]:
    """Of one trial a side, of the same seed where there is one: configuration, what was active, environment.

    Of two methods only what the suite and the environment differ in: their trainers differ in everything.
    """
    one, other = _trials(pair.reference, pair.candidate)
    return tuple(_sentences(one, other, side_of(one, before), side_of(other, after)))


def _trials(reference: Trials, candidate: Trials) -> tuple[TrialResult, TrialResult]:
    """The first shared seed that told what was active on both sides; else the first of each."""
    told = [{trial.seed: trial for trial in side if trial.active} for side in (reference, candidate)]
    for seed in sorted(told[0].keys() & told[1].keys()):
        return told[0][seed], told[1][seed]
    return next(iter(told[0].values()), reference[0]), next(iter(told[1].values()), candidate[0])


def _sentences(one: TrialResult, other: TrialResult, before: Side, after: Side) -> Iterator[str]:
    if not (before.spec and after.spec):  # one that tells no configuration differs in nothing that could be told
        before, after = (Side(spec={}, active=side.active, environment=side.environment) for side in (before, after))
    found = what_else(before, after)
    one_method = one.method == other.method
    entries: Mapping[str, Sequence[Any]] = {
        "Configuration": found.beside,
        "Active in training": [entry for entry in found.active if worth_saying(entry)] if one_method else (),
        "Environment": found.environment,
    }
    for what, changed in entries.items():
        if changed:
            yield f"{what}: {listed(changed)}."
    if found.inert and one_method:
        yield f"Asked for, but nothing of it shows in training: {listed(found.inert)}."
