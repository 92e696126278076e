"""`harness fit`: the largest value that fits in memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.run import EngineName, Retry

if TYPE_CHECKING:
    from harness.compare.frontier import Frontier, Probe
    from harness.errors import Problem
    from harness.fitting import Fit
    from harness.records.outcome import Outcome
    from harness.records.plan import Trial
    from harness.records.progress import Live

_STEPS = 6


def fit(
    suite: options.SuiteFile,
    axis: Annotated[
        str,
        typer.Option(metavar="FIELD", help="What varies, e.g. train.per_device_train_batch_size or train.max_length."),
    ],
    limit: Annotated[str, typer.Option(metavar="SIZE", help="Memory it has to fit in, e.g. 24GiB.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--cell", "--only", metavar="GLOB", help="Only cells whose name or id matches; repeatable."),
    ] = None,
    skip: options.Skip = None,
    low: Annotated[
        int | None,
        typer.Option("--from", metavar="N", min=1, help="The smallest; without it 1 (max_length: 64)."),
    ] = None,
    high: Annotated[int | None, typer.Option("--to", metavar="N", min=1, help="The largest; without it 65536.")] = None,
    multiple: Annotated[int, typer.Option("--multiple-of", metavar="N", min=1, help="Try multiples of N alone.")] = 1,
    steps: Annotated[int, typer.Option(metavar="N", min=2, help="Optimizer steps of each trial.")] = _STEPS,
    engine: Annotated[
        EngineName, typer.Option(help="`local` trains on this machine; `debug` makes results up, to try it out.")
    ] = EngineName.local,
    pretend: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB=END", help="With the debug engine: how trials end, e.g. '*@8=oom'; repeatable."),
    ] = None,
    retry: Annotated[
        Retry, typer.Option(help="Try again what was `disturbed`; what ended badly is tried again anyway.")
    ] = Retry.none,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Find the largest value that fits in memory, by short trials.

    Trains every chosen cell a few steps, on rows of full length, with one whole number varied: doubling it until it
    does not fit, then halving the distance. On a GPU its memory is held against the limit, on a CPU the worker's.
    Running it again goes on where it stopped. Ends with 5 when a limit could not be found.

    \b
    Example:
      harness fit suites/memory.yaml --axis train.max_length --limit 24GiB
    """
    from harness import fitting
    from harness.cli.output import print_json
    from harness.cli.run import engine_of, pretended
    from harness.records.progress import Silent

    least = low or fitting.lowest(axis, high)
    wanted = fitting.Wanted(axis=axis, limit=_limit(limit), low=least, high=high, step=multiple, steps=steps)
    found = fitting.fit(
        suite,
        options.choice(only, skip, retry=retry.value),
        wanted,
        options.places(results),
        engine=engine_of(engine, dict(pretended(given) for given in pretend or [])),
        observer=Silent() if quiet else Lines(),
    )
    print_json(_document(found)) if as_json else _print(found)
    _tell_own_rows(found)
    _tell_doubts(found)
    _tell_failures(found, results)


class Lines:
    """An observer of short trials: a line when one ends."""

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        """Nothing: nobody knows how many there will be."""

    def warned(self, problems: Sequence[Problem]) -> None:
        from harness.cli import failure

        failure.print_problems(problems, "warning")

    def message(self, text: str) -> None:
        self._say(text)

    def started(self, trial: Trial, attempt: int) -> None:
        self._say(f"{trial.name}: started")

    def live(self, state: Live) -> None:
        """Nothing: they are short."""

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        from harness.cli import words
        from harness.compare.frontier import peak_of
        from harness.records.units import format_size

        _, peak = peak_of(outcome.summary)
        taken = f", {format_size(peak)}" if peak is not None else ""
        self._say(words.ended(trial, outcome, will_retry=will_retry) + taken)

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _limit(text: str) -> int:
    from harness.errors import InputError
    from harness.records.units import parse_size

    try:
        size = parse_size(text)
    except ValueError as error:
        raise InputError.of(f"--limit {error}") from error
    if size <= 0:
        raise InputError.of(f"--limit must be more than nothing, not {text!r}")
    return size


