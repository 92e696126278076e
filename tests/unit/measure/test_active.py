"""What is really active, read from TRL's own trainers in real trainings, and from made-up parts where none are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure.active import Active, active, checkpointing_details, compiled, dtypes, parameter_counts, patched
from harness.measure.attending import Kernels
from harness.measure.optimizing import kernel, paged, state_dtypes, state_elements
from harness.measure.recorder import Recorder
from harness.records.events import read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from tests.unit.worker.made import spec_of

pytestmark = pytest.mark.slow

TINY = {"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}}
TRAIN = {"max_steps": 2, "per_device_train_batch_size": 4, "max_length": 32, "logging_steps": 1}
SPEC = spec_of(TINY, TRAIN, {"source": "arithmetic", "rows": 60})


def _run(folder: Path, **changes: Any) -> tuple[Outcome, dict[str, Any], list[dict[str, Any]]]:
    """Outcome, what was active, and the findings of a real trial."""
    from harness.worker.trial import run_trial

    run = RunFolder(folder)
    write_json(run.spec_file, replace(SPEC, **changes).to_json())
    outcome = run_trial(run, run.new_attempt())
    events = list(read_events(run.attempts()[0].events))
    found: dict[str, Any] = {}
    for event in events:
        if event["kind"] == "active":
            found |= event["values"]
        assert event["kind"] != "note" or "could not be read" not in event["text"]
    return outcome, found, [event for event in events if event["kind"] == "finding"]


def test_levers_show_in_training_as_they_act(tmp_path: Path) -> None:
    train = {
        **TRAIN,
        "packing": True,
        "bf16": True,
        "optim": "adamw_8bit",
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
        "lr_scheduler_type": "cosine",
    }
    outcome, found, _ = _run(tmp_path, model={"shape": "tiny"}, train=train)
    assert outcome.outcome == "ok", outcome.cause
    assert (found["packing"], found["packing_strategy"], found["padding_free"]) == (True, "bfd", True)
    assert (found["mixed_precision"], found["dtype"]) == ("bf16", "float32")
    assert (found["attention"], found["attention_backends"]) == ("sdpa", ["flash", "math"])
    assert found["attention_kernels"] == ["flash"]  # seen in the recomputation: the forward itself has no gradients
    assert found["gradient_checkpointing"] is True
    assert found["checkpointing"] == {"layers": 4, "use_reentrant": True}
    assert found["batch"] == {"rows": 4, "accumulation": 2, "rows_per_step": 8}
    assert (found["optimizer"], found["optimizer_package"], found["optimizer_paged"]) == (
        "AdamW",
        "bitsandbytes",
        False,
    )
    assert found["optimizer_state"]["state1"] == ["uint8", "float32"]
    assert found["optimizer_state_elements"]["uint8"] > 10**6
    assert (found["scheduler"], found["world_size"], found["max_steps"]) == ("cosine", 1, 2)
    assert found["patched"] == {"Qwen2ForCausalLM": "trl.trainer.utils"}
    assert (found["compiled"], found["liger"], found["activation_offloading"]) == (False, False, False)
    assert found["config"]["packing"] is True
    assert found["tokenizer"].items() >= {"eos_token": "<|im_end|>", "pad_token": "<|pad|>"}.items()
    assert not {"output_dir", "hub_token", "push_to_hub_token"} & set(found["config"])


def test_an_adapter_and_a_reference_show(tmp_path: Path) -> None:
    lora = {"r": 4, "use_dora": True, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]}
    train = {**TRAIN, "gradient_checkpointing": False, "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}
    outcome, found, _ = _run(tmp_path, method="dpo", lora=lora, train=train)
    assert outcome.outcome == "ok", outcome.cause
    assert found["reference"] == "adapter_off"
    assert (found["loss_type"], found["loss_weights"]) == (["sigmoid", "sft"], [1.0, 0.5])
    adapter = found["adapter"]["default"]
    assert (adapter["r"], adapter["use_dora"], adapter["use_rslora"], adapter["modules"]) == (4, True, True, 4)
    assert found["gradient_checkpointing"] is False
    assert "checkpointing" not in found
    assert found["trainable_parameters"] < found["total_parameters"]


def test_an_adapter_is_told_as_it_sits_in_the_model(tmp_path: Path) -> None:
    lora = {
        "r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,
        "target_modules": ["q_proj", "v_proj", "nowhere"],
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"q_proj": 6},
    }
    outcome, found, _ = _run(tmp_path / "dpo", method="dpo", lora=lora, train=TRAIN)
    assert outcome.outcome == "ok", outcome.cause
    adapter = found["adapter"]["default"]
    assert (adapter["r"], adapter["lora_alpha"], adapter["scaling"]) == ([2, 4], [6, 8], [2.0, 3.0])
    assert (adapter["target_modules"], adapter["modules"]) == (["q_proj", "v_proj"], 4)
    assert adapter["lora_dropout"] == 0  # DPO's disable_dropout is on by default, and takes the adapter's too
    outcome, found, _ = _run(tmp_path / "sft", lora={"r": 4, "lora_dropout": 0.1}, train=TRAIN)
    assert outcome.outcome == "ok", outcome.cause
    assert (found["adapter"]["default"]["r"], found["adapter"]["default"]["lora_dropout"]) == (4, 0.1)


def test_the_optimizer_tells_the_numbers_it_steps_with(tmp_path: Path) -> None:
    train = {**TRAIN, "optim": "sgd", "optim_args": "momentum=0.5", "weight_decay": 0.1, "adam_beta2": 0.5}
    outcome, found, _ = _run(tmp_path / "sgd", train=train)
    assert outcome.outcome == "ok", outcome.cause
    assert found["optimizer_options"].items() >= {"momentum": 0.5, "weight_decay": [0.1, 0.0]}.items()
    assert not {"betas", "lr", "params"} & set(found["optimizer_options"])
    _, found, _ = _run(tmp_path / "adamw", train={**TRAIN, "adam_beta2": 0.5, "optim_args": "beta1=0.1"})
    assert found["optimizer_options"]["betas"] == [0.9, 0.5]
    _, found, _ = _run(tmp_path / "bnb", train={**TRAIN, "optim": "adamw_bnb_8bit"})
    assert "optimizer_options" not in found  # it keeps others elsewhere


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"selective": True}, {"layers": 2, "use_reentrant": False, "selective": True}),
        ({"every_n_layers": 2}, {"layers": 1, "use_reentrant": False}),
        ({"preserve_rng_state": False}, {"layers": 2, "use_reentrant": True, "preserve_rng_state": False}),
    ],
)
def test_checkpointing_is_told_as_torch_does_it(
    asked: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    outcome, found, _ = _run(tmp_path, train={**TRAIN, "gradient_checkpointing_kwargs": asked})
    assert outcome.outcome == "ok", outcome.cause
    assert found["checkpointing"] == expected


def test_what_checkpointing_saves_on_the_host_shows() -> None:
    """A training needs a device for it: memory that the device can copy from."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 8}
    model = Qwen2ForCausalLM(Qwen2Config(**small, num_attention_heads=1, num_key_value_heads=1))
    model.gradient_checkpointing_enable(offload=True)
    assert checkpointing_details(model) == {"layers": 1, "use_reentrant": False, "offload": True}
    model.gradient_checkpointing_enable()
    assert checkpointing_details(model) == {"layers": 1, "use_reentrant": False}


