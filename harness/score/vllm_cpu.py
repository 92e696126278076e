"""What vLLM's CPU build needs beside the engine: here it is, for its kernels are not those of CUDA."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from harness import models

_SMALL = 80_000_000
"""Bytes of weights below which one thread is as fast as several, 20 million numbers of 4 bytes as for the hf backend.
Several wait for each other in every operation of a small model, and vLLM asks for them whatever torch is set to: with
another process on one of two cores a later adapter took 2 to 16 s with two threads, and 1 to 4 s with one."""


def one_thread_where_it_is_small(folder: Path) -> None:
    """Has the engine that starts next on these weights use one thread, unless the user has set how many.

    vLLM 0.32 means to itself, but its CPU worker has made `torch.set_num_threads` do nothing by then.
    """
    if (
        "OMP_NUM_THREADS" not in os.environ
        and sum(file.stat().st_size for file in models.weight_files(folder)) < _SMALL
    ):
        torch.set_num_threads(1)


def apply_one_adapter(operations: Any = None) -> None:
    """Has the matrices of an engine's one adapter multiplied as matrices; `operations` is vLLM's `punica_cpu`.

    vLLM 0.32 copies them for every token (`torch_ops.bgmv_shrink`, `bgmv_expand_slice`) and multiplies one row by each
    copy: nearly half of the time in which a small model answers. Where there is one place for an adapter every token
    chooses the same matrix, so that one product gives the same numbers but for rounding.
    """
    if operations is None:
        from vllm.lora.punica_wrapper import punica_cpu

        operations = punica_cpu
    shrink_any, expand_any = operations.sgmv_shrink, operations.sgmv_expand_slice

    def shrink(inputs: torch.Tensor, matrices: torch.Tensor, output: torch.Tensor, *rest: Any) -> None:
        """`rest` ends with the factor."""
        if matrices.shape[0] != 1:
            shrink_any(inputs, matrices, output, *rest)
            return
        product = _product(inputs, matrices, output.dtype)
        output[:, : product.shape[1]] = rest[-1] * product

    def expand(inputs: torch.Tensor, matrices: torch.Tensor, output: torch.Tensor, *rest: Any) -> None:
        """`rest` ends with the first column, the number of columns, and whether to add."""
        if matrices.shape[0] != 1:
            expand_any(inputs, matrices, output, *rest)
            return
        first, count, add = rest[-3:]
        product, columns = _product(inputs, matrices, output.dtype), output[:, first : first + count]
        if add:
            columns += product
        else:
            columns.copy_(product)

    operations.sgmv_shrink, operations.sgmv_expand_slice = shrink, expand


def _product(inputs: torch.Tensor, matrices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Each row of inputs by the one matrix there is: (1, out, in) or (1, 1, out, in)."""
    return inputs.to(dtype) @ matrices.reshape(matrices.shape[-2:]).to(dtype).T


def pack_again(model: Any) -> None:
    """Gives the output layer of a model with tied embeddings the new weights.

    vLLM's CPU build (0.32) keeps matrices a second time, packed for its kernels. Reloading packs the layers it loads
    anew, but a tied output layer is none of them: it goes on with the old weights, 0.5 to 2 nats beside the truth.
    """
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    for module in model.modules():
        if hasattr(module, "cpu_linear") and getattr(module, "weight", None) is not None and module.weight.numel():
            dispatch_cpu_unquantized_gemm(module, remove_weight=False)
