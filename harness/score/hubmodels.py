"""Models of the Hugging Face hub as local folders: from its cache here, or downloaded where there is a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from harness.errors import ModelError
from harness.models import weight_files
from harness.records.hub import hub_problem

_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?", re.ASCII)
_NEEDED = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
_WEIGHTS = ("*.safetensors", "*.bin")  # the second where there is none of the first
_TWICE = ("original/*", "consolidated*", "onnx/*", "openvino/*", "*training_args.bin", "*optimizer.bin")
"""The same weights for other programs, and what training left beside them."""

Say = Callable[[str], None]


def is_hub_id(text: str) -> bool:
    """Whether this may be the id of a repository: `owner/name`, or one of the few without an owner."""
    return _ID.fullmatch(text) is not None and ".." not in text and "--" not in text


def fetch(name: str, revision: str | None, say: Say) -> Path:
    """The folder of a repository's model in the local cache; its last part is the commit.

    What is not there yet is downloaded. Without a network, or with `HF_HUB_OFFLINE=1`, the cache alone counts.

    Raises:
        ModelError: it can be had from neither, or holds no weights.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    say(f"looking for {name} in the cache and on the hub")
    folder: Path | None = None
    for weights in _WEIGHTS:
        try:
            got = snapshot_download(
                name, revision=revision, allow_patterns=[*_NEEDED, weights], ignore_patterns=list(_TWICE)
            )
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            raise ModelError(problems=(hub_problem(error, kind="model", name=name, revision=revision),)) from error
        folder = Path(got)
        if weight_files(folder):
            return folder
    raise ModelError.of(
        f"{name} holds no weights that transformers can load",
        why=f"no *.safetensors and no *.bin in {folder}",
        hint="a model in another format (GGUF, …) has to be converted first; "
        f"an unfinished download goes on with `hf download {name}`",
    )
