"""Events → metrics: ratios of sums, absent rather than zero, and no training stack."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import summarise
from harness.records.metrics import METRICS


def _step(number: int, wall: float, real: int, *, measured: bool = True, **more: Any) -> dict[str, Any]:
    base = {"padded_tokens": 2 * real, "loss_tokens": real // 2, "reference_tokens": 0, "samples": 4, "data_s": 0.0}
    return {
        "t": 10.0 + number,
        "kind": "step",
        "step": number,
        "wall_s": wall,
        "real_tokens": real,
        "measured": measured,
        **base,
        **more,
    }


def test_nothing_measured_is_absent() -> None:
    assert summarise([]) == {}
    only = summarise([{"t": 3.0, "kind": "note", "level": "info", "text": "x"}])
    assert only == {"trial_seconds": 3.0}


def test_throughput_is_a_ratio_of_sums_over_the_measured_window() -> None:
    events = [_step(1, 9.0, 999, measured=False), _step(2, 1.0, 100), _step(3, 3.0, 100)]
    found = summarise(events)
    assert found["tokens_per_second"] == pytest.approx(50.0)  # a mean of ratios would say 66.7
    assert found["padded_tokens_per_second"] == pytest.approx(100.0)
    assert found["samples_per_second"] == pytest.approx(2.0)
    assert found["padding_share"] == pytest.approx(0.5)
    assert (found["measured_steps"], found["real_tokens"], found["loss_tokens"]) == (2, 200, 100)


def test_startup_ends_where_the_first_step_began() -> None:
    phase = {"kind": "phase", "name": "train"}
    events = [
        {"t": 4.0, "edge": "start", **phase},
        _step(1, 5.5, 1, measured=False),
        {"t": 20.0, "edge": "end", **phase},
    ]
    found = summarise(events)
    assert found["startup_seconds"] == pytest.approx(5.5)
    assert found["train_seconds"] == pytest.approx(16.0)
    assert summarise(events[:1])["startup_seconds"] == 4.0
    assert "train_seconds" not in summarise(events[:2])  # it never ended


def test_saving_within_training_is_none_of_its_time() -> None:
    edges = [("train", 1.0, "start"), ("eval", 2.0, "start"), ("eval", 3.0, "end"), ("save", 4.0, "start")]
    edges += [("save", 6.0, "end"), ("save", 7.0, "start"), ("save", 7.5, "end"), ("train", 9.0, "end")]
    edges += [("save", 9.0, "start"), ("save", 99.0, "end")]
    events = [{"t": t, "kind": "phase", "name": name, "edge": edge} for name, t, edge in edges]
    assert summarise(events)["train_seconds"] == pytest.approx(8.0 - 2.5)


def test_curves_give_first_and_final_tenths() -> None:
    logs = [
        {"t": float(i), "kind": "log", "step": i, "values": {"loss": 10.0 - i / 10, "rewards/margins": i / 10}}
        for i in range(1, 40)
    ]
    evals = [
        {"t": 40.0, "kind": "log", "step": step, "values": {"eval_loss": value}}
        for step, value in ((20, 0.4), (39, 0.5))
    ]
    found = summarise([*logs, *evals])
    assert found["final_loss"] == pytest.approx(6.2)  # of 39 logs the last three
    assert found["first_reward_margin"] == pytest.approx(0.2)
    assert found["final_reward_margin"] == pytest.approx(3.8)
    assert found["final_eval_loss"] == 0.5


def test_a_loss_that_is_no_number_leaves_no_figure() -> None:
    logs = [{"t": 1.0, "kind": "log", "step": 1, "values": {"loss": "NaN"}}]
    assert "final_loss" not in summarise(logs)


def test_peaks_are_the_highest_of_their_kind() -> None:
    events = [
        {"t": 1.0, "kind": "memory", "step": 0, "values": {"host_uss": 5, "host_uss_peak": 9}},
        {
            "t": 2.0,
            "kind": "memory",
            "step": 1,
            "values": {"host_uss": 7, "device_used": 3, "device_allocated_peak": 2},
        },
    ]
    found = summarise(events)
    assert (found["peak_host_memory"], found["peak_device_memory"], found["peak_allocated"]) == (9, 3, 2)
    assert "peak_reserved" not in found


@given(st.lists(st.tuples(st.floats(0.001, 10.0), st.integers(1, 10_000)), min_size=1, max_size=40))
def test_percentiles_are_those_of_the_statistics_library_and_every_name_is_public(
    pairs: list[tuple[float, int]],
) -> None:
    steps = [_step(i, wall, real, device_s=wall / 2) for i, (wall, real) in enumerate(pairs, start=1)]
    found = summarise(steps)
    walls = [wall for wall, _ in pairs]
    cuts = statistics.quantiles(walls * (1 if len(walls) > 1 else 2), n=100, method="inclusive")
    for share in (50, 90, 99):
        assert found[f"step_seconds_p{share}"] == pytest.approx(cuts[share - 1])
        assert found[f"device_step_seconds_p{share}"] == pytest.approx(cuts[share - 1] / 2)
    assert set(found) <= set(METRICS)
    assert found["tokens_per_second"] == pytest.approx(sum(real for _, real in pairs) / sum(walls))


def test_importing_the_rooms_leaves_the_training_stack_out() -> None:
    code = (
        "import sys, harness.measure, harness.methods, harness.measure.environment\n"
        "heavy = {'torch', 'numpy', 'transformers', 'trl', 'peft', 'datasets', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
