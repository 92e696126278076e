"""`python -m harness.worker RUN_FOLDER`: trains a new attempt of one trial alone, in the foreground.

In the trial's own environment, whichever Python it was called by.
"""

from __future__ import annotations

import argparse
import faulthandler
import fcntl
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_TRIALS_FAILED, FolderError, HarnessError
from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder
from harness.worker.attend import DEFAULT_TRAIN, attend, find_train
from harness.worker.guard import quiet_environment
from harness.worker.place import go_there
from harness.worker.ranks import ALONE, Rank, announce, join, rank_here


def main(argv: Sequence[str] | None = None) -> int:
    """Trains and prints the outcome; 0 when it is `ok`, 5 when not, 130 when stopped, 2 when there is no such trial."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.worker", description="Train a new attempt of one trial, in the foreground."
    )
    parser.add_argument("folder", type=Path, help="a run folder: results/<suite>/<trial id>")
    parser.add_argument("--train", default=DEFAULT_TRAIN, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        go_there(RunFolder(options.folder.resolve()), list(sys.argv[1:] if argv is None else argv))
        rank = rank_here()
        outcome = train_alone(RunFolder(options.folder.resolve()), options.train, rank)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: the run folder cannot be written: {error}", file=sys.stderr)
        return EXIT_INPUT
    if rank.number == 0:
        print(_line(outcome))
    if outcome.outcome == "interrupted":
        return EXIT_INTERRUPTED
    return EXIT_OK if outcome.outcome == "ok" else EXIT_TRIALS_FAILED


def train_alone(folder: RunFolder, train: str = DEFAULT_TRAIN, rank: Rank = ALONE) -> Outcome:
    """A new attempt of the trial in `folder`, trained in this process together with those of the other ranks, if any.

    Raises:
        FolderError: the folder holds no trial, or another process is training it.
        InputError: the main process of this rank's training has begun no attempt.
    """
    if folder.spec() is None:
        raise FolderError.of(
            f"{folder.path} holds no trial",
            why="there is no readable spec.json in it",
            hint="name a folder such as results/<suite>/<trial id>; `harness list` shows them",
        )
    quiet_environment()
    if rank.number > 0:
        return attend(folder, join(folder, rank), find_train(train), signal.SIGTERM, signal.SIGINT)
    attempt = _own_attempt(folder)
    with attempt.log.open("a", encoding="utf-8") as log:
        # Held until the end: a run of the suite sees by it that this attempt is alive.
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("trained in the foreground; the output went to the terminal", file=log, flush=True)
        announce(attempt, rank)
        return attend(folder, attempt, find_train(train), signal.SIGTERM, signal.SIGINT)


def _own_attempt(folder: RunFolder) -> Attempt:
    last = folder.last_attempt()
    if last is not None and last.outcome() is None and last.log.exists():
        with last.log.open("a", encoding="utf-8") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderError.of(
                    f"attempt {last.number} of this trial is being trained by another process",
                    hint="wait until it has ended, or stop it",
                ) from None
    return folder.new_attempt()


def _line(outcome: Outcome) -> str:
    parts = [f"attempt {outcome.attempt}: {outcome.outcome} after {outcome.duration_s:.1f} s"]
    if outcome.phase and outcome.outcome != "ok":
        parts.append(f"in phase {outcome.phase}")
    if outcome.cause:
        parts.append(outcome.cause)
    return ", ".join(parts)


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
