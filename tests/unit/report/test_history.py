"""A history on a terminal and as a picture."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InputError
from harness.records.history import ChangePoint, History, Night, Series
from harness.records.verdict import Effect
from harness.report import history as rendering
from harness.report.nights import draw

DROP = Effect(kind="ratio", value=0.949, low=0.941, high=0.957, n=(6, 2), reference=1000.0, how="Welch's t on logs")


def night(number: int, value: float | None, **changes: Any) -> Night:
    fields: dict[str, Any] = {
        "started_at": f"2026-11-{number + 1:02}T02:00:00+00:00",
        "runs": (f"r{number}",),
        "environment": "e1",
        "state": "counted" if value is not None else "gap",
        "value": value,
        "values": {0: value * 0.99, 1: value * 1.01} if value is not None else {},
        "outcomes": {"ok": 2} if value is not None else {"oom": 2},
    }
    return Night(**(fields | changes))


def series(**changes: Any) -> Series:
    nights = [night(number, 1000.0) for number in range(6)]
    nights += [night(6, 400.0, state="disturbed"), night(7, None), night(8, 950.0), night(9, 949.0)]
    change = ChangePoint(
        night=8,
        after=5,
        effect=DROP,
        ruling="regressed",
        environment=tuple(f"packages.p{number} 1 → 2" for number in range(8)),
        notes=("2 nights between the two levels do not count: it may have come already then",),
    )
    fields: dict[str, Any] = {
        "suite": "nightly",
        "cell_id": "sft-id",
        "cell": "sft-lora8",
        "kind": "cell",
        "device": "NVIDIA H100 80GB HBM3",
        "nights": tuple(nights),
        "changes": (change,),
        "noise": 0.0041,
    }
    return Series(**(fields | changes))


def made(*all_series: Series) -> History:
    return History(metric="tokens_per_second", unit="tokens/s", series=all_series, findings=("something to know",))


def test_every_night_has_a_letter_and_every_change_a_number() -> None:
    text = rendering.text(made(series()), width=80)
    lines = text.splitlines()

    assert lines[0] == "tokens/s over the nights: 1 series, 1 change"
    assert lines[2] == "nightly · sft-lora8 · NVIDIA H100 80GB HBM3"
    assert lines[3] == "  ██████×·▁▁"
    assert lines[4] == "          1"
    assert "1  2026-11-09 02:00  −5.1% [−5.9, −4.3] regressed" in text
    assert "packages.p5 1 → 2 and 2 more (--json has all)" in text
    assert "1 disturbed (×); 1 without a figure (·: 2 oom)" in " ".join(text.split())
    assert "from night to night ±0.41%" in " ".join(text.split())
    assert lines[-1] == "note: something to know"
    assert max(map(len, lines)) <= 80


def test_more_nights_than_columns_show_the_last_and_say_so() -> None:
    many = tuple(night(number % 28, 1000.0 + number) for number in range(200))
    text = rendering.text(made(series(nights=many, changes=())), width=80)

    assert "200 nights (the last 78 are shown)" in text
    assert max(map(len, text.splitlines())) <= 80


def test_series_with_changes_come_first() -> None:
    still = series(cell="a", changes=())
    text = rendering.text(made(still, series(cell="b")), width=80)

    assert text.index(" b ") < text.index(" a ")
    assert "no change" in text


def test_a_difference_is_told_in_the_metrics_unit() -> None:
    effect = Effect(kind="difference", value=-0.02, low=-0.03, high=-0.01, n=(6, 6), reference=1.0, how="Welch's t")
    change = ChangePoint(night=8, after=5, effect=effect, ruling="improved")

    assert rendering.amount("final_loss", change) == "−0.0200 [−0.0300, −0.0100] improved"
    assert rendering.cause(change) == "in the same environment, as far as it is recorded"


def test_a_picture_shows_nights_levels_and_changes_and_is_the_same_tomorrow() -> None:
    drawn = draw(made(series()))

    assert "−5.1%" in drawn
    assert "sft-lora8" in drawn
    assert drawn == draw(made(series()))


def test_too_many_series_for_a_picture() -> None:
    with pytest.raises(InputError, match="--only"):
        draw(made(*(series(cell=f"c{number}") for number in range(25))))
