"""The scoring child: `python -m harness.score.worker JOB.json [--progress FD]`.

Imports lm-eval once, loads each checkpoint once, asks it every task of the job, and writes each score as soon as it is
known. What goes wrong with one task or one checkpoint is told and does not stop the others; an engine that dies ends
the child, and the parent goes on with another. Without `--progress` the progress lines go to stdout, so that a job can
be replayed by hand.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from harness.errors import HarnessError
from harness.records.events import encode
from harness.score.jobs import Job

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENGINE_DIED = 70  # sysexits.h: EX_SOFTWARE


def main(arguments: Sequence[str] | None = None) -> int:
    """Scores one job file. Returns the exit code: 0 when everything was tried, 2 for a file that is no job."""
    parser = argparse.ArgumentParser(prog="python -m harness.score.worker")
    parser.add_argument("job", type=Path)
    parser.add_argument("--progress", type=int, default=None, metavar="FD")
    parser.add_argument("--parent", type=int, default=None, metavar="PID", help="end when this process does")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        _end_with(options.parent)
    try:
        job = Job.read(options.job)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with _progress(options.progress) as out:
        return run(job, Teller(out))


class Teller:
    """Writes progress lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def tell(self, kind: str, **values: Any) -> None:
        """One line."""
        self._out.write(encode({"kind": kind, **values}))
        self._out.flush()


def run(job: Job, teller: Teller) -> int:
    """Does the job. Returns the exit code."""
    from harness.score.scoring import EngineDied, Scoring

    module, _, name = job.opener.partition(":")
    teller.tell("doing", text=f"importing what {job.backend} needs")
    opener = getattr(importlib.import_module(module), name)(job)
    scoring = Scoring(job, opener, teller.tell)
    teller.tell("ready")
    try:
        for checkpoint in job.checkpoints:
            scoring.score(checkpoint)
        scoring.finish()
        scoring.overlaps()
    except EngineDied:
        return _ENGINE_DIED
    finally:
        opener.close()
    teller.tell("end")
    return 0


def _progress(descriptor: int | None) -> TextIO:
    if descriptor is None:
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.set_inheritable(descriptor, False)  # what lm-eval starts must not keep the pipe open
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _end_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent dies, however it dies (Linux; elsewhere the pipe breaks)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
