"""`harness compare`: the candidate beside the reference, with a verdict on each figure."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import options


def compare(
    reference: Annotated[str, typer.Argument(metavar="A", help="The reference: what is known.")],
    candidate: Annotated[str, typer.Argument(metavar="B", help="The candidate: what is asked about.")],
    suite: Annotated[
        str | None, typer.Option(metavar="SUITE", help="The suite (name or file) that conditions alone are about.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", metavar="METRIC", help="Only this metric; repeatable.")
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", metavar="METRIC=SIZE", help="The smallest change that matters: 1%, 0.02; repeatable."),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Environments may differ: they are what is compared.")
    ] = False,
    flips: Annotated[
        int, typer.Option(metavar="N", min=0, help="Show so many documents of a score that were fixed, and broken.")
    ] = 3,
    only: options.Only = None,
    skip: options.Skip = None,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Compare two selections: which differences are real?

    A is the reference, B the candidate; a change is B's beside A's, with its 95% interval and the smallest one that
    would be seen. Each is a suite with results (by name, or its file), conditions on its axes, method or seed
    (recipe=dpo,weights=lora), globs of cells or trials, both after a suite and a colon, or all of these after another
    store or folder of results. A saved baseline is baseline:NAME.

    Cells are paired by id, else by the levels they share, else by name. What cannot be compared is refused, with the
    reason: other environments (but see --across), another device, scores of other documents, tasks or backends.

    Ends with 0 whatever the verdicts are: this is no gate. With 2 where there is none, since nothing could be compared.

    \b
    Examples:
      harness compare recipe=sft recipe=dpo --suite quickstart
      harness compare quickstart:sft-full quickstart:dpo-full --metric energy
      harness compare before/harness.duckdb nightly --across
      harness compare baseline.yaml changed.yaml --margin tokens_per_second=3%
    """
    from harness import comparing
    from harness.cli.output import print_json
    from harness.cli.plain import PlainLines

    chosen = options.choice(only, skip)
    wanted = comparing.Wanted(
        suite=suite,
        metrics=options.listed(metric),
        margins=comparing.margins_of(margin or ()),
        only=chosen.only,
        skip=chosen.skip,
        across=across,
        flips=flips,
    )
    found = comparing.compare(reference, candidate, wanted, options.places(results), PlainLines())
    if as_json:
        print_json(found)
    else:
        from harness.cli import compared

        compared.show(found)
