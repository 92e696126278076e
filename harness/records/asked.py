"""Metrics that a user asks to be judged, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from harness.errors import InputError, Problem, did_you_mean
from harness.records.metrics import METRICS, metric


def metrics_asked(asked: Sequence[str], present: Collection[str] | None = None) -> tuple[str, ...]:
    """The names, each once. `present`: metrics that some trial has, where that is known.

    Raises:
        InputError: every name that is unknown, cannot be judged, or that no trial has.
    """
    problems = [problem for name in dict.fromkeys(asked) if (problem := _problem(name, present)) is not None]
    if problems:
        raise InputError(problems=problems)
    return tuple(dict.fromkeys(asked))


def no_judged_metric(name: str, names: Iterable[str] = METRICS) -> Problem:
    """What is wrong with a name that is no metric, or one of which neither more nor less is better."""
    hint = did_you_mean(name, sorted(one for one in names if (known := metric(one)) and known.better != "none"))
    if metric(name) is None:
        return Problem(what=f"unknown metric {name!r}", hint=hint)
    return Problem(what=f"{name} cannot be judged", why="neither more nor less of it is better", hint=hint)


def _problem(name: str, present: Collection[str] | None) -> Problem | None:
    known, names = metric(name), {*METRICS, *(present or ())}
    there = present is None or name in present
    if known is None or known.better == "none":
        return no_judged_metric(name, names)
    if there:
        return None
    hint = did_you_mean(name, sorted(present or ()))
    return Problem(what=f"no trial has {name}", why=f"{known.says}: it was not measured", hint=hint)