def test_autocast_that_is_not_applied_is_none(tmp_path: Path) -> None:
    outcome, found, _ = _run(tmp_path, train={**TRAIN, "fp16": True})
    assert outcome.outcome == "ok", outcome.cause
    assert (found["mixed_precision"], found["config"]["fp16"]) == ("no", True)


@pytest.mark.parametrize(
    ("optim", "expected"),
    [("adamw_torch", "loop"), ("adamw_torch_fused", "fused"), ("sgd", "loop"), ("adafactor", None)],
)
def test_the_optimizer_tells_how_it_steps(optim: str, expected: str | None, tmp_path: Path) -> None:
    outcome, found, _ = _run(tmp_path, train={**TRAIN, "optim": optim})
    assert outcome.outcome == "ok", outcome.cause
    assert found.get("optimizer_kernel") == expected
    assert bool(found["optimizer_state"]) is (optim != "sgd")


def test_the_kernel_of_attention_is_the_one_that_torch_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch.nn import functional

    own, asked = functional.scaled_dot_product_attention, []

    def choice(query: Any, *rest: Any, attn_mask: Any, **others: Any) -> int:
        asked.append((query.dtype, attn_mask is not None, others["is_causal"]))
        return 2 if attn_mask is not None else 1

    monkeypatch.setattr(torch, "_fused_sdp_choice", choice)
    kernels, query = Kernels(), torch.randn(1, 2, 4, 8, requires_grad=True)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    kernels.watch()
    kernels.watch()
    with torch.no_grad():
        functional.scaled_dot_product_attention(query, query, query)
    with torch.autocast("cpu", torch.bfloat16):
        functional.scaled_dot_product_attention(query, query, query, is_causal=True)
        functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    got = functional.scaled_dot_product_attention(query, query, query, mask)
    kernels.stop()
    assert functional.scaled_dot_product_attention is own
    assert torch.equal(got, own(query, query, query, mask))
    assert asked == [(torch.bfloat16, False, True), (torch.float32, True, False)]
    assert kernels.found == ["flash", "memory_efficient"]


