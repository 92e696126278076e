"""The environments that cells are trained in: what is in them, and what is not known of them yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import Problem
from harness.methods.catalog import NOT_BUILT
from harness.methods.requirements import Installed
from harness.plan.draft import Draft
from harness.plan.training import Training
from harness.records.suite import Suite

_MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of a suite's environments before anything runs; nothing is built for it."""

    suite: Suite
    training: Training

    def has(self, environment: str | None) -> Installed | None:
        """What tells whether a distribution is in an environment; None for the harness's own.

        Of one that is not built it is known what it is declared to have, and nothing more.
        """
        if environment is None:
            return None
        known = self.training.known(environment)
        installed = known.packages if known is not None else None
        there: Collection[str] = _named(self.suite, environment) if installed is None else installed
        return there.__contains__

    def doubts(self, drafts: Sequence[Draft]) -> list[Problem]:
        """A warning for each environment that cells are trained in and whose TRL is not known yet."""
        catalog = self.training.catalog
        if catalog is None:
            return []
        used = dict.fromkeys(draft.config["environment"] for draft in drafts)
        return [self._doubt(name, catalog.unread[name], catalog.versions) for name in used if name in catalog.unread]

    def _doubt(self, name: str, why: str, versions: Any) -> Problem:
        unsettled = self.training.unsettled.get(name, {})
        paths = list(unsettled)
        more = f" and {len(paths) - _MOST_SHOWN} more" if len(paths) > _MOST_SHOWN else ""
        builds = f"`harness run` builds it and checks again; or: harness env build {name} --file {self.suite.file}"
        refused = f", which would refuse {', '.join(paths[:_MOST_SHOWN])}{more}" if paths else ""
        return Problem(
            what=f"`train` of cells in environment {name!r} was checked against the harness's own TRL "
            f"{versions.get('trl', '?')}{refused}",
            where=self.suite.where("environments", name),
            why=f"the environment's own TRL is not known: {why}",
            hint=builds if why == NOT_BUILT else "its trials will show whether it can train",
        )


def _named(suite: Suite, environment: str) -> frozenset[str]:
    """Normalised names of the packages that an environment is declared to have."""
    from harness import environments  # most suites declare none

    fields = suite.environments.get(environment)
    return frozenset(environments.declare(environment, fields).named()) if fields is not None else frozenset()
