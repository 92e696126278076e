"""Scoring on a device of its own while training goes on: a thread of the parent, with one scoring child at a time.

What ends while a child runs waits, and the next child gets all of it, so that an engine starts once for everything that
came meanwhile. The child sees another device than the training. What it takes of the processor's cores is seen by the
trial itself, which then counts as disturbed; that scoring went on at all is noted in the trial's events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from harness.errors import HarnessError, Interrupted
from harness.records.events import encode
from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder

_LEAST_S = 0.1
"""A shorter time beside a trial is not worth a note: there was nothing to score."""

_JOIN_S = 0.2


class Stopped(Exception):
    """Training ended with an error: what is being scored is left, and the next run scores it."""


class Beside:
    """A context manager: leaving it waits for the child that runs, or ends it where training ended with an error.

    `score` scores run folders, and calls `check` of this object while it does; `tell` hears why scoring ended early.
    """

    def __init__(self, score: Callable[[Sequence[RunFolder]], object], tell: Callable[[str], None]) -> None:
        self._score, self._tell = score, tell
        self._changed = threading.Condition()
        self._waiting: list[RunFolder] = []
        self._over = self._stopped = False
        self._times: list[tuple[float, float | None]] = []  # of every round, by the clock that outcomes go by
        self._noted: set[str] = set()
        self._error: BaseException | None = None
        # A daemon: a third Ctrl-C ends this process wherever it is, and the kernel its child.
        self._thread = threading.Thread(target=self._work, name="scoring beside training", daemon=True)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._changed:
            self._over = True
            self._stopped = kind is not None
            self._changed.notify()
        while self._thread.is_alive():
            self._thread.join(_JOIN_S)
        if self._error is not None and kind is None:
            raise self._error

    def ended(self, folder: RunFolder) -> None:
        """A trial has ended: it is scored as soon as there is a child free for it."""
        self._note(folder)
        with self._changed:
            self._waiting.append(folder)
            self._changed.notify()

    def check(self) -> None:
        """To be called while scoring.

        Raises:
            Stopped: it is to end.
        """
        if self._stopped:
            raise Stopped

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._over)
                if self._over:
                    return  # what is left is scored after the training, on all devices
                folders, self._waiting = self._waiting, []
                self._times.append((time.time(), None))
            try:
                self._score(folders)
            except (Interrupted, Stopped):
                return
            except HarnessError as error:
                why = "; ".join(problem.what for problem in error.problems)
                self._tell(f"scoring beside the training has ended ({why}); what is left is scored after it")
                return
            except BaseException as error:
                self._error = error
                return
            finally:
                with self._changed:
                    self._times[-1] = (self._times[-1][0], time.time())

    def _note(self, folder: RunFolder) -> None:
        for attempt in folder.attempts():
            outcome = attempt.outcome()
            if outcome is None or str(attempt.path) in self._noted:
                continue
            self._noted.add(str(attempt.path))
            if (seconds := self._beside(outcome)) >= _LEAST_S:
                text = f"scoring went on beside this attempt for {seconds:.1f} s of it, on another device"
                _append(attempt, {"t": outcome.duration_s, "kind": "note", "level": "info", "text": text})

    def _beside(self, outcome: Outcome) -> float:
        """Seconds of an attempt during which something was scored."""
        try:
            begin = datetime.fromisoformat(outcome.started_at).timestamp()
        except ValueError:
            return 0.0
        end, now = begin + outcome.duration_s, time.time()
        with self._changed:
            rounds = [(start, now if stop is None else stop) for start, stop in self._times]
        return sum(max(0.0, min(end, stop) - max(begin, start)) for start, stop in rounds)


def _append(attempt: Attempt, event: dict[str, object]) -> None:
    """One event more, after the worker has ended; not behind a line that it could not finish."""
    try:
        with attempt.events.open("r+b") as file:
            if file.seek(0, 2) > 0:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    return
            file.write(encode(event).encode())
    except OSError:
        return  # an attempt without events, or a full disk, which shows where something is lost by it
