"""Which trials a selection means: conditions on axes, and globs of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from harness.errors import Problem, SelectionError, did_you_mean
from harness.records.chosen import matches
from harness.records.results import TrialResult

BESIDES = ("method", "seed")
"""What every trial has besides its levels, and is chosen by like an axis."""


def chosen(
    trials: Sequence[TrialResult],
    terms: Sequence[str],
    *,
    suite: str,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    suites: Sequence[str] = (),
) -> tuple[TrialResult, ...]:
    """The trials that the terms choose (all where there are none), less those that `only` and `skip` leave out.

    A term with `=` is a condition on an axis, `method` or `seed`: those of one axis are alternatives, and of each axis
    one must hold; a level may be a glob. Any other term is a glob of names or ids of trials or cells, and one of these
    must match. `suites` are names that a term may have been meant to be.

    Raises:
        SelectionError: a term chooses nothing, with the nearest names; or no trial is left.
    """
    conditions, globs = _read(terms)
    axes = _axes(trials)
    problems = [
        *_wrong_conditions(conditions, axes, suite),
        *_wrong_globs((*globs, *only, *skip), trials, suite, suites),
    ]
    if problems:
        raise SelectionError(problems=problems)
    found = [
        trial
        for trial in trials
        if all(any(_is(trial, axis, level) for level in levels) for axis, levels in conditions.items())
        and (not globs or _named(trial, globs))
        and (not only or _named(trial, only))
        and not (skip and _named(trial, skip))
    ]
    if not found:
        raise _none(terms, only, skip, suite, trials)
    return tuple(found)


def _read(terms: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    conditions: dict[str, list[str]] = {}
    globs = []
    for term in terms:
        axis, equals, level = term.partition("=")
        if equals:
            conditions.setdefault(axis.strip(), []).append(level.strip())
        else:
            globs.append(term)
    return conditions, globs


def _axes(trials: Iterable[TrialResult]) -> dict[str, dict[str, None]]:
    """Every axis with its levels, in the order of the trials."""
    found: dict[str, dict[str, None]] = {}
    for trial in trials:
        for axis, level in trial.levels.items():
            found.setdefault(axis, {})[level] = None
    for trial in trials:
        for name in BESIDES:
            found.setdefault(name, {}).setdefault(_besides(trial, name), None)
    return found


def _besides(trial: TrialResult, name: str) -> str:
    return str(trial.method or "none") if name == "method" else str(trial.seed)


def _is(trial: TrialResult, axis: str, level: str) -> bool:
    mine = trial.levels.get(axis)
    if mine is None and axis in BESIDES:
        mine = _besides(trial, axis)
    return mine is not None and (mine == level or fnmatchcase(mine, level))


def _named(trial: TrialResult, globs: Iterable[str]) -> bool:
    return any(matches(glob, trial) for glob in globs)


def _wrong_conditions(
    conditions: Mapping[str, Sequence[str]], axes: Mapping[str, Mapping[str, None]], suite: str
) -> Iterable[Problem]:
    for axis, levels in conditions.items():
        if axis not in axes:
            yield Problem(what=f"suite {suite!r} has no axis {axis!r}", hint=did_you_mean(axis, axes))
            continue
        for level in levels:
            if not any(name == level or fnmatchcase(name, level) for name in axes[axis]):
                yield Problem(
                    what=f"the axis {axis!r} of suite {suite!r} has no level {level!r}",
                    hint=did_you_mean(level, axes[axis]),
                )


def _wrong_globs(
    globs: Iterable[str], trials: Sequence[TrialResult], suite: str, suites: Sequence[str]
) -> Iterable[Problem]:
    names = {name for trial in trials for name in (trial.name, trial.cell_name)} | set(suites)
    for glob in globs:
        if not any(_named(trial, (glob,)) for trial in trials):
            hint = f"{did_you_mean(glob.strip('*?'), names)}; see `harness list`"
            yield Problem(what=f"{glob!r} matches no cell or trial of suite {suite!r}", hint=hint)


def _none(
    terms: Sequence[str], only: Sequence[str], skip: Sequence[str], suite: str, trials: Sequence[TrialResult]
) -> SelectionError:
    if not trials:
        return SelectionError.of(f"suite {suite!r} has no trials", hint="run it first: harness run SUITE")
    said = [*terms, *(f"--only {glob}" for glob in only), *(f"--skip {glob}" for glob in skip)]
    return SelectionError.of(
        f"no trial of suite {suite!r} is all of: {', '.join(said)}",
        why="each of these holds of some trial, but never all of them of one" if len(said) > 1 else None,
        hint="see `harness list` for names, levels and seeds",
    )
