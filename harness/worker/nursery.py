"""The nursery: imports the training stack once, then forks one worker per trial.

    python -m harness.worker.nursery --reply-fd N [--parent PID] [--preload default|none|a,b] [--train module:function]

Commands come as JSON lines on stdin: `{"cmd": "run", "id": …, "folder": …, "attempt": n}`. Replies go, as JSON lines,
to the descriptor N, because libraries print to stdout:

    {"ready": true, "import_s": …, "threads": …, "warning": …}   once; `warning` names what makes a fork unsafe
    {"started": pid, "id": …}
    {"exited": pid, "id": …, "status": code or null, "signal": number or null}

When stdin ends (the parent is gone) every worker's process group is killed, and the nursery exits.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.records.run_folder import Attempt, RunFolder
from harness.worker.attempt import become, make
from harness.worker.attend import DEFAULT_TRAIN, find_train
from harness.worker.guard import die_with_parent, kill_group, native_threads, quiet_environment

# Beyond the packages: what they load lazily, at a trial's first use, and what a trial needs of the harness itself.
PRELOAD = (
    "torch",
    "safetensors.torch",
    "accelerate",
    "datasets",
    "peft",
    "peft.tuners.lora",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen2.modeling_qwen2",
    "trl",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "trl.experimental.orpo",
    "harness.data",
    "harness.measure.callback",
    "harness.models.load",
)

ASK_CUDA = ("bitsandbytes",)
"""Packages that ask the device for its capability when they are imported, as PEFT does: that initialises CUDA."""

_UNIFIED_MEMORY = "/dev/nvidia-uvm"

_REMEMBER = ("transformers.utils.import_utils", "accelerate.utils.imports", "peft.import_utils", "trl.import_utils")
"""Modules whose cached functions remember which packages are installed."""


class Nursery:
    """The loop that reads commands, forks workers and reports their ends. Single-threaded, so that forks are safe."""

    def __init__(self, train: str, replies: int, unsafe: str | None = None) -> None:
        """`unsafe` says what makes a fork unsafe: then workers begin anew, at the price of their imports."""
        self._train, self._train_name = find_train(train), train
        self._replies = replies
        self._unsafe = unsafe
        self._workers: dict[int, str] = {}
        self._pending = b""
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Serves until stdin ends or SIGTERM comes; then nobody of its workers is left."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        stop: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        try:
            while not stop and self._turn():
                pass
        finally:
            for pid in self._workers:
                kill_group(pid)
            for pid in self._workers:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _turn(self) -> bool:
        """Waits for a command or a worker's end; False when the parent is gone."""
        readable, _, _ = select.select([0, self._wake_read], [], [])
        if self._wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
            self._reap()
        return self._read() if 0 in readable else True

    def _read(self) -> bool:
        chunk = os.read(0, 65536)
        if not chunk:
            return False
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["cmd"] == "run":
                self._run(command)
        return True

    def _run(self, command: dict[str, Any]) -> None:
        folder = RunFolder(Path(command["folder"]))
        number = int(command["attempt"])
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(nursery, folder, Attempt(folder.path / "attempts" / str(number), number))
        self._workers[pid] = command["id"]
        self.reply({"started": pid, "id": command["id"]})

    def _become_worker(self, nursery: int, folder: RunFolder, attempt: Attempt) -> None:
        """In the child; never returns."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to judge
            os.setsid()
            die_with_parent(signal.SIGKILL, nursery)
            _redirect(attempt.log)
            for descriptor in (self._replies, self._wake_read, self._wake_write):
                os.close(descriptor)
            if self._unsafe:
                become(folder, attempt, self._train_name, self._unsafe)
            make(folder, attempt, self._train)
        except BaseException as error:  # nothing may unwind into the nursery's loop
            print(f"the worker could not begin: {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        for pid, name in list(self._workers.items()):
            # Look without reaping first: while the leader is a zombie its group's number cannot be taken by others.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            kill_group(pid)
            _, status = os.waitpid(pid, 0)
            del self._workers[pid]
            exited = os.WIFEXITED(status)
            self.reply(
                {
                    "exited": pid,
                    "id": name,
                    "status": os.WEXITSTATUS(status) if exited else None,
                    "signal": None if exited else os.WTERMSIG(status),
                }
            )

    def reply(self, message: dict[str, Any]) -> None:
        """One line to the parent; a parent that is gone shows as the end of stdin, so a broken pipe is ignored."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._replies, (json.dumps(message) + "\n").encode())


