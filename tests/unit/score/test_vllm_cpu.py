"""What vLLM's CPU build is helped with, without vLLM: the products of an adapter, and the threads of a small model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.score import vllm_cpu

TOKENS, INNER, RANK, OUTER = 7, 16, 4, 12
INDICES = torch.zeros(TOKENS, dtype=torch.long)


def _shrink(inputs: torch.Tensor, matrices: torch.Tensor, output: torch.Tensor, *rest: Any) -> None:
    """As vLLM 0.32 does it: a matrix for every token."""
    chosen = matrices[INDICES].reshape(TOKENS, *matrices.shape[-2:]).to(output.dtype)
    product = torch.einsum("bi,boi->bo", inputs.to(output.dtype), chosen)
    output[:, : product.shape[1]] = rest[-1] * product


def _expand(inputs: torch.Tensor, matrices: torch.Tensor, output: torch.Tensor, *rest: Any) -> None:
    first, count, add = rest[-3:]
    chosen = matrices[INDICES].reshape(TOKENS, *matrices.shape[-2:]).to(output.dtype)
    product = torch.einsum("bi,boi->bo", inputs.to(output.dtype), chosen)
    output[:, first : first + count] = product + (output[:, first : first + count] if add else 0)


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("add", [True, False])
def test_products_are_those_of_vllm(places: int, dtype: torch.dtype, add: bool) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(TOKENS, INNER, dtype=dtype)
    a = torch.randn(places, 1, RANK, INNER, dtype=dtype)
    b = torch.randn(places, 1, OUTER, RANK, dtype=dtype)
    ours = SimpleNamespace(sgmv_shrink=_shrink, sgmv_expand_slice=_expand)
    vllm_cpu.apply_one_adapter(ours)
    found = []
    for shrink, expand in ((_shrink, _expand), (ours.sgmv_shrink, ours.sgmv_expand_slice)):
        inner = torch.zeros(TOKENS, RANK + 2, dtype=torch.float32)  # a buffer may be wider than the adapter
        shrink(inputs, a, inner, INDICES, 0.5)
        output = torch.ones(TOKENS, OUTER + 3, dtype=dtype)
        expand(inner[:, :RANK], b, output, INDICES, 2, OUTER, add)
        found.append((inner, output))
    for theirs, made in zip(*found, strict=True):
        torch.testing.assert_close(made, theirs)
    assert found[1][1][:, :2].eq(1).all(), "columns of others stay"
    assert found[1][1][:, 2 + OUTER :].eq(1).all()


@pytest.mark.parametrize(("size", "asked", "threads"), [(1000, None, 1), (2000, None, 4), (1000, "4", 4)])
def test_a_small_model_has_one_thread_unless_the_user_says_how_many(
    size: int, asked: str | None, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(vllm_cpu, "_SMALL", 1500)
    (tmp_path / "model.safetensors").write_bytes(bytes(size))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        vllm_cpu.one_thread_where_it_is_small(tmp_path)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