def test_a_first_step_that_fails_leaves_attention_as_it_was(tmp_path: Path) -> None:
    from torch.nn import functional

    own = functional.scaled_dot_product_attention
    with Recorder(tmp_path / "events.jsonl") as recorder:
        probe = Active(recorder)
        probe._trainer = SimpleNamespace()
        probe.batch_begin({})
        assert functional.scaled_dot_product_attention is not own
        probe.phase_end("train")
    assert functional.scaled_dot_product_attention is own


def test_compilation_and_patched_forwards_show() -> None:
    import torch

    class Inner(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    class Outer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    model = Outer()
    assert patched(model) is None
    space: dict[str, Any] = {"__name__": "liger_kernel.transformers.model"}
    exec("def forward(self, x): return x", space)
    model.inner.forward = space["forward"].__get__(model.inner)  # type: ignore[method-assign]
    assert patched(model) == {"Inner": "liger_kernel.transformers.model"}


def test_what_cannot_be_read_is_named_and_ends_nothing() -> None:
    class Odd:
        args = SimpleNamespace(device="cpu", to_dict=dict)
        train_dataset = eval_dataset = optimizer = None

        @property
        def model(self) -> Any:
            raise RuntimeError("a trainer of another kind")

    values, unread = active(Odd(), SimpleNamespace(name="odd", reference=False))
    assert unread["attention"] == "RuntimeError"
    assert values["trainer"] == "Odd"


def test_no_optimizer_is_asked_for_beside_the_trainers_own() -> None:
    """transformers makes GaLore's layerwise ones as it answers, with hooks on the weights that step them."""
    import torch

    asked: list[Any] = []
    trainer = SimpleNamespace(
        args=SimpleNamespace(device="cpu", to_dict=dict),
        model=torch.nn.Linear(2, 2),
        optimizer=None,
        get_optimizer_cls_and_kwargs=lambda *given: asked.append(given),
    )
    values, _ = active(trainer, SimpleNamespace(name="odd", reference=False))
    assert values["total_parameters"] == 6
    assert not asked


# Optimizers that are not here


class _Quantized:
    """A tensor like torchao's, which claims the weights' dtype."""

    def __init__(self) -> None:
        import torch

        self.codes = torch.zeros(8, dtype=torch.uint8)
        self.dtype = torch.float32
        self.is_paged = True

    def numel(self) -> int:
        return 8


def test_a_quantized_state_is_told_by_what_it_stores() -> None:
    import torch

    state = {0: {"step": torch.tensor(1.0), "exp_avg": _Quantized()}, 1: {"exp_avg": torch.zeros(4)}, 2: None}
    optimizer = SimpleNamespace(state=state, defaults={})
    assert state_dtypes(optimizer) == {"exp_avg": ["_Quantized[uint8]", "float32"]}
    assert state_elements(optimizer) == {"_Quantized[uint8]": 8, "float32": 4}
    assert paged(optimizer)
    assert kernel(optimizer) is None


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"fused": True, "foreach": None}, "fused"),
        ({"foreach": True, "fused": None}, "foreach"),
        ({"foreach": False}, "loop"),
    ],
)
def test_kernels_that_were_asked_for(defaults: Mapping[str, Any], expected: str) -> None:
    assert kernel(SimpleNamespace(defaults=defaults)) == expected


