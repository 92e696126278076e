"""Plain scalars of YAML 1.2 (core schema, chapter 10.3 of the specification): `5e-7` is a number, `yes` is text."""

from __future__ import annotations

import math
import re

Scalar = None | bool | int | float | str

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST = 300  # digits; more than any float holds, and Python refuses to read thousands


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises:
        ValueError: a number that is not finite, or with more digits than anything needs.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "-+.0123456789":
        return text
    if len(text) > _LONGEST and _FLOAT.fullmatch(text):
        raise ValueError("a number this long cannot be kept")
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    return _float(text)


def _float(text: str) -> float | str:
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number that anything can be set to")
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is larger than any number that can be kept")
    return number
