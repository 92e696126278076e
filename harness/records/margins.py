"""Margins as people write them: `3%`, `0.02`, `64MiB`, `2% + 64MiB`."""

from __future__ import annotations

from harness.records.metrics import Margin, Metric
from harness.records.units import parse_amount

EXAMPLES = "3%, 0.02 or 2% + 64MiB"
_NONE = ("0", "0.0", "0%")
"""No margin at all: any change matters."""


def parse_margin(said: str | float, known: Metric) -> Margin:
    """A share of the reference's figure, an amount in the metric's unit, or both with a `+` between them.

    Amounts of bytes need their unit; those of seconds may have one (`5ms`).

    Raises:
        ValueError: one sentence that a user can act on.
    """
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        raise ValueError(f"{said!r} is not a margin; write {EXAMPLES}")
    if str(said).strip() in _NONE:
        return Margin()
    amount = parse_amount(said)
    if amount.unit and amount.unit != known.unit:
        raise ValueError(f"{said!r} is in {amount.unit}, and {known.name} in {known.unit or 'no unit'}")
    if known.unit == "bytes" and amount.absolute and not amount.unit:
        raise ValueError(f"{said!r} could be bytes or gigabytes; write its unit, e.g. 64MiB, or a share, e.g. 2%")
    return Margin(relative=amount.share, absolute=amount.absolute)
