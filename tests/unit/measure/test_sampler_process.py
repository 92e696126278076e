"""The sampling process beside a worker: it starts where there is a device, and never outlives the worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.measure.fakes import FakeAllocator
from harness.measure.nvml import identity
from harness.measure.recorder import Recorder
from harness.measure.sampling.beside import DeviceSampling
from harness.records.device_log import device_events
from harness.records.events import Event, read_events

pytestmark = pytest.mark.slow  # starts processes

PATIENCE_S = 30.0


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """`script(device, …)` writes a script; gives the environment that uses it."""

    def write(*devices: dict[str, Any]) -> dict[str, str]:
        file = tmp_path / "gpu.json"
        file.write_text(
            json.dumps({"devices": [{"uuid": f"GPU-{number}", **one} for number, one in enumerate(devices)]})
        )
        return {**os.environ, "HARNESS_FAKE_NVML": str(file)}

    return write


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def _lines(log: Path) -> list[Event]:
    return [event for event in read_events(log) if "power" in event.get("values", {})]


def test_a_device_is_sampled_at_ten_hertz_until_the_end_on_the_attempts_clock(
    script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    log = tmp_path / "device.jsonl"
    with Recorder(tmp_path / "events.jsonl") as recorder:
        with DeviceSampling(recorder, log, 10.0, environ=script({"power": 250})):
            _until(lambda: len(_lines(log)) > 10)
            time.sleep(0.3)
        ended = recorder.now()
    found = _lines(log)
    assert ended - 0.5 < found[-1]["t"] <= ended  # the last sample is taken when it is told to end
    gaps = sorted(b["t"] - a["t"] for a, b in pairwise(found))
    assert gaps[len(gaps) // 2] == pytest.approx(0.1, abs=0.03)
    assert [event["text"] for event in read_events(tmp_path / "events.jsonl")] == []


def test_moments_are_sampled_when_the_worker_says_so(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    log = tmp_path / "device.jsonl"
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, log, 10.0, environ=script({})) as sampling,
    ):
        _until(lambda: log.exists())
        before, begun = len(_lines(log)), recorder.now()
        for number in range(100):
            sampling.step_end({"step": number, "measured": False})
        _until(lambda: len(_lines(log)) >= before + 100)  # each is written at once
        took = recorder.now() - begun
        for number in range(100, 200):
            sampling.step_end({"step": number, "measured": True})
    assert took < 5  # at ten a second they would have taken ten
    assert len(_lines(log)) < before + 100 + 10 * (recorder.now() - begun) + 2


def test_a_sampler_that_hangs_holds_up_no_training(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    woken: list[bool] = []
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, tmp_path / "device.jsonl", 10.0, environ=script({})) as sampling,
    ):
        process = sampling._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)

        def wake() -> None:
            woken.append(True)
            process.send_signal(signal.SIGCONT)

        waking = threading.Timer(PATIENCE_S, wake)
        waking.start()
        for _ in range(8_000):  # a pipe holds less
            sampling.train_end()
        waking.cancel()
    waking.join()
    assert not woken
    (note,) = read_events(tmp_path / "events.jsonl")
    assert "did not answer" in note["text"]


@pytest.mark.parametrize("late", [False, True])
def test_a_sampler_that_comes_after_the_training_began_says_so(
    late: bool, script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    log = tmp_path / "device.jsonl"
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, log, 10.0, environ=script({})) as sampling,
    ):
        process = sampling._process
        assert process is not None
        if late:
            process.send_signal(signal.SIGSTOP)
        else:
            _until(lambda: log.exists())
        with recorder.phase("train"):
            time.sleep(1.2 if late else 0.2)
            process.send_signal(signal.SIGCONT)
            _until(lambda: log.exists())
    said = [event["text"] for event in read_events(log) if "not sampled for" in event.get("text", "")]
    assert len(said) == late


WORKER = """
import os, sys, time
from pathlib import Path
from harness.measure.recorder import Recorder
from harness.measure.sampling.beside import DeviceSampling

folder = Path(sys.argv[1])
with Recorder(folder / "events.jsonl") as recorder, DeviceSampling(recorder, folder / "device.jsonl", 10.0) as sampling:
    print(sampling._process.pid, flush=True)
    if sys.argv[2] == "fork" and os.fork() == 0:  # a data loader's process holds what the worker held
        time.sleep(60)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_killed_worker_leaves_no_sampler(
    number: signal.Signals, how: str, script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path), how], env=script({}), stdout=subprocess.PIPE, process_group=0
    )
    assert worker.stdout is not None
    sampler = psutil.Process(int(worker.stdout.readline()))
    try:
        _until(lambda: (tmp_path / "device.jsonl").exists())
        worker.send_signal(number)
        worker.wait(PATIENCE_S)
        _until(lambda: not sampler.is_running() or sampler.status() == psutil.STATUS_ZOMBIE)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
    assert _lines(tmp_path / "device.jsonl")  # what was flushed can be read


def test_a_worker_killed_before_the_sampler_is_up_leaves_none_either(
    script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path), "alone"], env=script({}), stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    sampler = psutil.Process(int(worker.stdout.readline()))
    worker.kill()
    worker.wait(PATIENCE_S)
    _until(lambda: not sampler.is_running() or sampler.status() == psutil.STATUS_ZOMBIE)


def test_ctrl_c_is_the_workers_to_judge(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    log = tmp_path / "device.jsonl"
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, log, 10.0, environ=script({})) as sampling,
    ):
        _until(lambda: log.exists())
        assert sampling._process is not None
        sampling._process.send_signal(signal.SIGINT)
        count = len(_lines(log))
        _until(lambda: len(_lines(log)) > count + 12)


