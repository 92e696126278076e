"""What is recorded of the environment: the machine, its device, and a hash of what decides."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from harness.measure import environment, host
from harness.measure.fakes.pynvml import FakePynvml
from harness.measure.gpu import gpu
from harness.records.fingerprint import of_value

DECIDED_BEFORE = [(part, names) for part, names in environment.DECIDES.items() if part != "environment"]
"""What the hash of the harness's own environment is made of: results of all earlier versions have it."""


def test_packages_python_and_machine_are_recorded() -> None:
    found = environment.capture()
    assert found["packages"]["trl"] == metadata.version("trl")
    assert found["harness"]["version"] == metadata.version("trl-harness")
    assert found["python"] == platform.python_version()
    assert found["platform"]["release"] == platform.release()
    assert found["cpu"]["count"] >= found["cpu"]["usable"] >= 1
    assert len(found["hash"]) == 64
    assert json.loads(json.dumps(found)) == found


def test_no_secret_and_no_host_name_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_averysecretvalue")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0a1b2c3d-0000-1111-2222-333344445555,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MALLOC_CONF", "narenas:1")
    monkeypatch.setenv("TORCH_CUDNN_SDPA_DEPRIORITIZED", "1")
    monkeypatch.setenv("LD_PRELOAD", "/home/somebody/lib/libjemalloc.so.2 libc++.so")
    found = environment.capture()
    text = json.dumps(found)
    assert "hf_averysecretvalue" not in text
    assert "0a1b2c3d" not in text
    assert found["variables"]["CUDA_VISIBLE_DEVICES"].startswith("GPU#")
    assert found["variables"]["CUDA_VISIBLE_DEVICES"].endswith(",1")
    assert found["variables"]["OMP_NUM_THREADS"] == "3"
    assert found["variables"]["MALLOC_CONF"] == "narenas:1"
    assert found["variables"]["TORCH_CUDNN_SDPA_DEPRIORITIZED"] == "1"
    assert found["variables"]["LD_PRELOAD"] == "libjemalloc.so.2:libc++.so"
    assert "hostname" not in text
    assert platform.node() not in text or platform.node() in ("vm", "localhost")


