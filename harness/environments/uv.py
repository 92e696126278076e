"""uv itself: where it is, and running it so that it ends when this process does."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.environments.redact import Redactor
from harness.errors import BuildError

Tell = Callable[[str], None]

HOW_TO_GET = "pip install uv, or see its documentation for an installer without pip"

# Asks the kernel to kill uv when its parent dies, however it dies, before it turns into uv (linux/prctl.h:
# PR_SET_PDEATHSIG is 1). A function that runs between fork and exec could not do it safely beside threads.
_TIED = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]): sys.exit(137)
os.execv(sys.argv[2], sys.argv[2:])
"""

# Milestones, and what takes long: downloads from 10 MiB, builds from source.
_TOLD = re.compile(
    r"Resolved |Prepared |Installed |Building |warning: |Downloading .*\((\d{2,}(\.\d+)?MiB|[\d.]+GiB)\)"
)
_ENDS_S = 5.0  # from SIGTERM to SIGKILL


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """How a run of uv ended: its exit code (negative: by that signal), and what it said, without secrets."""

    code: int
    lines: tuple[str, ...]
    timed_out: bool = False


def where() -> Path | None:
    """uv's program: on PATH, beside this Python, or in the package `uv`; None where there is none."""
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)
    if found is None:
        with contextlib.suppress(Exception):  # without the package, or with one whose program was deleted
            found = str(importlib.import_module("uv").find_uv_bin())
    return Path(found) if found else None


def needed() -> Path:
    """uv's program.

    Raises:
        BuildError: there is none.
    """
    found = where()
    if found is None:
        raise BuildError.of("environments are built with uv, and uv is not installed", hint=HOW_TO_GET)
    return found


def version(uv: Path) -> str | None:
    """uv's version, None where it does not say."""
    try:
        done = subprocess.run([uv, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    parts = done.stdout.split()
    return parts[1] if done.returncode == 0 and len(parts) > 1 else None


def run(
    uv: Path,
    arguments: Sequence[str | Path],
    *,
    log: Path,
    tell: Tell,
    redact: Redactor,
    variables: Mapping[str, str],
    within: Path,
    timeout_s: float,
) -> Finished:
    """Runs uv in the folder `within`, its output without secrets added to `log`, its milestones told.

    It has its own process group, which ends with it, after `timeout_s` seconds, or when this process is interrupted or
    dies (on Linux).

    Raises:
        BuildError: uv cannot be started.
    """
    command = [str(uv), *map(str, arguments)]
    lines: list[str] = []
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(redact(f"$ uv {' '.join(command[1:])}\n"))
        file.flush()
        process = _start(command, variables, within)
        late = threading.Event()
        watch = threading.Timer(timeout_s, _too_late, (process, late))
        watch.daemon = True
        watch.start()
        try:
            for line in process.stdout or ():
                said = redact(line.rstrip())
                lines.append(said)
                file.write(said + "\n")
                file.flush()
                if _TOLD.match(said.strip()):
                    tell(said.strip())
            code = process.wait()
        finally:
            watch.cancel()
            _end(process)
    return Finished(code=code, lines=tuple(lines), timed_out=late.is_set())


def _start(command: Sequence[str], variables: Mapping[str, str], within: Path) -> subprocess.Popen[str]:
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command]
    # An environment that happens to be active, and plain `--system`, are not what is meant here.
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_SYSTEM_PYTHON")}
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**kept, "NO_COLOR": "1", **variables},
            cwd=within,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError.of("uv cannot be started", why=str(error), hint=HOW_TO_GET) from error


def _end(process: subprocess.Popen[str]) -> None:
    """Ends what is left of the process group: uv's own children, and uv where it was left in the middle."""
    if process.poll() is None:
        _kill(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_S)
    _kill(process, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _too_late(process: subprocess.Popen[str], late: threading.Event) -> None:
    late.set()
    _kill(process, signal.SIGKILL)


def _kill(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
