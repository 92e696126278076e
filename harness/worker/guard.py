"""Process matters of the nursery and its workers: dying with the parent, stopping cleanly, leaving nobody behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1

_QUIET = {
    "TRL_EXPERIMENTAL_SILENCE": "1",  # ORPO lives in trl.experimental and warns on every import
    "TOKENIZERS_PARALLELISM": "false",  # its thread pool does not survive a fork
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # torch asks NVML whether there is a device: CUDA itself survives no fork
    "TQDM_DISABLE": "1",  # progress comes from events.jsonl; bars would fill worker.log
}

_SPINS = "2000"
"""How often a waiting OpenMP thread looks again before it sleeps (libgomp's own: 300,000, some milliseconds).

Small models wait thousands of times a second. When anything else runs on the machine, spinning threads keep the core
from the very thread they wait for, and training gets up to a hundred times slower; see docs/measuring.md.
"""


class Stopped(BaseException):
    """A signal asked this worker to stop.

    Not an `Exception`, so that handlers in the training stack that swallow errors let it through.
    """


class StopRequest:
    """Turns the first SIGTERM (and SIGINT, when asked) into one `Stopped` in the main thread; later ones do nothing."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self._pid = os.getpid()
        self._deaf = False
        self._before: dict[signal.Signals, Any] = {}

    def listen(self, *signals: signal.Signals) -> None:
        """Installs the handler."""
        for number in signals:
            self._before[number] = signal.signal(number, self._heard)

    def forget(self) -> None:
        """Puts back the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def deaf(self) -> None:
        """From here on signals are remembered but no longer raise: the outcome is being written."""
        self._deaf = True

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            os._exit(128 + number)  # a helper process (a data loader's) that inherited this handler
        if self.asked is not None:
            return
        self.asked = signal.Signals(number).name
        if not self._deaf:
            raise Stopped(self.asked)


def quiet_environment() -> None:
    """Sets what the training stack reads at import, where the user has not set it; as many threads as torch takes."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """The kernel sends `number` to this process when its parent ends; exits at once if that has happened already.

    Linux only; elsewhere the closed command pipe is what tells the nursery. The kernel watches the
    *thread* that made this process, which is why only main threads fork here.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + int(number))


def kill_group(leader: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals every process of the group that `leader` leads; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def native_threads() -> int:
    """Threads of this process, those of libraries included (1 where the system does not tell)."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 — called before a fork: no Path objects needed
    except OSError:
        return 1
