"""Predicted peaks against peaks that torch's CUDA allocator recorded, to the byte, in trainings of a 0.5B model.

Measured with torch 2.14.1+cu130, transformers 5.19.0, TRL 1.16.0, PEFT 0.21.2, bitsandbytes 0.50.2, liger-kernel 0.8.5
and accelerate 1.15.0, on a device that computes nothing (`docs/measuring.md`, "How good"): `memory` is the allocator's
`allocated_bytes.all.peak` of short trainings, on rows that fill nearly all of their length.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.models.memory import predict_forwarded

LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
TRAIN: dict[str, Any] = {
    "optim": "adamw_torch_fused",
    "bf16": True,
    "gradient_checkpointing": False,
    "max_length": 1024,
    "per_device_train_batch_size": 8,
    "pad_to_multiple_of": 1024,
    "packing_strategy": "bfd",
}
CHECKPOINTED = {"gradient_checkpointing": True}
FP32 = {"dtype": "float32"}
EAGER = {"attn_implementation": "eager"}
PACKED = {"packing": True, "per_device_train_batch_size": 4}
WRAPPED = {**PACKED, "packing_strategy": "wrapped"}
ACCUMULATED = {"gradient_accumulation_steps": 4}
OFFLOADED = {"activation_offloading": True}
LIGER = {"use_liger_kernel": True}
ORPO = {"pad_to_multiple_of": None}


@pytest.mark.parametrize(
    ("method", "model", "lora", "train", "batch", "measured"),
    [
        ("sft", {}, None, {}, (8, 1024), 16_524_110_336),
        ("sft", {}, None, {}, (1, 1024), 5_529_798_144),  # one row, padded: it has a mask
        ("sft", {}, None, {}, (2, 1024), 7_195_082_752),
        ("sft", {}, None, {}, (8, 512), 10_232_940_544),
        ("sft", {}, None, {}, (8, 2048), 29_725_111_808),
        ("sft", {}, None, CHECKPOINTED, (8, 1024), 4_743_789_568),
        ("sft", {}, None, CHECKPOINTED, (1, 1024), 4_327_199_744),
        ("sft", {}, None, PACKED, (1, 4096), 10_932_758_016),
        ("sft", {}, None, WRAPPED, (4, 1024), 9_826_942_976),
        ("sft", {}, None, ACCUMULATED, (2, 1024), 8_178_349_056),
        ("sft", {}, LORA, {}, (8, 1024), 14_555_924_480),
        ("sft", {}, LORA, CHECKPOINTED, (8, 1024), 2_387_004_416),
        ("sft", {}, {"r": 16}, {}, (8, 1024), 11_095_443_968),
        ("sft", {}, None, OFFLOADED, (2, 1024), 4_654_754_816),
        ("sft", {}, LORA, OFFLOADED, (2, 1024), 1_679_404_544),
        ("sft", {}, None, LIGER, (8, 1024), 13_171_415_552),
        ("sft", {}, LORA, LIGER, (8, 1024), 11_939_448_832),
        ("sft", {}, None, {"optim": "adamw_8bit"}, (8, 1024), 16_364_329_984),
        ("sft", {}, None, {"optim": "paged_adamw_8bit"}, (8, 1024), 14_557_740_544),
        ("sft", {}, None, {"optim": "adafactor", **CHECKPOINTED}, (8, 1024), 4_246_751_744),
        ("sft", {}, None, {"optim": "adamw_torch", **CHECKPOINTED}, (1, 1024), 5_059_495_424),
        ("sft", EAGER, None, {}, (8, 1024), 33_023_388_672),
        ("sft", EAGER, None, CHECKPOINTED, (8, 1024), 6_065_395_200),
        ("sft", FP32, None, {}, (8, 1024), 21_846_986_752),
        ("sft", FP32, None, {"bf16": False}, (8, 1024), 30_362_701_824),
        ("sft", FP32, LORA, {}, (8, 1024), 16_388_501_504),
        ("sft", FP32, None, LIGER, (8, 1024), 18_494_549_504),
        ("sft", FP32, None, {"optim": "adamw_torch", **CHECKPOINTED}, (8, 1024), 9_970_292_736),
        ("dpo", {}, None, {}, (8, 1024), 17_519_215_616),
        ("dpo", {}, None, {"precompute_ref_log_probs": True}, (8, 1024), 16_522_892_800),
        ("dpo", {}, LORA, {}, (8, 1024), 14_555_485_184),
        ("dpo", FP32, None, {}, (8, 1024), 23_963_778_048),
        ("orpo", {}, None, ORPO, (4, 1018), 15_413_534_208),
    ],
)
def test_the_peak_is_what_the_allocator_recorded(
    method: str, model: dict[str, Any], lora: Any, train: dict[str, Any], batch: tuple[int, int], measured: int
) -> None:
    """As far as `docs/measuring.md` says that it lies off in these: 1.1% below to 1.3% above."""
    spec = {
        "method": method,
        "model": {"shape": "qwen2.5-0.5b", "dtype": "bfloat16", "attn_implementation": "sdpa", **model},
        "lora": lora,
        "reference": None,
        "train": {**TRAIN, **train},
    }
    peak = predict_forwarded(spec, *batch).allocated
    assert peak is not None
    assert -0.011 <= round(peak / measured - 1, 3) <= 0.013
