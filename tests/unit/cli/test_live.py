from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from harness.cli.live import LiveTable
from harness.errors import Problem
from harness.records.outcome import Outcome
from harness.records.plan import Trial
from harness.records.progress import Live

MakeTrial = Callable[..., Trial]
MakeOutcome = Callable[..., Outcome]


def _console(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, legacy_windows=False)


def _drawn(table: LiveTable, width: int) -> list[str]:
    """The live part alone, as it would stand on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def _told(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_every_line_fits_the_terminal(width: int, trial_of: MakeTrial) -> None:
    name = "dpo-lora8-packing-with-a-name-that-is-much-longer-than-any-terminal-would-like-it-to-be" * 2
    table = LiveTable("quickstart", _console(width))
    trial = trial_of(name)
    table.planned([trial], {})
    table.started(trial, 2)
    table.live(
        Live(
            trial=trial,
            attempt=2,
            phase="optimizer",
            step=123_456,
            max_steps=200_000,
            tokens_per_second=1_234_567.0,
            loss=12.3456,
            host_memory=123 * 2**30,
            elapsed_s=36_000,
        )
    )
    lines = _drawn(table, width)
    assert max(len(line) for line in lines) <= width
    assert len(lines) == 3  # header, the trial, the suite: nothing wrapped
    assert lines[1].startswith("dpo-lora8")
    for figure in ("optimizer", "123456/200000", "1,234,567", "12.346", "123 GiB", "10:00:0"):
        assert figure in lines[1]


def test_the_suite_line_counts_and_foretells(trial_of: MakeTrial, outcome_of: MakeOutcome) -> None:
    table = LiveTable("quickstart", _console(80))
    trials = [trial_of("sft", seed=seed) for seed in range(4)]
    table.planned(trials, {trials[0].id: outcome_of(seconds=60)})
    table.started(trials[1], 1)
    table.finished(trials[1], outcome_of("oom", seconds=5), will_retry=False)
    (line,) = _drawn(table, 80)
    assert "quickstart" in line
    assert "2/4 done" in line
    assert "1 failed" in line
    assert "ETA 2m" in line


def test_a_trial_that_will_be_retried_is_neither_done_nor_failed(trial_of: MakeTrial, outcome_of: MakeOutcome) -> None:
    console = _console(80)
    table = LiveTable("quickstart", console)
    trial = trial_of("sft")
    table.planned([trial], {})
    table.started(trial, 1)
    table.finished(trial, outcome_of("crashed", cause="killed by signal 9"), will_retry=True)
    (line,) = _drawn(table, 80)
    assert "0/1 done" in line
    assert "failed" not in line
    assert "sft-s0: crashed in 10.0 s, during train: killed by signal 9; trying again" in _told(console).replace(
        "\n", ""
    )


def test_finished_trials_scroll_above_and_the_terminal_is_left_clean(
    trial_of: MakeTrial, outcome_of: MakeOutcome
) -> None:
    console = _console(80)
    trial = trial_of("sft")
    with LiveTable("quickstart", console) as table:
        table.planned([trial], {})
        table.message("importing the training stack")
        table.started(trial, 1)
        table.finished(trial, outcome_of(summary={"final_loss": 0.4123, "tokens_per_second": 9412.3}), will_retry=False)
    told = _told(console)
    assert "importing the training stack\n" in told
    assert "sft-s0: ok in 10.0 s, loss 0.412, 9,412 tokens/s\n" in told
    assert told.endswith("\x1b[?25h") or "\x1b[?25h" in told[-40:]  # the cursor is shown again


def test_markup_in_names_is_printed_as_it_is(trial_of: MakeTrial, outcome_of: MakeOutcome) -> None:
    console = _console(80)
    table = LiveTable("[bold]suite[/bold]", console)
    trial = trial_of("lora[r=8]")
    table.planned([trial], {})
    table.started(trial, 1)
    assert "lora[r=8]-s0" in _drawn(table, 80)[1]
    assert "[bold]suite[/bold]" in _drawn(table, 80)[2]
    table.finished(trial, outcome_of(), will_retry=False)
    assert "lora[r=8]-s0: ok" in _told(console)


def test_what_the_plan_warns_of_stands_above_the_table() -> None:
    console = _console(80)
    LiveTable("quickstart", console).warned([Problem(what="no GPU is here", why="none was found", hint="look")])
    assert _told(console).split("\n")[:3] == ["warning: no GPU is here", "  why: none was found", "  try: look"]
