"""Made-up figures: plausible, and the same every time."""

from __future__ import annotations

from typing import Any

import pytest

from harness.execute.made_up import NOTE, MadeUp
from harness.measure.summarise import summarise
from harness.records.events import Event
from harness.records.spec import Spec


def events_of(**changes: Any) -> list[Event]:
    values: dict[str, Any] = dict.fromkeys(Spec.__dataclass_fields__)
    values |= {"method": "sft", "cell_id": "c", "seed": 0, "train": {"max_steps": 40}, "warmup_steps": 4}
    made_up = MadeUp(Spec(**(values | changes)))
    return [*made_up.start(), *(event for number in range(1, 41) for event in made_up.step(number))]


def test_the_same_spec_gives_the_same_figures() -> None:
    assert events_of() == events_of()
    assert events_of() != events_of(seed=1)
    assert events_of() != events_of(cell_id="d")


def test_it_says_that_it_is_made_up() -> None:
    assert any(event["kind"] == "note" and event["text"] == NOTE for event in events_of())


@pytest.mark.parametrize("method", ["sft", "dpo", "orpo"])
def test_the_loss_falls_and_margins_are_those_of_preference_methods(method: str) -> None:
    events = events_of(method=method)
    losses = [event["values"]["loss"] for event in events if event["kind"] == "log"]
    assert losses[-1] < losses[0] * 0.7
    summary = summarise(events)
    assert ("final_reward_margin" in summary) is (method != "sft")
    assert summary["measured_steps"] == 36
    assert summary.get("final_reward_margin", 1.0) > summary.get("first_reward_margin", 0.0)


def test_packing_leaves_no_padding_and_lora_trains_less() -> None:
    assert summarise(events_of(train={"packing": True, "max_steps": 40}))["padding_share"] == 0
    assert summarise(events_of())["padding_share"] > 0.25
    full, adapter = summarise(events_of()), summarise(events_of(lora={"r": 8}))
    assert adapter["trainable_parameters"] < full["trainable_parameters"]
    assert adapter["peak_host_memory"] < full["peak_host_memory"]


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        (None, []),
        (15, [15, 30]),
        (20, [20]),  # the last step's are those of the end
        (0.25, [10, 20, 30]),
        ("epoch", [10, 20, 30]),
        (100, []),
    ],
)
def test_weights_on_the_way_are_made_up_at_their_steps(every: float | str | None, steps: list[int]) -> None:
    values: dict[str, Any] = dict.fromkeys(Spec.__dataclass_fields__)
    made_up = MadeUp(Spec(**{**values, "cell_id": "c", "train": {"max_steps": 40}, "save_every": every}))
    assert [step for step in range(1, 41) if made_up.saves_at(step)] == steps
