"""A scoring child that imports nothing heavy: it speaks the protocol, writes made-up scores, and dies where it is told.

A checkpoint's weights are its orders: `dies loading`, `dies on <task>`, `dies before anything`, `fails on <task>`,
`breaks the engine on <task>`, `fills its folder on <task>` (and dies), `hangs on <task>`, `is slow on <task>` (3 s,
with something in its log every 0.3 s). Scores tell in `environment` which devices it saw and what its engine was told.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from harness.records.events import encode
from harness.records.run_folder import RunFolder
from harness.score.debug import debug_score
from harness.score.jobs import Job, JobCheckpoint
from harness.score.scorefiles import write_score
from harness.score.taskfiles import TaskFile
from harness.score.worker import _end_with


def main() -> None:
    _end_with(int(sys.argv[sys.argv.index("--parent") + 1]))  # as the real one does
    job = Job.read(Path(sys.argv[1]))
    out = os.fdopen(int(sys.argv[sys.argv.index("--progress") + 1]), "w")

    def tell(kind: str, **values: str) -> None:
        out.write(encode({"kind": kind, **values}))
        out.flush()

    orders = {
        each.key: (Path(each.checkpoint) / "model.safetensors").read_text().split("\n")[0] for each in job.checkpoints
    }
    if "dies before anything" in orders.values():
        print("ImportError: no module named 'lm_eval'")
        sys.exit(3)
    tell("ready")
    for checkpoint in job.checkpoints:
        tell("open", checkpoint=checkpoint.key)
        for task in checkpoint.tasks:
            order = orders[checkpoint.key]
            if order == "dies loading":
                die("out of memory, it seems")
            tell("start", checkpoint=checkpoint.key, task=task)
            if order == f"dies on {task}":
                die("last words")
            if order == f"hangs on {task}":
                time.sleep(600)
            if order == f"is slow on {task}":
                for part in range(10):
                    print(f"{part}/10", flush=True)
                    time.sleep(0.3)
            if order == f"breaks the engine on {task}":
                print("EngineDeadError: it was too much", flush=True)
                tell("crashed", checkpoint=checkpoint.key, task=task, cause="EngineDeadError: it was too much")
                sys.exit(70)
            if order == f"fills its folder on {task}":
                Path(str(job.scratch), "merged.safetensors").write_bytes(bytes(1000))
                die("too much")
            if order == f"fails on {task}":
                tell("failed", checkpoint=checkpoint.key, task=task, cause="RuntimeError: no such luck")
            else:
                keep(job, checkpoint, task)
                tell("done", checkpoint=checkpoint.key, task=task)
    tell("end")


def die(words: str) -> None:
    print(words, flush=True)
    print("Running requests:  50%|██   | 1/2 [00:00<00:00, 1.00it/s]", end="\r", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def keep(job: Job, checkpoint: JobCheckpoint, name: str) -> None:
    task = next(task for task in job.tasks if task.name == name)
    folder = RunFolder(Path(checkpoint.folder))
    file = TaskFile(name=name, path=Path(task.path), hash=task.hash)
    score, documents = debug_score(folder, file, weights_hash=checkpoint.weights_hash, flags=job.flags)
    seen = {"devices": os.environ.get("CUDA_VISIBLE_DEVICES"), "engine": dict(job.engine)}
    notes = (*score.notes, *job.notes)
    write_score(folder, replace(score, backend=job.backend, notes=notes, environment=seen), documents)


if __name__ == "__main__":
    main()
