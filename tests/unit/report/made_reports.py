"""Parts of reports, for what is asked of one part alone."""

from __future__ import annotations


def section(text: str, title: str) -> str:
    """What stands under a heading."""
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]
