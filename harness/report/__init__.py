"""An answer → Markdown and charts; renders, never computes."""

from __future__ import annotations

from harness.report.render import render

__all__ = ["render"]
