"""Predicted memory, against arithmetic done by hand and against the published sizes of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models import SHAPES
from harness.models.architecture import of_config
from harness.models.memory import Prediction, predict, predict_forwarded
from harness.models.memory.held import adapter
from harness.models.memory.optimizers import OPTIMIZERS
from harness.models.memory.prediction import CONTEXT, SLACK

HERE = Path()
DEFAULTS: dict[str, Any] = {
    "optim": "adamw_torch_fused",
    "max_length": 256,
    "per_device_train_batch_size": 4,
    "gradient_checkpointing": True,
    "packing_strategy": "bfd",
}


def _predict(
    method: str = "sft", *, lora: Any = None, reference: str | None = None, dtype: str = "float32", **train: Any
) -> Prediction:
    model = {"shape": "qwen2.5-0.5b", "dtype": dtype}
    config = {"method": method, "model": model, "lora": lora, "reference": reference, "train": train}
    return predict(config, defaults=DEFAULTS, root=HERE)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_parameters_are_those_that_were_published(shape: Any) -> None:
    assert of_config({"model_type": shape.model_type, **shape.config}).parameters == shape.parameters


def test_held_throughout_is_what_arithmetic_says() -> None:
    parameters, tensors = 494_032_768, 290  # Qwen2.5-0.5B; 24 layers of 12 tensors, embedding and last norm
    found = _predict()
    assert found.weights == 4 * parameters
    assert found.gradients == 4 * parameters
    assert found.optimizer == 8 * parameters + 4 * tensors
    assert found.reference == 0
    half = _predict(dtype="bfloat16")
    assert (half.weights, half.gradients) == (2 * parameters, 2 * parameters)
    assert half.optimizer == 4 * parameters + 4 * tensors  # torch keeps its state in the weights' dtype


def test_half_precision_is_of_either_kind() -> None:
    assert _predict(dtype="float16") == _predict(dtype="bfloat16")
    kept: dict[str, Any] = {"gradient_checkpointing": False, "per_device_train_batch_size": 16}
    assert _predict(fp16=True, bf16=False, **kept) == _predict(bf16=True, **kept) != _predict(bf16=False, **kept)


def test_an_adapter_alone_is_trained_in_fp32() -> None:
    found = _predict(lora={"r": 16, "target_modules": "all-linear"}, dtype="bfloat16")
    sides = (896 + 896, 896 + 128, 896 + 128, 896 + 896, *3 * (896 + 4864,))
    adapted = 24 * 16 * sum(sides)
    assert found.weights == 2 * 494_032_768 + 4 * adapted
    assert found.gradients == 4 * adapted
    assert found.optimizer == 8 * adapted + 4 * 24 * 14


def test_dpo_pads_its_rows_where_it_is_asked_not_to() -> None:
    """TRL 1.16's trainer warns and pads all the same (`dpo_trainer.py`)."""
    for method in ("dpo", "orpo"):
        assert _predict(method, padding_free=True).activations == _predict(method).activations


def test_dpo_holds_a_second_model_only_where_it_needs_one() -> None:
    lora = {"r": 8}
    assert _predict("dpo").reference == 4 * 494_032_768
    assert _predict("dpo", precompute_ref_log_probs=True).reference == 0
    assert _predict("dpo", lora=lora).reference == 0
    assert _predict("dpo", lora=lora, reference="explicit").reference == 4 * 494_032_768
    assert _predict("orpo").reference == 0


def test_the_sums_are_of_the_parts() -> None:
    found = _predict("dpo")
    parts = (found.weights, found.reference, found.gradients, found.optimizer, found.activations)
    assert found.allocated == sum(part or 0 for part in parts)
    assert found.device == round((found.allocated or 0) * (1 + SLACK)) + CONTEXT
    assert Prediction.from_json(found.to_json()) == found


