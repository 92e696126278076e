"""`harness history`: a metric over many nights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.records.history import History


def history(
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="A metric or score, e.g. tokens_per_second.")],
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites by name or file; without one all.")
    ] = None,
    only: options.Only = None,
    skip: options.Skip = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="From then on: 2026-11-01, or 30d for the last 30 days.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Draw it too, as SVG.")] = None,
    results: options.Results = options.RESULTS,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV, one row per night of each series.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show a metric over many nights, and where it changed.

    A series for each cell and device, one letter a night: × is disturbed, · has no figure. Changes are numbered, with
    the ratio of the levels, its 95% interval, and what differs in the environment.

    \b
    Examples:
      harness run suites/nightly.yaml --force          # each night
      harness history tokens_per_second nightly
      harness history peak_device_memory nightly --since 30d --out memory.svg
    """
    from harness import publishing
    from harness.cli.output import print_json, say, width
    from harness.cli.plain import PlainLines
    from harness.errors import InputError

    if as_csv and as_json:
        raise InputError.of("--csv and --json exclude each other", hint="give one of them")
    found = publishing.history(
        metric,
        suites or (),
        options.choice(only, skip),
        options.places(results),
        since=since_when(since, datetime.now(UTC)) if since else None,
        observer=PlainLines(),
    )
    if as_json:
        print_json(found)
    elif as_csv:
        _print_csv(found)
    else:
        from harness.report import history as rendering

        print(rendering.text(found, width=width()))
    if out is not None:
        publishing.draw_history(found, out)
        say(f"drawn: {out}")


def since_when(said: str, now: datetime) -> datetime:
    """The moment of a date (UTC where it names no zone), or so long before now.

    Raises:
        InputError: neither.
    """
    from harness.errors import InputError
    from harness.records.history import moment
    from harness.records.units import parse_duration

    try:
        return moment(said)
    except ValueError:
        pass
    try:
        if said.strip().isdecimal():  # seconds elsewhere; of nights nobody means seconds
            raise ValueError(said)
        return now - timedelta(seconds=parse_duration(said))
    except (ValueError, OverflowError):
        hint = "write a date, 2026-11-01, or how long ago: 30d, 12h"
        raise InputError.of(f"--since {said!r} is no time", hint=hint) from None


_COLUMNS = (
    *("suite", "cell", "cell_id", "device", "started_at", "run", "environment", "state", "metric", "unit"),
    *("value", "low", "high", "seeds", "outcomes", "disturbed", "change"),
)


def _print_csv(found: History) -> None:
    import csv

    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(found))


def _rows(found: History) -> Iterator[dict[str, Any]]:
    for series in found.series:
        changed = {change.night for change in series.changes}
        for place, night in enumerate(series.nights):
            yield {
                "suite": series.suite,
                "cell": series.cell,
                "cell_id": series.cell_id,
                "device": series.device,
                "started_at": night.started_at,
                "run": " ".join(night.runs),
                "environment": night.environment,
                "state": night.state,
                "metric": found.metric,
                "unit": found.unit,
                "value": night.value,
                "low": night.low,
                "high": night.high,
                "seeds": len(night.values),
                "outcomes": " ".join(f"{name}={count}" for name, count in night.outcomes.items()),
                "disturbed": "; ".join(night.disturbed),
                "change": int(place in changed),
            }
