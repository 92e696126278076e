"""`harness status`: how far is it?"""

from __future__ import annotations


def status() -> None:
    """How far is it."""
