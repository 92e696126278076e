"""Pydantic's verdicts on the suite's records, told in the suite's words and at the right place of the file."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from harness.errors import did_you_mean, nearest
from harness.records.jsontypes import is_a, type_hint, wanted
from harness.suite.context import Context
from harness.suite.document import Node

Record = TypeVar("Record", bound=BaseModel)

_TYPES: Mapping[str, str] = {
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "string_type": "string",
    "bool_type": "boolean",
    "list_type": "array",
    "tuple_type": "array",
    "dict_type": "object",
    "model_type": "object",
}
_STRICT = ConfigDict(strict=True)


def record(ctx: Context, kind: type[Record], node: Node, label: str) -> Record | None:
    """The record that a mapping says, or None with its problems noted; `label` names it in messages."""
    if not ctx.mapping(node, label):
        return None
    try:
        return kind.model_validate(node.plain())
    except ValidationError as error:
        for details in _telling(kind, error):
            _tell(ctx, kind, node, label, details)
        return None


def _telling(kind: type[BaseModel], error: ValidationError) -> list[Any]:
    """Pydantic's errors without the missing keys that an unknown one explains: near to it, or to no key at all."""
    found: list[Any] = error.errors()
    unknown = [str(details["loc"][-1]) for details in found if details["type"] == "extra_forbidden"]
    anything = any(not nearest(name, kind.model_fields) for name in unknown)
    return [one for one in found if one["type"] != "missing" or not (anything or nearest(str(one["loc"][-1]), unknown))]


def value(ctx: Context, kind: type[BaseModel], field: str, node: Node, label: str) -> bool:
    """Whether a value fits one field of a record; else that is noted."""
    try:
        _adapter(kind, field).validate_python(node.plain())
    except ValidationError as error:
        details = error.errors()[0]
        target = node.at(step for step in details["loc"] if isinstance(step, str | int))
        inner = ".".join([label, *_steps(details["loc"])])
        what, hint = _words(inner, details, target, nullable(kind, field) and target is node)
        ctx.add(what, target, hint=hint)
        return False
    return True


@functools.cache
def _adapter(kind: type[BaseModel], field: str) -> TypeAdapter[Any]:
    info = kind.model_fields[field]
    annotation: Any = info.annotation
    if info.metadata:
        annotation = typing.Annotated[(annotation, *info.metadata)]
    return TypeAdapter(annotation, config=_STRICT)


def nullable(kind: type[BaseModel], field: str) -> bool:
    """Whether the field may be null."""
    return type(None) in typing.get_args(kind.model_fields[field].annotation)


def is_mapping_field(kind: type[BaseModel], field: str) -> bool:
    """Whether the field holds a mapping, so that a path may lead into it."""
    annotation = kind.model_fields[field].annotation
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return any(typing.get_origin(part) is dict for part in parts)


def _tell(ctx: Context, kind: type[BaseModel], node: Node, label: str, details: Any) -> None:
    path = tuple(details["loc"])
    if details["type"] == "extra_forbidden":
        key = str(path[-1])
        holder = node.at(path[:-1])
        ctx.unknown(f"key in {label}:", key, kind.model_fields, holder.keys.get(key, holder.place))
    elif details["type"] == "missing":
        ctx.add(f"{label} needs {path[-1]!r}", node, hint=kind.model_fields[str(path[-1])].description)
    else:
        target = node.at(path)
        may_be_null = len(path) == 1 and nullable(kind, str(path[0]))
        what, hint = _words(".".join([label, *_steps(path)]), details, target, may_be_null)
        ctx.add(what, target, hint=hint)


def _steps(path: tuple[Any, ...]) -> list[str]:
    return [str(step) for step in path if step != "[key]"]


def _words(label: str, details: Any, target: Node, may_be_null: bool) -> tuple[str, str | None]:
    """What is wrong and what to write instead, from one of pydantic's errors."""
    given = target.plain()
    if details["type"] in _TYPES:
        allowed = (_TYPES[details["type"]], *(("null",) if may_be_null else ()))
        return f"{label} wants {wanted(allowed)}, not {is_a(given)}", type_hint(given, allowed)
    if details["type"] == "literal_error":
        choices = [part.strip("'") for part in str(details["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        hint = did_you_mean(str(given), choices)
        return f"{label} must be {details['ctx']['expected']}, not {is_a(given)}", hint
    if details["type"] == "too_short":
        return f"{label} must not be empty", None
    said = str(details["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    return f"{label} {said[:1].lower()}{said[1:]}, not {is_a(given)}", None
