"""The suite's claims: what each says, what was measured beside it, and where it was said."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.claimed import measured, runs
from harness.records.claims import ClaimVerdict
from harness.records.figures import title
from harness.records.metrics import is_most
from harness.records.results import Answer
from harness.report.format import NONE, text
from harness.report.tables import table

_BOLD = ("confirmed", "refuted")


def claims(answer: Answer) -> str:
    """The section; empty for a suite that makes none."""
    if not answer.claims:
        return ""
    rows = [_row(number, one) for number, one in enumerate(answer.claims, start=1)]
    made = table(["", "claim", "verdict", "claimed", "measured"], rows, ["left"] * 5)
    return f"## Claims\n\n{made}\n\n{_notes(answer.claims)}"


def _row(number: int, one: ClaimVerdict) -> list[str]:
    ruling = f"**{one.ruling}**" if one.ruling in _BOLD else one.ruling
    what = title(one.claim.metric)
    claimed = one.claimed if one.claimed.endswith(what) else f"{what} {one.claimed}"
    return [str(number), text(one.claim.says), ruling, claimed, measured(one) or NONE]


def _notes(found: Sequence[ClaimVerdict]) -> str:
    lines = [f"{number}. {_note(one)}" for number, one in enumerate(found, start=1)]
    bars = "the 95% interval"
    if any(is_most(one.claim.metric) for one in found):
        bars += ", of memory the most over runs and the range of what was seen"
    legend = (
        f"Measured with {bars}.\n"
        "Confirmed: all of the interval or range lies within what the claim says; refuted: all of it lies outside.\n"
        "Where each is said, and what else there is to say:"
    )
    return f"{legend}\n\n" + "\n".join(lines)


def _note(one: ClaimVerdict) -> str:
    parts = [one.claim.source, runs(one), one.why]
    if one.left_out:
        parts.append(f"not counted: {'; '.join(one.left_out)}")
    return "; ".join(text(part) for part in parts if part)
