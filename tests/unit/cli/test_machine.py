from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.ceiling import ceiling_lines, kept_ceilings, measured_ceilings
from harness.cli.doctor import lines
from harness.cli.machine import examine, kernels_cannot_be_compiled, nvml_devices, torch_devices
from harness.cli.output import jsonable

_GPU = {
    "version": "2.13.0",
    "devices": [{"index": 0, "name": "NVIDIA H100", "memory": 80 * 2**30, "capability": "9.0"}],
    "bf16": True,
}


class FakeNvml:
    """A driver with one device."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.shut_down = False

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's own names
        pass

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut_down = True

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"570.1"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=80 * 2**30, used=2**30)


def test_a_machine_without_a_gpu_is_fine_and_told_in_one_screen(tmp_path: Path) -> None:
    machine = examine(tmp_path, lambda: {"version": "2.13.0", "devices": []})
    said = lines(machine)
    assert machine.problems == ()
    assert len(said) <= 24
    assert any("training runs on the CPU" in line for line in said)
    assert said[-1].startswith("ready")
    json.dumps(jsonable(machine), allow_nan=False)


def test_what_it_says_to_try_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert lines(examine(tmp_path, lambda: {"devices": []}))[-1].endswith("try: harness init suite.yaml")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quickstart.yaml").touch()
    assert lines(examine(tmp_path, lambda: {"devices": []}))[-1].endswith("try: harness run suites/quickstart.yaml")


@pytest.mark.parametrize("columns", [80, 60])
def test_no_line_is_longer_than_the_terminal(columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(tmp_path)

    machine = examine(Path("results"), lambda: {"version": "2.13.0", "devices": []})
    gpu = dataclasses.replace(machine, nvml=nvml_devices(FakeNvml()), torch=_GPU, python="3.11")
    for said in (lines(dataclasses.replace(machine, python="3.11")), lines(gpu)):
        assert max(map(len, said)) <= columns
        assert any(line.startswith(" " * 10) for line in said)
    assert "Liger kernels" in " ".join(" ".join(lines(gpu)).split())


def test_a_gpu_is_named_with_its_memory(tmp_path: Path) -> None:
    said = "\n".join(lines(examine(tmp_path, lambda: _GPU)))
    assert "cuda:0 NVIDIA H100, 80 GiB, capability 9.0, bf16" in said
    assert "trains on NVIDIA H100" in said


def test_what_kernels_cannot_be_compiled_without_is_named(tmp_path: Path) -> None:
    (said,) = kernels_cannot_be_compiled({"PATH": str(tmp_path)}, tmp_path)
    assert "a C compiler" in said
    gcc = tmp_path / "gcc"
    gcc.touch(mode=0o755)
    for environ in ({"PATH": str(tmp_path)}, {"PATH": "", "CC": "cc"}):
        (said,) = kernels_cannot_be_compiled(environ, tmp_path)
        assert f"{tmp_path}/Python.h" in said
    (tmp_path / "Python.h").touch()
    assert kernels_cannot_be_compiled({"PATH": str(tmp_path)}, tmp_path) == []


def test_a_compiler_is_asked_for_where_there_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert "a C compiler" in " ".join(examine(tmp_path, lambda: _GPU).problems)
    assert examine(tmp_path, lambda: {"devices": []}).problems == ()


def test_a_results_folder_that_cannot_be_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    machine = examine(tmp_path / "file" / "results", lambda: {"devices": []})
    assert not machine.results_writable
    assert any("--results" in problem for problem in machine.problems)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux has /proc")
def test_a_folder_that_nobody_can_write_to_is_a_problem_for_root_too() -> None:
    machine = examine(Path("/proc/results"), lambda: {"devices": []})
    assert not machine.results_writable
    assert machine.problems == ("/proc/results cannot be written: choose another folder with --results",)


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=2**30, used=2**30, free=0))
    machine = examine(tmp_path, lambda: {"devices": []})
    assert machine.problems == (f"{tmp_path} has 0 B free: make room, or choose another folder with --results",)


def test_a_results_folder_that_is_not_there_yet_is_judged_by_where_it_would_be(tmp_path: Path) -> None:
    machine = examine(tmp_path / "not" / "yet", lambda: {"devices": []})
    assert machine.results_writable
    assert machine.results_free
    assert list(tmp_path.iterdir()) == []


def test_a_torch_that_does_not_import_is_a_problem_with_its_reason(tmp_path: Path) -> None:
    found = torch_devices(code="raise ImportError('libtorch.so: cannot open')")
    assert found == {"error": "ImportError: libtorch.so: cannot open"}
    machine = examine(tmp_path, lambda: found)
    assert any("libtorch.so" in problem for problem in machine.problems)


def test_a_torch_that_hangs_does_not_hang_the_doctor() -> None:
    assert "no answer" in torch_devices(timeout_s=0.3, code="import time; time.sleep(60)")["error"]


def test_nvml_tells_driver_and_devices_and_is_closed() -> None:
    nvml = FakeNvml()
    found = nvml_devices(nvml)
    assert found["driver"] == "570.1"
    assert found["devices"] == [{"uuid": "GPU-0", "name": "NVIDIA H100", "memory": 80 * 2**30, "used": 2**30}]
    assert nvml.shut_down


def test_no_driver_is_told_not_raised() -> None:
    class NoDriver(FakeNvml):
        def nvmlInit(self) -> None:  # noqa: N802
            raise self.NVMLError("NVML Shared Library Not Found")

    assert nvml_devices(NoDriver()) == {"absent": "NVML Shared Library Not Found"}


_MEASURED = {
    "schema": 1,
    "device": "cuda:0",
    "name": "NVIDIA H100 80GB HBM3",
    "key": "NVIDIA H100 80GB HBM3 0a1b",
    "gemm": {
        "bfloat16": {"flops_per_second": 771.7e12, "size": 8192},
        "float64": {"flops_per_second": 5e13, "size": 8},
    },
    "copy": {"on_device": 2.9e12, "host_to_device_pinned": 5.5e10},
    "measured_at": "2026-01-02T03:04:05+00:00",
}


def _child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_ceiling_is_shown_beside_the_datasheet() -> None:
    printed = json.dumps([_MEASURED])
    (found,) = measured_ceilings(command=_child(f"print('noise'); print({printed!r})"))
    assert found["gemm"]["bfloat16"]["share"] == pytest.approx(0.78, abs=0.001)
    said = "\n".join(ceiling_lines([found]))
    assert "bfloat16 772 TFLOP/s (78% of the datasheet's 989 TFLOP/s)" in said
    assert "float64 50 TFLOP/s" in said
    assert "on device 2.9 TB/s, host to device (pinned) 55 GB/s" in said
    assert "measured 2026-01-02" in said


@pytest.mark.parametrize(("threads", "said"), [(1, ", 1 thread,"), (2, ", 2 threads,")])
def test_a_ceiling_of_a_processor_tells_its_threads(threads: int, said: str) -> None:
    assert said in ceiling_lines([{**_MEASURED, "device": "cpu", "threads": threads}])[0]


def test_a_ceiling_that_could_not_be_kept_is_told() -> None:
    assert "Read-only" in ceiling_lines([{**_MEASURED, "not_kept": "Read-only file system"}])[0]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise RuntimeError('CUDA error: device lost')", "device lost"),
        ("print('nothing')", "cannot be read"),
        ("", "cannot be read"),
        ("print('[]')", "no matrix product"),
        ("import time; time.sleep(60)", "no answer"),
    ],
)
def test_a_measurement_that_fails_says_why(code: str, why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        measured_ceilings(command=_child(code), limit_s=1.5)


def test_a_ceiling_that_was_asked_for_and_failed_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(**given: Any) -> Any:
        raise RuntimeError("no answer within 120 s")

    monkeypatch.setattr("harness.cli.ceiling.measured_ceilings", failing)
    machine = examine(tmp_path, lambda: {"devices": []}, measure=True)
    assert machine.problems == ("the ceiling could not be measured: no answer within 120 s",)


@pytest.mark.parametrize(
    ("doubt", "cure"), [("disturbed", "when nothing else runs there"), ("impossible", "it is a bug")]
)
def test_a_ceiling_that_is_not_to_be_trusted_is_a_problem(
    doubt: str, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {**_MEASURED, "kept_in": None, doubt: ["another process was on the device"]}
    monkeypatch.setattr("harness.cli.ceiling.measured_ceilings", lambda **given: (found,))
    machine = examine(tmp_path, lambda: {"devices": []}, measure=True)
    (problem,) = machine.problems
    assert problem.startswith("the ceiling of cuda:0 is not kept: another process was on the device. ")
    assert cure in problem
    assert "not kept, see below" in ceiling_lines(machine.ceilings)[0]


def test_a_kept_ceiling_is_found_again_by_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.measure import ceiling

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ceiling.keep(_MEASURED)
    device = {"index": 0, "name": "NVIDIA H100 80GB HBM3", "uuid": "GPU-0A1B", "memory": 1, "capability": "9.0"}
    machine = examine(tmp_path, lambda: {"devices": [device], "bf16": True})
    assert [found["key"] for found in machine.ceilings] == [_MEASURED["key"]]
    assert any("78% of the datasheet" in " ".join(line.split()) for line in [" ".join(lines(machine))])
    json.dumps(jsonable(machine), allow_nan=False)
    assert kept_ceilings({"devices": [{**device, "uuid": "GPU-ffff"}]}) == ()
    assert kept_ceilings({"devices": [], "threads": 3}) == ()
