"""The machine of an environment in words."""

from __future__ import annotations

from harness.records.machine import machine


def test_a_machine_is_told_by_its_device_and_number_else_by_its_processor() -> None:
    assert machine({"device": {"name": "NVIDIA H100", "count": 2}, "cpu": {"model": "Some CPU"}}) == "2 × NVIDIA H100"
    assert machine({"device": {"name": "NVIDIA H100", "count": 1}}) == "NVIDIA H100"
    assert machine({"device": None, "cpu": {"model": "Some CPU", "usable": 8}}) == "Some CPU, 8 usable"
    assert machine({"device": None, "cpu": {"model": "Some CPU"}}) == "Some CPU"
    assert machine({}) is None
