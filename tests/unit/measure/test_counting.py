"""Tokens are counted to the token: against an independent count of what the data loader gave, on real TRL trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.measure.trained import ROWS, Trained, labelled, ones, size, train

# TRL warns of its own deprecated option where it is asked for; the metrics-only forward it adds must not be counted.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*label_smoothing_factor:FutureWarning")]

_CHECKPOINTED: dict[str, dict[str, Any]] = {
    "checkpointed": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    "checkpointed_reentrant": {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
    },
}
_LOOPS: dict[str, dict[str, Any]] = {
    "accumulated": {"gradient_accumulation_steps": 3},
    "last_accumulation_short": {"gradient_accumulation_steps": 4},
    "cut_off": {"gradient_accumulation_steps": 2, "max_steps": 4},
    "workers": {"dataloader_num_workers": 2, "gradient_accumulation_steps": 4},
    "drop_last": {"dataloader_drop_last": True},
    **_CHECKPOINTED,
}
_FEW_LOOPS = {name: _LOOPS[name] for name in ("last_accumulation_short", "workers", "checkpointed")}
_PACKED = {"packing": True, "max_length": 48}
_FREE = {"padding_free": True, "max_length": None}

SFT: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("language_modeling", {}),
    "completion": ("prompt_completion", {}),
    "whole": ("prompt_completion", {"completion_only_loss": False}),
    "assistant": ("conversation", {"assistant_only_loss": True}),
    "padded": ("prompt_completion", {"pad_to_multiple_of": 32}),
    "smoothed": ("prompt_completion", {"label_smoothing_factor": 0.1}),
    "dft": ("prompt_completion", {"loss_type": "dft"}),
    "bfd": ("prompt_completion", _PACKED),
    "bfd_split": ("language_modeling", {**_PACKED, "packing_strategy": "bfd_split", "max_length": 24}),
    "wrapped": ("language_modeling", {**_PACKED, "packing_strategy": "wrapped"}),
    "bfd_padded": ("prompt_completion", {**_PACKED, "pad_to_multiple_of": 32}),
    "padding_free": ("prompt_completion", _FREE),
    "padding_free_padded": ("prompt_completion", {**_FREE, "pad_to_multiple_of": 32}),
    "padding_free_accumulated": ("prompt_completion", {**_FREE, "gradient_accumulation_steps": 4}),
    "packed_workers": ("prompt_completion", {**_PACKED, "dataloader_num_workers": 2}),
    **{name: ("prompt_completion", config) for name, config in _LOOPS.items()},
}
_WITHOUT_MASK = ("bfd", "bfd_split", "bfd_padded", "packed_workers")  # and every padding_free one


def _check_sft(name: str, trained: Trained) -> None:
    batches, rows = trained.batches, trained.trainer.train_dataset
    assert batches
    assert trained.steps
    if "attention_mask" in batches[0]:
        assert trained.sum("real_tokens") == sum(ones(batch["attention_mask"]) for batch in batches)
    else:
        assert name in _WITHOUT_MASK or name.startswith("padding_free")
    if name not in ("cut_off", "drop_last"):
        assert trained.sum("real_tokens") == 2 * sum(len(ids) for ids in rows["input_ids"])
    assert trained.sum("padded_tokens") == sum(size(batch["input_ids"]) for batch in batches)
    assert trained.sum("loss_tokens") == sum(labelled(batch["labels"]) for batch in batches)
    assert trained.sum("reference_tokens") == 0
    largest = max(size(batch["input_ids"]) for batch in batches)
    (told,) = [event for event in trained.events if event["kind"] == "batch"]
    assert told["rows"] * told["length"] == largest


@pytest.mark.parametrize("name", SFT)
def test_sft_counts_equal_what_was_collated(name: str, tmp_path: Path) -> None:
    kind, config = SFT[name]
    trained = train(tmp_path, "sft", kind, config)
    _check_sft(name, trained)
    rows = trained.trainer.train_dataset
    documents = sum(len(lengths) for lengths in rows["seq_lengths"]) if "seq_lengths" in rows.features else len(rows)
    assert trained.sum("samples") == {"cut_off": 30, "drop_last": 40}.get(name, 2 * documents)
    if name in ("plain", "completion", "padded", "padding_free_padded", "bfd_padded"):
        assert trained.sum("padded_tokens") > trained.sum("real_tokens")
    if name in ("completion", "assistant"):
        assert trained.sum("loss_tokens") < trained.sum("real_tokens") // 2
    assert not [event for event in trained.events if event["kind"] == "finding"]


@pytest.mark.parametrize("checkpointing", [{}, *_CHECKPOINTED.values()], ids=["plain", *_CHECKPOINTED])
def test_sft_with_an_adapter_counts_the_same(checkpointing: dict[str, Any], tmp_path: Path) -> None:
    _check_sft("lora", train(tmp_path, "sft", "prompt_completion", checkpointing, lora=True))


@pytest.mark.parametrize("method", ["sft", "dpo", "orpo"])
def test_padding_on_the_left_is_padding(method: str, tmp_path: Path) -> None:
    kind = "prompt_completion" if method == "sft" else "preference"
    trained = train(tmp_path, method, kind, {}, left=True)
    prefix = "chosen_" if method == "orpo" else ""
    assert any(row[0] == 0 for batch in trained.batches for row in batch[f"{prefix}attention_mask"])
    {"sft": lambda it: _check_sft("left", it), "dpo": _check_dpo, "orpo": _check_orpo}[method](trained)


@pytest.mark.parametrize(("accumulation", "sizes"), [(1, [1] * 6), (3, [3, 3]), (4, [4, 2])])
def test_accumulated_steps_are_optimizer_steps(accumulation: int, sizes: list[int], tmp_path: Path) -> None:
    """Each step's tokens are those of its own micro-batches; the last accumulation of an epoch may have fewer."""
    trained = train(tmp_path, "sft", "prompt_completion", {"gradient_accumulation_steps": accumulation})
    assert [step["step"] for step in trained.steps] == list(range(1, 2 * len(sizes) + 1))
    assert len(trained.steps) == trained.trainer.state.global_step
    batches = iter(trained.batches)
    for step, count in zip(trained.steps, [*sizes, *sizes], strict=True):
        own = [next(batches) for _ in range(count)]
        assert step["real_tokens"] == sum(ones(batch["attention_mask"]) for batch in own)
        assert step["loss_tokens"] == sum(labelled(batch["labels"]) for batch in own)
        assert step["samples"] == sum(len(batch["input_ids"]) for batch in own)


