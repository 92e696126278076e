"""Commented suites to start from."""

from __future__ import annotations

from importlib import resources

from harness.errors import InputError, did_you_mean

TEMPLATES = ("minimal", "alignment")


def template(name: str) -> str:
    """The YAML text of a shipped starting point.

    Raises:
        InputError: there is none of that name.
    """
    if name not in TEMPLATES:
        raise InputError.of(f"unknown template {name!r}", hint=did_you_mean(name, TEMPLATES))
    return (resources.files("harness.suite") / "templates" / f"{name}.yaml").read_text(encoding="utf-8")
