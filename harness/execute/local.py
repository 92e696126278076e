"""Local workers, forked by a nursery that has imported the training stack already."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from harness.errors import InputError
from harness.execute.engine import Exit
from harness.measure.division import VARIABLE, training_device
from harness.records.run_folder import Attempt, RunFolder
from harness.records.spec import Spec

_ANSWER_S = 5.0
"""How long the nursery may take to report a killed worker before it is taken for dead itself."""


@dataclass(slots=True)
class _Nursery:
    """One nursery process and what it has replied."""

    process: subprocess.Popen[bytes]
    replies: int
    output: IO[bytes]
    ready: dict[str, Any] | None = None
    started: dict[str, int] = field(default_factory=dict)
    exits: dict[str, Exit] = field(default_factory=dict)
    ended: bool = False
    _pending: bytes = b""

    @classmethod
    def begin(cls, python: str, arguments: Sequence[str], variables: Mapping[str, str]) -> _Nursery:
        """Starts the process in a session of its own, out of reach of the terminal's Ctrl-C."""
        read, write = os.pipe()
        output = tempfile.TemporaryFile(prefix="harness-nursery-")  # noqa: SIM115 — lives as long as the nursery
        command = [python, "-P", "-m", "harness.worker.nursery", f"--reply-fd={write}", f"--parent={os.getpid()}"]
        try:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(write,),
                start_new_session=True,
                env={**os.environ, **variables},
            )
        except OSError as error:
            os.close(read)
            raise InputError.of(f"cannot start {python}", why=str(error)) from error
        finally:
            os.close(write)
        os.set_blocking(read, False)
        return cls(process=process, replies=read, output=output)

    def listen(self, timeout_s: float) -> None:
        """Takes in what the nursery replies, waiting at most `timeout_s` for the first of it."""
        if self.ended or not select.select([self.replies], [], [], timeout_s)[0]:
            return
        try:
            chunk = os.read(self.replies, 65536)
        except BlockingIOError:
            return
        if not chunk:
            self.ended = True
            return
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready = message
        elif "started" in message:
            self.started[message["id"]] = message["started"]
        elif "exited" in message:
            self.exits[message["id"]] = Exit(code=message["status"], signal=message["signal"])

    def send(self, command: dict[str, Any]) -> None:
        """One command; a nursery that is gone shows as the end of its replies."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()

    def last_lines(self, count: int = 3) -> str:
        """The end of what the nursery printed, as one line."""
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, size - 4096))
        lines = [line.strip() for line in self.output.read().decode(errors="replace").splitlines() if line.strip()]
        return " · ".join(lines[-count:])

    def death(self) -> str:
        """Waits for the process that has closed its replies, and says how it ended."""
        try:
            code = self.process.wait(timeout=_ANSWER_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """Lets the nursery end its workers and itself; kills it, and them, when it does not."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            # Before it is ready the end of stdin would be noticed only after the imports.
            self.process.wait(timeout=_ANSWER_S if self.ready else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        while not self.ended:
            self.listen(0)
            if not select.select([self.replies], [], [], 0)[0]:
                break
        for name, pid in self.started.items():
            if name not in self.exits:
                _kill_group(pid)
        os.close(self.replies)
        self.output.close()


@dataclass(slots=True)
class LocalHandle:
    """An attempt in a worker that the nursery forked."""

    nursery: _Nursery
    name: str
    import_limit_s: float
    _asked_at: float = field(default_factory=time.monotonic)
    _killed_at: float | None = None
    _signalled: signal.Signals | None = None

    @property
    def pid(self) -> int | None:
        return self.nursery.started.get(self.name)

    @property
    def begun(self) -> bool:
        return self.pid is not None

    def wait(self, timeout_s: float) -> Exit | None:
        """See `Handle`.

        Raises:
            InputError: the nursery could not import the training stack.
        """
        self.nursery.listen(timeout_s)
        if self.name in self.nursery.exits:
            return self.nursery.exits[self.name]
        now = time.monotonic()
        if not self.nursery.ready and now - self._asked_at > self.import_limit_s:
            self.nursery.process.kill()
            raise _cannot_import(self.nursery, f"it took more than {self.import_limit_s:g} s")
        if self._killed_at is not None and now - self._killed_at > _ANSWER_S:
            self.nursery.process.kill()
        return self._lost() if self.nursery.ended else None

    def _lost(self) -> Exit:
        how = self.nursery.death()
        if self.pid is not None:
            _kill_group(self.pid)  # its worker died with it; what that worker had started may not have
        if not self.nursery.ready and how.startswith("exit"):
            raise _cannot_import(self.nursery, self.nursery.last_lines() or how)
        return Exit(lost=f"the nursery died ({how})")

    def stop(self) -> None:
        # Only the worker itself: data loaders that die under it would turn a clean stop into an error.
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed_at = self._killed_at or time.monotonic()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.name in self.nursery.exits:
            return
        if self.pid is None:
            self.nursery.process.kill()  # still importing: there is no training to stop cleanly
        elif number is signal.SIGKILL:
            _kill_group(self.pid)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(slots=True)
class LocalEngine:
    """Workers on this machine, forked by one nursery that runs `python` and is started when first needed.

    `preload` and `train` are the nursery's options (what it imports, what trains a trial). The engine is to be
    used from the main thread: on Linux the nursery ends with the thread that started it. Workers see one CUDA device,
    the first, unless the engine is restricted to another.
    """

    python: str = sys.executable
    preload: str = "default"
    train: str | None = None
    import_limit_s: float = 300.0
    devices: str | None = None
    _nursery: _Nursery | None = None
    _count: int = 0

    def warm(self) -> None:
        self._living()

    def restrict(self, devices: str) -> None:
        self.devices = devices

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> LocalHandle:
        nursery = self._living()
        self._count += 1
        name = f"{spec.trial_id}/{attempt.number}/{self._count}"
        nursery.send({"cmd": "run", "id": name, "folder": str(folder.path.resolve()), "attempt": attempt.number})
        return LocalHandle(nursery=nursery, name=name, import_limit_s=self.import_limit_s)

    def close(self) -> None:
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    @property
    def nursery_pid(self) -> int | None:
        """The nursery's process id, while there is one."""
        return self._nursery.process.pid if self._nursery else None

    def _living(self) -> _Nursery:
        """The nursery, a new one where the last has died."""
        if self._nursery is not None:
            self._nursery.listen(0)
            if self._nursery.ended or self._nursery.process.poll() is not None:
                self.close()
        if self._nursery is None:
            options = [f"--preload={self.preload}"] + ([f"--train={self.train}"] if self.train else [])
            devices = self.devices or training_device()
            self._nursery = _Nursery.begin(self.python, options, {VARIABLE: devices} if devices else {})
        return self._nursery


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _cannot_import(nursery: _Nursery, why: str) -> InputError:
    error = InputError.of(
        "the training stack cannot be imported",
        why=why,
        hint="`harness doctor` shows what is installed in this environment",
    )
    assert isinstance(error, InputError)
    return error
