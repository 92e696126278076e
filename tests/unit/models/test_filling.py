"""Random weights filled on every core: the same for any number of threads, and as random as torch's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from harness.models.filling import BLOCK, OnEveryCore


def _made(
    threads: int, *, seed: int = 0, elements: int = 3 * BLOCK + 5, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]), OnEveryCore():
            torch.manual_seed(seed)
            return torch.nn.init.normal_(torch.empty(elements, dtype=dtype), mean=1.0, std=0.5)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_do_not_depend_on_the_number_of_threads(dtype: torch.dtype) -> None:
    assert torch.equal(_made(1, dtype=dtype), _made(3, dtype=dtype))


def test_they_depend_on_the_seed_and_have_the_distribution_that_was_asked_for() -> None:
    made = _made(2)
    assert not torch.equal(made, _made(2, seed=1))
    assert made.mean().item() == pytest.approx(1.0, abs=0.002)  # 1.8 million draws: 5 standard errors
    assert made.std().item() == pytest.approx(0.5, abs=0.002)
    first, second = made[:BLOCK], made[BLOCK : 2 * BLOCK]
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1].item()) < 0.005


def test_two_tensors_of_one_seed_differ() -> None:
    with torch.random.fork_rng(devices=[]), OnEveryCore():
        torch.manual_seed(0)
        one, other = (torch.empty(2 * BLOCK).normal_() for _ in range(2))
    assert not torch.equal(one, other)


def test_blocks_are_filled_beside_each_other_by_whichever_function_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[str] = []

    def seen(fill: Callable[..., Any], tensor: torch.Tensor, how: Sequence[Any]) -> torch.Tensor:
        filled.append(str(fill))
        return tensor

    monkeypatch.setattr("harness.models.filling._filled", seen)
    with torch.random.fork_rng(devices=[]), OnEveryCore():
        torch.nn.Linear(2048, 1024, bias=False)
        torch.nn.init.normal_(torch.empty(2 * BLOCK))
        torch.nn.Embedding(100, 10)
    assert filled == ["aten.uniform_.default", "aten.normal_.default"]


def test_small_tensors_and_those_with_a_generator_are_filled_by_torch() -> None:
    def small() -> torch.Tensor:
        torch.manual_seed(3)
        return torch.empty(1000).normal_(0.0, 2.0)

    def own() -> torch.Tensor:
        return torch.empty(2 * BLOCK).normal_(generator=torch.Generator().manual_seed(4))

    plain = small(), own()
    with torch.random.fork_rng(devices=[]), OnEveryCore():
        inside = small(), own()
    assert all(torch.equal(left, right) for left, right in zip(plain, inside, strict=True))


def test_a_gradient_is_not_recorded_and_the_tensor_itself_is_filled() -> None:
    weight = torch.nn.Parameter(torch.zeros(2 * BLOCK))
    with torch.random.fork_rng(devices=[]), OnEveryCore(), torch.no_grad():
        assert weight.normal_() is weight
    assert weight.grad_fn is None
    assert weight.std().item() > 0.9