def test_state_in_managed_memory_is_none_of_the_allocators() -> None:
    plain, paged = _predict(optim="adamw_bnb_8bit"), _predict(optim="paged_adamw_8bit")
    assert paged.optimizer == plain.optimizer
    assert 0 < paged.paged < (paged.optimizer or 0)  # vectors are too small to be paged
    assert (plain.allocated or 0) - (paged.allocated or 0) == paged.paged


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"gradient_checkpointing": False}, {"gradient_checkpointing": True}),
        ({"per_device_train_batch_size": 8}, {"per_device_train_batch_size": 4}),
        ({"max_length": 512}, {"max_length": 256}),
        ({"optim": "adamw_torch"}, {"optim": "adamw_torch_fused"}),
        ({"optim": "adamw_torch_fused"}, {"optim": "adamw_bnb_8bit"}),
        ({"optim": "adamw_bnb_8bit"}, {"optim": "adafactor"}),
        ({"optim": "adafactor"}, {"optim": "sgd"}),
        (
            {"gradient_checkpointing": False},
            {"gradient_checkpointing": False, "activation_offloading": True},
        ),
        ({"gradient_checkpointing": False}, {"gradient_checkpointing": False, "use_liger_kernel": True}),
        ({"gradient_checkpointing": False, "bf16": False}, {"gradient_checkpointing": False}),
        ({"packing": True, "max_length": 4096}, {"packing": True, "packing_strategy": "wrapped", "max_length": 4096}),
    ],
)
def test_levers_act_as_they_should(more: dict[str, Any], less: dict[str, Any]) -> None:
    assert (_predict(**more).allocated or 0) > (_predict(**less).allocated or 0)


def test_all_logits_weigh_where_the_loss_reads_them_and_nowhere_else() -> None:
    logits = 8 * 256 * 151_936 * 4
    orpo, dpo = _predict("orpo", bf16=False), _predict("dpo", bf16=False)
    assert (orpo.gradients or 0) + (orpo.activations or 0) > 2.5 * logits  # the gradients take the logits' place
    assert (dpo.activations or 0) < 2 * logits


def test_scores_of_eager_attention_grow_with_the_square_of_the_length() -> None:
    def kept(attention: str, length: int) -> int:
        model = {"shape": "tiny", "attn_implementation": attention}
        train = {"max_length": length, "gradient_checkpointing": False, "bf16": False}
        config = {"method": "sft", "model": model, "lora": None, "train": train}
        return predict(config, defaults=DEFAULTS, root=HERE).activations or 0

    assert kept("eager", 2048) - kept("flash_attention_2", 2048) > 4 * 4 * 4 * 2048**2 * 4 * 0.95  # layers, rows, heads
    assert kept("sdpa", 2048) > kept("flash_attention_2", 2048)  # its mask, as numbers, in every layer


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"method": "kto"}, "the memory of method 'kto'"),
        ({"method": None}, "the memory of method None"),
        ({"model": {"shape": "tyni"}}, "unknown shape 'tyni'"),
        ({"model": {"hub": "some/model"}}, "lies on the hub and not in the local cache"),
        ({"model": {"path": "nowhere"}}, "config.json cannot be read"),
        ({"lora": {"modules_to_save": ["lm_head"]}}, "lora.modules_to_save"),
        ({"lora": {"bias": "all"}}, "lora.bias"),
        ({"lora": {"ensure_weight_tying": True}}, "lora.ensure_weight_tying"),
        ({"lora": {"target_modules": ["nothing"]}}, "targets no module"),
        ({"lora": {"target_modules": "("}}, "is no pattern"),
    ],
)
def test_what_is_not_known_is_absent_and_says_why(config: dict[str, Any], why: str) -> None:
    plain = {"method": "sft", "model": {"shape": "tiny"}, "lora": None, "train": {}}
    found = predict({**plain, **config}, defaults=DEFAULTS, root=HERE)
    assert found.why is not None
    assert why in found.why
    assert found.to_json() == {}


@pytest.mark.parametrize(
    ("train", "known", "why"),
    [
        ({"optim": "galore_adamw"}, {"weights", "reference", "gradients"}, "galore_adamw"),
        ({"optim_args": "momentum=0.9"}, {"weights", "reference", "gradients"}, "optim_args"),
        (
            {"max_length": None, "packing": True},
            {"weights", "reference", "gradients", "optimizer"},
            "nothing says how long a packed row is",
        ),
        ({"padding_free": True}, {"weights", "reference", "gradients", "optimizer"}, "TRL refuses"),
        ({"label_smoothing_factor": 0.1}, {"weights", "reference", "gradients", "optimizer"}, "label smoothing"),
        (
            {"gradient_checkpointing_kwargs": {"selective": True}},
            {"weights", "reference", "gradients", "optimizer"},
            "selective",
        ),
        (
            {"gradient_checkpointing_kwargs": {"offload": True}},
            {"weights", "reference", "gradients", "optimizer"},
            "offload",
        ),
        (
            {"gradient_checkpointing_kwargs": {"every_n_layers": 0}},
            {"weights", "reference", "gradients", "optimizer"},
            "every_n_layers is 0",
        ),
    ],
)
def test_what_is_known_is_told_without_what_is_not(train: dict[str, Any], known: set[str], why: str) -> None:
    found = _predict(**train)
    assert set(found.to_json()) == known
    assert why in (found.why or "")
    assert found.device is None