def _redirect(log: Path) -> None:
    """stdin from nowhere, stdout and stderr into worker.log.

    The log stays locked while any process of this worker lives: that is how the next run knows
    whether an attempt without an outcome is still being trained.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with contextlib.suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)


def preload(names: Sequence[str]) -> float:
    """Imports the modules; returns the seconds it took."""
    began = time.monotonic()
    for name in names:
        with hidden(ASK_CUDA) if _has_device() else contextlib.nullcontext():
            importlib.import_module(name)
    return time.monotonic() - began


def _has_device() -> bool:
    """Whether torch, once it is imported, sees a CUDA device; asked of NVML (see `guard`), so CUDA stays untouched."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_available())


@contextlib.contextmanager
def hidden(names: Sequence[str]) -> Iterator[None]:
    """Lets packages look as if they were not installed; afterwards whoever remembers that looks again.

    What is in use already stays visible.
    """
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        sys.modules[name] = None  # type: ignore[assignment]  # importing fails now, and find_spec finds nothing
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
        for module in (sys.modules[name] for name in _REMEMBER if name in sys.modules):
            for known in list(vars(module).values()):
                if callable(getattr(known, "cache_clear", None)):
                    known.cache_clear()


def fork_warning() -> str | None:
    """What makes a fork unsafe now: Python threads, or an initialised CUDA. None when nothing does.

    Idle native threads (OpenBLAS's pool, jemalloc's) are expected: both libraries prepare themselves for forks.
    """
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        return "threads run in the nursery before the fork: " + ", ".join(others)
    if cuda_begun():
        return "CUDA is initialised in the nursery before the fork"
    return None


def cuda_begun(descriptors: Path = Path("/proc/self/fd")) -> bool:
    """Whether anything here has begun CUDA's driver, torch or not: that survives no fork.

    Where NVML does not answer, or CUDA_VISIBLE_DEVICES names a part of a device (MIG-…), torch counts devices by CUDA
    itself and does not say so; a forked worker would then see no device and train on the CPU. A driver that has begun
    holds its unified memory open, which NVML alone never opens.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return True
    return any(_target(link).startswith(_UNIFIED_MEMORY) for link in _links(descriptors))


def _links(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not Linux
        return []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile: at least the one that the folder was listed with
        return ""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.worker.nursery", description=__doc__.splitlines()[0])
    parser.add_argument("--reply-fd", type=int, required=True, help="descriptor that replies are written to")
    parser.add_argument("--parent", type=int, help="process id that must be the parent; exit when it is not")
    parser.add_argument("--preload", default="default", help="default, none, or module names with commas between")
    parser.add_argument("--train", default=DEFAULT_TRAIN, help="module:function that trains one trial")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Imports, says so, and serves."""
    options = _arguments(argv)
    if options.parent is not None:
        die_with_parent(signal.SIGTERM, options.parent)
    os.set_inheritable(options.reply_fd, False)
    quiet_environment()
    names = {"default": PRELOAD, "none": ()}.get(options.preload, tuple(options.preload.split(",")))
    import_s = preload(names)
    unsafe = fork_warning()
    nursery = Nursery(options.train, options.reply_fd, unsafe)
    gc.collect()
    gc.freeze()  # what is imported is never collected, so that a worker's collections leave these pages shared
    ready = {"ready": True, "import_s": import_s, "threads": native_threads(), "warning": unsafe}
    nursery.reply(ready)
    nursery.serve()
    os._exit(0)  # no atexit handlers of libraries: there is nothing of theirs to finish


if __name__ == "__main__":
    main()
