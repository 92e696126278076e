"""`harness effects`: what each axis of a suite does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.records.effects import AxisEffect, AxisEffects

Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", "-m", metavar="METRIC", help="Only this metric, e.g. activation_memory; repeatable."),
]


def effects(
    suite: options.SuiteFile,
    metric: Metrics = None,
    only: options.Only = None,
    skip: options.Skip = None,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Tell what each axis of a suite does to each metric.

    A linear model over all cells of the matrix, with 95% intervals, tells too where axes change each other's effects;
    docs/effects-and-claims.md says how.

    \b
    Examples:
      harness effects suites/memory.yaml
      harness effects suites/memory.yaml -m activation_memory -m step_seconds_p50
    """
    from harness import publishing
    from harness.cli.output import print_json
    from harness.cli.plain import PlainLines
    from harness.records.asked import metrics_asked

    wanted = metrics_asked(metric or ())
    told = publishing.effects(suite, options.choice(only, skip), options.places(results), PlainLines(), metrics=wanted)
    if as_json:
        print_json(told)
    else:
        _print(told)


def _print(told: AxisEffects) -> None:
    from harness.cli.output import say, wrapped
    from harness.records.figures import title

    if not told.effects:
        say("nothing to tell yet: an effect takes two levels of an axis with finished trials")
        return
    for sentence in told.made_up:
        print(wrapped(f"- {sentence}", indent=2))
    if told.made_up:
        print()
    for sentence in told.sentences:
        print(wrapped(sentence, indent=2))
    print()
    _table([one for one in _by_change(told) if one.verdict.effect is not None])
    for line in (
        *(f"{title(name)}: {words}" for name, words in told.behind.items()),
        *(f"left out: {one}" for one in told.left_out),
    ):
        say(wrapped(line, indent=2))


def _table(shown: Sequence[AxisEffect]) -> None:
    """In the words and forms of all comparisons; `at` only where some effect holds at one level of another axis."""
    from harness.cli.output import fits, table
    from harness.records.changes import change_said
    from harness.records.figures import title

    columns = {
        "level": [f"{one.axis}: {one.reference} → {one.level}" for one in shown],
        "at": [", ".join(f"{axis} {level}" for axis, level in one.at.items()) or "any" for one in shown],
        "metric": [title(one.metric) for one in shown],
        "change": [change_said(one.verdict) for one in shown],
        "verdict": [one.verdict.ruling for one in shown],
    }
    if not any(one.at for one in shown):
        del columns["at"]
    heads, rows = list(columns), list(zip(*columns.values(), strict=True))
    if fits(heads, rows):
        table(heads, rows)
    else:
        _narrow(heads, rows)


def _narrow(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each change as a line of its own above its metrics: names that are cut tell nothing."""
    from harness.cli.output import plain_table, wrapped

    keys = heads.index("metric")
    head, *lines = plain_table(heads[keys:], [row[keys:] for row in rows]).splitlines()
    print(f"  {head}")
    before: Sequence[str] = ()
    for row, line in zip(rows, lines, strict=True):
        if row[:keys] != before:
            before = row[:keys]
            at = f", at {before[1]}" if keys > 1 else ""
            print(wrapped(before[0] + at, indent=4))
        print(f"  {line}")


def _by_change(told: AxisEffects) -> Sequence[AxisEffect]:
    """All metrics of a change together, those over all levels of other axes first."""
    order = {(axis, level): place for axis, levels in told.axes.items() for place, level in enumerate(levels)}
    axes = list(told.axes)
    return sorted(told.effects, key=lambda one: (axes.index(one.axis), order[one.axis, one.level], bool(one.at)))
