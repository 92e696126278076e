"""Reads the fields of TRL's and PEFT's config classes. Imports the training stack: runs in a child process.

`python -m harness.methods.introspect FILE` writes the catalogue as JSON to FILE; `harness.methods.catalog` calls it.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

LORA_CLASS = "peft:LoraConfig"

# Types that `__post_init__` takes beyond the declared one, read in the installed source.
_ALSO: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("DPOConfig", "loss_type"): ("string",),  # a single name becomes a list of one
}
_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


def describe(config: type) -> dict[str, dict[str, Any]]:
    """Field name → {types, items, choices, default, help} of a dataclass, declared defaults as JSON values."""
    hints = typing.get_type_hints(config)
    helps = _documented(config)
    fields = {}
    for field in dataclasses.fields(config):
        if not field.init:
            continue
        found = _Types()
        found.read(hints[field.name])
        found.types.update(_ALSO.get((config.__name__, field.name), ()))
        choices = [str(_plain(choice)) for choice in field.metadata.get("choices") or () if choice is not None]
        fields[field.name] = {
            "types": sorted(found.types),
            "items": sorted(found.items),
            "choices": list(dict.fromkeys([*found.choices, *choices])),
            "default": _plain(_default(field)),
            "help": _one_line(str(field.metadata.get("help") or helps.get(field.name) or "")),
        }
    return fields


class _Types:
    """JSON types, types of list items, and text choices, gathered from an annotation."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.items: set[str] = set()
        self.choices: list[str] = []

    def read(self, hint: Any) -> None:
        origin = typing.get_origin(hint)
        if origin in (typing.Union, types.UnionType):
            for part in typing.get_args(hint):
                self.read(part)
        elif origin is Literal:
            self._literal(typing.get_args(hint))
        elif hint in _PLAIN:
            self.types.add(_PLAIN[hint])
        elif hint is Any:
            self.types.update(("integer", "number", "string", "boolean", "null", "array", "object"))
        else:
            self._collection(hint if origin is None else origin, typing.get_args(hint))

    def _literal(self, values: tuple[Any, ...]) -> None:
        for value in values:
            self.types.add(_PLAIN.get(type(value), "string"))
            if isinstance(value, str):
                self.choices.append(value)

    def _collection(self, kind: Any, arguments: tuple[Any, ...]) -> None:
        if not inspect.isclass(kind):
            return
        if issubclass(kind, enum.Enum):
            self.types.add("string")
            self.choices.extend(str(member.value) for member in kind)
        elif issubclass(kind, list | tuple | set) or kind is Sequence:
            self.types.add("array")
            for part in arguments[:1]:
                inner = _Types()
                inner.read(part)
                self.items |= inner.types
        elif issubclass(kind, Mapping | dict) or dataclasses.is_dataclass(kind):
            self.types.add("object")  # PEFT makes its sub-configs from mappings


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _plain(value: Any) -> Any:
    """The value as JSON: enums by value, dataclasses as mappings, anything else as text."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    return str(value)


def _documented(config: type) -> dict[str, str]:
    """Help by field from the class docstring, for classes that keep it there (`name (`type`): text`)."""
    helps: dict[str, str] = {}
    for parent in reversed(config.__mro__):
        name: str | None = None
        parts: list[str] = []
        for line in inspect.cleandoc(parent.__doc__ or "").splitlines():
            head, separator, _ = line.strip().partition(" (`")
            if separator and head.isidentifier():
                name, parts = head, []
            elif name and line.strip():
                parts.append(line.strip())
                helps[name] = " ".join(parts)
            else:
                name = None
    return helps


def _one_line(text: str, most: int = 200) -> str:
    """The text on one line, argparse's `%%` undone, cut at a sentence or a word."""
    line = " ".join(text.replace("%%", "%").split())
    if len(line) <= most:
        return line
    head = line[:most]
    end = head.rfind(". ")
    return head[: end + 1] if end > most // 3 else head.rsplit(" ", 1)[0] + " …"


def sources(config: type) -> list[str]:
    """The files that define the dataclass and its parents."""
    files = {inspect.getsourcefile(parent) for parent in config.__mro__ if dataclasses.is_dataclass(parent)}
    return sorted(file for file in files if file)


def main(arguments: list[str]) -> int:
    """Writes the catalogue of every method in `METHODS` to the file named by the only argument."""
    from harness.methods import METHODS
    from harness.methods.build import load_class

    target = Path(arguments[0])
    classes = {name: load_class(method.config_class) for name, method in METHODS.items()}
    lora = load_class(LORA_CLASS)
    files = sorted({file for config in [*classes.values(), lora] for file in sources(config)})
    document = {
        "methods": {name: describe(config) for name, config in classes.items()},
        "lora": describe(lora),
        "files": {file: _stamp(file) for file in files},
    }
    target.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    return 0


def _stamp(file: str) -> list[int]:
    status = Path(file).stat()
    return [status.st_mtime_ns, status.st_size]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