# Divergence and health in real trainings

HOT = {**TRAIN, "max_steps": 6, "learning_rate": 1e30, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}


def test_a_divergence_that_is_only_reported_lets_the_training_end(tmp_path: Path) -> None:
    outcome, _, findings = _run(tmp_path, train=HOT, diverged="report")
    assert outcome.outcome == "ok"
    assert outcome.summary["measured_steps"] == 5
    assert [finding["name"] for finding in findings].count("diverged") == 1
    assert outcome.facts["diverged"]["step"] == findings[0]["step"] == 2
    stopped, _, found = _run(tmp_path / "stop", train=HOT)
    assert (stopped.outcome, found[0]["name"]) == ("diverged", "diverged")
    assert stopped.facts["diverged"]["of"] == "loss"


def test_a_limit_on_the_loss_ends_a_real_training(tmp_path: Path) -> None:
    outcome, _, _ = _run(tmp_path, max_loss=0.5)
    assert outcome.outcome == "diverged"
    assert "is above the limit of 0.5 at step 1" in str(outcome.cause)
    assert outcome.facts["diverged"]["value"] > 0.5


def test_a_training_at_rate_zero_is_found_out(tmp_path: Path) -> None:
    outcome, _, findings = _run(tmp_path, train={**TRAIN, "max_steps": 4, "learning_rate": 0.0})
    assert outcome.outcome == "ok"
    assert [finding["name"] for finding in findings] == ["learning_rate_zero"]


def test_health_is_looked_at_where_a_training_crashes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.worker.saving import Saving

    def full(*_: Any) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(Saving, "at_end", full)
    outcome, _, findings = _run(tmp_path, train={**TRAIN, "max_steps": 4, "learning_rate": 0.0})
    assert outcome.outcome == "crashed"
    assert [finding["name"] for finding in findings] == ["learning_rate_zero"]


def test_planted_secrets_reach_neither_events_nor_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = 'plänted "secret" value'
    monkeypatch.setenv("MY_API_KEY", secret)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", secret)  # a recorded variable that happens to hold one
    places = {"run_name": secret, "metric_for_best_model": f"https://me:{secret}@host/x"}
    outcome, found, _ = _run(tmp_path, train={**TRAIN, **places})
    assert outcome.outcome == "ok", outcome.cause
    assert found["config"]["metric_for_best_model"].endswith("host/x")
    for file in ("environment.json", "attempts/1/events.jsonl"):
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert "nted" not in text, file


@pytest.mark.parametrize("variable", ["TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"])
def test_a_compiler_that_was_switched_off_compiles_nothing(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch reads the second when its compiler is imported; the wrapper stands there either way."""
    import torch
    import torch._dynamo.config

    model = torch.compile(torch.nn.Linear(2, 2))
    trainer = SimpleNamespace(model=model, model_wrapped=model)
    assert compiled(trainer)
    if variable == "TORCHDYNAMO_DISABLE":
        monkeypatch.setenv(variable, "1")
        assert not compiled(trainer)
    else:
        with torch._dynamo.config.patch(disable=True):  # monkeypatch would take the setting away for good
            assert not compiled(trainer)
    monkeypatch.delenv(variable, raising=False)
    assert compiled(trainer)


def test_weights_of_4_bits_count_as_many_as_they_stand_for() -> None:
    import torch

    model = torch.nn.Linear(64, 8, bias=False)
    packed = torch.nn.Parameter(torch.zeros(128 * 64 // 2, 1, dtype=torch.uint8), requires_grad=False)
    packed.quant_state = SimpleNamespace(shape=torch.Size([128, 64]))  # as bitsandbytes' have it
    model.register_parameter("packed", packed)

    assert parameter_counts(model) == {"trainable_parameters": 512, "total_parameters": 512 + 128 * 64}
    assert dtypes(model.parameters()) == ["uint8", "float32"]
