"""`harness run`: the main job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options, score, watch

if TYPE_CHECKING:
    from harness.execute import Behaviour, Engine
    from harness.pipeline import Finished
    from harness.records.outcome import Outcome
    from harness.records.plan import Plan


_CAUSES = 5
"""Causes that are told one by one."""


class Retry(StrEnum):
    """Which trials that have ended are tried again."""

    none = "none"
    failed = "failed"
    disturbed = "disturbed"


class EngineName(StrEnum):
    """What executes trials."""

    local = "local"
    debug = "debug"


def run(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    retry: Annotated[
        Retry,
        typer.Option(help="Try again what ended badly (`failed`), or was disturbed while measured (`disturbed`)."),
    ] = Retry.none,
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

    Running it again goes on where it stopped. Says first what `harness plan` warns of; prints the headline and the
    report's path. Ctrl-C once ends the running trial cleanly, twice at once. Ends with 5 when trials failed; the report
    then says which and why.

    \b
    Examples:
      harness run suites/quickstart.yaml
      harness run suites/quickstart.yaml --only 'dpo-*' --retry failed
    """
    from harness import pipeline, replicating
    from harness.cli.output import paragraph, print_json
    from harness.records import commands

    chosen = options.choice(only, skip, retry=retry.value, force=force)
    script = [pretended(given) for given in pretend or []]
    if script and engine is EngineName.debug:
        check_globs([glob for glob, _ in script], pipeline.planned(suite, chosen))
    with watch.observing(suite.stem, quiet=quiet) as observer:
        finished = replicating.run(
            suite,
            chosen,
            options.places(results, reports),
            engine=engine_of(engine, dict(script)),
            observer=observer,
            scoring=not no_score,
        )
    if as_json:
        print_json(_document(finished))
    else:
        print(paragraph(finished.answer.headline))
        print(f"report: {finished.report}")
    tell_scoring(finished, quiet=quiet)
    where = commands.within(str(results))
    again = commands.run(str(suite), str(results), str(reports))
    tell_disturbed(finished, again, where, quiet=quiet)
    tell_failures(finished, again, where)


def engine_of(name: EngineName, script: Mapping[str, Sequence[Behaviour]]) -> Engine:
    from harness import execute
    from harness.errors import InputError

    if name is EngineName.debug:
        return execute.DebugEngine(script=script)
    if script:
        raise InputError.of("--pretend is for the debug engine", hint="add --engine debug, or leave --pretend out")
    return execute.LocalEngine()


def check_globs(globs: Sequence[str], plan: Plan) -> None:
    """Raises SelectionError for globs of --pretend that mean no trial of the plan."""
    from fnmatch import fnmatchcase

    from harness.errors import Problem, SelectionError, did_you_mean

    names = [trial.name for trial in plan.trials]
    unknown = [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names)]
    if unknown:
        hint = "{}; `harness plan` lists them"
        raise SelectionError(
            problems=[
                Problem(what=f"--pretend {glob!r} matches no trial", hint=hint.format(did_you_mean(glob, names)))
                for glob in unknown
            ]
        )


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
        "scores": finished.scores,
        "disturbed": {trial: list(finished.counting[trial].disturbed) for trial in finished.disturbed},
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


def tell_scoring(finished: Finished, *, quiet: bool) -> None:
    """Says which backend scored, and why, where the suite left that open or nothing was really scored."""
    from harness.cli.output import say, wrapped

    if finished.scores is not None and finished.scores.note and not quiet:
        say(wrapped(f"note: {finished.scores.note}", indent=2))


def tell_disturbed(finished: Finished, again: str, where: str, *, quiet: bool) -> None:
    """Says which trials were disturbed, by what, and what to do; no failure, so the exit code stays.

    `again` is the command that runs the suite, `where` the option that finds the run folders, empty where they lie in
    the usual place.
    """
    from harness.cli.output import say, wrapped

    if not finished.disturbed or quiet:
        return
    names = _names(finished)
    alike: dict[str, list[str]] = {}
    for trial in finished.disturbed:
        reasons = "; ".join(finished.counting[trial].disturbed)
        alike.setdefault(reasons, []).append(names.get(trial, trial))
    say(f"note: {len(finished.disturbed)} of {len(finished.counting)} trials were disturbed: their speeds may be off")
    for reasons, trials in list(alike.items())[:_CAUSES]:
        say(wrapped(f"  {score.listed(trials)}: {reasons}", indent=4))
    if len(alike) > _CAUSES:
        say(f"  and {len(alike) - _CAUSES} more: harness list {finished.answer.suite}{where}")
    say(f"  {again} --retry disturbed measures them again")


def tell_failures(finished: Finished, again: str, where: str) -> None:
    """Raises TrialsFailed when a trial ended otherwise than it is meant to, or unscored; the report is out then.

    `again` and `where` as for `tell_disturbed`.
    """
    from harness.errors import Problem, TrialsFailed

    problems = []
    if finished.failed:
        well = "as expected" if any(trial.expect != "ok" for trial in finished.plan.trials) else "well"
        what = f"{len(finished.failed)} of {len(finished.outcomes)} trials did not end {well}"
        problems.append(Problem(what=what, why="; ".join(_causes(finished)), hint=_way_on(finished, again, where)))
    if finished.scores:
        problems += score.unscored(finished.scores)
    if problems:
        raise TrialsFailed(problems=problems)


def _causes(finished: Finished, most: int = _CAUSES) -> list[str]:
    """`4 × oom (…): dpo-s0, dpo-s1, …`: one for each cause, the commonest first."""
    names, meant = _names(finished), {trial.id: trial.expect for trial in finished.plan.trials}
    alike: dict[str, list[str]] = {}
    for trial in finished.failed:
        outcome = finished.outcomes[trial]
        cause = outcome.cause if outcome.outcome != "ok" else f"{meant.get(trial)} is expected"
        cause = f"{outcome.outcome} ({cause})" if cause else outcome.outcome
        alike.setdefault(cause, []).append(names.get(trial, trial))
    by_number = sorted(alike.items(), key=lambda item: -len(item[1]))
    told = [
        f"{f'{len(trials)} × ' if len(trials) > 1 else ''}{cause}: {score.listed(trials)}"
        for cause, trials in by_number
    ]
    return told[:most] + ([f"and {len(told) - most} other causes"] if len(told) > most else [])


def _way_on(finished: Finished, again: str, where: str) -> str:
    """What to do next. Where an earlier attempt counts, `--retry failed` sees nothing that failed."""
    names = _names(finished)
    bad = [trial for trial in finished.failed if finished.outcomes[trial].outcome != "ok"]
    counted = [names[trial] for trial in bad if _stands(finished, trial)]
    hints = [f"harness show '{names[finished.failed[0]]}'{where} tells more"]
    if len(counted) < len(bad):
        hints.append(f"{again} --retry failed tries them again")
    if counted:
        only = ",".join(counted)
        hints.append(f"an earlier attempt counts, {again} --force --only '{only}' makes another")
    return "; ".join(hints)


def _stands(finished: Finished, trial: str) -> bool:
    """Whether an earlier attempt that ended well counts for the trial."""
    return trial in finished.counting and finished.counting[trial].outcome == "ok"


def _names(finished: Finished) -> dict[str, str]:
    return {trial.id: trial.name for trial in finished.plan.trials}
