"""The scoring child: `python -m harness.score.worker JOB.json [--progress FD]`.

Imports lm-eval once, loads each checkpoint once, asks it every task of the job, and writes each score as soon as it is
known. What goes wrong with one task or one checkpoint is told and does not stop the others. Without `--progress` the
progress lines go to stdout, so that a job can be replayed by hand.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from harness.errors import HarnessError
from harness.records.events import encode
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score.jobs import Job, JobCheckpoint
from harness.score.scorefiles import write_score

if TYPE_CHECKING:
    from harness.score.backends import Opener
    from harness.score.evaluation import Evaluator

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PACKAGES = ("lm_eval", "transformers", "torch", "peft", "vllm")


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
        run(job, Teller(out))
    return 0


class Teller:
    """Writes progress lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def tell(self, kind: str, **values: Any) -> None:
        """One line."""
        self._out.write(encode({"kind": kind, **values}))
        self._out.flush()


def run(job: Job, teller: Teller) -> None:
    """Scores every checkpoint of the job on its tasks."""
    from harness.score.evaluation import Evaluator

    module, _, name = job.opener.partition(":")
    opener: Opener = getattr(importlib.import_module(module), name)(job)
    evaluator = Evaluator(job.tasks, job.flags)
    hashes = {task.name: task.hash for task in job.tasks}
    teller.tell("ready")
    for checkpoint in job.checkpoints:
        _score_checkpoint(job, checkpoint, opener, evaluator, hashes, teller)
    teller.tell("end")


def _score_checkpoint(
    job: Job, checkpoint: JobCheckpoint, opener: Opener, evaluator: Evaluator, hashes: dict[str, str], teller: Teller
) -> None:
    folder = RunFolder(Path(checkpoint.folder))
    left = list(checkpoint.tasks)
    teller.tell("open", folder=checkpoint.folder)
    try:
        with opener.lm(folder.checkpoint) as lm:
            while left:
                task = left[0]
                teller.tell("start", folder=checkpoint.folder, task=task)
                try:
                    metrics = _score_task(job, checkpoint, task, evaluator, lm, hashes[task])
                except Exception as error:
                    _failed(teller, checkpoint.folder, task, error)
                else:
                    teller.tell("done", folder=checkpoint.folder, task=task, metrics=metrics)
                left.pop(0)
    except Exception as error:
        for task in left:
            _failed(teller, checkpoint.folder, task, error)


def _score_task(
    job: Job, checkpoint: JobCheckpoint, task: str, evaluator: Evaluator, lm: Any, task_hash: str
) -> dict[str, float]:
    began = time.monotonic()
    found = evaluator.evaluate(lm, task)
    score = Score(
        task=task,
        backend=job.backend,
        metrics=found.metrics,
        stderr=found.stderr,
        higher_is_better=found.higher_is_better,
        n_documents=len(found.documents),
        task_hash=task_hash,
        task_version=found.version,
        weights_hash=checkpoint.weights_hash,
        flags=dict(job.flags),
        versions=_versions(),
        scored_at=datetime.now(UTC).isoformat(timespec="seconds"),
        duration_s=round(time.monotonic() - began, 3),
        notes=found.notes,
    )
    write_score(RunFolder(Path(checkpoint.folder)), score, found.documents)
    return found.metrics


def _failed(teller: Teller, folder: str, task: str, error: Exception) -> None:
    traceback.print_exception(error)  # stderr is the log
    teller.tell("failed", folder=folder, task=task, cause=cause_of(error))


def cause_of(error: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(error, HarnessError):
        return "; ".join(problem.what + (f": {problem.why}" if problem.why else "") for problem in error.problems)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


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
