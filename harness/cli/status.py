"""`harness status`: how far is it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.records import commands

if TYPE_CHECKING:
    from harness.execute import SuiteStatus
    from harness.pipeline import Places

_WATCH_S = 1.0


def status(
    suite: Annotated[str | None, typer.Argument(metavar="SUITE", help="Name of one suite; all without.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second, until Ctrl-C.")] = False,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Tell how far suites are, also while they run.

    Reads the run folders only, so it works from another terminal during a run.

    \b
    Example:
      harness status quickstart --watch
    """
    from harness.cli.output import print_json
    from harness.errors import InputError

    if watch and as_json:
        raise InputError.of("--watch and --json exclude each other", hint="run `harness status --json` again and again")
    places = options.places(results)
    if watch:
        _watch(places, suite)
        return
    found = _found(places, suite)
    if as_json:
        print_json([{"done": one.done, **_fields(one)} for one in found])
    else:
        print("\n".join(lines(found, results)))


def _found(places: Places, suite: str | None) -> list[SuiteStatus]:
    from harness import pipeline
    from harness.cli.trials import unknown_suite

    found = pipeline.status(places, suite)
    if suite is not None and not found:
        raise unknown_suite(places.results, suite)
    return found


def _fields(one: SuiteStatus) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(one)


def lines(found: list[SuiteStatus], results: Path = options.RESULTS) -> list[str]:
    """A few lines for each suite: how far it is, who runs it, and what is being trained."""
    said = [line for one in found for line in _suite(one, results)]
    return said or ["no results here yet: harness run SUITE"]


def _suite(one: SuiteStatus, results: Path) -> list[str]:
    run = commands.run(one.suite_file or "SUITE", str(results))
    bad = ", ".join(f"{count} {name}" for name, count in one.outcomes.items() if name != "ok")
    count = f"{one.done}" if one.search else f"{one.done}/{one.total}"
    trials = "trial" if count == "1" else "trials"
    said = [f"{one.suite}  {count} {trials} done" + (f" ({bad})" if bad else "")]
    if one.made_up:
        said.append(f"  MADE UP: the debug engine trained nothing in {one.made_up} of them; their figures mean nothing")
    if one.disturbed:
        again = "" if one.search else f"; {run} --retry disturbed measures them again"
        said.append(f"  {one.disturbed} disturbed{again}")
    if one.holder is None:
        said.append(f"  not running{_way_on(one, run)}")
        return said
    who = one.holder
    said.append(f"  run by process {who.get('pid')} on {who.get('host')} since {who.get('started_at')}")
    if one.running is not None:
        said.append("  " + _running(one))
    if one.doing is not None:
        said.append(f"  {one.doing}")
    return said


def _way_on(one: SuiteStatus, run: str) -> str:
    if one.search:
        return f"; {one.search} tells what came of it, or goes on with it"
    return "" if one.done == one.total else f"; {run} goes on with it"


def _running(one: SuiteStatus) -> str:
    from harness.cli.output import number
    from harness.records.units import format_duration, format_size

    now = one.running
    assert now is not None
    again = f" (attempt {now.attempt})" if now.attempt > 1 else ""
    parts = [f"{now.name}{again}: {now.phase or 'starting'}"]
    if now.step is not None:
        parts.append(f"step {now.step}" + (f"/{now.max_steps}" if now.max_steps else ""))
    if now.tokens_per_second is not None:
        parts.append(f"{number(float(round(now.tokens_per_second)))} tokens/s")
    if now.loss is not None:
        parts.append(f"loss {now.loss:.3f}")
    if now.host_memory is not None:
        parts.append(format_size(now.host_memory))
    return ", ".join([*parts, format_duration(now.elapsed_s)])


def _watch(places: Places, suite: str | None) -> None:
    """Draws the same lines in place until the user has seen enough, or until nothing is running any more."""
    import time

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    found = _found(places, suite)
    with Live(console=Console(highlight=False), auto_refresh=False) as display:
        while True:
            said = "\n".join(lines(found, places.results))
            display.update(Text(said, no_wrap=True, overflow="ellipsis"), refresh=True)
            if not any(one.holder for one in found):
                return
            time.sleep(_WATCH_S)
            found = _found(places, suite)