def test_what_libraries_take_from_the_environment_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a variable alone accelerate compiles, and oneDNN and MKL take kernels that change the last bits of losses."""
    told = {"ACCELERATE_DYNAMO_BACKEND": "eager", "DNNL_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MALLOC_CONF", "prof:true,prof_prefix:/home/somebody/out,lg_prof:1/2")
    found = environment.capture()["variables"]
    assert found.items() >= {**told, "MALLOC_CONF": "prof:true,prof_prefix:out,lg_prof:1/2"}.items()


def test_the_hash_holds_still_while_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.capture()["hash"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert environment.capture()["hash"] == before
    fixed = environment._fixed()
    monkeypatch.setitem(fixed["packages"], "trl", "0.0.1")
    assert environment.capture()["hash"] != before


@pytest.mark.parametrize(
    ("part", "name", "moves"),
    [("cpu", "usable", True), ("cpu", "governor", True), ("cpu", "max_mhz", False), ("platform", "release", False)],
)
def test_the_hash_covers_what_decides(part: str, name: str, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.capture()["hash"]
    monkeypatch.setitem(environment._fixed()[part], name, "other")
    assert (environment.capture()["hash"] != before) is moves


def test_an_environment_that_was_built_for_trials_counts_by_what_it_is_declared_to_be() -> None:
    told = {"name": "old", "spec_hash": "1", "lock_hash": "2", "declaration": {"requirements": ["trl==1.15.0"]}}
    own, old = environment.capture(), environment.capture(environment=told)
    assert "environment" not in own
    assert old["environment"] == told
    assert own["hash"] == of_value({part: environment._only(own[part], names) for part, names in DECIDED_BEFORE})
    assert environment.capture(environment={**told, "name": "renamed"})["hash"] == old["hash"] != own["hash"]
    assert environment.capture(environment={**told, "spec_hash": "3"})["hash"] != old["hash"]


def test_a_warm_capture_is_quick() -> None:
    environment.warm()
    took = []
    for _ in range(10):
        began = time.perf_counter()
        environment.capture()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05  # others on the machine may hold up some


def test_a_part_that_cannot_be_read_is_named_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, Any]:
        raise PermissionError("/proc is closed")

    monkeypatch.setattr(host, "limits", broken)
    found = environment.capture()
    assert found["limits"] is None
    assert found["not_read"] == {"limits": "PermissionError: /proc is closed"}


def test_an_editable_package_of_which_git_tells_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**environment._fixed(), "editable": {"copied": {}, "kept": {"commit": "c0ffee", "dirty": False}}}
    monkeypatch.setattr(environment, "_fixed", lambda: known)
    found = environment.capture()
    assert found["not_read"] == {"editable": "git tells no commit of the folders of copied: changes there do not show"}


# The machine


def _write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_processor_is_read_with_its_clocks(tmp_path: Path) -> None:
    block = "processor : {}\nmodel name : Some CPU @ 3.00GHz\nphysical id : 0\ncore id : {}\nflags : fpu hypervisor\n"
    cpus = "sys/devices/system/cpu"
    files = {
        "proc/cpuinfo": "\n".join(block.format(number, number // 2) for number in range(4)),
        f"{cpus}/cpu0/cpufreq/scaling_governor": "powersave\n",
        f"{cpus}/cpu1/cpufreq/scaling_governor": "performance\n",
        f"{cpus}/intel_pstate/no_turbo": "1\n",
        f"{cpus}/cpu0/topology/thread_siblings_list": "0-1\n",
        f"{cpus}/cpu0/cpufreq/cpuinfo_max_freq": "3500000\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    }
    found = host.cpu(_write(tmp_path, files))
    assert found | {"count": 0, "usable": 0} == {
        "model": "Some CPU @ 3.00GHz",
        "count": 0,
        "usable": 0,
        "cores": 2,
        "sockets": 1,
        "virtual": True,
        "governor": "performance, powersave",
        "turbo": False,
        "threads_per_core": 2,
        "max_mhz": 3500,
    }
    assert host.system(tmp_path)["huge_pages"] == "madvise"


def test_a_machine_that_tells_nothing_leaves_figures_out(tmp_path: Path) -> None:
    assert set(host.cpu(tmp_path)) <= {"model", "count", "usable"}
    assert host.limits(tmp_path) == {}
    assert "huge_pages" not in host.system(tmp_path)


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/memory.max": "max\n",
            },
            {"cpus": 1.5},
        ),
        (  # the outer group is tighter in memory, the inner one in processors
            {
                "proc/self/cgroup": "0::/outer/inner\n",
                "sys/fs/cgroup/outer/cpu.max": "400000 100000",
                "sys/fs/cgroup/outer/memory.max": "1024",
                "sys/fs/cgroup/outer/inner/cpu.max": "200000 100000",
                "sys/fs/cgroup/outer/inner/memory.max": "2048",
            },
            {"cpus": 2.0, "memory_bytes": 1024},
        ),
        (  # version 1, in a container: the path is the host's, and the mount is the group
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n6:memory:/docker/x\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096",
            },
            {"cpus": 0.5, "memory_bytes": 4096},
        ),
        (
            {
                "proc/self/cgroup": "6:memory:/\n5:cpu:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            {},
        ),
        ({"proc/self/cgroup": "0::/../../escape\n", "sys/fs/cgroup/cpu.max": "odd"}, {}),
    ],
)
def test_limits_of_control_groups(files: dict[str, str], limits: dict[str, Any], tmp_path: Path) -> None:
    assert host.limits(_write(tmp_path, files)) == limits


def test_a_control_group_may_leave_less_memory_than_the_machine_has(tmp_path: Path) -> None:
    machine = host.memory_bytes()
    assert host.usable_memory(tmp_path) == machine
    groups = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "1048576"}
    assert host.usable_memory(_write(tmp_path, groups)) == 2**20
    assert host.usable_memory(_write(tmp_path, {**groups, "sys/fs/cgroup/memory.max": str(2**59)})) == machine


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"proc/1/cgroup": "0::/lxc/a"}, "lxc"),
        ({"proc/1/cgroup": "0::/init.scope"}, None),
    ],
)
def test_containers_by_their_marks(
    files: dict[str, str], kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert host.container(_write(tmp_path, files)) == kind


# The device


def test_nvml_tells_limits_links_and_modes_of_the_device_that_torch_uses() -> None:
    library = FakePynvml()
    found, why = gpu(library, "0A1B2C3D-0000-1111-2222-333344445555")
    assert why is None
    assert found == {
        "driver": "575.57.08",
        "driver_cuda": "12.9",
        "power_limit_w": 600.0,
        "default_power_limit_w": 700.0,
        "pcie": {"generation": 1, "width": 16, "max_generation": 5, "max_width": 16},
        "nvlinks": 2,
        "mig": False,
        "compute_mode": "exclusive_process",
        "persistence": True,
        "ecc": True,
        "max_sm_mhz": 1980,
        "max_memory_mhz": 3201,
        "vbios": "96.00.99.00.01",
    }
    assert library.open == 0


def test_a_device_that_supports_little_leaves_figures_out() -> None:
    found, why = gpu(FakePynvml(answers={"nvmlSystemGetDriverVersion": "1.2"}, links=()), FakePynvml.uuid)
    assert (found, why) == ({"driver": "1.2", "max_sm_mhz": 1980, "max_memory_mhz": 3201}, None)


def test_every_link_is_counted_that_a_device_may_have() -> None:
    most = pynvml.NVML_NVLINK_MAX_LINKS
    assert gpu(FakePynvml(links=(1,) * most), FakePynvml.uuid)[0]["nvlinks"] == most


@pytest.mark.parametrize(
    ("library", "uuid", "why"),
    [
        (FakePynvml(broken=pynvml.NVML_ERROR_DRIVER_NOT_LOADED), FakePynvml.uuid, "Driver Not Loaded"),
        (FakePynvml(), "GPU-somebody-else", "NVML does not list the device that torch uses"),
    ],
)
def test_why_nvml_tells_nothing(library: FakePynvml, uuid: str, why: str) -> None:
    assert gpu(library, uuid) == ({}, why)
    assert library.open == 0


def test_a_part_of_a_device_is_told_by_the_whole() -> None:
    answers = {
        "nvmlDeviceGetHandleByUUID": 7,
        "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": 1,
        "nvmlDeviceGetMigMode": [1, 1],
    }
    found, why = gpu(FakePynvml(answers=answers), "MIG-1234")
    assert (found["mig"], why) == (True, None)


def _with_cuda(monkeypatch: pytest.MonkeyPatch, uuid: str = FakePynvml.uuid) -> None:
    """A torch with one device, as far as the environment looks at it."""
    properties = SimpleNamespace(
        name="H200", total_memory=2**37, major=9, minor=0, multi_processor_count=132, uuid=uuid.removeprefix("GPU-")
    )
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 0,
        device_count=lambda: 1,
        get_device_properties=lambda index: properties,
        nccl=SimpleNamespace(version=lambda: (2, 27, 3)),
    )
    backends = SimpleNamespace(
        cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX512"),
        cudnn=SimpleNamespace(version=lambda: 91002),
        mkl=SimpleNamespace(is_available=lambda: True),
        mkldnn=SimpleNamespace(is_available=lambda: True),
    )
    torch = SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda="12.9", hip=None),
        cuda=cuda,
        backends=backends,
        get_num_threads=lambda: 4,
        get_num_interop_threads=lambda: 2,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_a_device_is_recorded_without_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_cuda(monkeypatch)
    found = environment.capture(FakePynvml())
    device = found["device"]
    assert (device["name"], device["capability"], device["power_limit_w"]) == ("H200", "9.0", 600.0)
    assert (found["torch"]["cuda"], found["torch"]["cudnn"], found["torch"]["nccl"]) == ("12.9", 91002, "2.27.3")
    assert "333344445555" not in json.dumps(found)
    assert len(device["id"]) == 12
    _with_cuda(monkeypatch, uuid="GPU-bbbbbbbb-0000-1111-2222-333344445555")
    twin = environment.capture(FakePynvml(uuid="GPU-bbbbbbbb-0000-1111-2222-333344445555"))
    assert twin["device"]["id"] != device["id"]
    assert twin["hash"] == found["hash"]  # like devices are one environment
    lower = FakePynvml()
    lower.answers = {**lower.answers, "nvmlDeviceGetEnforcedPowerLimit": 300_000}
    _with_cuda(monkeypatch)
    assert environment.capture(lower)["hash"] != found["hash"]


def test_a_device_without_nvml_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_cuda(monkeypatch)
    found = environment.capture(FakePynvml(broken=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    assert found["device"]["name"] == "H200"
    assert "power_limit_w" not in found["device"]
    assert found["not_read"] == {"nvml": "Driver Not Loaded"}


@pytest.mark.slow
def test_the_environment_never_initialises_cuda() -> None:
    script = (
        "import torch\n"
        "def no(*args): raise SystemExit('CUDA was touched')\n"
        "torch.cuda._lazy_init = no\n"
        "from harness.measure import environment\n"
        "print(environment.capture()['device'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


@pytest.mark.parametrize(
    ("part", "name", "decides"),
    [
        *((part, None, True) for part in ("packages", "editable", "origins", "python", "implementation", "limits")),
        *(("cpu", name, True) for name in ("model", "usable", "governor", "turbo")),
        *(("cpu", name, False) for name in ("count", "max_mhz", "threads_per_core")),
        *(("device", name, True) for name in ("name", "memory_bytes", "capability", "count", "driver")),
        *(("device", name, True) for name in ("power_limit_w", "mig", "ecc")),
        *(("device", name, False) for name in ("id", "pcie", "nvlinks", "vbios", "persistence")),
        *((("platform", "machine", True), ("platform", "release", False), ("platform", "huge_pages", False))),
        *((("environment", "spec_hash", True), ("environment", "name", False))),
        *((part, None, False) for part in ("torch", "variables", "memory_bytes", "container", "harness")),
    ],
)
def test_the_hash_covers_what_decides_and_no_more(part: str, name: str | None, decides: bool) -> None:
    def told(value: str) -> str:
        found: dict[str, Any] = {"environment": {}, part: value if name is None else {name: value}}
        return of_value(environment.deciding(found))

    assert (told("one") != told("other")) is decides