def test_offloaded_activations_change_no_count(tmp_path: Path) -> None:
    """TRL's `activation_offloading` needs a device to move them from; its hooks around a step are torch's own kind."""

    def offload(trainer: Any) -> None:
        import torch

        trainer.maybe_activation_offload_context = torch.autograd.graph.save_on_cpu()

    _check_sft("offloaded", train(tmp_path, "sft", "prompt_completion", {}, before=offload))


@pytest.fixture
def dynamo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch's compiler, with nothing compiled before; transformers asks accelerate for it by these variables."""
    import torch

    for variable in ("BACKEND", "MODE"):
        monkeypatch.setenv(f"ACCELERATE_DYNAMO_{variable}", "")
        monkeypatch.delenv(f"ACCELERATE_DYNAMO_{variable}")
    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


@pytest.mark.parametrize(("method", "lora"), [("sft", False), ("dpo", True)])
def test_a_compiled_model_is_counted_and_the_counting_is_not_compiled(
    method: str, lora: bool, dynamo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    compiled: list[str] = []
    optimize = torch._dynamo.convert_frame._compile

    def noting(code: Any, *args: Any, **kwargs: Any) -> Any:
        compiled.append(code.co_filename)
        return optimize(code, *args, **kwargs)

    monkeypatch.setattr(torch._dynamo.convert_frame, "_compile", noting)
    kind = "prompt_completion" if method == "sft" else "preference"
    config = {"torch_compile": True, "torch_compile_backend": "eager", "max_steps": 3, "eval_strategy": "no"}
    trained = train(tmp_path, method, kind, config, lora=lora)
    assert type(trained.trainer.model_wrapped).__name__ == "OptimizedModule"
    real = sum(ones(batch["attention_mask"]) for batch in trained.batches)
    assert trained.sum("real_tokens") == real
    assert trained.sum("reference_tokens") == (real if method == "dpo" else 0)
    assert compiled
    assert not [name for name in compiled if "/harness/" in name]


_DPO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full": ({}, {}),
    "lora": ({}, {"lora": True}),
    "lora_explicit": ({}, {"lora": True, "reference": "explicit"}),
    "synchronised": ({"sync_ref_model": True, "ref_model_sync_steps": 2}, {}),
    "two_losses": ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, {}),
    "padded": ({"pad_to_multiple_of": 32}, {}),
    **{name: (config, {}) for name, config in _FEW_LOOPS.items()},
    **{f"lora_{name}": (config, {"lora": True}) for name, config in _CHECKPOINTED.items()},
    "lora_accumulated": (_LOOPS["last_accumulation_short"], {"lora": True}),
}


def _check_dpo(trained: Trained, *, reference: bool = True) -> None:
    batches = trained.batches
    real = sum(ones(batch["attention_mask"]) for batch in batches)
    assert trained.sum("real_tokens") == real
    assert trained.sum("reference_tokens") == (real if reference else 0)
    assert trained.sum("padded_tokens") == sum(size(batch["input_ids"]) for batch in batches)
    assert trained.sum("loss_tokens") == sum(sum(row[1:]) for batch in batches for row in batch["completion_mask"])
    assert trained.sum("samples") == sum(len(batch["input_ids"]) for batch in batches) // 2


