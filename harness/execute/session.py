"""One process's hold on a suite, from its first trial to its report: nobody else's turn, and Ctrl-C understood."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import Interrupted, Problem
from harness.execute import lock
from harness.execute.interrupts import Interrupts
from harness.records.run_folder import read_json, suite_folder, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A suite that this process holds, and the interrupts it has heard since.

    `id` tells the attempts of one session from those of another: its start (UTC), and letters by chance.
    """

    results: Path
    suite: str
    interrupts: Interrupts
    id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")

    def doing(self, text: str) -> None:
        """Leaves word of what is being done outside trials, for `status` in another terminal."""
        with contextlib.suppress(OSError):  # a courtesy: a disk that is full shows where something is lost by it
            write_json(_progress_file(self.results, self.suite), {"doing": text})

    def meanwhile(self, text: str | None) -> None:
        """The same of what is done while trials go on; None when that has ended."""
        file = _progress_file(self.results, self.suite)
        with contextlib.suppress(OSError):
            if text is None:
                file.unlink(missing_ok=True)
            else:
                write_json(file, {"doing": text, "meanwhile": True})

    def check(self) -> None:
        """To be called between pieces of work, and every moment while waiting.

        Raises:
            Interrupted: the user wants it to stop.
        """
        if self.interrupts.stop:
            raise interrupted(self.interrupts, doing(self.results, self.suite))


@contextlib.contextmanager
def session(results: Path, suite: str) -> Iterator[Session]:
    """Holds the suite and counts interrupts until the end of the block. To be entered in the main thread.

    Raises:
        HeldError: another process holds the suite.
        FolderError: the folder cannot be made or written.
    """
    with Interrupts() as interrupts, lock.hold(results, suite):
        progress = _progress_file(results, suite)
        progress.unlink(missing_ok=True)  # of one that was killed
        try:
            yield Session(results=results, suite=suite, interrupts=interrupts)
        finally:
            with contextlib.suppress(OSError):
                progress.unlink(missing_ok=True)


def doing(results: Path, suite: str) -> str | None:
    """What the holder of the suite is doing outside trials; None when nobody said."""
    said = (read_json(_progress_file(results, suite)) or {}).get("doing")
    return said if isinstance(said, str) else None


def in_trials(results: Path, suite: str) -> bool:
    """Whether trials go on beside what the holder says that it is doing, if it says anything."""
    said = read_json(_progress_file(results, suite)) or {}
    return "doing" not in said or said.get("meanwhile") is True


def interrupted(interrupts: Interrupts, why: str | None) -> Interrupted:
    """The error for a run that the user stopped; `why` says how far it had come."""
    hint = "run the same command again to go on from here"
    return Interrupted(problems=(Problem(what=f"stopped by the user ({interrupts.name})", why=why, hint=hint),))


def _progress_file(results: Path, suite: str) -> Path:
    return suite_folder(results, suite) / "progress.json"
