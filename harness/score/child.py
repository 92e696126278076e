"""The parent's hold on a scoring child: start it, hear its progress, and leave nothing of it behind.

A sign of life is a line of progress or a log that grows: lm-eval says nothing between a task's start and its end, but
its progress bars go to the log. A child that gives none for the backend's `silence_s` is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import FolderError
from harness.measure.redact import redact_file, redactor
from harness.records.units import format_duration
from harness.score.backends import Backend, Place
from harness.score.jobs import Job

_TAIL = 300  # characters of the log that a cause quotes
_LOOK_S = 0.5  # between two looks at whether the child lives and whether it is to be stopped


class Child:
    """One process that scores one job. Use as a context manager: leaving it kills whatever still runs.

    `check` is called every half second while waiting; what it raises ends the waiting.
    """

    def __init__(self, job: Job, backend: Backend, place: Place, log: Path, check: Callable[[], None]) -> None:
        self._job = job
        self._place = place
        self._silence_s = backend.silence_s
        self._log = log
        self._check = check
        self._hung = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._folder = tempfile.TemporaryDirectory(prefix="harness-score-")

    def __enter__(self) -> Child:
        job_file = Path(self._folder.name) / "job.json"
        try:
            replace(self._job, scratch=self._folder.name).write(job_file)
        except OSError as error:
            self._folder.cleanup()
            raise FolderError.of(f"{job_file} cannot be written", why=str(error)) from error
        self._pipe, write = os.pipe()
        command = [*self._place.command, str(job_file), "--progress", str(write), "--parent", str(os.getpid())]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(write,),
                    process_group=0,  # Ctrl-C is the parent's to answer
                    env={
                        **self._place.variables,
                        "TQDM_MININTERVAL": "30",
                        "TOKENIZERS_PARALLELISM": "false",
                    },
                )
        except BaseException:
            os.close(self._pipe)
            self._folder.cleanup()
            raise
        finally:
            os.close(write)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._pipe)
        self._folder.cleanup()
        redact_file(self._log, redactor())

    @property
    def pid(self) -> int | None:
        """The child's process id, which is its process group's too."""
        return self._process.pid if self._process else None

    def messages(self) -> Iterator[dict[str, Any]]:
        """The child's progress until it ends, in whatever way."""
        buffer = b""
        while chunk := self._read():
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                message = json.loads(line)
                yield message
                if message["kind"] == "end":
                    return

    def cause(self) -> str:
        """Why the child ended before its work did, in one line."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it said nothing more, yet did not end
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
        if self._hung:
            how = f"gave no sign of life for {format_duration(self._silence_s)} and was killed"
        else:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"the scoring process {how}{self._last_words()}"

    def _read(self) -> bytes:
        """The next bytes; empty when the child is gone or hangs, even if something it forked keeps the pipe open."""
        assert self._process is not None
        logged, alive_at = self._log_size(), time.monotonic()
        while True:
            self._check()
            gone = self._process.poll() is not None
            ready, _, _ = select.select([self._pipe], [], [], 0.0 if gone else _LOOK_S)
            if ready:
                return os.read(self._pipe, 2**16)
            if gone:
                return b""
            now, before, logged = time.monotonic(), logged, self._log_size()
            alive_at = now if logged != before else alive_at
            if now - alive_at > self._silence_s:
                self._hung = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                return b""

    def _log_size(self) -> int | None:
        try:
            return self._log.stat().st_size
        except OSError:
            return None

    def _last_words(self) -> str:
        try:
            text = self._log.read_bytes()[-10_000:].decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip() and "it/s" not in line]  # no progress bars
        tail = lines[-1][-_TAIL:] if lines else ""
        return f"; {self._log} ends: {tail}" if tail else ""
