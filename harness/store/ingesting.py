"""The store kept up with the run folders while they are made, whoever else looks into it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.errors import StoreError
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder
from harness.store.connection import Held
from harness.store.store import Store

_HURRIED_S = 0.5
"""Patience with a store that was in use already: every trial of a run would wait for it."""


@dataclass(slots=True)
class Ingesting:
    """Takes run folders into the store and tells the observer what in them could not be read."""

    store: Store
    observer: Observer
    _behind: bool = field(default=False, init=False)

    def now(self, *folders: RunFolder) -> None:
        """Takes them in.

        Raises:
            StoreError: as `Store.ingest`.
        """
        self._take(self.store, folders)

    def at_first(self, *folders: RunFolder) -> None:
        """The same before anything has run: a store that is only in use is no reason not to begin.

        Raises:
            StoreError: the store cannot be used: damaged, of another version, the disk is full, …
        """
        try:
            self.now(*folders)
        except Held as error:
            self._put_off(error)

    def when_it_can(self, *folders: RunFolder) -> None:
        """The same during a run, which goes on without the store; a later `now` catches up. Told once."""
        try:
            self._take(replace(self.store, patience_s=_HURRIED_S) if self._behind else self.store, folders)
        except StoreError as error:
            self._put_off(error)

    def _take(self, store: Store, folders: tuple[RunFolder, ...]) -> None:
        done = store.ingest(folders)
        if done.renewed:
            self.observer.message(f"{store.path} was of an older version and has been made anew from the run folders")
        for problem in done.problems:
            self.observer.message(problem.render("warning"))

    def _put_off(self, error: StoreError) -> None:
        if not self._behind:
            self._behind = True
            said = "; ".join(f"{problem.what} ({problem.why})" for problem in error.problems)
            self.observer.message(
                f"warning: {said}; results lie safe in their run folders, and are stored when everything has run"
            )