def test_a_sampler_that_dies_is_said(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, tmp_path / "device.jsonl", 10.0, environ=script({})) as sampling,
    ):
        assert sampling._process is not None
        sampling._process.kill()
        sampling._process.wait()
        sampling.train_end()  # it is told things without harm
    (note,) = read_events(tmp_path / "events.jsonl")
    assert "ended early (killed by signal 9): figures that need" in note["text"]


def test_a_sampler_that_cannot_write_leaves_its_reason_in_the_workers_log(
    script: Callable[..., dict[str, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk; what it prints goes where the worker's words go."""
    (tmp_path / "device.jsonl").symlink_to("/dev/full")
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, tmp_path / "device.jsonl", 10.0, environ=script({})) as sampling,
    ):
        assert sampling._process is not None
        sampling._process.wait(PATIENCE_S)
    (note,) = read_events(tmp_path / "events.jsonl")
    assert "ended early (exit code 1: worker.log says why)" in note["text"]
    assert "No space left on device" in capfd.readouterr().err


def test_a_lost_device_ends_the_sampler_and_nothing_else(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    log = tmp_path / "device.jsonl"
    environ = script({"errors": [[0.3, 1e9, "all", "GPU is lost"]]})
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, log, 10.0, environ=environ) as sampling,
    ):
        assert sampling._process is not None
        sampling._process.wait(PATIENCE_S)
        sampling.train_end()
    events = device_events([log])
    assert sum("is lost" in event.get("text", "") for event in events) == 1
    assert not list(read_events(tmp_path / "events.jsonl"))


def _beside(folder: Path, environ: Mapping[str, str], up: bool, device: str = "0") -> tuple[list[Event], bool]:
    """The events of a worker whose CUDA is up or not, and whether a sampler was started."""
    allocator = FakeAllocator(device=device, up=up)
    with (
        Recorder(folder / "events.jsonl") as recorder,
        DeviceSampling(recorder, folder / "device.jsonl", 10.0, environ=environ, allocator=allocator) as sampling,
    ):
        started = sampling._process is not None
        sampling.phase_end("model")
        sampling.attached(SimpleNamespace(args=SimpleNamespace(n_gpu=1)), None)
        sampling.phase_end("trainer")
    return list(read_events(folder / "events.jsonl")), started


def test_the_device_that_torch_names_is_the_one_that_is_written(
    script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    events, started = _beside(tmp_path, script({}, {}), up=True, device="1")
    assert (events, started) == ([], True)
    written = [event["device"] for event in read_events(tmp_path / "device.jsonl") if event["kind"] == "device"]
    assert set(written) == {identity("GPU-1")}


def test_a_device_that_is_chosen_is_in_use_once_the_model_lies_on_it(
    script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """torch calls CUDA initialised where a rank has chosen its device; a context, which NVML lists, comes with the
    model. An empty list of a device in use would make the worker somebody else."""
    allocator = FakeAllocator(device="0")
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, tmp_path / "device.jsonl", 10.0, environ=script({}), allocator=allocator) as sampling,
    ):
        sampling.phase_end("import")
        assert sampling._used == []
        sampling.phase_end("model")
        assert sampling._used == ["GPU-0"]


def test_a_device_that_nvml_does_not_list_is_said_once(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    (note,), _ = _beside(tmp_path, script({}, {}), up=True, device="7")
    assert "NVML does not list the device that torch uses" in note["text"]
    assert not (tmp_path / "device.jsonl").exists()


def test_the_only_device_is_meant_whatever_torch_calls_it(
    script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    assert _beside(tmp_path, script({}), up=True, device="7") == ([], True)
    assert (tmp_path / "device.jsonl").exists()


def test_no_device_means_no_process_and_no_word_on_a_machine_without_cuda(
    script: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    assert _beside(tmp_path, script(), up=False) == ([], False)


@pytest.mark.parametrize("up", [True, False])
def test_a_script_that_cannot_be_used_is_said_once_with_cuda_in_use_or_not(up: bool, tmp_path: Path) -> None:
    environ = {**os.environ, "HARNESS_FAKE_NVML": str(tmp_path / "none.json")}
    events, started = _beside(tmp_path, environ, up=up)
    assert not started
    (note,) = events
    assert "are not measured: the script" in note["text"]


def test_no_visible_device_means_no_process(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    _, started = _beside(tmp_path, {**script({}), "CUDA_VISIBLE_DEVICES": ""}, up=False)
    assert not started


def test_importing_the_sampler_imports_nothing_heavy() -> None:
    code = "import sys, harness.measure.sampler; print([name for name in sys.modules if '.' not in name])"
    said = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "numpy", "pydantic", "rich", "psutil"}
    assert not heavy & set(json.loads(said.replace("'", '"')))


def test_sampling_costs_a_few_percent_of_a_core(script: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    log = tmp_path / "device.jsonl"
    with (
        Recorder(tmp_path / "events.jsonl") as recorder,
        DeviceSampling(recorder, log, 10.0, environ=script({"power": [[0, 1], [9, 2]]})) as sampling,
    ):
        _until(lambda: log.exists())
        assert sampling._process is not None
        process = psutil.Process(sampling._process.pid)
        before = process.cpu_times()
        time.sleep(3)
        after = process.cpu_times()
    assert after.user + after.system - before.user - before.system < 0.15  # 5% of a core
