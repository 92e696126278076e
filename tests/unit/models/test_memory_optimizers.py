"""What an optimizer keeps of a weight, by arithmetic."""

from __future__ import annotations

import pytest

from harness.models import SHAPES
from harness.models.architecture import of_config
from harness.models.memory.held import Held, weights
from harness.models.memory.optimizers import OPTIMIZERS, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_weights_have_no_state(name: str) -> None:
    arch = of_config({"model_type": "qwen2", **SHAPES["tiny"].config})
    assert state(name, None, weights(arch, 4, trained=False)).kept == 0


def _tensor(*shape: int, embedding: bool = False, width: int = 4, count: int = 1) -> Held:
    return Held(shape=shape, count=count, width=width, trained=True, embedding=embedding)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name.startswith("paged_")])
def test_a_paged_optimizer_keeps_as_much_and_pages_what_is_large(name: str) -> None:
    tensors = [_tensor(300, 400, count=3), _tensor(100, 1000, embedding=True), _tensor(99_999)]
    plain = name.removeprefix("paged_").replace("ademamix_32bit", "ademamix")
    found, states = state(name, None, tensors), 3 if "ademamix" in name else 1 if "lion" in name else 2
    if name != "paged_adamw_32bit":  # of which there is no other
        assert found.kept == state(plain, None, tensors).kept
    assert found.paged == states * (3 * 120_000 * (1 if "8bit" in name else 4) + 100_000 * 4)  # without the scales


@pytest.mark.parametrize(
    ("bits", "shape", "kept"),
    [
        (8, (64, 64), 4096 + 4 * 4096 // 256),
        (8, (66, 64), 4224 * 2),  # 256 does not divide it
        (8, (60, 64), 3840 * 2),  # too small
        (4, (64, 64), 4096 // 2 + 4 * 4096 // 128),
        (4, (66, 64), 4224 // 2 + 4 * 4224 // 128),
        (4, (60, 64), 3840 * 2),
    ],
)
def test_torchao_keeps_codes_and_a_scale_for_each_block(bits: int, shape: tuple[int, int], kept: int) -> None:
    assert state(f"adamw_torch_{bits}bit", None, [_tensor(*shape, width=2)]).kept == 2 * kept + 4


def test_eight_bits_are_not_for_embeddings() -> None:
    matrix, embedding = (state("adamw_8bit", None, [_tensor(64, 64, embedding=is_one)]) for is_one in (False, True))
    assert matrix.kept == 2 * (4096 + 4 * 4096 // 256) + 2 * 1024  # with two code books
    assert embedding.kept == 2 * 4096 * 4
