"""One attempt under watch: its time, its memory, its figures, the user's Ctrl-C, and how it ended."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from harness.execute import disk
from harness.execute.engine import Exit, Handle
from harness.execute.interrupts import Interrupts
from harness.execute.live import Tail
from harness.execute.memory import OomKills, unique_memory
from harness.execute.record import ended, log_end
from harness.measure import oom
from harness.measure.redact import redact_file, redactor
from harness.records.outcome import Outcome, OutcomeName
from harness.records.plan import Trial
from harness.records.progress import Observer
from harness.records.run_folder import Attempt
from harness.records.spec import Spec
from harness.records.units import format_size

POLL_S = 0.25
MEMORY_POLL_S = 1.0
EXIT_UNWRITTEN = 74
"""A worker's exit code when its outcome.json could not be written (harness.worker.nursery says it too)."""


LAST_WORDS = "; its last words: "
"""What stands in a cause before the end of the worker's log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How an attempt is bounded. `grace_s`: seconds between asking a worker to stop and killing it."""

    grace_s: float = 10.0
    poll_s: float = POLL_S
    memory_poll_s: float = MEMORY_POLL_S
    memory_of: Callable[[int], int | None] = unique_memory
    oom_kills: OomKills = field(default_factory=OomKills)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Why the parent ended an attempt."""

    outcome: OutcomeName
    cause: str


@dataclass(kw_only=True, slots=True)
class Watch:
    """Watches one attempt until it has ended; `outcome()` is then on disk."""

    trial: Trial
    spec: Spec
    attempt: Attempt
    handle: Handle
    observer: Observer
    interrupts: Interrupts
    limits: Limits
    _began: float = field(default_factory=time.monotonic)
    _at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _begun: float | None = None
    _verdict: _Verdict | None = None
    _kill_at: float | None = None
    _killed: bool = False
    _memory_at: float = 0.0
    _peak_memory: int = 0

    def outcome(self) -> Outcome:
        """Blocks until the attempt has ended; its outcome, which outcome.json then holds.

        Raises:
            FolderError: the disk is full, or the outcome could not be written; the suite cannot go on.
            InputError: attempts cannot run here at all.
        """
        kills = self.limits.oom_kills.count()
        tail = Tail(self.attempt.events, _planned_steps(self.spec))
        try:
            while (end := self.handle.wait(self.limits.poll_s)) is None:
                self._turn(tail)
        except BaseException:
            self.handle.kill()
            raise
        if tail.read():
            self._show(tail)
        return self._judge(end, kills)

    def _turn(self, tail: Tail) -> None:
        now = time.monotonic()
        if self._begun is None and self.handle.begun:
            self._begun = now
        if tail.read() or tail.phase is None:
            self._show(tail)
        if self._verdict is None:
            self._verdict = self._breach(now)
            if self._verdict is not None and self._verdict.outcome != "oom":
                self._kill_at = now + self.limits.grace_s
                self.handle.stop()
        overdue = self._kill_at is None or now >= self._kill_at or self.interrupts.now
        if self._verdict is not None and overdue and not self._killed:
            # Out of memory is killed without grace: what it would do to stop cleanly needs memory too.
            self._killed = True
            self.handle.kill()

    def _show(self, tail: Tail) -> None:
        elapsed = time.monotonic() - (self._begun or self._began)
        self.observer.live(tail.live(self.trial, self.attempt.number, elapsed))

    def _breach(self, now: float) -> _Verdict | None:
        """What ends the attempt now, if anything."""
        if self.interrupts.stop:
            return _Verdict("interrupted", f"stopped by the user ({self.interrupts.name})")
        if self._begun is not None and now - self._begun > self.spec.timeout_s:
            return _Verdict("timeout", f"it ran longer than its limit of {self.spec.timeout_s:g} s (limits.timeout)")
        return self._memory_breach(now)

    def _memory_breach(self, now: float) -> _Verdict | None:
        limit, pid = self.spec.host_memory, self.handle.pid
        if limit is None or pid is None or now < self._memory_at:
            return None
        self._memory_at = now + self.limits.memory_poll_s
        used = self.limits.memory_of(pid) or 0
        self._peak_memory = max(self._peak_memory, used)
        if used <= limit:
            return None
        return _Verdict("oom", _over(used, limit))

    def _judge(self, end: Exit, kills: int | None) -> Outcome:
        written = self.attempt.outcome()
        if written is not None and (self._verdict is None or written.outcome != "interrupted"):
            # it ended by itself, perhaps just before it was to be stopped
            return self._held_too_much(written) or self._full_disk(written)
        if written is None:
            redact_file(
                self.attempt.log, redactor()
            )  # its worker did not get there, and its last words are in the cause
        if self._verdict is not None:
            outcome = self._ended_by_us(written, self._verdict)
        else:
            killed = end.lost is not None or end.signal == signal.SIGKILL
            outcome = self._made(*self._fate(end, kills))
            outcome = replace(outcome, killed=killed and outcome.outcome == "crashed")
            outcome = self._full_disk(outcome, unwritten=end.code == EXIT_UNWRITTEN)
        return self._close(outcome)

    def _held_too_much(self, written: Outcome) -> Outcome | None:
        """`oom` where it ended well, and its own samples tell of more than it may hold: no peak is lost on them."""
        limit, peak = self.spec.host_memory, written.summary.get("peak_host_memory", 0)
        if written.outcome != "ok" or limit is None or peak <= limit:
            return None
        cause = f"{_over(int(peak), limit)}; so briefly that it trained to its end"
        return self._close(replace(written, outcome="oom", cause=cause))

    def _ended_by_us(self, written: Outcome | None, verdict: _Verdict) -> Outcome:
        if written is not None:
            return replace(written, outcome=verdict.outcome, cause=verdict.cause)
        cause = verdict.cause
        if self._killed and verdict.outcome != "oom":
            cause += "; it did not stop by itself and was killed"
        return self._made(verdict.outcome, cause)

    def _fate(self, end: Exit, kills: int | None) -> tuple[OutcomeName, str]:
        """How a worker ended that nobody asked to end and that left no outcome."""
        if end.unable:
            return "crashed", end.unable
        if ran_out := oom.last_words(log_end(self.attempt.log, lines=20, most=4000)):
            return "oom", f"out of device memory, and a library ended the worker: {ran_out}"
        last = log_end(self.attempt.log)
        said = f"{LAST_WORDS}{last}" if last else ""
        if end.lost:
            return "crashed", end.lost + said
        if end.signal is not None:
            after = self.limits.oom_kills.count()
            if end.signal == signal.SIGKILL and kills is not None and after is not None and after > kills:
                return "oom", "host memory: the kernel's out-of-memory killer ended it"
            return "crashed", f"killed by signal {end.signal} ({_signal_name(end.signal)}){said}"
        return "crashed", f"it ended with exit code {end.code} and no outcome{said}"

    def _made(self, name: OutcomeName, cause: str) -> Outcome:
        return ended(
            self.attempt,
            name,
            cause,
            started=self._at,
            duration_s=time.monotonic() - (self._begun or self._began),
            host_memory=self._peak_memory,
        )

    def _full_disk(self, outcome: Outcome, *, unwritten: bool = False) -> Outcome:
        """The outcome itself, unless the disk is full: that is not the trial's doing, and would end every other too."""
        if outcome.outcome != "crashed" or not (unwritten or disk.is_full(self.attempt.path, outcome.cause)):
            return outcome
        self._close(replace(outcome, outcome="interrupted", cause=f"the disk is full; {outcome.cause}"))
        raise disk.full(self.attempt.path)

    def _close(self, outcome: Outcome) -> Outcome:
        with disk.writing(self.attempt.outcome_file):
            for torn in self.attempt.path.glob(".*.tmp"):
                torn.unlink(missing_ok=True)  # of a writer that was killed
            self.attempt.close(outcome)
        return outcome


def _over(held: int, limit: int) -> str:
    """The cause of a worker that held more than it may."""
    return f"host memory: it held {format_size(held)}, its limit is {format_size(limit)} (limits.host_memory)"


def _planned_steps(spec: Spec) -> int | None:
    steps = spec.train.get("max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return "unknown"
