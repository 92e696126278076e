"""The chat template that prompts are rendered with, and its hash: from files as from a loaded tokenizer.

Nothing here imports transformers: the parent asks for the hash before it decides whether a score is still good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelError, did_you_mean
from harness.records.fingerprint import of_value

Templates = str | Mapping[str, str] | None
"""A tokenizer's chat template, several by name, or none."""

_HINT = "score it without apply_chat_template, or give its tokenizer a chat template"


def chosen(templates: Templates, asked: bool | str) -> str:
    """The text of the template that is asked for: `True` is the only one or `default`, else one by name.

    lm-eval takes another name for the only template there is; here that is an error, as is a tokenizer without one.

    Raises:
        ModelError: there is no such template.
    """
    known = {"default": templates} if isinstance(templates, str) else dict(templates or {})
    if not known:
        raise ModelError.of("the model's tokenizer has no chat template", why="prompts cannot be rendered", hint=_HINT)
    name = "default" if asked is True else str(asked)
    if name not in known:
        raise ModelError.of(f"the model's tokenizer has no chat template {name!r}", hint=did_you_mean(name, known))
    return known[name]


def hash_of(template: str | None, system: str | None) -> str | None:
    """The template hash of a score: over template and system prompt; None where there is neither."""
    return None if template is None and system is None else of_value([template, system])


def template_hash(folder: Path, flags: Mapping[str, Any]) -> str | None:
    """The hash that a score of the model in `folder` will have with these flags.

    None where neither template nor system prompt is used, and where it cannot be told from the folder: an adapter whose
    tokenizer is its base's.

    Raises:
        ModelError: the template that is asked for is not there, or its file cannot be read.
    """
    asked, system = flags.get("apply_chat_template") or False, flags.get("system_instruction")
    if asked is False:
        return hash_of(None, system)
    if not (folder / "tokenizer_config.json").is_file():
        return None
    try:
        templates = _in_folder(folder)
    except (OSError, ValueError) as error:
        raise ModelError.of(f"the chat template in {folder} cannot be read", why=str(error)) from error
    return hash_of(chosen(templates, asked), system)


def _in_folder(folder: Path) -> Templates:
    """As transformers 5.19 reads them (`PreTrainedTokenizerBase._from_pretrained`): files before the config's entry."""
    found = {
        file.stem: file.read_text("utf-8") for file in sorted((folder / "additional_chat_templates").glob("*.jinja"))
    }
    if (folder / "chat_template.jinja").is_file():
        found = {"default": (folder / "chat_template.jinja").read_text("utf-8"), **found}
    if found:
        return found
    config = json.loads((folder / "tokenizer_config.json").read_bytes())
    given = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(given, list):
        return {str(one["name"]): str(one["template"]) for one in given}
    return given
