"""One attempt from its start to its outcome.json, whatever the training does; used by both ways into a worker."""

from __future__ import annotations

import errno
import importlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from harness.errors import HarnessError, InputError, Problem, SuiteError
from harness.measure.facts import disturbed, facts
from harness.measure.summarise import summarise
from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import Attempt, RunFolder
from harness.worker.guard import Stopped, StopRequest
from harness.worker.ranks import of_all

Train = Callable[[RunFolder, Attempt], Outcome]
"""What trains one trial: `harness.worker.trial.run_trial`, or a stand-in of a test."""

DEFAULT_TRAIN = "harness.worker.trial:run_trial"


def find_train(name: str) -> Train:
    """The function that `module:function` names.

    Raises:
        ImportError, AttributeError: there is none.
    """
    module, _, function = name.partition(":")
    found: Train = getattr(importlib.import_module(module), function)
    return found


def attend(folder: RunFolder, attempt: Attempt, train: Train, *signals: signal.Signals) -> Outcome:
    """Trains, and closes the attempt with how it ended.

    Each of `signals` stops the training once, cleanly, with the outcome `interrupted`.

    Raises:
        OSError: outcome.json could not be written; the caller's exit code has to tell.
    """
    stop = StopRequest()
    clock = _Clock()
    stop.listen(*signals)
    try:
        outcome = _trained(folder, attempt, train, clock)
    except Stopped:
        outcome = clock.ended(attempt, "interrupted", f"stopped by {stop.asked}")
    stop.deaf()
    if stop.asked and outcome.outcome not in ("ok", "interrupted"):
        # The training stack caught `Stopped` and made an error of it.
        outcome = clock.ended(attempt, "interrupted", f"stopped by {stop.asked}; then: {outcome.cause}")
    if attempt.rank == 0:
        outcome = of_all(attempt, outcome)
    try:
        attempt.close(outcome)
    finally:
        stop.forget()
    return outcome


def _trained(folder: RunFolder, attempt: Attempt, train: Train, clock: _Clock) -> Outcome:
    """The training's own outcome, or the one an error that left it amounts to."""
    try:
        return train(folder, attempt)
    except MemoryError as error:
        traceback.print_exc()
        return clock.ended(attempt, "oom", f"host memory: {error or 'an allocation failed'}")
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return replace(clock.ended(attempt, "crashed", describe(error)), certain=is_certain(error))


class _Clock:
    """When the attempt began, for the outcomes that the training could not make itself."""

    def __init__(self) -> None:
        self._at = datetime.now(UTC)
        self._monotonic = time.monotonic()

    def ended(self, attempt: Attempt, name: OutcomeName, cause: str) -> Outcome:
        duration = time.monotonic() - self._monotonic
        events = attempt.readable_events()
        summary = dict(summarise(events)) if events else {}
        return attempt.ended(
            name,
            cause,
            started=self._at,
            duration_s=duration,
            summary=summary,
            facts=facts(events),
            disturbed=disturbed(events),
        )


_CERTAIN = (
    *(InputError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, NotImplementedError, AssertionError, ImportError),
)
"""What libraries raise of a configuration, or of rows: the same of both at every attempt."""


def is_certain(error: BaseException) -> bool:
    """Whether another attempt would end in this error too.

    Not where a file, a network or a device had a part in it, which torch tells as RuntimeError: these may do better.
    """
    if isinstance(error, SuiteError):
        return True
    if not isinstance(error, _CERTAIN):
        return False
    return not any(
        isinstance(one, OSError | MemoryError | EOFError)
        or (isinstance(one, RuntimeError) and not isinstance(one, NotImplementedError))
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def describe(error: BaseException) -> str:
    """An error as one line: its class and its message's first line; of the harness's own also why, and what next."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full: {error}"
    if isinstance(error, HarnessError):
        return f"{type(error).__name__}: {'; '.join(map(_in_one_line, error.problems))}"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _in_one_line(problem: Problem) -> str:
    """What is wrong, why, and what to try."""
    said = f"{problem.what}: {problem.why}" if problem.why else problem.what
    return " ".join((f"{said} (try: {problem.hint})" if problem.hint else said).split())
