"""Files that `train` names: relative to the suite's file, as a model's or data's path is.

What TRL 1.16 and transformers 5.19 read as files: `chat_template_path` (SFTConfig: a Jinja template, else a tokenizer's
folder or its id on the hub), and the JSON files of `accelerator_config`, `fsdp_config` and `deepspeed`, which may be
mappings as well (TrainingArguments).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, Problem
from harness.models.identity import tokenizer_hash
from harness.records.fingerprint import of_file

_TEMPLATE = "chat_template_path"
_NAMES = (_TEMPLATE, "accelerator_config", "fsdp_config", "deepspeed")
_TEMPLATES = (".jinja", ".j2")  # other endings TRL takes for a tokenizer
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def names_files(train: Mapping[str, Any]) -> list[str]:
    """The fields of `train` that name files."""
    return [name for name in _NAMES if isinstance(train.get(name), str)]


def path_of(name: str, value: str, root: Path) -> Path | None:
    """The file or folder that a field's value names; None for the id of a tokenizer on the hub."""
    path = Path(os.path.abspath(root / Path(value).expanduser()))  # noqa: PTH100 — links are kept, as they were said
    if name != _TEMPLATE or path.exists() or value.endswith(_TEMPLATES):
        return path
    is_id = _HUB_ID.fullmatch(value) is not None and not value.startswith(".")
    return None if is_id else path


def file_problem(name: str, value: str, root: Path) -> Problem | None:
    """What keeps a file from being used."""
    path = path_of(name, value, root)
    if path is None:
        return None
    hint = "paths are relative to the suite file"
    if not path.exists():
        return Problem(what=f"train.{name}: {path} does not exist", hint=hint)
    if name == _TEMPLATE and path.is_file() and not path.name.endswith(_TEMPLATES):
        why = "TRL takes a file of another ending for a tokenizer"
        return Problem(what=f"train.{name}: a template ends in {' or '.join(_TEMPLATES)}", why=why)
    if name != _TEMPLATE and not path.is_file():
        return Problem(what=f"train.{name}: {path} is not a file", hint="give one of JSON, or write it as a mapping")
    return None


def file_identity(name: str, value: str, root: Path) -> Any:
    """What decides a result: the file's content; the value itself for what is not there or lies on the hub."""
    path = path_of(name, value, root)
    try:
        if path is not None and path.is_file():
            return {"file": of_file(path)}
        if path is not None and path.is_dir():
            return {"tokenizer": tokenizer_hash(path)}
    except (OSError, HarnessError):
        return value  # whoever opens it will say why it cannot be read
    return value


def absolute(train: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """`train` for a worker, which runs in another folder."""
    paths = {name: path_of(name, train[name], root) for name in names_files(train)}
    return {**train, **{name: str(path) for name, path in paths.items() if path is not None}}
