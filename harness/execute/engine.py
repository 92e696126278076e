"""What runs attempts: the protocol that local workers, the debug engine and later engines share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.records.run_folder import Attempt, RunFolder
from harness.records.spec import Spec

if TYPE_CHECKING:
    from harness.environments import Declaration


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How a worker's process ended: by itself (`code`), by a signal, or with whoever started it (`lost` says how).

    `unable` says why there was none: its environment cannot run a worker.
    """

    code: int | None = None
    signal: int | None = None
    lost: str | None = None
    unable: str | None = None


class Handle(Protocol):
    """One running attempt."""

    @property
    def pid(self) -> int | None:
        """The worker's process id, leader of its own process group; None where there is none (yet)."""

    @property
    def begun(self) -> bool:
        """Whether the attempt itself has begun; before that the engine prepares, and no time limit runs."""

    def wait(self, timeout_s: float) -> Exit | None:
        """Blocks until the worker has ended or `timeout_s` has passed; None while it runs."""

    def stop(self) -> None:
        """Asks the worker to stop cleanly; it then closes the attempt as `interrupted`."""

    def kill(self) -> None:
        """Ends the worker, and every process it started, at once."""


class Engine(Protocol):
    """Runs attempts, one at a time."""

    def prepare(self, declarations: Iterable[Declaration], tell: Callable[[str], None]) -> None:
        """Makes the environments ready that trials are to be trained in; `tell` gets lines about what is going on.

        One that cannot be had is an obstacle to its trials, and ends nothing.
        """

    def obstacle(self, spec: Spec) -> str | None:
        """Why no attempt of the trial can be made here, while others can; None where nothing is known against it."""

    def warm(self, spec: Spec) -> None:
        """Begins what makes the first start, of this trial, slow; returns at once."""

    def restrict(self, devices: str) -> None:
        """Attempts see these CUDA devices alone, as CUDA_VISIBLE_DEVICES names them. Said before the first of them."""

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> Handle:
        """Starts one attempt of the trial in `folder`, whose spec.json is written.

        Raises:
            InputError: attempts cannot run here at all (the training stack does not import, …).
        """

    def close(self) -> None:
        """Ends everything the engine started. May be called twice; a later `start` begins anew."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The engine as it stays warm from one call of `execute` to the next: whoever made it closes it."""

    engine: Engine

    def prepare(self, declarations: Iterable[Declaration], tell: Callable[[str], None]) -> None:
        self.engine.prepare(declarations, tell)

    def obstacle(self, spec: Spec) -> str | None:
        return self.engine.obstacle(spec)

    def warm(self, spec: Spec) -> None:
        self.engine.warm(spec)

    def restrict(self, devices: str) -> None:
        self.engine.restrict(devices)

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> Handle:
        return self.engine.start(spec, folder, attempt)

    def close(self) -> None:
        """Nothing yet."""
