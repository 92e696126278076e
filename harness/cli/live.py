"""Progress on a terminal: one live table on stderr; what is finished scrolls above it as plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live as Display
from rich.table import Table
from rich.text import Text

from harness.cli import failure, words
from harness.cli.output import number
from harness.cli.tally import Tally
from harness.errors import Problem
from harness.records.outcome import Outcome
from harness.records.plan import Trial
from harness.records.progress import Live
from harness.records.units import format_duration, format_size

_REFRESH_PER_SECOND = 4
_COLOURS = {"ok": "green", "skipped": "yellow", "interrupted": "yellow"}


class LiveTable:
    """An observer that draws; use as a context manager, so that the terminal is left as it was found."""

    def __init__(self, suite: str, console: Console | None = None) -> None:
        self._suite = suite
        self._console = console or Console(stderr=True, highlight=False)
        self._lock = threading.Lock()  # the display draws from a thread of its own
        self._since = time.monotonic()
        self._running: dict[str, tuple[Live, float]] = {}  # the state, and when it came
        self._tally = Tally()
        self._doing = ""
        self._display = Display(
            self, console=self._console, refresh_per_second=_REFRESH_PER_SECOND, redirect_stdout=False, transient=True
        )

    def __enter__(self) -> LiveTable:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.stop()

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        with self._lock:
            self._tally.planned(trials, finished)
            resumed = self._tally.resumed()
        if resumed:
            self._print(Text(resumed))

    def warned(self, problems: Sequence[Problem]) -> None:
        self._print(Text(failure.rendered(problems, "warning")))

    def message(self, text: str) -> None:
        with self._lock:
            self._doing = text
        self._print(Text(text, style="dim"))

    def started(self, trial: Trial, attempt: int) -> None:
        with self._lock:
            self._doing = ""
            self._tally.waiting.pop(trial.id, None)
            self._running[trial.id] = (Live(trial=trial, attempt=attempt, phase="starting"), time.monotonic())

    def live(self, state: Live) -> None:
        with self._lock:
            if state.trial.id in self._running:
                self._running[state.trial.id] = (state, time.monotonic())

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        with self._lock:
            self._running.pop(trial.id, None)
            self._tally.ended(trial, outcome, will_retry=will_retry)
        colour = "yellow" if will_retry else _COLOURS.get(outcome.outcome, "red")
        line = Text(words.ended(trial, outcome, will_retry=will_retry))
        line.stylize(colour, len(trial.name) + 2, len(trial.name) + 2 + len(outcome.outcome))
        self._print(line)

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            now = time.monotonic()
            running = [_aged(state, now - came) for state, came in self._running.values()]
            bottom = self._bottom_line(running, now)
        yield Group(self._table(running), bottom) if running else bottom

    def _table(self, running: Sequence[Live]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim", pad_edge=False)
        table.add_column("trial", ratio=1, no_wrap=True, overflow="ellipsis")
        for name in ("phase", "step", "tokens/s", "loss", "memory", "time"):
            table.add_column(name, no_wrap=True, justify="left" if name == "phase" else "right")
        for state in running:
            again = f" (attempt {state.attempt})" if state.attempt > 1 else ""
            table.add_row(
                Text(state.trial.name + again, style="cyan"),
                state.phase,
                words.step_of(state),
                "–" if state.tokens_per_second is None else number(float(round(state.tokens_per_second))),
                "–" if state.loss is None else f"{state.loss:.3f}",
                "–" if state.host_memory is None else format_size(state.host_memory),
                _clock(state.elapsed_s),
            )
        return table

    def _bottom_line(self, running: Sequence[Live], now: float) -> Text:
        tally = self._tally
        left = tally.durations.remaining(list(tally.waiting.values()), running)
        parts = [f"{tally.done}/{tally.total} done"] if tally.total else []
        parts += [f"{tally.failed} failed"] if tally.failed else []
        parts += [f"{tally.disturbed} disturbed"] if tally.disturbed else []
        parts += [f"{_clock(now - self._since)} elapsed"]
        parts += [f"ETA {format_duration(left)}"] if left and (tally.waiting or running) else []
        parts += [self._doing] if self._doing and not running else []
        line = Text(f"{self._suite}  ", style="bold", no_wrap=True, overflow="ellipsis")
        return line.append(" · ".join(parts), style="not bold")


def _aged(state: Live, seconds: float) -> Live:
    from dataclasses import replace

    return replace(state, elapsed_s=state.elapsed_s + seconds)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
