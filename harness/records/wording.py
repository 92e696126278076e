"""What a sentence of a finding says, whatever its numbers."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"[-+]?\b(?:\d+(?:[.,]\d+)*(?:e[-+]?\d+)?|nan|inf)\b")


def wording(text: str) -> str:
    """The text without its numbers: the same for findings that say the same of other values."""
    return _NUMBERS.sub("#", text)