def _print(found: Fit) -> None:
    from harness.cli.output import fits, table, wrapped

    predicted = any(probe.predicted is not None for frontier in found.frontiers for probe in frontier.probes)
    for frontier in found.frontiers:
        rows = [_row(probe, predicted=predicted) for probe in frontier.probes]
        if rows:
            figures = [name for name in _FIGURES if predicted or name != "predicted"]
            columns = [found.question.axis.rpartition(".")[2], "outcome", *figures, "fits"]
            title = f"{frontier.cell}{_alike(frontier)}"
            if not fits(columns, rows):
                title, columns[0] = f"{title}, by {columns[0]}", "value"
            print(wrapped(title, indent=2))
            table(columns, rows, right=[columns[0], *figures])
            print()
    for name, why in found.left_out.items():
        print(wrapped(f"left out: {name}: {why}", indent=2))
    for frontier in found.frontiers:
        print(wrapped(f"{'MADE UP, not measured: ' if found.made_up else ''}{frontier.sentence}", indent=2))
    metrics = {probe.metric for frontier in found.frontiers for probe in frontier.probes if probe.metric}
    if metrics:
        told = f"memory: {' and '.join(sorted(metrics))}; what fits is taken to fit with every smaller value too"
        print(wrapped(told, indent=2))


_FIGURES = ("peak", "predicted", "positions/step", "tokens/s")


def _row(probe: Probe, *, predicted: bool) -> list[Any]:
    from harness.records.units import format_size

    shown = (probe.peak, probe.predicted) if predicted else (probe.peak,)
    sizes = [None if size is None else format_size(size) for size in shown]
    fits = "?" if probe.fits is None else "yes" if probe.fits else "no"
    rounded = [None if figure is None else round(figure) for figure in (probe.positions, probe.tokens_per_second)]
    return [
        probe.value,
        f"{probe.outcome}, disturbed" if probe.disturbed else probe.outcome,
        *sizes,
        *(f"{figure:,}" if figure is not None else None for figure in rounded),
        fits,
    ]


def _alike(frontier: Frontier) -> str:
    return f" (and {', '.join(frontier.alike)})" if frontier.alike else ""


def _document(found: Fit) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "suite": found.suite,
        **asdict(found.question),
        "cells": [{**asdict(frontier), "sentence": frontier.sentence} for frontier in found.frontiers],
        "left_out": dict(found.left_out),
        "own_rows": list(found.own_rows),
        "made_up": found.made_up,
    }


def _tell_own_rows(found: Fit) -> None:
    from harness.cli.output import say

    for name in found.own_rows:
        say(f"warning: {name}: train.max_length is null, so its own rows were used; longer ones take more memory")


def _tell_doubts(found: Fit) -> None:
    """What speaks against taking the trials as they are."""
    from harness.cli.output import say

    for frontier in found.frontiers:
        disturbed = [probe for probe in frontier.probes if probe.disturbed]
        if disturbed:
            values = ", ".join(str(probe.value) for probe in disturbed)
            why = "; ".join(disturbed[-1].disturbed)
            last = f"at {disturbed[-1].value}: " if len(disturbed) > 1 else ""
            say(f"warning: {frontier.cell}: disturbed at {values} ({last}{why}); --retry disturbed tries again")
        firsts = {probe.environment: probe.trial for probe in frontier.probes if probe.environment}
        if len(firsts) > 1:
            said = f"warning: {frontier.cell}: its values were tried in {len(firsts)} environments"
            shown = " ".join(list(firsts.values())[:2])
            say(f"{said}: harness show {shown} tells what differs; with another --results all are tried anew")


def _tell_failures(found: Fit, results: Path) -> None:
    """Raises TrialsFailed where a limit was not found; by then everything else is told."""
    from harness.errors import Problem, TrialsFailed
    from harness.records import commands

    where = commands.within(str(results))
    undecided = [frontier for frontier in found.frontiers if frontier.stopped is not None]
    none = [frontier for frontier in found.frontiers if frontier.stopped is None and frontier.largest is None]
    problems = [
        Problem(what=frontier.sentence, hint=f"harness show {probe.trial}{where} tells more")
        for frontier in undecided
        for probe in frontier.probes
        if probe.fits is None
    ]
    lower = ", or lower --from" if found.question.low > found.question.step else ""
    problems += [Problem(what=frontier.sentence, hint=f"{_way_out(frontier)}{lower}") for frontier in none]
    if problems:
        raise TrialsFailed(problems=problems)


def _way_out(frontier: Frontier) -> str:
    """What lets the smallest value fit; a larger limit gives nothing to a trial that had no more to take."""
    (smallest,) = [probe for probe in frontier.probes if probe.value == frontier.fails]
    over = smallest.outcome == "ok" and smallest.peak is not None and smallest.peak > frontier.limit
    return (
        "raise --limit" if over else "give it more than the device or limits.host_memory did, or train what takes less"
    )
