"""The story of a fit without training: where it begins, what it runs on, and what it keeps of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import fitting, pipeline
from harness.environments import Declaration
from harness.execute import DebugEngine, Engine, Handle, status
from harness.fitting import Wanted, fit, machine
from harness.measure import host, present
from harness.measure.nvml import NvmlError
from harness.plan import probes
from harness.records.claims import Device
from harness.records.progress import Silent
from harness.records.run_folder import Attempt, RunFolder, run_folders
from harness.records.spec import Spec
from harness.records.units import parse_size

SUITE = """\
name: guess
question: Where does it begin?
base:
  method: sft
  model: {shape: qwen2.5-0.5b, dtype: bfloat16}
  data: {source: arithmetic}
  train: {max_steps: 10, max_length: 1024}
"""


class Elsewhere:
    """The debug engine in the clothes of one that trains, counting how often it is closed."""

    def __init__(self) -> None:
        self.debug, self.closed = DebugEngine(), 0

    def prepare(self, declarations: Iterable[Declaration], tell: Callable[[str], None]) -> None:
        self.debug.prepare(declarations, tell)

    def obstacle(self, spec: Spec) -> str | None:
        return self.debug.obstacle(spec)

    def warm(self, spec: Spec) -> None:
        self.debug.warm(spec)

    def restrict(self, devices: str) -> None:
        self.debug.restrict(devices)

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> Handle:
        return self.debug.start(spec, folder, attempt)

    def close(self) -> None:
        self.closed += 1


def _tried(folder: Path, engine: Engine, wanted: Wanted) -> list[int]:
    file = folder / "guess.yaml"
    file.write_text(SUITE, encoding="utf-8")
    places = pipeline.Places(results=folder / "results", reports=folder / "reports")
    found = fit(file, pipeline.Choice(), wanted, places, engine=engine, observer=Silent())
    return [probe.value for probe in found.frontiers[0].probes]


@pytest.mark.slow  # reads the installed TRL's fields
def test_on_a_device_it_begins_where_the_prediction_sees_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "machine", lambda: "NVIDIA H200")
    engine, limit = Elsewhere(), parse_size("24GiB")
    axis = "train.per_device_train_batch_size"
    tried = _tried(tmp_path, engine, Wanted(axis=axis, limit=limit, high=256))
    assert tried[0] > 64  # without a guess it would begin at 1
    assert tried[-1] == 256
    assert engine.closed == 1  # one warm engine for all trials


@pytest.mark.slow
def test_where_more_of_it_takes_no_more_memory_it_begins_with_the_smallest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "machine", lambda: "NVIDIA H200")
    axis = "train.gradient_accumulation_steps"
    wanted = Wanted(axis=axis, limit=parse_size("24GiB"), high=8)
    assert _tried(tmp_path, Elsewhere(), wanted) == [1, 2, 4, 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("here", "limit", "says"),
    [
        ("NVIDIA H200", "24GiB", None),
        ("NVIDIA H200", "25GiB", None),  # sold as 25 GiB, perhaps
        ("NVIDIA H200", "80GiB", "--limit 80 GiB is more than NVIDIA H200 has: 24 GiB"),
        ("cpu", "80GiB", None),
        ("cpu", "200GiB", "--limit 200 GiB is more than this machine has: 100 GiB"),
    ],
)
def test_a_limit_above_what_the_machine_has_is_told(
    here: str, limit: str, says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "machine", lambda: here)
    monkeypatch.setattr(fitting, "gpus_here", lambda: (Device(name="NVIDIA H200", memory_bytes=24.0 * 2**30),))
    monkeypatch.setattr(host, "usable_memory", lambda: 100 * 2**30)
    file, observer = tmp_path / "guess.yaml", Silent()
    file.write_text(SUITE, encoding="utf-8")
    wanted = Wanted(axis="train.max_length", limit=parse_size(limit), low=64, high=64)
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")
    fit(file, pipeline.Choice(), wanted, places, engine=Elsewhere(), observer=observer)
    told = [problem.what for kind, problems in observer.told if kind == "warned" for problem in problems]
    assert [what for what in told if "--limit" in what] == ([says] if says else [])


@pytest.mark.slow
def test_what_was_tried_on_another_machine_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted(axis="train.max_length", limit=parse_size("1GiB"), low=64, high=64)
    started = []
    for name in ("cpu", "cpu", "NVIDIA H200"):
        monkeypatch.setattr(fitting, "machine", lambda name=name: name)
        engine = Elsewhere()
        assert _tried(tmp_path, engine, wanted) == [64]
        started.append(len(engine.debug.started))
    assert started == [1, 0, 1]


@pytest.mark.slow
def test_what_was_tried_with_other_libraries_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted(axis="train.max_length", limit=parse_size("1GiB"), low=64, high=64)
    started = []
    for version in ("2.13.0", "2.13.0", "2.14.1"):
        monkeypatch.setattr(probes, "_beneath", lambda version=version: {"torch": version})
        engine = Elsewhere()
        assert _tried(tmp_path, engine, wanted) == [64]
        started.append(len(engine.debug.started))
    assert started == [1, 0, 1]


@pytest.mark.slow
def test_a_bound_of_the_host_that_is_lowered_later_counts_for_what_was_tried(tmp_path: Path) -> None:
    wanted = Wanted(axis="train.max_length", limit=parse_size("64GiB"), low=64, high=64)
    file = tmp_path / "guess.yaml"
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")
    told = []
    for bound in ("64GiB", "64GiB", "1MiB"):
        file.write_text(f"{SUITE}  limits: {{host_memory: {bound}}}\n", encoding="utf-8")
        engine = DebugEngine()
        found = fit(file, pipeline.Choice(), wanted, places, engine=engine, observer=Silent())
        told.append((len(engine.started), found.frontiers[0].largest))
    assert told == [(1, 64), (0, 64), (0, None)]


@pytest.mark.slow
def test_rows_are_messages_where_the_loss_falls_on_what_the_assistant_says(tmp_path: Path) -> None:
    row = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    (tmp_path / "rows.jsonl").write_text(row, encoding="utf-8")
    text = SUITE.replace("{source: arithmetic}", "{path: rows.jsonl}")
    file, wanted = tmp_path / "guess.yaml", Wanted(axis="train.max_length", limit=2**40, low=64, high=64)
    made = []
    for train in ("max_length: 1024", "assistant_only_loss: true"):
        file.write_text(text.replace("max_length: 1024", train), encoding="utf-8")
        places = pipeline.Places(results=tmp_path / train, reports=tmp_path / "reports")
        fit(file, pipeline.Choice(), wanted, places, engine=DebugEngine(), observer=Silent())
        (spec,) = [folder.spec() for folder in run_folders(places.results, "guess.fit")]
        made.append(spec and spec["data"]["conversational"])
    assert made == [False, True]


@pytest.mark.slow
def test_status_counts_all_that_was_tried(tmp_path: Path) -> None:
    wanted = Wanted(axis="train.per_device_train_batch_size", limit=parse_size("64GiB"), high=8)
    tried = _tried(tmp_path, DebugEngine(), wanted)
    (found,) = status(tmp_path / "results", "guess.fit")
    assert len(tried) > 1
    assert (found.done, found.total, found.search) == (len(tried), len(tried), "harness fit")


@pytest.mark.slow
def test_it_says_first_what_a_machine_without_a_gpu_is_not_made_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present, "models_here", list)
    file, observer = tmp_path / "guess.yaml", Silent()
    text = SUITE.replace("max_steps: 10", "max_steps: 3, bf16: true")  # fewer than the warm-up: fit's own are more
    file.write_text(text, encoding="utf-8")
    wanted = Wanted(axis="train.max_length", limit=parse_size("64GiB"), low=64, high=64)
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")
    fit(file, pipeline.Choice(), wanted, places, engine=DebugEngine(), observer=observer)
    kind, problems = observer.told[0]
    assert kind == "warned"
    assert [problem.what for problem in problems] == ["no CUDA device is here, so sft would train on the CPU"]


def test_the_machine_is_told_by_its_devices_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(present, "cpu_build", lambda: False)
    devices = [SimpleNamespace(uuid=f"GPU-{number}", name="NVIDIA H200") for number in (1, 2)]
    other = SimpleNamespace(uuid="GPU-3", name="NVIDIA L4")
    monkeypatch.setattr(
        present, "open_nvml", lambda environ: SimpleNamespace(made_up=None, gpus=lambda: [*devices, other])
    )
    assert machine() == "NVIDIA H200, NVIDIA L4"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2")
    assert machine() == "NVIDIA H200"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine() == "cpu"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(present, "cpu_build", lambda: True)
    assert machine() == "cpu"


def test_without_nvml_the_driver_tells_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(environ: Mapping[str, str]) -> None:
        raise NvmlError("NVML Shared Library Not Found")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(present, "cpu_build", lambda: False)
    monkeypatch.setattr(present, "open_nvml", missing)
    monkeypatch.setattr(present, "_NVIDIA", tmp_path / "gpus")
    assert machine() == "cpu"
    device = tmp_path / "gpus" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 7\n", encoding="utf-8")
    assert machine() == "NVIDIA H200"
