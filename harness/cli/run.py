"""`harness run`: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options, score, watch

if TYPE_CHECKING:
    from harness.execute import Behaviour, Engine
    from harness.pipeline import Finished
    from harness.records.outcome import Outcome


class Retry(StrEnum):
    """Which trials that ended badly are tried again."""

    none = "none"
    failed = "failed"


class EngineName(StrEnum):
    """What executes trials."""

    local = "local"
    debug = "debug"


def run(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    retry: Annotated[Retry, typer.Option(help="`failed`: try again what ended badly before.")] = Retry.none,
    force: Annotated[bool, typer.Option("--force", help="Run finished trials again too; nothing is deleted.")] = False,
    engine: Annotated[
        EngineName, typer.Option(help="`local` trains on this machine; `debug` makes results up, to try a suite out.")
    ] = EngineName.local,
    pretend: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB=END", help="With the debug engine: how trials end, e.g. 'dpo-*=oom'; repeatable."),
    ] = None,
    no_score: Annotated[bool, typer.Option("--no-score", help="Train and report only.")] = False,
    results: options.Results = options.RESULTS,
    reports: options.Reports = options.REPORTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train, measure, score and report a suite, or go on with it.

    Running it again goes on where it stopped. Prints the headline and the report's path. Ctrl-C once ends the
    running trial cleanly, twice at once. Ends with 5 when trials failed; the report then says which and why.

    \b
    Examples:
      harness run suites/quickstart.yaml
      harness run suites/quickstart.yaml --only 'dpo-*' --retry failed
    """
    from harness import pipeline
    from harness.cli.output import print_json

    with watch.observing(suite.stem, quiet=quiet) as observer:
        finished = pipeline.run(
            suite,
            options.choice(only, skip, retry=retry.value, force=force),
            options.places(results, reports),
            engine=_engine(engine, pretend or []),
            observer=observer,
            scoring=not no_score,
        )
    if as_json:
        print_json(_document(finished))
    else:
        print(finished.answer.headline)
        print(f"report: {finished.report}")
    _tell_failures(finished, suite)


def _engine(name: EngineName, pretend: Sequence[str]) -> Engine:
    from harness import execute
    from harness.errors import InputError

    if name is EngineName.debug:
        return execute.DebugEngine(script=dict(pretended(given) for given in pretend))
    if pretend:
        raise InputError.of("--pretend is for the debug engine", hint="add --engine debug, or leave --pretend out")
    return execute.LocalEngine()


def pretended(given: str) -> tuple[str, list[Behaviour]]:
    """`dpo-*=oom`, or `sft-*=crash,ok` for one end per attempt, the last one repeating."""
    from typing import get_args

    from harness.errors import InputError, did_you_mean
    from harness.execute import Behaviour

    glob, _, ends = given.rpartition("=")
    known: tuple[Behaviour, ...] = get_args(Behaviour)
    chosen = [behaviour for end in ends.split(",") for behaviour in known if behaviour == end.strip()]
    if not glob or len(chosen) != len(ends.split(",")):
        raise InputError.of(
            f"--pretend {given!r} is not GLOB=END", why=f"ends are {', '.join(known)}", hint=did_you_mean(ends, known)
        )
    return glob, chosen


def _document(finished: Finished) -> dict[str, Any]:
    names = {trial.id: trial.name for trial in finished.plan.trials}
    return {
        "suite": finished.answer.suite,
        "headline": finished.answer.headline,
        "report": finished.report,
        "trials": [
            {"id": trial, "name": names.get(trial, trial), **_outcome(outcome)}
            for trial, outcome in finished.outcomes.items()
        ],
        "failed": list(finished.failed),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "outcome": outcome.outcome,
        "attempt": outcome.attempt,
        "phase": outcome.phase,
        "cause": outcome.cause,
        "duration_s": outcome.duration_s,
        "metrics": outcome.summary,
    }


def _tell_failures(finished: Finished, suite: Path) -> None:
    """Raises TrialsFailed when a trial ended otherwise than ok or was not scored; by then the report is out."""
    from harness.errors import Problem, TrialsFailed

    problems = []
    if finished.failed:
        names = {trial.id: trial.name for trial in finished.plan.trials}
        told = [(names.get(trial, trial), finished.outcomes[trial]) for trial in finished.failed]
        why = "; ".join(f"{name}: {outcome.outcome}{_because(outcome)}" for name, outcome in told[:5])
        more = f"; and {len(told) - 5} more" if len(told) > 5 else ""
        hint = f"harness show '{told[0][0]}' tells more; harness run {suite} --retry failed tries them again"
        what = f"{len(told)} of {len(finished.outcomes)} trials did not end well"
        problems.append(Problem(what=what, why=why + more, hint=hint))
    if finished.scores:
        problems += score.unscored(finished.scores)
    if problems:
        raise TrialsFailed(problems=problems)


def _because(outcome: Outcome) -> str:
    return f" ({outcome.cause})" if outcome.cause else ""
