"""The command line as a whole: which commands there are, in the order of a user's day."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import (
    baseline,
    bisect,
    check,
    claims,
    compare,
    data,
    doctor,
    effects,
    env,
    export,
    fit,
    history,
    import_,
    init,
    listing,
    plan,
    query,
    report,
    run,
    schema,
    score,
    show,
    status,
    store,
    validate,
)

# Plain help, no rich: laying help out with rich takes longer than everything else `--help` does together.
app = typer.Typer(
    name="harness",
    help="Reproducible evaluation and benchmarking for fine-tuning with TRL.",
    epilog="Start with: harness init suite.yaml, then: harness run suite.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print("harness", version("trl-harness"))
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Reproducible evaluation and benchmarking for fine-tuning with TRL.

    A suite (a YAML file) asks a question; harness trains the matrix, measures it, scores the checkpoints and answers
    with a report. Exit codes: 0 fine, 1 a check failed, 2 the input is wrong, 3 a strict check could not tell, 4 no
    baseline, 5 trials failed, 130 interrupted.
    """


app.command("init")(init.init)
app.command("validate")(validate.validate)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("fit")(fit.fit)
app.command("bisect")(bisect.bisect)
app.command("status")(status.status)
app.command("list")(listing.list_)
app.command("show")(show.show)
app.command("score", cls=score.ScoreCommand)(score.score)
app.command("check")(check.check)
app.command("report")(report.report)
app.command("history")(history.history)
app.command("export")(export.export)
app.command("claims")(claims.claims)
app.command("effects")(effects.effects)
app.command("compare")(compare.compare)
app.command("query")(query.query)
app.add_typer(baseline.app, name="baseline")
app.add_typer(data.app, name="data")
app.add_typer(store.app, name="store")
app.add_typer(env.app, name="env")
app.add_typer(import_.app, name="import")
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
