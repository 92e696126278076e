"""What the parent writes into run folders: the spec, the command, and outcomes of attempts that could not say it."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.errors import HarnessError
from harness.execute import disk
from harness.measure.facts import disturbed, facts
from harness.measure.summarise import summarise
from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import Attempt, RunFolder, write_atomic, write_json
from harness.records.spec import Spec

_LOG_END = 4096


def prepare(folder: RunFolder, spec: Spec, run: str | None = None) -> Attempt:
    """Writes spec.json and command.sh, and makes the next attempt's folder; `run` is the id of the run it belongs to.

    Raises:
        FolderError: one of them could not be written.
    """
    with disk.writing(folder.path):
        write_spec(folder, spec)
        return folder.new_attempt(run)


def write_spec(folder: RunFolder, spec: Spec) -> None:
    """Writes spec.json, and command.sh, which replays it.

    Raises:
        OSError: one of them could not be written.
    """
    write_json(folder.spec_file, spec.to_json())
    write_atomic(folder.command_file, _command())
    folder.command_file.chmod(0o755)


def _command() -> str:
    python = shlex.quote(sys.executable)
    return (
        "#!/bin/sh\n"
        "# Trains this trial once more, alone, in the foreground, as a new attempt.\n"
        f'exec {python} -P -m harness.worker "$(cd "$(dirname "$0")" && pwd)"\n'
    )


def ended(
    attempt: Attempt,
    name: OutcomeName,
    cause: str,
    *,
    started: datetime,
    duration_s: float,
    host_memory: int = 0,
) -> Outcome:
    """The outcome of an attempt whose worker could not write one, with what its events tell.

    `host_memory`: the most bytes that the parent saw it hold. The worker's own samples lose no peak, so more than they
    tell came after the last of them, in the phase that was open then.
    """
    events = attempt.readable_events()
    if host_memory:
        last = events[-1].get("t", duration_s) if events else duration_s
        events.append({"kind": "memory", "t": last, "values": {"host_uss_peak": host_memory}})
    summary = dict(summarise(events)) if events else {}
    return attempt.ended(
        name,
        cause,
        started=started,
        duration_s=duration_s,
        summary=summary,
        facts=facts(events),
        disturbed=disturbed(events),
    )


def abandoned(attempt: Attempt, *, damaged: Path | None = None) -> Outcome:
    """The outcome of an attempt that nobody closed: its times are those of the last thing it wrote.

    `damaged`: where the outcome lies that it had, and that cannot be read.
    """
    events = attempt.readable_events()
    duration = float(events[-1].get("t", 0.0)) if events else 0.0
    written = [path.stat().st_mtime for path in (attempt.events, attempt.log) if path.exists()]
    last = datetime.fromtimestamp(max(written or [attempt.path.stat().st_mtime]), UTC)
    cause = "whoever ran it was killed before it ended"
    if damaged is not None:
        cause = f"its outcome.json could not be read and is kept as {damaged.name}"
    return ended(attempt, "interrupted", cause, started=last - timedelta(seconds=duration), duration_s=duration)


def broken_off(attempt: Attempt, error: HarnessError) -> None:
    """Closes an attempt that an error of the run itself ended, as `interrupted`: the trial is not to blame.

    Where the disk is full even that cannot be written; the next run then closes the attempt.
    """
    if attempt.outcome() is not None:
        return
    said = [f"{problem.what}: {problem.why}" if problem.why else problem.what for problem in error.problems]
    outcome = ended(attempt, "interrupted", "; ".join(said), started=datetime.now(UTC), duration_s=0.0)
    with contextlib.suppress(OSError):
        attempt.close(outcome)


def skipped(folder: RunFolder, spec: Spec, cause: str, run: str | None = None, *, again: bool = False) -> Outcome:
    """Records that a trial could not be tried, as an attempt of its own.

    The same cause is not recorded twice, unless `again`: where every trial is to run anew, each time is told.
    """
    last = folder.last_attempt()
    before = last.outcome() if last else None
    if not again and before is not None and before.outcome == "skipped" and before.cause == cause:
        return before
    attempt = prepare(folder, spec, run)
    outcome = ended(attempt, "skipped", cause, started=datetime.now(UTC), duration_s=0.0)
    with disk.writing(attempt.outcome_file):
        attempt.close(outcome)
    return outcome


def log_end(log: Path, lines: int = 3, most: int = 400) -> str:
    """The last lines of worker.log as one line of at most `most` characters; empty when there is none."""
    try:
        with log.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - _LOG_END))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ""
    said = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("{'")]  # not TRL's logs
    return " · ".join(said[-lines:])[-most:]
