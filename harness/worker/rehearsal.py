"""A stand-in for training that takes real time and misbehaves on demand: tries the processes around it in milliseconds.

`--train harness.worker.rehearsal:train` makes a nursery (or `python -m harness.worker`) use it. It imports nothing
heavy, so `--preload none` goes with it. What it does comes from the spec's `train`:

    behaviour   a key of `BEHAVIOURS`, or a list with one per attempt (its last repeats); default `ok`
    steps       how many made-up steps, default 3
    step_s      seconds per step, default 0.01
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from harness.records.events import Event, encode
from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder, write_json
from harness.worker.guard import Stopped

_FOREVER_S = 3600.0


def train(folder: RunFolder, attempt: Attempt) -> Outcome:
    """Steps through made-up work, misbehaves after the first half, and leaves a checkpoint when it ends well."""
    spec = folder.spec() or {}
    options: dict[str, Any] = dict(spec.get("train") or {})
    began, at = time.monotonic(), datetime.now(UTC)
    log = _Log(attempt)
    steps = int(options.get("steps", 3))
    log.add(kind="phase", name="train", edge="start")
    for step in range(1, steps + 1):
        if step == steps // 2 + 1:
            BEHAVIOURS[_behaviour(options, attempt)]()
        time.sleep(float(options.get("step_s", 0.01)))
        log.add(kind="step", step=step, wall_s=0.01, real_tokens=100, measured=True)
    log.add(kind="phase", name="train", edge="end")
    write_json(folder.checkpoint / "rehearsal.json", {"attempt": attempt.number})
    return Outcome(
        outcome="ok",
        attempt=attempt.number,
        started_at=at.isoformat(timespec="milliseconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=time.monotonic() - began,
    )


class _Log:
    """Appends events at once, so that a watcher sees every step."""

    def __init__(self, attempt: Attempt) -> None:
        self._path = attempt.events
        self._began = time.monotonic()

    def add(self, **fields: Any) -> None:
        event: Event = {"t": time.monotonic() - self._began, **fields}
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(encode(event))


def _behaviour(options: dict[str, Any], attempt: Attempt) -> str:
    chosen = options.get("behaviour", "ok")
    return str(chosen if isinstance(chosen, str) else chosen[min(attempt.number, len(chosen)) - 1])


def _crash() -> None:
    raise RuntimeError("rehearsed crash\nwith a second line")


def _exit() -> None:
    print("rehearsed exit", flush=True)
    os._exit(3)


def _full_device() -> None:
    """Ends as bitsandbytes ends a process that the device has no memory for, and the system's own words come after."""
    print("Error out of memory at line 74 in file /src/csrc/ops.cu", file=sys.stderr, flush=True)
    print("terminate called without an active exception", file=sys.stderr, flush=True)
    os._exit(1)


def _leave() -> None:
    sys.exit("a library called sys.exit")


def _die() -> None:
    print("rehearsed death", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _fault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang() -> None:
    time.sleep(_FOREVER_S)


def _deaf() -> None:
    """Hangs on, whoever asks it to stop."""
    while True:
        try:
            time.sleep(_FOREVER_S)
        except Stopped:
            print("not stopping", flush=True)


def _swallow() -> None:
    """Hangs, and makes an error of the request to stop, as some libraries do."""
    try:
        time.sleep(_FOREVER_S)
    except BaseException as error:
        raise RuntimeError("wrapped by a library") from error


def _helpers() -> None:
    """Hangs with a helper process that ignores SIGTERM, as data loaders may."""
    code = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep({_FOREVER_S})"
    subprocess.Popen([sys.executable, "-c", code])
    time.sleep(_FOREVER_S)


def _full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint/model.safetensors")


def _memory() -> None:
    raise MemoryError("rehearsed")


def _grow() -> None:
    """Holds 64 MiB of its own and hangs."""
    held = bytearray(os.urandom(1)) * (64 * 2**20)
    time.sleep(_FOREVER_S)
    del held


BEHAVIOURS: dict[str, Callable[[], None]] = {
    "ok": lambda: None,
    "crash": _crash,
    "exit": _exit,
    "full_device": _full_device,
    "leave": _leave,
    "die": _die,
    "fault": _fault,
    "hang": _hang,
    "deaf": _deaf,
    "swallow": _swallow,
    "helpers": _helpers,
    "full_disk": _full_disk,
    "memory": _memory,
    "grow": _grow,
}
