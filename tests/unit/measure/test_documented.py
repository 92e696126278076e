"""What is measured is explained: no metric, fact, finding or option without a word in the documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.measure import active, optimizing
from harness.measure.facts import FACTS
from harness.records.metrics import METRICS
from harness.records.suite import Limits, Measure

ROOT = Path(__file__).parents[3]
MEASURING = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
SUITE = (ROOT / "docs" / "suite.md").read_text(encoding="utf-8")


def _missing(names: set[str], text: str) -> list[str]:
    return sorted(name for name in names if f"`{name}`" not in text)


def test_every_metric_is_explained() -> None:
    assert _missing(set(METRICS), MEASURING) == []


def test_every_fact_of_what_was_active_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(readers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        return dict.fromkeys(readers), {}

    monkeypatch.setattr(active, "_gather", names)
    facts = {*active.active(None, None)[0], *active.in_training(None)[0], *optimizing.optimizer_facts(None)}
    assert len(facts) > 30
    assert _missing(facts, MEASURING) == []


def test_every_fact_of_an_outcome_is_explained() -> None:
    """Each reader of facts names those that it finds in its first lines."""
    facts = {name for reader in FACTS for name in re.findall(r"`(\w+)`", reader.__doc__ or "")} - {"of"}
    assert len(facts) > 6
    assert _missing(facts, MEASURING) == []


def test_every_finding_is_explained() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "harness" / "measure").glob("*.py"))
    found = set(re.findall(r'_finding\(\s*"(\w+)"', sources)) | {"mfu_above_peak", "hfu_above_peak"}
    found |= {"clock_stepped_back", "step_without_tokens", "step_without_loss_tokens", "diverged"}
    assert len(found) > 15
    assert _missing(found, MEASURING) == []


def test_every_option_of_measuring_and_its_limits_is_explained() -> None:
    options = {f"measure.{name}" for name in Measure.model_fields} | {f"limits.{name}" for name in Limits.model_fields}
    assert _missing(options, SUITE) == []
