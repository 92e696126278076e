"""`harness claims`: what suites claim, and what was measured beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.records.claims import ClaimVerdict
    from harness.records.results import Answer

_SHIPPED = Path("suites")
_MADE_UP = "MADE UP"


def claims(
    suite: Annotated[
        Path | None, typer.Argument(metavar="SUITE", help="The suite; without it all of suites/ that make claims.")
    ] = None,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Tell which claims of a suite hold here, with their sources.

    Confirmed, refuted, inconclusive or untested, by what has run so far.

    \b
    Examples:
      harness claims suites/claims-cpu.yaml
      harness claims --json
    """
    from harness.cli.output import print_json, say

    answers = _answers(suite, results)
    if as_json:
        print_json([_fields(answer, one) for answer in answers for one in answer.claims])
        return
    if not answers:
        say(f"{suite} makes no claims" if suite else "no suite in suites/ makes claims")
    for answer in answers:
        _print(answer)


def _answers(suite: Path | None, results: Path) -> list[Answer]:
    """The answers of suites that make claims; of several files, one that is wrong does not hide the others."""
    from harness import publishing
    from harness.cli.output import say
    from harness.cli.plain import PlainLines
    from harness.errors import HarnessError

    if suite is not None:
        return list(publishing.claims(suite, options.places(results), PlainLines()))
    found: list[Answer] = []
    for file in sorted([*_SHIPPED.glob("*.yaml"), *_SHIPPED.glob("*.yml")]):
        try:
            found += publishing.claims(file, options.places(results), PlainLines())
        except HarnessError:
            say(f"{file} is wrong: see harness validate {file}")
    return found


def _fields(answer: Answer, one: ClaimVerdict) -> dict[str, object]:
    import dataclasses

    claim = one.claim
    told = {field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name != "claim"}
    made_up = [finding for finding in answer.findings if finding.startswith(_MADE_UP)]
    where = {"suite": answer.suite, "file": answer.suite_file, "made_up": made_up}
    return {**where, "says": claim.says, "source": claim.source, "metric": claim.metric, **told}


def _print(answer: Answer) -> None:
    from collections import Counter

    from harness.cli.output import many, say

    counts = Counter(one.ruling for one in answer.claims)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{answer.suite}: {many(len(answer.claims), 'claim')}, {told}")
    for one in answer.claims:
        print()
        for line in _lines(one):
            print(line)
    print()
    for finding in answer.findings:
        if finding.startswith(_MADE_UP):
            say(finding)


def _lines(one: ClaimVerdict) -> Sequence[str]:
    from harness.cli.output import wrapped
    from harness.records.claimed import measured, runs
    from harness.records.figures import title

    figures = f"{title(one.claim.metric)}: claimed {one.claimed}"
    if one.measured is not None:
        figures += f", measured {measured(one)}; {runs(one)}"
    told = [
        figures,
        *([one.why] if one.why else []),
        *([f"not counted: {'; '.join(one.left_out)}"] if one.left_out else []),
        f"source: {one.claim.source}",
    ]
    return [
        wrapped(f"{one.ruling:13} {one.claim.says}", indent=14),
        *(wrapped(f"{'':14}{line}", indent=14) for line in told),
    ]
