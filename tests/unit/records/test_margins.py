"""Margins as people write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.records.margins import parse_margin
from harness.records.metrics import METRICS, Margin, metric

_ROWS = {
    "throughput, step times (p50), train time, losses, MFU": r".*per_second.*|.*seconds_p50|train_seconds|.*loss|mfu",
    "p90 of step times, energy": r".*step_seconds_p90|energy.*",
    "p99 of step times, start-up and its parts, trial time": r".*step_seconds_p99|(?!train_)[a-z_]+_seconds",
    "memory": r".*_memory|peak_allocated|peak_reserved",
    "scores, padding share, share of waiting for data": r"score\.x\.acc|padding_share|data_share",
    "reward margin": r".*_reward_margin",
    "highest temperature": r"max_temperature",
    "loss spikes": r"loss_spikes",
}
"""The table of margins in docs/comparing.md, and which metrics its rows mean."""


def test_every_metric_that_is_judged_has_the_margin_of_the_docs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "comparing.md").read_text(encoding="utf-8")
    judged = {"score.x.acc", *(one.name for one in METRICS.values() if one.better != "none")}
    for row, names in _ROWS.items():
        (said,) = re.findall(rf"^\| {re.escape(row)} \| ([^|]+) \|$", text, re.MULTILINE)
        meant = {name for name in judged if re.fullmatch(names, name)}
        assert meant, row
        for known in map(metric, meant):
            assert known is not None
            assert known.margin == parse_margin(re.sub(r" \(.*\)| °C", "", said), known), known.name
        judged -= meant
    assert not judged


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tokens_per_second", "3%", Margin(relative=0.03)),
        ("tokens_per_second", "0%", Margin()),
        ("peak_host_memory", "2% + 64MiB", Margin(relative=0.02, absolute=64 * 2**20)),
        ("peak_host_memory", "64 MiB+ .5 %", Margin(relative=0.005, absolute=64 * 2**20)),
        ("score.x.acc", 0.02, Margin(absolute=0.02)),
        ("score.x.acc", "0.02", Margin(absolute=0.02)),
        ("final_loss", 1e-16, Margin(absolute=1e-16)),
        ("train_seconds", "5ms", Margin(absolute=0.005)),
        ("train_seconds", 2, Margin(absolute=2)),
        ("peak_host_memory", 0, Margin()),
    ],
)
def test_shares_and_amounts(name: str, text: str | float, expected: Margin) -> None:
    known = metric(name)
    assert known is not None
    found = parse_margin(text, known)

    assert found.relative == pytest.approx(expected.relative)
    assert found.absolute == pytest.approx(expected.absolute)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tokens_per_second", "3MiB", "is in bytes, and tokens_per_second in tokens/s"),
        ("tokens_per_second", "", "not a number"),
        ("tokens_per_second", "-3%", "above 0"),
        ("tokens_per_second", -3, "above 0"),
        ("tokens_per_second", "1% + 2%", "two shares"),
        ("tokens_per_second", "1 + 2", "two amounts"),
        ("peak_host_memory", 64, "write its unit"),
        ("peak_host_memory", "64 elephants", "not a number"),
        ("peak_host_memory", "5ms", "is in s, and peak_host_memory in bytes"),
        ("score.x.acc", True, "is not a margin"),
    ],
)
def test_what_is_no_margin_says_what_to_write(name: str, text: str | float, said: str) -> None:
    known = metric(name)
    assert known is not None
    with pytest.raises(ValueError, match=said):
        parse_margin(text, known)
