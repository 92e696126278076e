from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.commands import quoted, shown_path
from harness.records.figures import alike, number, said, scale, title
from harness.records.results import Spread
from harness.report.format import figure, share, shortened, signed_share, text
from harness.report.tables import WIDEST, Column, table, tables, width


def spread(mean: float, sd: float | None = None) -> Spread:
    return Spread(n=1 if sd is None else 2, mean=mean, sd=sd, low=mean, high=mean)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("score.arithmetic_mc.acc", 0.98512, "0.985"),
        ("score.arithmetic_mc.acc", 0.0, "0.000"),
        ("score.wiki.perplexity", 123.4, "123"),
        ("tokens_per_second", 12345.6, "12,346 tokens/s"),
        ("samples_per_second", 1.234, "1.23 samples/s"),
        ("peak_host_memory", 600 * 2**20, "600 MiB"),
        ("peak_device_memory", 24 * 2**30, "24 GiB"),
        ("train_seconds", 72.0, "1m 12s"),
        ("final_loss", 1.2345, "1.23"),
        ("final_loss", 0.0000123, "1.23e-05"),
        ("final_reward_margin", -1.234, "−1.23"),
        ("final_loss", math.nan, "NaN"),
        ("peak_host_memory", math.inf, "∞"),
        ("trainable_parameters", 1_234_567, "1,234,567 parameters"),
        ("unheard_of", 3.14159, "3.14"),
        ("step_seconds_p50", 0.0213, "21.3 ms"),
        ("step_seconds_p50", 0.0, "0.00 s"),
        ("energy_per_token", 0.0382, "38.2 mJ/token"),
        ("energy_per_token", 1.5, "1.50 J/token"),
        ("energy_per_token", math.inf, "∞ J/token"),
        ("model_flops_per_second", 8.41e9, "8.41 GFLOP/s"),
        ("model_flops_per_second", 412e12, "412 TFLOP/s"),
        ("model_flops", 12.0, "12.0 FLOP"),
        ("mfu", 0.4123, "0.412"),
        ("mean_power", 391.4, "391 W"),
    ],
)
def test_figures_in_sentences(name: str, value: float, expected: str) -> None:
    assert said(name, value).replace("∞ bytes", "∞") == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("score.a.acc", spread(0.98512, 0.0071), "0.985 ± 0.007"),
        ("score.a.acc", spread(0.98512), "0.985"),
        ("tokens_per_second", spread(12345.6, 78.9), "12,346 ± 79"),
        ("peak_host_memory", spread(600 * 2**20, 2**20), "600 ± 1"),
        ("train_seconds", spread(8.123, 0.456), "8.12 ± 0.46"),
        ("final_loss", spread(-0.0001, 0.00002), "−1.00e-04 ± 2.00e-05"),
        ("final_loss", spread(math.nan, math.nan), "NaN ± NaN"),
        ("final_loss", spread(-0.0, 0.0), "0.00 ± 0.00"),
    ],
)
def test_figures_in_tables(name: str, value: Spread, expected: str) -> None:
    assert figure(value, scale(name, value.mean)) == expected


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (0.0, "0.0%", "0%"),
        (0.0004, "0.0%", "0%"),
        (-0.0004, "0.0%", "0%"),
        (0.032, "3.2%", "+3.2%"),
        (-0.113, "−11.3%", "−11%"),
        (1.5, "150.0%", "+150%"),
        (math.nan, "NaN", "NaN"),
        (math.inf, "∞", "+∞"),
    ],
)
def test_shares_in_per_cent(value: float, plain: str, signed: str) -> None:
    assert (share(value), signed_share(value)) == (plain, signed)


def test_a_missing_figure_is_a_dash() -> None:
    assert figure(None, scale("final_loss", 1)) == "—"


@given(st.floats(min_value=1e-12, max_value=1e15) | st.floats(min_value=1e-4, max_value=1.0))
def test_three_digits_are_never_wrong_by_more_than_half_a_percent(value: float) -> None:
    written = number(value, scale("final_loss", value)).replace(",", "")

    assert float(written) == pytest.approx(value, rel=0.0051)
    assert alike("final_loss", value, float(written))


def test_titles() -> None:
    assert title("score.arithmetic_gen.exact_match@strict") == "arithmetic_gen exact_match@strict"
    assert title("score.my.task.acc") == "my.task acc"
    assert title("peak_host_memory") == "peak host memory"
    assert title("final_reward_margin") == "reward margin"


NASTY = st.text(alphabet=st.sampled_from(["|", "\\", "*", "`", "<", "[", "]", "\n", "a", " ", "é", "表", "\u0301"]))


@given(st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=4))
def test_any_text_makes_a_whole_table(rows: list[tuple[str, str]]) -> None:
    made = table(["one", "two"], [[text(cell) for cell in row] for row in rows], ["left", "right"])

    lines = made.split("\n")
    assert len(lines) == 2 + len(rows)
    assert len({width(line) for line in lines}) == 1
    for line in lines:
        bare = line.replace("\\\\", "")
        assert bare.count("|") - bare.count("\\|") == 3


COLUMNS = st.lists(st.integers(min_value=1, max_value=70), min_size=0, max_size=9)


@given(COLUMNS)
def test_columns_are_divided_over_tables_that_fit_and_none_is_lost(sizes: list[int]) -> None:
    first = Column(heading="cell", cells=["dpo-lora8"], align="left")
    columns = [Column(heading=f"{number}" + "x" * (size - 1), cells=["1"]) for number, size in enumerate(sizes)]

    made = tables(first, columns).split("\n\n")

    headers = [one.splitlines()[0] for one in made]
    assert all(header.startswith("| cell ") for header in headers)
    assert [name for header in headers for name in header.strip("| ").split()[1:] if name != "|"] == [
        column.heading for column in columns
    ]
    assert all(width(line) <= WIDEST for one in made for line in one.splitlines())


def test_wide_and_combining_characters_have_their_width() -> None:
    assert width("表") == 2
    assert width("e\u0301") == 1


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("_marks_", r"\_marks\_"),
        ("__init__", r"\_\_init\_\_"),
        ("arithmetic_mc", "arithmetic_mc"),  # within a word it marks nothing, and tables stay readable
        ("_a_b", r"\_a_b"),
        ("*x*", r"\*x\*"),
    ],
)
def test_what_would_set_text_in_italics_shows_as_it_is(name: str, written: str) -> None:
    assert text(name) == written


def test_long_text_is_cut() -> None:
    assert shortened("a\nb   c", 10) == "a b c"
    assert shortened("abcdefghij", 5) == "abcd…"


def test_shell_words_are_quoted() -> None:
    assert quoted("dpo-*") == "'dpo-*'"
    assert quoted("it's") == "'it'\\''s'"


def test_paths_below_the_working_directory_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert shown_path(str(tmp_path / "suites" / "quick.yaml")) == "suites/quick.yaml"
    assert shown_path("suites/quick.yaml") == "suites/quick.yaml"
    assert shown_path("/elsewhere/quick.yaml") == "/elsewhere/quick.yaml"
