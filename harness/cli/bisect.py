"""`harness bisect`: the release of a package that made a suite worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.run import EngineName

if TYPE_CHECKING:
    from harness.bisecting import Bisection, Try
    from harness.records.verdict import Verdict

_REPLICATES = 3
_CONFIRM = 5


def bisect(
    suite: options.SuiteFile,
    package: Annotated[str, typer.Option(metavar="NAME", help="The package whose releases are tried, e.g. trl.")],
    good: Annotated[str, typer.Option(metavar="VERSION", help="A release that is good, e.g. 1.14.0.")],
    bad: Annotated[str, typer.Option(metavar="VERSION", help="A later one that may be bad.")],
    metric: Annotated[
        str, typer.Option("--metric", "-m", metavar="METRIC", help="What regressed.")
    ] = "tokens_per_second",
    versions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERSION", help="The releases between, oldest first; else the index is asked. a,b is both."
        ),
    ] = None,
    only: options.Only = None,
    skip: options.Skip = None,
    replicates: Annotated[
        int, typer.Option(metavar="N", min=2, max=50, help="Trials of each cell and side at first.")
    ] = _REPLICATES,
    confirm: Annotated[
        int, typer.Option(metavar="N", min=0, max=50, help="As many more at most where these do not tell.")
    ] = _CONFIRM,
    engine: Annotated[
        EngineName, typer.Option(help="`local` trains on this machine; `debug` makes results up, to try it out.")
    ] = EngineName.local,
    pretend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB=END", help="With the debug engine: how trials end, e.g. '*@1.15*=slower'; repeatable."
        ),
    ] = None,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Find the release of a package that made a metric regress.

    Each release is trained beside the good one, in environments that differ in the package alone, and judged by a
    verdict. The bad end first, then the middle of what is left. A release that cannot be built or trained, or of which
    the trials do not tell, is gone around. Running it again goes on where it stopped. Ends with 3 when the release is
    not known.

    \b
    Example:
      harness bisect suite.yaml --package trl --good 1.14.0 --bad 1.16.0
    """
    from harness import bisecting
    from harness.cli.fit import Lines
    from harness.cli.output import print_json
    from harness.cli.run import engine_of, pretended
    from harness.records.progress import Silent

    listed = (
        None if versions is None else [one.strip() for given in versions for one in given.split(",") if one.strip()]
    )
    wanted = bisecting.Wanted(
        package=package,
        good=good,
        bad=bad,
        metric=metric,
        versions=listed,
        replicates=replicates,
        confirm=confirm,
    )
    found = bisecting.bisect(
        suite,
        options.choice(only, skip),
        wanted,
        options.places(results),
        engine=engine_of(engine, dict(pretended(given) for given in pretend or [])),
        observer=Silent() if quiet else Lines(),
    )
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
    _tell_undecided(found)


def _print(found: Bisection) -> None:
    from harness.cli.output import table, wrapped

    rows = [row for one in found.tries for row in _rows(one)]
    table(("release", "cell", "change", "runs", "verdict"), rows, right=("runs",))
    for one in found.tries:
        if one.why:
            print(wrapped(f"{one.version}: {one.why}", indent=2))
    for said, those in _alike(found.tries).items():
        print(wrapped(f"{', '.join(those)} also differ{'s' if len(those) == 1 else ''} in {said}", indent=2))
    print("\n" + wrapped(f"{'MADE UP, not measured: ' if found.made_up else ''}{found.sentence}", indent=2))


def _rows(one: Try) -> list[Sequence[Any]]:
    from harness.records.changes import change_said, n_said

    if not one.verdicts:
        return [(one.version, "", "", "", one.found)]
    return [
        (one.version, cell, change_said(verdict), n_said(verdict), _found(one, verdict))
        for cell, verdict in one.verdicts.items()
    ]


def _found(one: Try, verdict: Verdict) -> str:
    return one.found if one.found == verdict.ruling else f"{one.found} ({verdict.ruling})"


def _alike(tries: Sequence[Try]) -> dict[str, list[str]]:
    """What else differs from the good environment, with the releases of which that holds."""
    found: dict[str, list[str]] = {}
    for one in tries:
        if one.besides:
            found.setdefault(", ".join(one.besides), []).append(one.version)
    return found


def _document(found: Bisection) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "suite": found.suite,
        **asdict(found.question),
        "releases": list(found.releases),
        "tries": [asdict(one) for one in found.tries],
        "first_bad": found.first_bad,
        "last_good": found.releases[found.narrowed.good],
        "suspects": [found.releases[number] for number in found.suspects],
        "decided": found.decided,
        "sentence": found.sentence,
        "made_up": found.made_up,
    }


def _tell_undecided(found: Bisection) -> None:
    """Raises Undecided where the release is not known; by then everything else is told."""
    from harness.errors import Undecided

    if found.decided:
        return
    inconclusive = any(one.found == "inconclusive" for one in found.tries)
    hint = "give --confirm more, or a steadier cell with --only" if inconclusive else "try them where they can be built"
    raise Undecided.of("the first bad release is not known", hint=hint)
