"""Processes that train one trial together, data parallel: `torchrun --nproc-per-node N -m harness.worker RUN_FOLDER`.

The main process (rank 0) makes the attempt, says so in it, and writes what there is one of: environment, checkpoint,
outcome. The others find the attempt and write their own events beside the main one's (`Attempt.rank`). Nobody waits for
anybody because of measuring.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import InputError
from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder, read_json, write_json

PATIENCE_S = 60.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of the `size` processes this is."""

    number: int = 0
    size: int = 1


ALONE = Rank()


def rank_here(environment: Mapping[str, str] = os.environ) -> Rank:
    """This process's rank, by the variables that torchrun and its like set.

    Raises:
        InputError: the processes are spread over several machines.
    """
    rank = Rank(int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1")))
    here = int(environment.get("LOCAL_WORLD_SIZE", str(rank.size)))
    if here != rank.size:
        raise InputError.of(
            f"{rank.size} processes train, {here} of them on this machine",
            why="a trial's processes are measured together, which works on one machine only",
            hint="start it there: torchrun --standalone --nproc-per-node N -m harness.worker RUN_FOLDER",
        )
    return rank


def own_device(environment: Mapping[str, str] = os.environ) -> int | None:
    """The CUDA device that the launcher means for this process; None where it trains alone."""
    if rank_here(environment).size == 1:
        return None
    return int(environment.get("LOCAL_RANK", "0"))


def announce(attempt: Attempt, rank: Rank) -> None:
    """Tells the other processes which attempt is theirs too."""
    if rank.size > 1:
        write_json(_announcement(attempt), _launch(rank))


def join(folder: RunFolder, rank: Rank, patience_s: float = PATIENCE_S) -> Attempt:
    """The attempt that the main process has announced, as this rank sees it.

    Raises:
        InputError: it has announced none.
    """
    deadline = time.monotonic() + patience_s
    while True:
        last = folder.last_attempt()
        if last is not None and last.outcome() is None and read_json(_announcement(last)) == _launch(rank):
            return replace(last, rank=rank.number)
        if time.monotonic() >= deadline:
            raise InputError.of(
                f"process {rank.number} of {rank.size} found no attempt to join in {folder.path}",
                why="the main process (RANK=0) has begun none, or another launcher started it",
                hint="start all of them at once: torchrun --standalone --nproc-per-node N -m harness.worker RUN_FOLDER",
            )
        time.sleep(_POLL_S)


def of_all(attempt: Attempt, outcome: Outcome) -> Outcome:
    """The main process's outcome, told by what happened to another where that is why it ended.

    A process that fails takes the others with it: all that they see is a connection that broke, or their launcher's
    signal. Where it ran out of memory or diverged, so did the trial; where it crashed, its cause stands beside.
    """
    if outcome.outcome not in ("crashed", "interrupted"):
        return outcome
    for path in sorted(attempt.path.glob("outcome.rank*.json")):
        number = int(path.name.split(".")[1].removeprefix("rank"))
        other = replace(attempt, rank=number).outcome()
        if other is None or other.cause == outcome.cause:
            continue
        if other.outcome in ("oom", "diverged"):
            return replace(outcome, outcome=other.outcome, phase=other.phase, cause=f"{other.cause} (process {number})")
        if other.outcome == "crashed":
            return replace(outcome, cause=f"{outcome.cause}; process {number}: {other.cause}")
    return outcome


def _announcement(attempt: Attempt) -> Path:
    return attempt.path / "ranks.json"


def _launch(rank: Rank) -> dict[str, int]:
    """What only processes of the same start have in common."""
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    return {"launcher": os.getppid(), "restarts": restarts, "size": rank.size}
