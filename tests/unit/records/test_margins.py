"""Margins as people write them."""

from __future__ import annotations

import pytest

from harness.records.margins import parse_margin
from harness.records.metrics import Margin, metric


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
