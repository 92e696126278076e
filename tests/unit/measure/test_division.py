"""Which device trains and which scores, by what NVML and CUDA_VISIBLE_DEVICES say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.measure import division
from harness.measure.division import Division, Wanted, divide, training_device
from harness.measure.fakes.nvml import ScriptedNvml

TWO = ({"uuid": "GPU-a"}, {"uuid": "GPU-b"})
THREE = (*TWO, {"uuid": "GPU-c"})
UNLIKE = ({"uuid": "GPU-a", "name": "Small"}, {"uuid": "GPU-b", "name": "Large"})
MIG = ({"uuid": "MIG-a"}, {"uuid": "MIG-b"})
NUMBERED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _environ(folder: Path, devices: object, variables: dict[str, str]) -> dict[str, str]:
    script = folder / "gpu.json"
    script.write_text(json.dumps({"devices": devices}))
    return {"HARNESS_FAKE_NVML": str(script), **variables}


@pytest.mark.parametrize(
    ("devices", "variables", "wanted", "training", "scoring"),
    [
        (TWO, {}, "auto", "GPU-a", "GPU-b"),
        (THREE, {}, "auto", "GPU-a", "GPU-c"),
        (TWO, {}, "follow", "GPU-a", None),
        (TWO, {}, 0, "GPU-b", "GPU-a"),
        (TWO, {}, 1, "GPU-a", "GPU-b"),
        (TWO[:1], {}, "auto", None, None),
        ((), {}, "auto", None, None),
        (TWO, {"CUDA_VISIBLE_DEVICES": ""}, "auto", None, None),
        (TWO, {"CUDA_VISIBLE_DEVICES": "GPU-b"}, "auto", None, None),
        (THREE, {"CUDA_VISIBLE_DEVICES": "GPU-c,GPU-a"}, "auto", "GPU-c", "GPU-a"),
        (THREE, {"CUDA_VISIBLE_DEVICES": "2,0", **NUMBERED}, "auto", "GPU-c", "GPU-a"),
        (THREE, {"CUDA_VISIBLE_DEVICES": "2,0", **NUMBERED}, 0, "GPU-a", "GPU-c"),
        # All devices, by numbers that CUDA may count otherwise: which is which does not matter where they are alike.
        (TWO, {"CUDA_VISIBLE_DEVICES": "1,0"}, "auto", "GPU-b", "GPU-a"),
        (TWO, {"CUDA_VISIBLE_DEVICES": "1,0"}, "follow", "GPU-b", None),
        # Some of them: nobody knows which.
        (THREE, {"CUDA_VISIBLE_DEVICES": "1,2"}, "auto", "1", None),
        (THREE, {"CUDA_VISIBLE_DEVICES": "1"}, "auto", None, None),
        # Unlike devices: CUDA counts the fastest first, and only a person knows what the other is for.
        (UNLIKE, {}, "auto", "0", None),
        (UNLIKE, {"CUDA_VISIBLE_DEVICES": "1,0"}, "auto", "1", None),
        (UNLIKE, NUMBERED, "auto", "GPU-a", None),
        (UNLIKE, {}, 0, "GPU-b", "GPU-a"),
        # Parts of one device share its power; CUDA shows a process one of them.
        (MIG, {}, "auto", None, None),
        (MIG, {}, 1, None, None),
    ],
)
def test_who_sees_what(
    tmp_path: Path,
    devices: object,
    variables: dict[str, str],
    wanted: Wanted,
    training: str | None,
    scoring: str | None,
) -> None:
    found = divide(wanted, _environ(tmp_path, devices, variables))
    assert (found.training, found.scoring) == (training, scoring)


@pytest.mark.parametrize(
    ("devices", "variables", "wanted", "why"),
    [
        (TWO[:1], {}, "auto", None),
        (TWO, {}, "follow", None),
        (TWO, {}, "auto", None),
        (MIG, {}, "auto", None),
        (TWO[:1], {}, 1, "this machine shows 1 device"),
        ((), {}, 0, "this machine shows 0 devices"),
        (TWO, {}, 2, "this machine shows 2 devices"),
        (MIG, {}, 1, "MIG"),
        (UNLIKE, {}, "auto", "Small, Large"),
        (THREE, {"CUDA_VISIBLE_DEVICES": "1,2"}, "auto", "CUDA_DEVICE_ORDER=PCI_BUS_ID"),
        (THREE, {"CUDA_VISIBLE_DEVICES": "1,2"}, 0, "nvidia-smi -L"),
    ],
)
def test_why_scoring_follows_is_said_where_it_could_be_otherwise(
    tmp_path: Path, devices: object, variables: dict[str, str], wanted: Wanted, why: str | None
) -> None:
    found = divide(wanted, _environ(tmp_path, devices, variables)).why
    assert found is why if why is None else why in str(found)


def test_without_nvml_everything_stays_as_it_is(tmp_path: Path) -> None:
    environ = {"HARNESS_FAKE_NVML": str(tmp_path / "none"), "CUDA_VISIBLE_DEVICES": "0,1"}
    assert divide("auto", environ) == Division()
    assert training_device(environ) is None
    assert "0 devices" in str(divide(0, environ).why)


def test_where_the_processor_would_be_shared_nothing_is_scored_beside_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch for the CPU alone, or few cores: scoring would disturb what is measured."""

    def real(environ: Mapping[str, str]) -> ScriptedNvml:
        return replace(ScriptedNvml.read(environ["HARNESS_FAKE_NVML"]), made_up=None)

    monkeypatch.setattr(division, "open_nvml", real)
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cpu")
    found = divide("auto", _environ(tmp_path, TWO, {}))
    assert (found.scoring, found.why) == (None, "torch is a build for the CPU here")
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert divide("auto", _environ(tmp_path, TWO, {})).scoring == "GPU-b"
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(7)))
    found = divide("auto", _environ(tmp_path, TWO, {}))
    assert (found.training, found.scoring) == ("GPU-a", None)
    assert "with 7 cores" in str(found.why)
    assert divide(1, _environ(tmp_path, TWO, {})).scoring == "GPU-b"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(["One", "Other"]), max_size=4),
    setting=st.none() | st.lists(st.sampled_from(["0", "1", "2", "3", "GPU-0", "GPU-1", "GPU-3", "-1"]), max_size=4),
    ordered=st.booleans(),
    wanted=st.sampled_from(["auto", "follow", 0, 1, 2]),
)
def test_a_device_never_trains_and_scores_and_none_is_used_that_was_hidden(
    tmp_path: Path, names: list[str], setting: list[str] | None, ordered: bool, wanted: Wanted
) -> None:
    devices = [{"uuid": f"GPU-{number}", "name": name} for number, name in enumerate(names)]
    variables = {} if setting is None else {"CUDA_VISIBLE_DEVICES": ",".join(setting)}
    variables |= NUMBERED if ordered else {}
    found = divide(wanted, _environ(tmp_path, devices, variables))
    assert found.scoring is None or (found.scoring != found.training and found.training is not None)
    assert "," not in f"{found.training}{found.scoring}"
    if setting is None or found.scoring is None:
        return
    hidden = {f"GPU-{number}" for number in range(len(names))}
    hidden -= {entry if entry.startswith("GPU") else f"GPU-{entry}" for entry in setting}
    assert not {found.training, found.scoring} & hidden
