"""A report on a terminal: nothing that names a cell is cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.cli.paged import Paged, fitted, grouped

_CELLS = ("floor (untrained)", "stage base", "sft-full (baseline)", "orpo-full", "orpo-lora")
_HEADS = ("arithmetic_mc acc ↑", "reward margin", "final loss", "tokens/s ↑", "host memory, MiB ↓", "train time, s ↓")
_FIGURE = "12,345 ± 1,234"


def _markdown() -> str:
    rows = [" | ".join(("", cell, *(_FIGURE for _ in _HEADS), "")).strip() for cell in _CELLS]
    return "\n".join(
        [" | ".join(("", "cell", *_HEADS, "")).strip(), "| --- |" + " ---: |" * len(_HEADS), *rows, "", "After it."]
    )


def drawn(text: str, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(Paged(text))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_names_and_figures_stay_whole_at_any_width(width: int) -> None:
    lines = drawn(_markdown(), width)

    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    for cell in _CELLS:
        assert any(line.strip().startswith(cell) for line in lines)
    assert "\n".join(lines).count(_FIGURE) == len(_CELLS) * len(_HEADS)


def test_a_table_that_fits_is_one() -> None:
    assert sum("orpo-lora" in line for line in drawn(_markdown(), 200)) == 1
    assert sum("orpo-lora" in line for line in drawn(_markdown(), 80)) > 1


def test_prose_in_a_table_wraps() -> None:
    text = "| trial | why |\n| --- | --- |\n| dpo-s0 | " + "out of memory again " * 12 + "|\n"

    lines = drawn(text, 60)

    assert max(map(len, lines)) <= 60
    assert sum(line.count("memory") for line in lines) == 12


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(20, 200))
def test_every_column_is_drawn_once_and_the_first_always(needs: list[int], width: int) -> None:
    groups = grouped(needs, width)

    assert [at for group in groups for at in group[1:]] == list(range(1, len(needs)))
    assert all(group[0] == 0 for group in groups)
    for group in groups:
        assert len(group) <= 2 or sum(needs[at] for at in group) + 2 * (len(group) - 1) <= width


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), min_size=1, max_size=8), st.integers(0, 100))
def test_no_column_gets_less_than_it_needs_and_none_more_than_it_wishes(
    columns: list[tuple[int, int]], spare: int
) -> None:
    needs = [need for need, _ in columns]
    wishes = [need + more for need, more in columns]
    room = sum(needs) + spare

    widths = fitted(needs, wishes, room)

    assert sum(widths) == min(room, sum(wishes))
    assert all(need <= width <= wish for need, width, wish in zip(needs, widths, wishes, strict=True))


def test_a_column_too_wide_for_the_terminal_gets_what_is_left() -> None:
    assert fitted([10, 100], [10, 100], 60) == [10, 50]
