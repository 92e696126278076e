"""Durations, sizes and bounds as people write them: `10m`, `24 GiB`, `<= 24 GiB`.

Durations are seconds (float), sizes are bytes (int); binary prefixes are powers of 1024, decimal ones of 1000.
Every parser raises `ValueError` with one sentence that a user can act on.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Mapping[str, int] = {
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_PART = re.compile(rf"({_NUMBER})\s*([a-z]*)\s*", re.IGNORECASE)
_SIZE = re.compile(rf"({_NUMBER})\s*([a-z]+)", re.IGNORECASE)
_BOUND = re.compile(r"(<=|>=|<|>)\s*(.+)", re.DOTALL)
_PLAIN = re.compile(rf"[-+]?{_NUMBER}(?:e[-+]?\d+)?", re.IGNORECASE)

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def parse_duration(value: str | float) -> float:
    """Seconds of `90`, `90s`, `10m`, `1.5h`, `1h30m`, `250ms` or `2d`; always positive and finite.

    Raises:
        ValueError: not a duration, or not more than zero.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a duration; write seconds, or 90s, 10m, 2h, 1h30m")
    seconds = _seconds_of(value) if isinstance(value, str) else float(value)
    if seconds is None:
        raise ValueError(f"{value!r} is not a duration; write seconds, or 90s, 10m, 2h, 1h30m")
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"a duration must be more than zero and finite, not {value!r}")
    return seconds


def _seconds_of(text: str) -> float | None:
    rest = text.strip()
    total, at, parts = 0.0, 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            return None
        number, unit = part.group(1), part.group(2).lower()
        if unit not in _SECONDS and (unit or parts or part.end() < len(rest)):
            return None  # a bare number means seconds only when it stands alone
        total += float(number) * _SECONDS.get(unit, 1.0)
        at, parts = part.end(), parts + 1
    return total if parts else None


def parse_size(value: str) -> int:
    """Bytes of `8GiB`, `24 GiB`, `500MB`, `1.5 GB` or `4096 B`, rounded to a whole byte.

    Raises:
        ValueError: not a size, or without its unit (a bare number could be bytes or gigabytes).
    """
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a size; write a number and its unit, e.g. 8GiB or 500 MB")
    unit = _BYTES.get(found.group(2).lower())
    if unit is None:
        raise ValueError(f"unknown unit {found.group(2)!r}; sizes are in B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    return int((Decimal(found.group(1)) * unit).to_integral_value())


def parse_limit(value: str) -> int:
    """Bytes of a size that something may take at most.

    Raises:
        ValueError: not a size, or one that leaves nothing to take.
    """
    size = parse_size(value)
    if size <= 0:
        raise ValueError(f"a limit must be more than nothing, not {value!r}")
    return size


def format_duration(seconds: float) -> str:
    """Seconds as people read them, two parts at most: 34 ms, 0.25 s, 7.5 s, 1m 30s, 2h 5m, 3d 4h."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if 0 < seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole, minutes, hours = round(seconds), round(seconds / 60), round(seconds / 3600)
    if whole < 3600:
        return _two_parts(whole, 60, "m", "s")
    return _two_parts(minutes, 60, "h", "m") if minutes < 1440 else _two_parts(hours, 24, "d", "h")


def _two_parts(count: int, size: int, high: str, low: str) -> str:
    large, small = divmod(count, size)
    return f"{large}{high} {small}{low}" if small else f"{large}{high}"


def format_size(size: float) -> str:
    """Bytes with a binary prefix and three significant digits: 512 B, 1.5 KiB, 24 GiB."""
    if size < 0:
        return "-" + format_size(-size)
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 999.5:
            break
        value, unit = value / 1024, larger
    digits = 0 if unit == "B" else max(0, 2 - len(str(int(value))) + 1)
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A limit on a metric, `value` in the metric's own unit (bytes, seconds, ratio, …).

    `unit` is "bytes" or "s" where the text names a size or a duration, "" for a bare number.
    """

    operator: str
    value: float
    text: str
    unit: str = ""

    def holds(self, figure: float) -> bool:
        """Whether the figure keeps the bound; a NaN keeps none."""
        return _COMPARE[self.operator](figure, self.value)

    def __str__(self) -> str:
        return self.text


def parse_bound(text: str) -> Bound:
    """The bound of `<= 24 GiB`, `>= 0.9`, `< 10m` or `> 5000`: an operator, a number, and a size or duration unit.

    Raises:
        ValueError: no operator, or what follows is not a number, a size or a duration.
    """
    found = _BOUND.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a bound; write an operator and a number, e.g. '<= 24 GiB' or '>= 0.9'")
    value, unit = _amount(found.group(2).strip(), text)
    return Bound(operator=found.group(1), value=value, text=text.strip(), unit=unit)


def _amount(amount: str, text: str) -> tuple[float, str]:
    if _PLAIN.fullmatch(amount):
        return float(amount), ""
    try:
        return float(parse_size(amount)), "bytes"
    except ValueError:
        pass
    try:
        return parse_duration(amount), "s"
    except ValueError:
        raise ValueError(f"{text!r}: {amount!r} is not a number, a size (24 GiB) or a duration (10m)") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """How much of something: a share of what it is of, or an absolute figure in the metric's unit, or both together.

    `unit` is "bytes" or "s" where the text names a size or a duration, "" where it does not.
    """

    share: float = 0.0
    absolute: float = 0.0
    unit: str = ""


def parse_amount(said: str | float) -> Amount:
    """`2%`, `0.02`, `64MiB`, `2% + 64MiB`: shares and amounts, joined by +, each at most once and above 0 in all.

    Raises:
        ValueError: it is neither, or nothing at all, or not finite.
    """
    share = absolute = 0.0
    unit, seen = "", set()
    for part in str(said).split("+"):
        text = part.strip()
        kind = "share" if text.endswith("%") else "amount"
        if kind in seen:
            raise ValueError(f"{said!r} names two {kind}s; write one, e.g. 2% or 2% + 64MiB")
        seen.add(kind)
        if kind == "share":
            number = text.removesuffix("%").strip()
            if not _PLAIN.fullmatch(number):
                raise ValueError(f"{said!r}: {number!r} is not a number")
            share = float(number) / 100
        else:
            absolute, unit = _amount(text, str(said))
    if not all(math.isfinite(part) and part >= 0 for part in (share, absolute)) or not share + absolute > 0:
        raise ValueError(f"{said!r} must be above 0 and finite")
    return Amount(share=share, absolute=absolute, unit=unit)
