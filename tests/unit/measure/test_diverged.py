"""When a training counts as diverged, and what is done then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure.divergence import Diverged, Divergence, Tolerance, tolerate
from harness.measure.facts import facts
from harness.measure.fakes import fake_model
from harness.measure.health import findings
from harness.measure.recorder import Recorder
from harness.records.events import Event, read_events
from harness.records.spec import Spec
from tests.unit.measure.made_logs import made_logs


def _watch(folder: Path, tolerance: Tolerance, logs: Sequence[Mapping[str, Any]], *, fp16: bool = False) -> list[Event]:
    """The divergence probe over these logs, one per step; the events it left, Diverged included as the last."""
    file = folder / "events.jsonl"
    raised: list[Event] = []
    with Recorder(file) as recorder:
        probe = tolerate([Divergence(recorder)], tolerance)
        probe.attached(SimpleNamespace(args=SimpleNamespace(fp16=fp16)), None)
        try:
            for step, values in enumerate(logs, start=1):
                probe.step_end({"step": step})
                probe.logged(step, values)
        except Diverged as error:
            raised = [{"kind": "raised", "step": error.step, "text": str(error)}]
    return [*read_events(file), *raised]


def test_what_is_not_finite_stops_by_default_and_is_a_finding_and_a_fact(tmp_path: Path) -> None:
    events = _watch(tmp_path, Tolerance(), [{"loss": 1.0}, {"loss": math.nan}, {"loss": 1.0}])
    assert [event["kind"] for event in events] == ["finding", "raised"]
    assert facts(events)["diverged"] == {"of": "loss", "step": 2, "text": "loss became nan"}
    assert "at step 2" in events[-1]["text"]


def test_where_the_suite_only_wants_to_hear_of_it_training_goes_on(tmp_path: Path) -> None:
    events = _watch(tmp_path, Tolerance(diverged="report"), [{"loss": math.inf}, {"grad_norm": math.nan}] * 3)
    assert [(event["kind"], event["step"]) for event in events] == [("finding", 1)]
    assert facts(events)["diverged"]["step"] == 1
    logs = made_logs(loss=[math.inf, 1.0])
    assert [one.name for one in findings([*events, *logs])] == []  # it was told while training
    assert [one.name for one in findings(logs)] == ["not_finite"]


@pytest.mark.parametrize("mode", ["stop", "report"])
def test_a_limit_on_the_loss_ends_the_training_with_step_and_value(mode: Any, tmp_path: Path) -> None:
    tolerance = Tolerance(diverged=mode, max_loss=3.0, warmup_steps=5)
    events = _watch(tmp_path, tolerance, [{"loss": 3.0}, {"loss": 3.25}, {"loss": 1.0}])
    assert events[-1]["text"] == "loss 3.25 is above the limit of 3 at step 2"
    assert facts(events)["diverged"] == {
        "of": "loss",
        "step": 2,
        "text": "loss 3.25 is above the limit of 3",
        "value": 3.25,
        "limit": 3.0,
    }


def test_a_limit_on_the_gradient_norm_holds_after_warm_up_only(tmp_path: Path) -> None:
    tolerance = Tolerance(max_grad_norm=10.0, warmup_steps=3)
    events = _watch(tmp_path, tolerance, [{"grad_norm": 50.0}] * 3 + [{"grad_norm": 1.0}, {"grad_norm": 11.0}])
    assert events[-1]["step"] == 5
    assert _watch(tmp_path / "b", tolerance, [{"grad_norm": 50.0}] * 3) == []


def test_infinite_gradients_of_loss_scaling_break_no_limit(tmp_path: Path) -> None:
    tolerance = Tolerance(max_grad_norm=10.0)
    assert _watch(tmp_path, tolerance, [{"grad_norm": math.inf}], fp16=True) == []
    assert _watch(tmp_path / "b", tolerance, [{"grad_norm": 11.0}], fp16=True)[-1]["kind"] == "raised"


def test_a_tolerance_is_what_the_spec_says() -> None:
    fields: dict[str, Any] = {
        name: None
        for name, known in Spec.__dataclass_fields__.items()
        if name in ("suite", "suite_file", "trial_id", "cell_id", "name", "cell_name", "kind", "levels", "seed")
        or name in ("method", "model", "data", "train", "lora", "start", "timeout_s", "host_memory", "retries")
        or name == "checkpoint"
    }
    spec = Spec(**fields, warmup_steps=7, diverged="report", max_loss=2.5, max_grad_norm=9.0)
    assert Tolerance.of(spec) == Tolerance(diverged="report", max_loss=2.5, max_grad_norm=9.0, warmup_steps=7)
    assert Tolerance.of(Spec(**fields, warmup_steps=7)) == Tolerance(warmup_steps=7)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_trained_weight_that_is_not_finite_stops_a_training_whose_losses_were(wrong: float, tmp_path: Path) -> None:
    model = fake_model()
    with Recorder(tmp_path / "events.jsonl") as recorder:
        probe = Divergence(recorder)
        model.frozen.data[0] = wrong  # which training did not do
        probe.check_weights(model, 9)
        model.trained.data[3] = wrong
        with pytest.raises(Diverged, match="weight trained became non-finite at step 9"):
            probe.check_weights(model, 9)
    assert facts(list(read_events(tmp_path / "events.jsonl")))["diverged"]["of"] == "weights"
