"""Attention kernels by the names that transformers takes."""

from __future__ import annotations

KERNELS = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4")
"""Those of its own (`ALL_ATTENTION_FUNCTIONS` and `eager`); paged ones only generate."""


def is_of_hub(name: str) -> bool:
    """Whether a name means a kernel that the hub holds, such as `kernels-community/flash-attn2`."""
    return "/" in name
