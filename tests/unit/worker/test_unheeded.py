"""What was asked for and is not done, where TRL and PEFT are silent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.events import read_events
from harness.records.run_folder import RunFolder, write_json
from harness.worker.unheeded import unmatched
from tests.unit.worker.made import spec_of

ADAPTED = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"]


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ({"target_modules": ["q_proj", "up_proj"]}, []),
        (
            {"target_modules": ["q_proj", "proj", "nope"]},
            ["no module of the model is named proj, nope: lora.target_modules names it in vain"],
        ),
        ({"target_modules": ["self_attn.q_proj"]}, []),
        ({"target_modules": "all-linear"}, []),
        (
            {"target_modules": ["q_proj", "k_proj"], "exclude_modules": ["k_proj"]},
            ["k_proj has no adapter: lora.target_modules names it, another field of lora takes it out"],
        ),
        ({"modules_to_save": ["lm_head"]}, []),
        (
            {"modules_to_save": ["lm_head", "score"]},
            ["no module of the model is named score: lora.modules_to_save names it in vain"],
        ),
        ({"layers_to_transform": 0}, []),
        (
            {"layers_to_transform": [0, 7]},
            ["no layer with an adapter has the number 7: lora.layers_to_transform names it in vain"],
        ),
        ({}, []),
    ],
)
def test_what_matches_nothing_in_the_model(lora: Any, said: list[str]) -> None:
    assert list(unmatched(lora, ADAPTED, [*ADAPTED, "model.layers.0.self_attn.k_proj", "lm_head"])) == said


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
