"""Local workers, forked by nurseries that have imported the training stack already: one for each environment."""

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from harness.environments.interpreter import interpreter, needed
from harness.errors import HarnessError, InputError
from harness.execute.engine import Exit
from harness.measure.division import VARIABLE, training_device
from harness.records.run_folder import Attempt, RunFolder
from harness.records.spec import Spec

if TYPE_CHECKING:
    from harness.environments import Declaration

_ANSWER_S = 5.0
"""How long the nursery may take to report a killed worker before it is taken for dead itself."""


@dataclass(slots=True)
class _Nursery:
    """One nursery process and what it has replied. `within` is the name of its environment; None: the harness's own.

    `held` keeps the environment from being removed while the process lives.
    """

    process: subprocess.Popen[bytes]
    replies: int
    output: IO[bytes]
    held: ExitStack
    within: str | None = None
    unable: str | None = None
    ready: dict[str, Any] | None = None
    started: dict[str, int] = field(default_factory=dict)
    exits: dict[str, Exit] = field(default_factory=dict)
    ended: bool = False
    _pending: bytes = b""

    @classmethod
    def begin(cls, chosen: _Chosen, arguments: Sequence[str], variables: Mapping[str, str]) -> _Nursery:
        """Starts the process in a session of its own, out of reach of the terminal's Ctrl-C.

        Raises:
            BuildError: its environment is not built.
            InputError: its Python does not start.
        """
        with ExitStack() as entered:
            inside = entered.enter_context(interpreter(chosen.told, chosen.suite_file, chosen.own))
            return cls._started(chosen, inside.python, arguments, {**inside.variables, **variables}, entered)

    @classmethod
    def _started(
        cls, chosen: _Chosen, python: str, arguments: Sequence[str], variables: Mapping[str, str], entered: ExitStack
    ) -> _Nursery:
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
                env=dict(variables),
            )
        except OSError as error:
            os.close(read)
            raise InputError.of(f"cannot start {python}", why=str(error)) from error
        finally:
            os.close(write)
        os.set_blocking(read, False)
        name = chosen.told["name"] if chosen.told is not None else None
        return cls(process=process, replies=read, output=output, held=entered.pop_all(), within=name)

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
        self.held.close()


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
            InputError: the nursery could not import the training stack of the harness's own environment.
        """
        self.nursery.listen(timeout_s)
        if self.name in self.nursery.exits:
            return self.nursery.exits[self.name]
        now = time.monotonic()
        if not self.nursery.ready and now - self._asked_at > self.import_limit_s:
            self.nursery.process.kill()
            return self._unable(f"it took more than {self.import_limit_s:g} s")
        if self._killed_at is not None and now - self._killed_at > _ANSWER_S:
            self.nursery.process.kill()
        return self._lost() if self.nursery.ended else None

    def _lost(self) -> Exit:
        how = self.nursery.death()
        if self.pid is not None:
            _kill_group(self.pid)  # its worker died with it; what that worker had started may not have
        if not self.nursery.ready and how.startswith("exit"):
            return self._unable(self.nursery.last_lines() or how)
        return Exit(lost=f"the nursery died ({how})")

    def _unable(self, why: str) -> Exit:
        """What it means that the training stack cannot be imported: the end, but for a suite's own environment."""
        if self.nursery.within is None:
            raise _cannot_import(why)
        said = f"the training stack of environment {self.nursery.within!r} cannot be imported: {why}"
        self.nursery.unable = said
        return Exit(unable=said)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chosen:
    """What an environment is chosen by: that of a trial's spec, and the Python of the harness's own."""

    told: Mapping[str, Any] | None
    suite_file: str
    own: str

    @property
    def key(self) -> str:
        return "" if self.told is None else str(self.told["spec_hash"])


@dataclass(slots=True)
class LocalEngine:
    """Workers on this machine, forked by one nursery per environment, which is started when first needed.

    `python` is that of the harness's own environment. `preload` and `train` are the nurseries' options (what they
    import, what trains a trial). The engine is to be used from the main thread: on Linux a nursery ends with the thread
    that started it. Workers see one CUDA device,
    the first, unless the engine is restricted to another.
    """

    python: str = sys.executable
    preload: str = "default"
    train: str | None = None
    import_limit_s: float = 300.0
    devices: str | None = None
    _nurseries: dict[str, _Nursery] = field(default_factory=dict)
    _unable: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def prepare(self, declarations: Iterable[Declaration], tell: Callable[[str], None]) -> None:
        from harness import environments

        for declaration in declarations:
            if declaration.spec_hash() in self._unable:
                continue  # once a run is enough to know
            try:
                environments.build(declaration, tell=tell)
            except InputError as error:  # an interrupt is none
                self._unable[declaration.spec_hash()] = _in_a_line(error)
                tell(str(error))

    def obstacle(self, spec: Spec) -> str | None:
        if spec.environment is None:
            return None
        key = self._chosen(spec).key
        nursery = self._nurseries.get(key)
        if nursery is not None and nursery.unable is not None:
            self._unable[key] = nursery.unable
        if key not in self._unable:
            try:
                needed(spec.environment, spec.suite_file)
            except HarnessError as error:
                return error.problems[0].what
        return self._unable.get(key)

    def warm(self, spec: Spec) -> None:
        if self.obstacle(spec) is None:
            self._living(self._chosen(spec))

    def restrict(self, devices: str) -> None:
        self.devices = devices

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> LocalHandle:
        nursery = self._living(self._chosen(spec))
        self._count += 1
        name = f"{spec.trial_id}/{attempt.number}/{self._count}"
        nursery.send({"cmd": "run", "id": name, "folder": str(folder.path.resolve()), "attempt": attempt.number})
        return LocalHandle(nursery=nursery, name=name, import_limit_s=self.import_limit_s)

    def close(self) -> None:
        while self._nurseries:
            self._nurseries.popitem()[1].close()

    @property
    def nursery_pid(self) -> int | None:
        """The process id of the nursery that was begun last, while there is one."""
        return next((nursery.process.pid for nursery in reversed(self._nurseries.values())), None)

    def _chosen(self, spec: Spec) -> _Chosen:
        return _Chosen(told=spec.environment, suite_file=spec.suite_file, own=self.python)

    def _living(self, chosen: _Chosen) -> _Nursery:
        """The nursery of an environment, a new one where the last has died."""
        nursery = self._nurseries.get(chosen.key)
        if nursery is not None:
            nursery.listen(0)
            if nursery.ended or nursery.process.poll() is not None:
                self._nurseries.pop(chosen.key).close()
        if chosen.key not in self._nurseries:
            options = [f"--preload={self.preload}"] + ([f"--train={self.train}"] if self.train else [])
            devices = self.devices or training_device()
            self._nurseries[chosen.key] = _Nursery.begin(chosen, options, {VARIABLE: devices} if devices else {})
        return self._nurseries[chosen.key]


def _in_a_line(error: InputError) -> str:
    """What is wrong, with what uv said of it, as the cause of an outcome."""
    lines = [line for one in error.problems for line in (one.what, *(one.why or "").splitlines())]
    return " · ".join(line.strip(" |") for line in lines if line.strip(" |"))


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _cannot_import(why: str) -> InputError:
    error = InputError.of(
        "the training stack cannot be imported",
        why=why,
        hint="`harness doctor` shows what is installed in this environment",
    )
    assert isinstance(error, InputError)
    return error
