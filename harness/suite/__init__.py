"""YAML → Suite: strict, with line and column in every error."""

from harness.suite.load import load

__all__ = ["load"]
