"""What was asked for and is not done, where TRL and PEFT are silent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.events import read_events
from harness.records.run_folder import RunFolder, write_json
from harness.worker.unheeded import missed_targets
from tests.unit.worker.made import spec_of

ADAPTED = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"]


@pytest.mark.parametrize(
    ("asked", "missed"),
    [
        (["q_proj", "up_proj"], []),
        (["q_proj", "proj", "nope"], ["proj", "nope"]),
        (["self_attn.q_proj"], []),
        ("all-linear", []),
        (None, []),
    ],
)
def test_target_modules_that_match_nothing(asked: Any, missed: list[str]) -> None:
    assert missed_targets(asked, ADAPTED) == missed


@pytest.mark.slow
@pytest.mark.parametrize("heeded", [True, False])
def test_a_training_tells_what_it_does_not_do(tmp_path: Path, heeded: bool) -> None:
    from harness.worker.__main__ import train_alone

    train = {"max_steps": 2, "packing": True, "max_length": 32, "per_device_train_batch_size": 2}
    spec = spec_of(
        train={**train, **({} if heeded else {"padding_free": False, "completion_only_loss": True, "fp16": True})},
        model={"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}},
        data={"source": "arithmetic", "rows": 60, "format": "prompt_completion" if heeded else "language_modeling"},
    )
    folder = RunFolder(tmp_path)
    lora = {"r": 2, "target_modules": ["q_proj"] if heeded else ["q_proj", "nope"]}
    write_json(folder.spec_file, replace(spec, lora=lora).to_json())

    assert train_alone(folder).outcome == "ok"

    events = read_events(folder.attempts()[0].events)
    told = [event["text"] for event in events if event["kind"] == "note" and event["level"] == "warning"]
    assert told == (
        []
        if heeded
        else [
            "no module of the model is named nope: lora.target_modules names it in vain",
            "padding-free batches are on, though train.padding_free is false: TRL's packing turns them on",
            "train.completion_only_loss masks nothing: the rows are language_modeling, which has no completion"
            " (of messages, train.assistant_only_loss masks what others say)",
            "nothing is computed in float16, though train.fp16 is true: accelerate ignores it on a CPU",
        ]
    )
