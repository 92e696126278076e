"""JSON's types as a suite's author meets them: what a value is, whether it fits, how to say that it does not.

The names are JSON Schema's: integer, number, string, boolean, null, array, object. An integer is a number;
a boolean is neither; a float is an integer never (`1e3` in YAML is 1000.0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

TYPES = ("integer", "number", "string", "boolean", "null", "array", "object")

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}
_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_UNDERSCORED = re.compile(r"[-+]?\d{1,3}(_\d{3})+(\.\d+)?")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def type_of(value: Any) -> str:
    """The JSON type of a parsed value.

    Raises:
        TypeError: not a JSON value.
    """
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object")):
        if isinstance(value, kind):
            return name
    if isinstance(value, list | tuple):
        return "array"
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def fits(value: Any, types: Iterable[str]) -> bool:
    """Whether the value is of one of the types; an integer fits `number` too."""
    kind = type_of(value)
    allowed = tuple(types)
    return kind in allowed or (kind == "integer" and "number" in allowed)


def wanted(types: Iterable[str]) -> str:
    """The types in words: "a whole number, or null"."""
    given = set(types)
    if "number" in given:
        given.discard("integer")
    words = [_WORDS[name] for name in TYPES if name in given and name != "null"]
    said = " or ".join(words) if words else "null"
    return f"{said}, or null" if words and "null" in given else said


def shown(value: Any, *, most: int = 60) -> str:
    """The value as it would be written in a suite's flow style, cut after `most` characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


def is_a(value: Any) -> str:
    """What a value is, in words, with the value where it is short: `the text "abc"`, `a list`."""
    kind = type_of(value)
    if kind in ("object", "array"):
        return _WORDS[kind]
    if kind == "string":
        return f"the text {shown(value)}"
    return shown(value) if kind in ("null", "boolean") else f"the number {shown(value)}"


def type_hint(value: Any, types: Iterable[str]) -> str | None:
    """What to write instead, for the usual slips: yes/no, quoted numbers, unquoted text, 1e3 for 1000."""
    allowed = set(types)
    if isinstance(value, str):
        return _text_hint(value, allowed)
    if isinstance(value, float) and "integer" in allowed and value.is_integer() and abs(value) < 1e15:
        return f"write {int(value)}: with a point or an exponent it is not a whole number"
    if type_of(value) in ("integer", "number", "boolean") and "string" in allowed:
        return "quote it, so that YAML reads text"
    if value is None and "null" not in allowed:
        return "give it a value, or leave the key out"
    if type_of(value) in allowed or isinstance(value, dict) or "array" not in allowed:
        return None
    return f"write a list: [{shown(value)}]"


def _text_hint(value: str, allowed: set[str]) -> str | None:
    text = value.strip()
    if "boolean" in allowed and text.lower() in _YES_NO:
        return f"YAML 1.2 knows only true and false: write {_YES_NO[text.lower()]}"
    if "boolean" in allowed and text.lower() in ("true", "false"):
        return f"write {text.lower()} without quotes"
    if allowed & {"integer", "number"}:
        if _UNDERSCORED.fullmatch(text):
            return f"write {text.replace('_', '')}: YAML 1.2 has no underscores in numbers"
        if _NUMBER.fullmatch(text):
            return f"write {text} without quotes"
    if "null" in allowed and text.lower() in ("none", "nil"):
        return "write null"
    if "array" in allowed:
        return f"write a list: [{value}]"
    return None
