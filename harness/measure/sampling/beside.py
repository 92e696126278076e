"""The sampling process as its worker sees it: started with the attempt, told which devices are used, ended with it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.measure.device import Allocator, TorchAllocator
from harness.measure.nvml import SCRIPT_VARIABLE, Gpu, Nvml, NvmlError, named, open_nvml, visible
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event

HZ = (10.0, 100.0)
"""The least and the most samples per second."""

_NOW = {"now": True}

LAST_LINE_S = 2.0
"""How long the process may take to write its last line."""


class DeviceSampling(Probe):
    """Has the devices of one attempt sampled by a process of its own, into `log`, from entering to leaving its context.

    Nothing is started where NVML does not answer or CUDA is shown no device; that is said once CUDA turns out to be in
    use all the same, and not where there is none. A script in NVML's place that cannot be used is said at once: who
    names one wants its devices.
    """

    def __init__(
        self,
        recorder: Recorder,
        log: Path,
        hz: float,
        *,
        allocator: Allocator | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        super().__init__(recorder)
        self._log = log
        self._hz = min(max(hz, HZ[0]), HZ[1])
        self._allocator = allocator or TorchAllocator()
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._gpus: Sequence[Gpu] = ()
        self._used: list[str] = []
        self._why = ""
        self._said = False

    def __enter__(self) -> DeviceSampling:
        self.recorder.on_phase_begin.append(self.phase_begin)
        self.recorder.on_phase_end.append(self.phase_end)
        try:
            nvml = open_nvml(self._environ)
            self._gpus = visible(nvml.gpus(), self._environ)
        except NvmlError as error:
            self._why = str(error)
            if self._environ.get(SCRIPT_VARIABLE):
                self._missing()
            return self
        if not self._gpus:
            self._why = "NVML lists no device that CUDA may see"
            return self
        self._start(nvml)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def phase_begin(self, name: str) -> None:
        if name == "train":
            self._send({"training": self.recorder.now()})
        self._mark()

    def phase_end(self, name: str) -> None:
        if name != "import":  # by then torchrun's processes have chosen a device, and NVML lists nobody on it yet
            self._tell([])
        self._mark()

    def step_end(self, event: Event) -> None:
        if not event["measured"]:
            self._mark()  # the measured window may begin here

    def train_end(self) -> None:
        self._mark()

    def attached(self, trainer: Any, method: Any) -> None:
        self._tell(_all_devices(trainer))
        if self._process is not None and not self._used:
            self._stop()  # CUDA is not up although the trainer is built: it trains on the CPU

    def _start(self, nvml: Nvml) -> None:
        origin = time.monotonic() - self.recorder.now()
        command = [sys.executable, "-P", "-m", "harness.measure.sampler", f"--log={self._log}", f"--origin={origin}"]
        try:
            self._process = subprocess.Popen(
                [*command, f"--hz={self._hz}", f"--parent={os.getpid()}"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=dict(self._environ),
            )
        except OSError as error:
            self._why = f"its sampler cannot be started: {error}"
            return
        self._send({"before": {gpu.uuid: _before(gpu) for gpu in self._gpus}})
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)  # should it hang in the driver, the training goes on
        if nvml.made_up and not self._up():
            self._use([gpu.uuid for gpu in self._gpus])  # no CUDA will say which: a script's devices are all in use

    def _tell(self, uuids: Sequence[str]) -> None:
        """Names the devices in use, once CUDA says which."""
        if (self._used and not uuids) or not self._up():
            return
        if self._process is None:
            self._missing()
            return
        try:
            listed = [gpu.uuid for gpu in self._gpus]
            found = [named(uuid, listed) for uuid in uuids or [self._allocator.uuid()]]
        except Exception as error:  # torch before 2.4 tells no UUID; a lost device tells nothing
            self._why = f"torch does not name its device: {error}"
            self._missing()
            return
        known = [uuid for uuid in found if uuid is not None]
        if not known:
            self._why = "NVML does not list the device that torch uses"
            self._missing()
        self._use([uuid for uuid in known if uuid not in self._used])

    def _up(self) -> bool:
        try:
            return self._allocator.ready()
        except Exception:  # a lost device: whoever trains on it will tell
            return False

    def _use(self, uuids: Sequence[str]) -> None:
        if uuids:
            self._used += uuids
            self._send({"use": list(uuids)})

    def _missing(self) -> None:
        if self._why and not self._said:
            text = f"power, energy, clocks, temperature and utilization of the device are not measured: {self._why}"
            self.recorder.note("warning", text)
            self._said = True

    def _send(self, order: Mapping[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended: that is said at the end
                self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def _mark(self) -> None:
        if self._used:
            self._send(_NOW)

    def _stop(self) -> None:
        """Waits for the last line, for a short time."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            code = process.wait(LAST_LINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that hangs in the driver ends when that lets go
                process.wait(LAST_LINE_S)
            self.recorder.note("warning", "the sampler of the device did not answer any more and was killed")
            return
        if code and self._used:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}: worker.log says why"
            text = f"the sampler of the device ended early ({how}): figures that need all of its samples are left out"
            self.recorder.note("warning", text)


def _before(gpu: Gpu) -> dict[str, Any]:
    """Memory and processes before the trial; what is not told is left out."""
    found: dict[str, Any] = {}
    with contextlib.suppress(NvmlError):
        found["memory_before"] = gpu.read("memory")["memory_used"]
    with contextlib.suppress(NvmlError):
        found["processes"] = sorted(gpu.processes())
    return found


def _all_devices(trainer: Any) -> list[str]:
    """UUIDs of torch's devices where the trainer uses several in one process; empty where it uses the current one."""
    count = getattr(getattr(trainer, "args", None), "n_gpu", 1)
    if not isinstance(count, int) or count < 2:
        return []
    import torch

    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
