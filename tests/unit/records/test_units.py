from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.units import (
    Amount,
    format_duration,
    format_size,
    parse_amount,
    parse_bound,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("10 min", 600.0),
        ("1.5h", 5400.0),
        ("1h30m", 5400.0),
        ("1h 30m 5s", 5405.0),
        ("250ms", 0.25),
        ("2d", 172800.0),
        (" 2H ", 7200.0),
        (12, 12.0),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "m", "10 minutes", "1h30", "-5m", "1e3", "ten", "10m!", True, math.nan, math.inf, 0, "0s"]
)
def test_what_is_no_duration_says_so(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 * 1024**3),
        ("24 GiB", 24 * 1024**3),
        ("24 gib", 24 * 1024**3),
        ("500MB", 500_000_000),
        ("1.5 kB", 1500),
        ("4096 B", 4096),
        ("0.1 GB", 100_000_000),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "8", "GiB", "8 G", "8 GiBs", "-8GiB", "8 GiB 5", "eight GiB"])
def test_what_is_no_size_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|unit"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0.4 ms"),
        (0.0342, "34 ms"),
        (0.25, "0.25 s"),
        (0.999, "1.0 s"),
        (7.5, "7.5 s"),
        (59.96, "1m"),
        (90, "1m 30s"),
        (3599.9, "1h"),
        (7500, "2h 5m"),
        (86399, "1d"),
        (273600, "3d 4h"),
        (-90, "-1m 30s"),
    ],
)
def test_durations_read_like_speech(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (1023, "1 KiB"),
        (1536, "1.5 KiB"),
        (24 * 1024**3, "24 GiB"),
        (1.25 * 1024**3, "1.25 GiB"),
        (123.4 * 1024**2, "123 MiB"),
        (5000 * 1024**4, "5000 TiB"),
        (-1536, "-1.5 KiB"),
    ],
)
def test_sizes_keep_three_digits(size: float, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=1, max_value=10**15))
def test_a_formatted_size_parses_to_within_its_digits(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.006)


@given(st.floats(min_value=0.01, max_value=1e8))
def test_a_formatted_duration_parses_to_within_its_parts(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.51, abs=0.005)


@pytest.mark.parametrize(
    ("text", "holds", "fails"),
    [
        ("<= 24 GiB", 24 * 1024**3, 24 * 1024**3 + 1),
        (">= 0.9", 0.9, 0.899),
        ("< 10m", 599.9, 600.0),
        ("> 5e3", 5001, 5000),
        (">=-1.5", -1.5, -1.6),
    ],
)
def test_a_bound_compares_in_the_metrics_own_unit(text: str, holds: float, fails: float) -> None:
    bound = parse_bound(text)
    assert bound.holds(holds)
    assert not bound.holds(fails)
    assert not bound.holds(math.nan)
    assert str(bound) == text


@pytest.mark.parametrize("text", ["24 GiB", "== 3", "<=", "<= lots", "=> 3", "", "<= 3 parsecs"])
def test_what_is_no_bound_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"bound|number"):
        parse_bound(text)


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("2%", Amount(share=0.02)),
        (0.02, Amount(absolute=0.02)),
        ("64MiB", Amount(absolute=64 * 2**20, unit="bytes")),
        ("2% + 64 MiB", Amount(share=0.02, absolute=64 * 2**20, unit="bytes")),
        ("100ms", Amount(absolute=0.1, unit="s")),
    ],
)
def test_amounts_are_shares_and_figures(said: str | float, amount: Amount) -> None:
    assert parse_amount(said) == amount


@pytest.mark.parametrize("said", ["", "0%", 0, -1, "nan", "inf", "2%+3%", "1+2", "much", "%", "-2%", "2% +"])
def test_what_is_no_amount_is_refused(said: str | float) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_amount(said)
