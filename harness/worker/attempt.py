"""One attempt in a fresh process: where a fork of the nursery would not be safe.

    python -m harness.worker.attempt RUN_FOLDER NUMBER --train module:function

The nursery's child becomes this by exec: its process group, its log, its death with the nursery stay as they are, only
the imports are made anew. `HARNESS_COLD_START` says why.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.records.run_folder import Attempt, RunFolder
from harness.worker.attend import Train, attend, find_train
from harness.worker.guard import quiet_environment

COLD_START = "HARNESS_COLD_START"

EXIT_UNWRITTEN = 74
"""A worker's exit code when its outcome.json could not be written (sysexits' EX_IOERR)."""


def become(folder: RunFolder, attempt: Attempt, train: str, why: str) -> None:
    """Replaces this process by a fresh interpreter that makes the attempt. Never returns.

    Raises:
        OSError: there is no interpreter to become.
    """
    os.environ[COLD_START] = why
    command = [sys.executable, "-P", "-m", "harness.worker.attempt", str(folder.path), str(attempt.number)]
    os.execv(sys.executable, [*command, f"--train={train}"])


def make(folder: RunFolder, attempt: Attempt, train: Train) -> None:
    """Trains in this process, the leader of its group, and ends it: 0 when the outcome is written. Never returns."""
    code = 1
    try:
        faulthandler.enable(2)  # a fault in native code leaves its Python stack in the log
        attend(folder, attempt, train, signal.SIGTERM)
        code = 0
    except OSError as error:
        print(f"the outcome could not be written: {error}", file=sys.stderr)
        code = EXIT_UNWRITTEN
    except BaseException as error:  # in a forked worker nothing may unwind into the nursery's loop
        print(f"the worker failed: {error!r}", file=sys.stderr)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # no atexit handlers of libraries: there is nothing of theirs to finish


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the attempt that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m harness.worker.attempt")
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--train", required=True)
    options = parser.parse_args(argv)
    quiet_environment()
    folder = RunFolder(options.folder)
    make(folder, Attempt(folder.path / "attempts" / str(options.number), options.number), find_train(options.train))


if __name__ == "__main__":
    main()
