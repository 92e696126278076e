"""Choosing among trials that have run, by globs over their names and ids; `plan.select` does so among those to run."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from harness.errors import Problem, SelectionError, did_you_mean
from harness.records.request import Choice


class Ran(Protocol):
    """A trial that has run, or one attempt of it."""

    @property
    def name(self) -> str:
        """Its own name."""

    @property
    def cell_name(self) -> str:
        """That of its cell."""

    @property
    def trial_id(self) -> str:
        """Its id."""

    @property
    def cell_id(self) -> str:
        """That of its cell."""


OneRan = TypeVar("OneRan", bound=Ran)


def chosen(trials: Sequence[OneRan], choice: Choice) -> list[OneRan]:
    """Those that `only` chooses (all when empty) and `skip` does not, in their order.

    Raises:
        SelectionError: a glob that matches none, or nothing left.
    """
    names = {name for one in trials for name in (one.name, one.cell_name)}
    unknown = [glob for glob in (*choice.only, *choice.skip) if not any(matches(glob, one) for one in trials)]
    if unknown:
        hint = "{}; `harness list SUITE` has them all"
        raise SelectionError(
            problems=[
                Problem(what=f"{glob!r} matches no trial", hint=hint.format(did_you_mean(glob.strip("*?"), names)))
                for glob in unknown
            ]
        )
    kept = narrowed(trials, choice)
    if trials and not kept:
        raise SelectionError.of("--only and --skip leave no trial", hint="see `harness list SUITE` for their names")
    return kept


def narrowed(trials: Sequence[OneRan], choice: Choice) -> list[OneRan]:
    """The same, where there may be none and a glob may match nothing."""
    return [
        one
        for one in trials
        if (not choice.only or any(matches(glob, one) for glob in choice.only))
        and not any(matches(glob, one) for glob in choice.skip)
    ]


def matches(glob: str, one: Ran) -> bool:
    """Whether a glob is of the trial's or its cell's name or id."""
    return any(fnmatchcase(name, glob) for name in (one.name, one.cell_name, one.trial_id, one.cell_id))