@pytest.mark.parametrize("name", _DPO)
def test_dpo_counts_equal_what_was_collated(name: str, tmp_path: Path) -> None:
    config, more = _DPO[name]
    trained = train(tmp_path, "dpo", "preference", config, **more)
    _check_dpo(trained)
    rows = trained.trainer.train_dataset
    answers = [*rows["chosen_ids"], *rows["rejected_ids"]]
    assert trained.sum("real_tokens") == 2 * sum(map(len, answers)) + 4 * sum(map(len, rows["prompt_ids"]))
    assert trained.sum("loss_tokens") == 2 * sum(map(len, answers))
    assert trained.sum("samples") == 2 * ROWS
    assert not [event for event in trained.events if event["kind"] == "finding"]


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_dpo_with_precomputed_reference_forwards_none_in_its_steps(lora: bool, tmp_path: Path) -> None:
    trained = train(tmp_path, "dpo", "preference", {"precompute_ref_log_probs": True}, lora=lora)
    _check_dpo(trained, reference=False)


def test_dpo_with_the_sft_loss_carries_it_on_chosen_alone(tmp_path: Path) -> None:
    trained = train(tmp_path, "dpo", "preference", {"loss_type": "sft"})
    assert trained.sum("loss_tokens") == 2 * sum(map(len, trained.trainer.train_dataset["chosen_ids"]))


_ORPO: dict[str, tuple[dict[str, Any], bool]] = {
    "full": ({}, False),
    "lora": ({}, True),
    **{name: (config, False) for name, config in _FEW_LOOPS.items()},
}


def _check_orpo(trained: Trained) -> None:
    batches = trained.batches
    halves = ("chosen", "rejected")
    assert trained.sum("real_tokens") == sum(
        ones(batch[f"{half}_attention_mask"]) for batch in batches for half in halves
    )
    assert trained.sum("padded_tokens") == sum(
        2 * len(batch["chosen_input_ids"]) * max(len(batch[f"{half}_input_ids"][0]) for half in halves)
        for batch in batches
    )
    assert trained.sum("loss_tokens") == sum(
        sum(sum(row[1:]) for row in batch["chosen_attention_mask"]) + labelled(batch["rejected_labels"])
        for batch in batches
    )
    assert trained.sum("reference_tokens") == 0
    assert trained.sum("samples") == sum(len(batch["chosen_input_ids"]) for batch in batches)


@pytest.mark.parametrize("name", _ORPO)
def test_orpo_counts_equal_what_was_collated(name: str, tmp_path: Path) -> None:
    config, lora = _ORPO[name]
    _check_orpo(train(tmp_path, "orpo", "preference", config, lora=lora))


def test_an_orpo_loss_of_an_answer_that_was_cut_off_says_so(tmp_path: Path) -> None:
    """TRL drops such rows for SFT and DPO; ORPO's mean over no position is NaN, as if the learning rate were wrong."""
    from datasets import Dataset

    from harness.measure.divergence import Diverged

    fine = {"prompt": "a?", "chosen": " b", "rejected": " c"}
    rows = Dataset.from_list([fine] * 7 + [{**fine, "prompt": "alpha beta gamma " * 20}])
    config = {"eval_strategy": "no", "train_sampling_strategy": "sequential", "logging_steps": 1}
    with pytest.raises(Diverged, match=r"1 of the pairs so far had no answer left .* at step 2"):
        train(tmp_path, "orpo", "preference", config, rows=rows)


def test_a_loss_that_passes_the_model_by_gives_no_count(tmp_path: Path) -> None:
    """As fused losses do that call the decoder and take the head's weights themselves."""

    def apart(trainer: Any) -> None:
        def compute_loss(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            hidden = model.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
            logits = hidden.last_hidden_state @ model.lm_head.weight.T
            return logits.logsumexp(-1).mean()

        trainer.compute_loss = compute_loss

    trained = train(tmp_path, "sft", "prompt_completion", {"eval_strategy": "no", "logging_steps": 100}, before=apart)
    assert all("real_tokens" not in step and "padded_tokens" not in step for step in trained.steps)
    assert trained.sum("loss_tokens") == sum(labelled(batch["labels"]) for batch in trained.batches)
    (finding,) = [event for event in trained.events if event["kind"] == "finding"]
    assert (finding["name"], finding["step"]) == ("step_without_tokens", 1)


def test_a_reference_that_is_not_seen_leaves_the_policys_counts(tmp_path: Path) -> None:
    """A reference called by its inside is not taken for none."""

    def apart(trainer: Any) -> None:
        trainer.ref_model.register_forward_pre_hook = lambda *args, **kwargs: None

    trained = train(tmp_path, "dpo", "preference", {"eval_strategy": "no"}, before=apart)
    assert trained.sum("real_tokens") == sum(ones(batch["attention_mask"]) for batch in trained.batches)
    assert all("reference_tokens" not in step for step in trained.steps)
    assert [event["name"] for event in trained.events if event["kind"] == "finding"] == ["step_without_tokens"]
