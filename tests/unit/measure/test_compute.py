"""The FLOPs of real trainings, step by step, against torch's own counter around the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.measure import summarise
from harness.records.events import Event
from tests.unit.measure.counter import counting
from tests.unit.measure.trained import MODEL, Trained, train

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*label_smoothing_factor:FutureWarning")]

_EARLY = {"gradient_checkpointing": True}
_WHOLE = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}
_TORCHS_WAY = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"preserve_rng_state": False}}
_SELECTIVE = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"selective": True}}
_EVERY_OTHER = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"every_n_layers": 2}}
_FREE = {"padding_free": True, "max_length": None}


@dataclass
class Counted:
    """What torch's counter saw in each micro-batch: all of it, and its backward."""

    whole: list[int] = field(default_factory=list)
    backward: list[int] = field(default_factory=list)


def _observed(folder: Path, method: str, kind: str, config: Mapping[str, Any], **more: Any) -> tuple[Trained, Counted]:
    counted = Counted()
    kernel = more.pop("kernel", None)

    def before(trainer: Any) -> None:
        if kernel:
            trainer.model.set_attn_implementation(kernel)
            if getattr(trainer, "ref_model", None) is not None:
                trainer.ref_model.set_attn_implementation(kernel)
        step, backward = trainer.training_step, trainer.accelerator.backward

        def training_step(*args: Any, **kwargs: Any) -> Any:
            with counting() as counter:

                def counted_backward(*args: Any, **kwargs: Any) -> None:
                    before = counter.get_total_flops()
                    backward(*args, **kwargs)
                    counted.backward.append(int(counter.get_total_flops() - before))

                trainer.accelerator.backward = counted_backward
                loss = step(*args, **kwargs)
                counted.whole.append(int(counter.get_total_flops()))
            return loss

        trainer.training_step = training_step

    return train(
        folder, method, kind, {"eval_strategy": "no", "num_train_epochs": 1, **config}, before=before, **more
    ), counted


def _compute(events: list[Event]) -> dict[str, Any]:
    (found,) = [event["values"] for event in events if event["kind"] == "compute"]
    return dict(found)


CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "sft": ("sft", "language_modeling", {}, {}),
    "sft_eager": ("sft", "language_modeling", {}, {"kernel": "eager"}),
    "sft_completion": ("sft", "prompt_completion", {}, {}),
    "sft_torchs_way": ("sft", "language_modeling", _TORCHS_WAY, {}),
    "sft_lora": ("sft", "language_modeling", {}, {"lora": True}),
    "sft_lora_early": ("sft", "language_modeling", _EARLY, {"lora": True}),
    "sft_lora_whole": ("sft", "language_modeling", _WHOLE, {"lora": True}),
    "sft_early": ("sft", "language_modeling", _EARLY, {}),
    "sft_whole": ("sft", "language_modeling", _WHOLE, {}),
    "sft_early_eager": ("sft", "language_modeling", _EARLY, {"kernel": "eager"}),
    "sft_selective": ("sft", "language_modeling", _SELECTIVE, {}),
    "sft_packed": ("sft", "prompt_completion", {"packing": True, "max_length": 48}, {}),
    "sft_wrapped": ("sft", "language_modeling", {"packing": True, "packing_strategy": "wrapped", "max_length": 48}, {}),
    "sft_padding_free": ("sft", "prompt_completion", _FREE, {}),
    "sft_padding_free_padded": ("sft", "prompt_completion", {**_FREE, "pad_to_multiple_of": 32}, {}),
    "sft_padding_free_eager": ("sft", "prompt_completion", _FREE, {"kernel": "eager"}),
    "sft_bf16_early": ("sft", "language_modeling", {**_EARLY, "bf16": True}, {}),
    "sft_every_other": ("sft", "language_modeling", _EVERY_OTHER, {}),
    "sft_smoothed": ("sft", "prompt_completion", {"label_smoothing_factor": 0.1}, {}),
    "sft_left": ("sft", "prompt_completion", {}, {"left": True}),
    "dpo": ("dpo", "preference", {}, {}),
    "dpo_eager": ("dpo", "preference", {}, {"kernel": "eager"}),
    "dpo_lora": ("dpo", "preference", {}, {"lora": True}),
    "dpo_lora_early": ("dpo", "preference", _EARLY, {"lora": True}),
    "dpo_lora_explicit": ("dpo", "preference", {}, {"lora": True, "reference": "explicit"}),
    "dpo_precomputed": ("dpo", "preference", {"precompute_ref_log_probs": True}, {}),
    "orpo": ("orpo", "preference", {}, {}),
    "orpo_lora": ("orpo", "preference", {}, {"lora": True}),
    "orpo_early": ("orpo", "preference", _EARLY, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_hardware_flops_are_what_torch_counts(name: str, tmp_path: Path) -> None:
    method, kind, config, more = CASES[name]
    trained, counted = _observed(tmp_path, method, kind, config, **more)
    assert len(trained.steps) == len(counted.whole) > 0
    assert [step["hardware_flops"] for step in trained.steps] == pytest.approx(counted.whole, rel=1e-3)
    assert all(step["model_flops"] <= step["hardware_flops"] for step in trained.steps)
    assert all(step["model_flops"] > 0 for step in trained.steps)


@pytest.mark.parametrize("name", ["sft", "sft_eager", "sft_lora_early", "dpo"])
def test_dropout_in_attention_leaves_the_cpu_without_a_fused_kernel(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODEL, "attention_dropout", 0.1)
    method, kind, config, more = CASES[name]
    trained, counted = _observed(tmp_path, method, kind, config, **more)
    assert [step["hardware_flops"] for step in trained.steps] == pytest.approx(counted.whole, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name", ["sft", "sft_completion", "sft_early", "sft_lora_early", "sft_padding_free", "dpo", "orpo"]
)
def test_hardware_flops_on_a_device_are_what_torch_counts(name: str, tmp_path: Path) -> None:
    """There TRL's fused head leaves out positions without a label, and attention has other kernels."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    method, kind, config, more = CASES[name]
    trained, counted = _observed(tmp_path, method, kind, {**config, "use_cpu": False, "bf16": True}, **more)
    assert [step["hardware_flops"] for step in trained.steps] == pytest.approx(counted.whole, rel=0.02)
    assert all(step["model_flops"] <= step["hardware_flops"] for step in trained.steps)
    assert _compute(trained.events)["matmul_dtype"] == "bfloat16"


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_steps_flops_are_those_of_its_micro_batches(accumulation: int, tmp_path: Path) -> None:
    config = {"gradient_accumulation_steps": accumulation}
    trained, counted = _observed(tmp_path, "sft", "language_modeling", config)
    flops = iter(counted.whole)
    sums = [sum(next(flops) for _ in range(accumulation)) for _ in trained.steps]
    assert [step["hardware_flops"] for step in trained.steps] == pytest.approx(sums, rel=1e-3)
    assert summarise(trained.events)["hardware_flops"] == sum(step["hardware_flops"] for step in trained.steps)


def test_a_step_of_which_a_micro_batch_passed_the_model_by_has_no_flops(tmp_path: Path) -> None:
    """Those of its other micro-batches would be too few."""

    def apart(trainer: Any) -> None:
        usual, calls = trainer.compute_loss, iter(range(100))

        def compute_loss(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if next(calls) != 3:
                return usual(model, inputs, *args, **kwargs)
            hidden = model.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
            return hidden.last_hidden_state.sum()

        trainer.compute_loss = compute_loss

    config = {"eval_strategy": "no", "gradient_accumulation_steps": 2, "logging_steps": 100, "max_steps": 3}
    trained = train(tmp_path, "sft", "language_modeling", config, before=apart)
    assert [step["step"] for step in trained.steps if "model_flops" in step] == [1, 3]
    assert [step["step"] for step in trained.steps if "hardware_flops" in step] == [1, 3]
    assert not {"model_flops", "hardware_flops"} & set(summarise(trained.events))


def test_model_flops_are_palms_formula_on_real_tokens(tmp_path: Path) -> None:
    """6N + 12·L·H·Q·T per token, each document for itself; the head, of loss-bearing positions."""
    trained = train(tmp_path, "sft", "language_modeling", {"eval_strategy": "no"})
    model = trained.trainer.model
    products = sum(weight.numel() for name, weight in model.named_parameters() if name.endswith("proj.weight"))
    head = model.lm_head.weight.numel()
    width = model.config.hidden_size * model.config.num_hidden_layers
    for step, batch in zip(trained.steps, trained.batches, strict=True):
        lengths = [sum(row) for row in batch["attention_mask"]]
        attention = 12 * width * sum(length**2 for length in lengths)
        assert step["model_flops"] == 6 * products * sum(lengths) + 6 * head * step["loss_tokens"] + attention


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"padding_free": True, "max_length": None}),
        ({}, {"gradient_checkpointing": True}),
        ({}, {"pad_to_multiple_of": 32}),
        ({}, {"packing": True, "max_length": 64, "per_device_train_batch_size": 1}),
    ],
    ids=["padding_free", "checkpointing", "padding", "packing"],
)
def test_levers_of_memory_and_padding_leave_model_flops_alone(
    one: dict[str, Any], other: dict[str, Any], tmp_path: Path
) -> None:
    """What the mathematics ask for does not depend on how it is done."""
    same = {"eval_strategy": "no", "num_train_epochs": 1}
    sums = [
        train(tmp_path / str(number), "sft", "language_modeling", {**same, **config}).sum("model_flops")
        for number, config in enumerate((one, other))
    ]
    assert sums[0] == sums[1]


@pytest.mark.parametrize("fields", [{}, {"layers_to_transform": [1]}], ids=["all", "last"])
@pytest.mark.parametrize("checkpointing", [_EARLY, _WHOLE], ids=["early", "whole"])
def test_a_gradient_that_checkpointing_alone_asks_for_is_no_model_flops(
    checkpointing: dict[str, Any], fields: dict[str, Any], tmp_path: Path
) -> None:
    """Checkpointing makes the embeddings' output want a gradient, which an adapter's loss does not need."""
    same = {"eval_strategy": "no", "num_train_epochs": 1}
    plain, again = (
        train(tmp_path / name, "sft", "language_modeling", {**same, **config}, lora=True, adapter=fields)
        for name, config in (("plain", {}), ("again", checkpointing))
    )
    assert plain.sum("model_flops") == again.sum("model_flops")
    assert plain.sum("hardware_flops") < again.sum("hardware_flops")


def test_the_reference_costs_one_forward(tmp_path: Path) -> None:
    with_reference = train(tmp_path / "with", "dpo", "preference", {"eval_strategy": "no"})
    without = train(
        tmp_path / "without", "dpo", "preference", {"eval_strategy": "no", "precompute_ref_log_probs": True}
    )
    assert with_reference.sum("model_flops") * 3 == without.sum("model_flops") * 4
    assert _compute(with_reference.events)["reference_flops_per_token"] > 0
    assert _compute(without.events)["reference_flops_per_token"] is None


def test_what_a_trial_computes_is_told_once(tmp_path: Path) -> None:
    trained = train(tmp_path, "sft", "language_modeling", {"eval_strategy": "no", "gradient_checkpointing": True})
    found = _compute(trained.events)
    layer = 32 * (32 + 16 + 16) + 32 * 32  # Q, K, V and out of the tiny shape, 32 wide, two of four heads shared
    assert found["architecture"] == "qwen2"
    assert found["forward_flops_per_token"] == {
        "embedding": 0,
        "attention_projections": 2 * 2 * layer,
        "mlp": 2 * 2 * 3 * 32 * 64,
        "head": 2 * 32 * 1024,
    }
    assert found["recomputed_flops_per_token"] == 2 * 2 * (layer + 2 * 32 * 64)  # all but the way out of the MLP
    assert found["trainable_share"] == 1
    assert found["checkpointing"] == ["early"]
    assert found["matmul_dtype"] == "float32"
    assert found["peak_flops_per_second"] is None or "measured" in found["peak_source"]


def test_an_unknown_architecture_has_no_flops_and_says_so_once(tmp_path: Path) -> None:
    def rename(trainer: Any) -> None:
        trainer.model.config.model_type = "made_up"

    trained = train(tmp_path, "sft", "language_modeling", {"eval_strategy": "no"}, before=rename)
    assert not any("model_flops" in step or "hardware_flops" in step for step in trained.steps)
    notes = [event["text"] for event in trained.events if event["kind"] == "note" and "FLOPs" in event["text"]]
    assert len(notes) == 1
    assert "made_up" in notes[0]
    assert "mfu" not in summarise(trained.events)


def test_an_unknown_attention_kernel_has_no_hardware_flops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import harness.measure.compute as compute

    monkeypatch.setattr(compute, "_DENSE", ("eager",))
    trained = train(tmp_path, "sft", "language_modeling", {"eval_strategy": "no"})
    assert all("model_flops" in step and "hardware_flops" not in step for step in trained.steps)
    assert any("'sdpa'" in event["text"] for event in trained.events if event["kind"] == "note")
