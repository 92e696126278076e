"""Peaks of devices: by exactly their name, else a measured ceiling, else none."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure import ceiling, peaks

_UUID = "0a1b2c3d-0000-1111-2222-333344445555"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _keep(key: str, **gemm: float) -> None:
    found = {dtype: {"flops_per_second": rate, "size": 1024} for dtype, rate in gemm.items()}
    ceiling.keep({"schema": 1, "key": key, "gemm": found, "measured_at": "2026-01-02T03:04:05+00:00"})


@pytest.mark.parametrize(
    ("name", "dtype", "tera"),
    [
        ("NVIDIA H200", "bfloat16", 989.5),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA H100 NVL", "float16", 835.5),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312),
        ("A100-SXM4-40GB", "tf32", 156),  # as older drivers name it
        ("NVIDIA A10", "bfloat16", 125),
        ("NVIDIA A10G", "bfloat16", 70),
        ("Tesla T4", "float16", 65),
        ("nvidia  geforce rtx 4090", "bfloat16", 165.2),
    ],
)
def test_a_listed_device_has_its_dense_peak(name: str, dtype: str, tera: float) -> None:
    assert peaks.peak(name, dtype) == pytest.approx(tera * 1e12)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "GRID A100-20C",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA H20",
        "NVIDIA",
        "",
    ],
)
def test_a_near_name_is_another_device(name: str) -> None:
    assert peaks.listed(name) is None
    assert peaks.peak(name, "bfloat16") is None


def test_a_dtype_the_device_lacks_has_no_peak() -> None:
    assert peaks.peak("Tesla T4", "bfloat16") is None
    assert peaks.peak("Tesla V100-SXM2-32GB", "tf32") is None
    assert peaks.peak("NVIDIA A100-SXM4-80GB", "float8") is None


def test_every_device_has_a_source_and_plausible_dense_figures() -> None:
    """Halving where it was due: TF32 is half of float16 or less, and no figure is the doubled one of sparsity."""
    names = [peaks.normalised(name) for device in peaks.DEVICES for name in device.names]
    assert len(names) == len(set(names)) or len(names) - len(set(names)) == 1  # the T4 has two
    for device in peaks.DEVICES:
        assert device.source.startswith("https://")
        assert device.read_in  # a figure that nobody could read anywhere has no place here
        half = device.peaks["float16"]
        assert device.peaks.get("bfloat16", half) == half
        assert device.peaks.get("tf32", 0) <= half * 0.51
        assert device.peaks.get("float8", 0) in (0, pytest.approx(2 * half, rel=0.02))
        assert device.peaks["float32"] < half


def _properties(name: str) -> Any:
    return SimpleNamespace(name=name, uuid=_UUID)


def test_a_dtype_without_a_source_has_no_peak_although_its_device_is_listed() -> None:
    assert peaks.listed("AMD Instinct MI300X") is not None
    assert peaks.peak("AMD Instinct MI300X", "tf32") is None


def test_the_datasheet_rules_over_a_measured_ceiling() -> None:
    from harness.measure.matmul import on_cuda

    properties = _properties("NVIDIA H200")
    _keep(ceiling.cuda_key(properties), bfloat16=7e14)
    found = on_cuda(properties, "bfloat16", {})
    assert found.flops_per_second == 989.5e12
    assert found.source is not None
    assert found.source.startswith("datasheet: https://")


def test_an_unlisted_device_takes_its_measured_ceiling_of_that_dtype() -> None:
    from harness.measure.matmul import on_cuda

    properties = _properties("NVIDIA Made Up 9000")
    _keep(ceiling.cuda_key(properties), bfloat16=3e14)
    found = on_cuda(properties, "bfloat16", {})
    assert (found.flops_per_second, found.missing) == (3e14, None)
    assert found.source == "measured: harness doctor --ceiling, 2026-01-02"
    other = on_cuda(properties, "float16", {})
    assert other.flops_per_second is None
    assert "float16" in str(other.missing)


@pytest.mark.parametrize(("limit", "doubted"), [(690.0, False), (680.0, True)])
def test_a_device_counts_as_capped_below_98_per_cent_of_its_power(limit: float, doubted: bool) -> None:
    from harness.measure.matmul import on_cuda

    nvml = {"power_limit_w": limit, "default_power_limit_w": 700.0}
    assert (on_cuda(_properties("NVIDIA H200"), "bfloat16", nvml).doubt is not None) is doubted
    for untold in nvml:  # by a driver that does not know one of them: nothing is said then
        assert on_cuda(_properties("NVIDIA H200"), "bfloat16", {**nvml, untold: None}).doubt is None


def test_another_device_of_the_same_name_does_not_take_it() -> None:
    from harness.measure.matmul import on_cuda

    _keep(ceiling.cuda_key(_properties("NVIDIA Made Up 9000")), bfloat16=3e14)
    other = SimpleNamespace(name="NVIDIA Made Up 9000", uuid="ffffffff-0000-1111-2222-333344445555")
    assert on_cuda(other, "bfloat16", {}).flops_per_second is None


@pytest.mark.parametrize(
    ("name", "nvml"), [("NVIDIA H200", {"mig": True}), ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", {})], ids=["mode", "name"]
)
def test_a_slice_of_a_device_has_no_peak_of_a_datasheet(name: str, nvml: dict[str, Any]) -> None:
    from harness.measure.matmul import on_cuda

    found = on_cuda(_properties(name), "bfloat16", nvml)
    assert found.flops_per_second is None
    assert "part of a device" in str(found.missing)


def test_a_power_cap_is_told_beside_the_peak() -> None:
    from harness.measure.fakes.pynvml import FakePynvml
    from harness.measure.gpu import gpu
    from harness.measure.matmul import on_cuda

    capped, why = gpu(FakePynvml(), _UUID)
    assert why is None
    assert "600 W of 700 W" in str(on_cuda(_properties("NVIDIA H200"), "bfloat16", capped).doubt)
    free = {**capped, "power_limit_w": capped["default_power_limit_w"]}
    assert on_cuda(_properties("NVIDIA H200"), "bfloat16", free).doubt is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "dtype", "device", "expected"),
    [
        ({"bf16": True}, "float32", "cuda", "bfloat16"),
        ({"fp16": True}, "float32", "cuda", "float16"),
        ({}, "bfloat16", "cuda", "bfloat16"),
        ({}, "float32", "cuda", "float32"),
        ({}, "float32", "cpu", "float32"),
        ({}, "uint8", "cuda", None),  # quantized: what its products run in does not show here
    ],
)
def test_products_run_in_mixed_precisions_dtype_else_in_the_weights(
    arguments: dict[str, bool], dtype: str, device: str, expected: str | None
) -> None:
    import torch

    from harness.measure.matmul import product_dtype

    weight = torch.zeros(1, dtype=getattr(torch, dtype))
    assert product_dtype(SimpleNamespace(**arguments), weight, device) == expected


@pytest.mark.slow
def test_float32_products_are_tf32_where_torch_says_so() -> None:
    import torch

    from harness.measure.matmul import product_dtype

    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert product_dtype(SimpleNamespace(), torch.zeros(1), "cuda") == "tf32"
        assert product_dtype(SimpleNamespace(), torch.zeros(1), "cpu") == "float32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_the_documented_table_is_the_one_in_use() -> None:
    page = (Path(__file__).parents[3] / "docs" / "devices.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "<https://" in line]
    assert len(rows) == len(peaks.DEVICES)
    for row, device in zip(rows, peaks.DEVICES, strict=True):
        assert row[0] == ", ".join(device.names)
        assert row[6].replace("<", "").replace(">", "") == device.source
        assert [_plain(place) for place in row[7].split("; ")] == list(device.read_in)
        found = {
            dtype: float(cell)
            for dtype, cell in zip(("bfloat16", "float16", "tf32", "float32", "float8"), row[1:6], strict=True)
            if cell != "–"
        }
        assert found == device.peaks


def _plain(place: str) -> str:
    """`[owner/name](address) `path`` or `<address>` as the table in use has it."""
    return re.sub(r"\[(.+?)\]\(.+?\) `(.+)`", r"\1 \2", place).strip("<>")
