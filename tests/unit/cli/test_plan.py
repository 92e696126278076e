"""`harness plan` on a terminal that is narrower than a suite."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping

import pytest

from harness.cli import output
from harness.cli.plan import _print_excluded, _print_trials
from harness.plan import Row, expand, rows
from harness.records.plan import Excluded, Plan
from harness.records.suite import Include, Replicates, Setup
from tests.unit.plan.made import CATALOG, named, setup, suite, values

Show = Callable[..., list[str]]

RATES = values("train.learning_rate", 1e-5, 1e-4)
PACKING = values("train.packing", False, True)
WORDY = [
    named(f"{letter}-lever", {f"{letter}-rather-long-on": {}, f"{letter}-rather-long-off": {f"train.{field}": value}})
    for letter, field, value in [("a", "weight_decay", 0.1), ("b", "warmup_steps", 3), ("c", "max_length", 64)]
]


def _excluded(count: int, reason: str) -> list[Excluded]:
    return [Excluded(name=f"cell{number}", levels={}, reason=reason) for number in range(count)]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """The printed table's lines, in so many columns; the made-up predictions take a column too."""

    def shown(plan: Plan, columns: int | None, states: Mapping[str, str] | None = None) -> list[str]:
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
        _print_trials(plan, [_with(row, states or {}) for row in rows(plan, {})], None)
        return capsys.readouterr().out.partition("\n\n")[0].splitlines()

    return shown


def _with(row: Row, states: Mapping[str, str]) -> Row:
    return dataclasses.replace(row, predicted_memory={"device": 2**30}, state=states.get(row.name, row.state))


def test_levels_that_names_tell_have_no_column_of_their_own(show: Show) -> None:
    lines = show(expand(suite(RATES, PACKING), CATALOG), 200)

    assert lines[0].split() == ["trial", "seed", "memory", "state"]
    assert [line.split()[0] for line in lines[1:]] == [
        "sft-learning_rate1e-5-s0",
        "sft-learning_rate1e-5-packing-s0",
        "sft-learning_rate0.0001-s0",
        "sft-learning_rate0.0001-packing-s0",
    ]


def test_levels_that_a_cut_name_lost_have_one(show: Show) -> None:
    long = named("lever", {"x" * 99: {"train.weight_decay": 0.1}, "y" * 99: {}})
    plan = expand(suite(long, PACKING), CATALOG)

    assert show(plan, 500)[0].split() == ["trial", "lever", "train.packing", "seed", "memory", "state"]
    assert show(plan, 140)[0].split() == ["trial", "memory", "state"]


def test_included_cells_add_no_columns(show: Show) -> None:
    alone = Include(name="decayed", sets={"train.weight_decay": 0.3, "train.learning_rate": 1e-5})
    plan = expand(suite(RATES, include=(alone,)), CATALOG)

    lines = show(plan, 200)
    assert lines[0].split() == ["trial", "seed", "memory", "state"]
    assert "decayed-s0" in lines[-1]


def test_a_table_that_is_too_wide_says_less_before_it_cuts_a_name(show: Show) -> None:
    plan = expand(suite(*WORDY), CATALOG)
    name = "sft-a-rather-long-off-b-rather-long-off-c-rather-long-off-s0"
    some = {name: "finished"}
    wide = len(name) + len("  seed  1 GiB   finished")

    assert show(plan, wide + 8, some)[0].split() == ["trial", "seed", "memory", "state"]
    assert show(plan, len(name) + 8 + 10, some)[0].split() == ["trial", "memory", "state"]
    assert show(plan, len(name) + 8)[0].split() == ["trial", "memory"]  # all are to run, which the last line says
    for lines in (show(plan, len(name) + 8), show(plan, len(name) + 18, some)):
        assert any(line.startswith(f"{name}  ") for line in lines)


def test_seeds_and_stages_are_told_where_they_differ(show: Show) -> None:
    base, stages = setup(init={"stage": "start"}), {"start": Setup(method="sft")}
    plan = expand(suite(*WORDY, replicates=Replicates(seeds=[0, 1]), base=base, stages=stages), CATALOG)

    for columns, head in [
        (120, ["trial", "seed", "starts from", "memory", "state"]),
        (85, ["trial", "starts from", "memory"]),
    ]:
        lines = show(plan, columns)
        assert re.split(r"  +", lines[0]) == head
        assert lines[2].split()[head.index("starts from")] == "stage-start"
        assert max(map(len, lines)) <= columns


def test_a_terminal_draws_what_was_chosen_on_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = expand(suite(*WORDY), CATALOG)
    for columns in range(64, 100):  # with fewer, cut names would look alike
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        _print_trials(plan, [_with(row, {}) for row in rows(plan, {})], None)
        head, _, *drawn = capsys.readouterr().out.partition("\n\n")[0].splitlines()
        assert "trial" in head
        assert len(drawn) == len(plan.trials), f"a row is folded in {columns} columns"


def test_names_lose_their_middle_at_last(show: Show) -> None:
    plan = expand(suite(*WORDY), CATALOG)

    lines = show(plan, 64)

    assert max(map(len, lines)) == 64
    assert len({line.split()[0] for line in lines}) == len(lines)
    assert any(line.startswith("sft-a-rather-long-off-") and "…" in line and "-s0 " in line for line in lines)


def test_names_that_would_look_alike_are_not_cut(show: Show) -> None:
    lines = show(expand(suite(*WORDY), CATALOG), 30)
    assert all("…" not in line for line in lines)


def test_what_somebody_collects_is_not_cut(show: Show) -> None:
    five = [named(f"{n}-axis", {f"{n}-level-with-a-name": {}}) for n in "abcde"]
    lines = show(expand(suite(*five), CATALOG), None)
    assert max(map(len, lines)) > 100
    assert all("…" not in line for line in lines)


def test_exclusions_are_told_by_reason(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    few, many = _excluded(2, "one reason"), _excluded(1200, "another reason")
    plan = Plan(suite=suite(base=setup()), cells=(), trials=(), excluded=(few[0], *many, few[1]))

    _print_excluded(plan, 10)

    assert capsys.readouterr().out.splitlines() == [
        "",
        "excluded:",
        "  cell0, cell1: one reason",
        "  1,200 cells, cell0 the first: another reason",
    ]


def test_many_reasons_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [item for number in range(13) for item in _excluded(4, f"reason {number}")]
    plan = Plan(suite=suite(), cells=(), trials=(), excluded=tuple(reasons))

    _print_excluded(plan, 10)
    short = capsys.readouterr().out.splitlines()
    _print_excluded(plan, None)
    full = capsys.readouterr().out.splitlines()

    assert short[-1] == "… and 12 cells more for 3 other reasons; see them with --all or --json"
    assert (len(short), len(full)) == (2 + 10 + 1, 2 + 13)


@pytest.mark.parametrize(("most", "shown"), [(9, "abcdefghi"), (8, "abcd…ghi"), (7, "abc…ghi"), (3, "a…i")])
def test_shortened_keeps_both_ends(most: int, shown: str) -> None:
    assert output.shortened("abcdefghi", most) == shown


def test_a_loose_bound_is_marked_and_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    plan = expand(suite(RATES), CATALOG)
    told = [_with(row, {}) for row in rows(plan, {})]
    loose = [dataclasses.replace(row, loosely_predicted="nothing cuts the rows") for row in told]

    _print_trials(plan, loose, None)

    said = capsys.readouterr().out
    assert said.count("≤ 1 GiB") == len(loose)
    assert said.count("≤, far above what real batches take: nothing cuts the rows") == 1
    _print_trials(plan, told, None)
    assert "≤" not in capsys.readouterr().out