@pytest.mark.parametrize(
    ("overrides", "lora", "why"),
    [
        ({}, {"use_dora": True}, "DoRA"),
        ({}, {"layers_to_transform": [3]}, "layers without the adapter"),
        ({}, {"target_modules": [r"layers.0.mlp.up_proj", "q_proj"]}, "layers without the adapter"),
        ({"hidden_act": "gelu_new"}, None, "'gelu_new'"),
        ({"attention_dropout": 0.1}, None, "dropout on eager attention"),
        (
            {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
            None,
            "in 3 of 4 layers",
        ),
    ],
)
def test_what_a_model_keeps_in_an_unknown_way_leaves_out_the_activations(
    overrides: dict[str, Any], lora: Any, why: str
) -> None:
    model = {"shape": "tiny", "attn_implementation": "eager", "overrides": overrides}
    train = {"gradient_checkpointing": False}
    config = {"method": "sft", "model": model, "lora": lora, "reference": None, "train": train}
    found = predict(config, defaults=DEFAULTS, root=HERE)
    assert why in (found.why or "")
    assert (found.activations, found.device) == (None, None)
    assert found.weights
    assert found.optimizer


def test_layers_between_the_checkpointed_ones_keep_all_they_have() -> None:
    def kept(**options: int) -> int:
        return _predict(gradient_checkpointing_kwargs=options, **large).activations or 0

    large: dict[str, Any] = {"per_device_train_batch_size": 32}  # so that layers outweigh the head's gradients
    none = _predict(gradient_checkpointing=False, **large).activations or 0
    assert kept() == kept(every_n_layers=1) < kept(every_n_layers=2) < kept(every_n_layers=12) < none
    options = {"every_n_layers": 2, "offload": True}
    off = _predict(gradient_checkpointing=False, gradient_checkpointing_kwargs=options, **large)
    assert off.activations == none  # options of what is off


def test_an_adapters_dropout_counts_where_it_is_left_in() -> None:
    def kept(method: str, dropout: float, **train: Any) -> int:
        lora = {"r": 8, "target_modules": "all-linear", "lora_dropout": dropout}
        return _predict(method, lora=lora, gradient_checkpointing=False, bf16=False, **train).activations or 0

    assert kept("sft", 0.1) > kept("sft", 0.0)
    assert kept("dpo", 0.1) == kept("dpo", 0.0)  # TRL takes it out
    assert kept("orpo", 0.1, disable_dropout=False) > kept("orpo", 0.1)


@pytest.mark.parametrize("packed", [{}, {"packing": True, "packing_strategy": "wrapped"}], ids=["padded", "wrapped"])
def test_rows_are_padded_to_the_multiple_after_they_were_cut(packed: dict[str, Any]) -> None:
    padded = _predict(max_length=100, pad_to_multiple_of=128, **packed)
    assert padded.activations == _predict(max_length=128).activations  # which has a mask, as padding needs one
    forwarded = {"method": "sft", "model": {"shape": "qwen2.5-0.5b"}, "defaults": DEFAULTS, "lora": None}
    train = {"max_length": 100, "pad_to_multiple_of": 128, **packed}
    assert predict_forwarded({**forwarded, "train": train}, 4, 128) == padded


@pytest.mark.parametrize("said", ["auto", "none", None, 1])
def test_no_multiple_pads_nothing_and_gives_no_mask(said: Any) -> None:
    one: dict[str, Any] = {"per_device_train_batch_size": 1, "max_length": 100, "gradient_checkpointing": False}
    assert _predict(**one, pad_to_multiple_of=said) == _predict(**one)
    assert _predict(**one, pad_to_multiple_of="128") == _predict(**one, pad_to_multiple_of=128) != _predict(**one)


def test_packed_rows_are_padded_as_one() -> None:
    padded = _predict(max_length=100, pad_to_multiple_of=128, packing=True)  # 4 x 100 up to 512
    assert padded.activations == _predict(max_length=128, packing=True).activations


@pytest.mark.parametrize(("window", "masked"), [(None, False), (257, False), (256, True), (64, True)])
def test_a_sliding_window_that_acts_masks_whole_rows(window: int | None, masked: bool, tmp_path: Path) -> None:
    def kept(rows: int, window: int | None) -> int:
        folder = tmp_path / str(window)
        folder.mkdir(exist_ok=True)
        facts = {"model_type": "mistral", "num_hidden_layers": 2, "sliding_window": window}
        (folder / "config.json").write_text(json.dumps(facts), encoding="utf-8")
        train = {"per_device_train_batch_size": rows, "gradient_checkpointing": False, "packing": rows > 1}
        config = {"method": "sft", "model": {"path": "."}, "lora": {"r": 8}, "train": train}
        wrapped = {**DEFAULTS, "packing_strategy": "wrapped"}
        return predict(config, defaults=wrapped, root=folder).activations or 0

    for rows in (1, 4):
        assert (kept(rows, window) > kept(rows, None)) is masked


def _uncut(*longest: int, method: str = "sft", **train: Any) -> Prediction:
    """The prediction where nothing cuts the rows."""
    model = {"shape": "qwen2.5-0.5b", "dtype": "float32"}
    config = {"method": method, "model": model, "lora": None, "train": {"max_length": None, **train}}
    return predict(config, defaults=DEFAULTS, root=HERE, longest=longest or None)


def test_where_nothing_cuts_rows_the_longest_count_and_that_is_said() -> None:
    found = _uncut(200, 300, 100, 50)  # in any order
    assert found.device == _predict(max_length=300).device  # padded to the longest
    assert found.loose == (
        "train.max_length is null, so nothing cuts the rows; "
        "the longest has at most 300 tokens, one for each of its bytes"
    )
    assert found.to_json()["loose"] == 1
    again = Prediction.from_json(found.to_json())
    assert (again.device, bool(again.loose)) == (found.device, True)
    assert _predict().loose is None
    assert "loose" not in _predict().to_json()


def test_padding_free_rows_lie_in_one_as_long_as_all_together() -> None:
    together = _uncut(400, 300, 200, 124, padding_free=True)
    assert together.device == _predict(max_length=256, packing=True).device  # 4 × 256 as well
    assert _uncut(400, 300, padding_free=True).device == _uncut(400, 300, 300, 300, padding_free=True).device
    assert (
        _uncut(400, 300, 200, 100, 90, padding_free=True).device == _uncut(400, 300, 200, 100, padding_free=True).device
    )


def test_without_the_rows_the_model_s_positions_bound_them() -> None:
    found = _uncut()
    assert found.device == _predict(max_length=32_768).device
    assert "32,768 positions" in str(found.loose)


def test_rows_count_only_where_nothing_cuts_them() -> None:
    assert _uncut(9000, max_length=256) == _predict()
    assert _uncut(9000, method="orpo") == _predict("orpo", max_length=512)  # its trainer's own


def test_a_batch_that_is_known_takes_the_place_of_the_largest_that_could_come() -> None:
    train = {"max_length": 64, "per_device_train_batch_size": 4}
    spec = {"method": "sft", "model": {"shape": "tiny"}, "lora": None, "train": train, "defaults": DEFAULTS}
    planned = predict(spec, defaults=DEFAULTS, root=HERE)
    assert predict_forwarded(spec, 4, 64) == planned
    small = predict_forwarded(spec, 4, 16)
    assert small.weights == planned.weights
    assert small.activations is not None
    assert planned.activations is not None
    assert small.activations < planned.activations
    free = {**spec, "train": {**train, "padding_free": True, "max_length": None}}
    assert predict(free, defaults=DEFAULTS, root=HERE).loose
    assert predict_forwarded(free, 1, 64).loose is None


@pytest.mark.parametrize(
    ("lora", "modules", "parameters"),
    [
        ({"r": 4}, 8, 4 * 4 * ((128 + 128) + (128 + 64))),  # q_proj and v_proj where nothing is named
        ({"r": 4, "target_modules": ["k_proj"], "layers_to_transform": [0, 2]}, 2, 2 * 4 * (128 + 64)),
        ({"r": 4, "target_modules": ["k_proj"], "layers_to_transform": 1}, 1, 4 * (128 + 64)),
        ({"r": 4, "target_modules": r".*layers\.[01]\..*_proj"}, 14, 2 * 4 * (256 + 192 + 192 + 256 + 3 * 472)),
        ({"r": 4, "target_modules": "all-linear", "exclude_modules": ["down_proj"]}, 24, 16 * (896 + 2 * 472)),
        ({"r": 4, "target_modules": ["q_proj"], "rank_pattern": {"layers.0.self_attn.q_proj": 8}}, 4, (8 + 12) * 256),
        ({"r": 4, "target_modules": ["embed_tokens"]}, 1, 4 * (1024 + 128)),
        ({"r": 4, "target_modules": ["embed_tokens", "k_proj"], "layers_to_transform": [1]}, 1, 4 * (128 + 64)),
        ({"r": 4, "target_modules": ["k_proj"], "layers_to_transform": []}, 4, 4 * 4 * (128 + 64)),
        ({"r": 4, "target_modules": ["q_proj"], "use_dora": True}, 4, 4 * (4 * 256 + 128)),
    ],
)
def test_adapters_sit_where_peft_puts_them(lora: dict[str, Any], modules: int, parameters: int) -> None:
    found = adapter(of_config({"model_type": "qwen2", **SHAPES["tiny"].config}), lora)
    pairs = 3 if lora.get("use_dora") else 2
    assert sum(tensor.count for tensor in found.tensors) == pairs * modules
    assert sum(tensor.count * tensor.numel for tensor in found.tensors) == parameters


@given(
    batch=st.integers(1, 64),
    length=st.integers(1, 4096),
    checkpointing=st.booleans(),
    accumulation=st.integers(1, 3),
    method=st.sampled_from(["sft", "dpo", "orpo"]),
    lora=st.sampled_from([None, {"r": 8}, {"r": 64, "target_modules": "all-linear"}]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    optimizer=st.sampled_from(OPTIMIZERS),
)
def test_more_positions_never_take_less(
    batch: int, length: int, checkpointing: bool, accumulation: int, method: str, lora: Any, dtype: str, optimizer: str
) -> None:
    train: dict[str, Any] = {
        "gradient_checkpointing": checkpointing,
        "gradient_accumulation_steps": accumulation,
        "optim": optimizer,
    }

    def peak(rows: int, positions: int) -> int:
        size = {"per_device_train_batch_size": rows, "max_length": positions}
        found = _predict(method, lora=lora, dtype=dtype, **{**train, **size})
        assert found.allocated is not None
        held = (found.weights or 0) + (found.gradients or 0) + (found.optimizer or 0) - found.paged
        assert found.allocated >= held
        return found.allocated

    assert peak(batch, length) <= peak(batch + 1, length)
    assert peak(batch, length) <= peak(batch, length + 1)


@given(
    method=st.sampled_from(["sft", "dpo", "orpo"]),
    packing=st.sampled_from([None, "bfd", "wrapped"]),
    rows=st.integers(1, 3),
    length=st.integers(20, 70),
    multiple=st.sampled_from([None, 8, 64]),
    window=st.one_of(st.none(), st.integers(20, 220)),
)
def test_the_largest_batch_is_the_one_that_could_be_forwarded(
    method: str, packing: str | None, rows: int, length: int, multiple: int | None, window: int | None
) -> None:
    """Its rows and positions, and its mask: of rows that may be ragged, of several in one, of a window that acts."""
    packed = packing if method == "sft" else None
    overrides = {"use_sliding_window": window is not None, "sliding_window": window, "max_window_layers": 0}
    train: dict[str, Any] = {"max_length": length, "per_device_train_batch_size": rows, "pad_to_multiple_of": multiple}
    train |= {"gradient_checkpointing": False, "packing": packed is not None, "packing_strategy": packed or "bfd"}

    def spec(attention: str) -> dict[str, Any]:
        model = {"shape": "tiny", "overrides": overrides, "attn_implementation": attention}
        return {"method": method, "model": model, "lora": None, "train": train, "defaults": DEFAULTS}

    lies = (1, rows * length) if packed == "bfd" else (rows if method == "sft" else 2 * rows, length)
    forwarded = lies[0], -(-lies[1] // (multiple or 1)) * (multiple or 1)
    planned = predict(spec("sdpa"), defaults=DEFAULTS, root=HERE)
    assert planned == predict_forwarded(spec("sdpa"), *forwarded)
    ragged = forwarded != lies or (not packed and (forwarded[0] > 1 or multiple is not None))
    masked = ragged or packed == "bfd" or (window is not None and forwarded[1] >= window)
    unmasked = predict(spec("flash_attention_2"), defaults=DEFAULTS, root=HERE)  # its kernels never take one
    assert ((planned.activations or 0) > (unmasked.activations or 0)) is masked


def test_a_length_that_is_none_is_no_batch() -> None:
    for length in (0, -1, "256", 1.5):
        assert f"train.max_length is {length!r}" in str(_predict(max_length=length).why)
