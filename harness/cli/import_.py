"""`harness import`: results of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options, watch

if TYPE_CHECKING:
    from harness.score import Imported

app = typer.Typer(help="Results of other tools.", no_args_is_help=True, rich_markup_mode=None)

_WIDEST = 32  # characters of a model's name


@app.callback()
def _top() -> None:
    """Results of other tools, read into results/imported/ and the database."""


@app.command("lm-eval", short_help="Read results that lm-eval wrote, with their samples.")
def lm_eval(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of lm_eval's --output_path, or a results file.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the model is to be called, instead of lm-eval's name.")
    ] = None,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Read results that lm-eval wrote, with their samples where they are there.

    Every results_<date>.json at or below DIR becomes a run folder in results/imported/; importing it again changes
    nothing. Ends with 5 when a results file could not be read.

    \b
    Example:
      harness import lm-eval downloads/their-results/
    """
    from harness import scoring
    from harness.cli import failure
    from harness.cli.output import print_json
    from harness.errors import TrialsFailed

    with watch.observing("import", quiet=quiet) as observer:
        told = scoring.import_lm_eval(path, options.places(results), observer, name=name)
    if as_json:
        print_json(told)
    else:
        _print(told)
    if told.unread:
        raise TrialsFailed(problems=told.problems)
    if told.problems:
        failure.print_problems(told.problems, "warning")


def _print(told: Imported) -> None:
    from harness.cli.output import many, shortened, table

    rows = [
        [shortened(run.name, _WIDEST), run.id, run.backend, len(run.tasks), f"{run.documents:,}", run.scored_at]
        for run in told.runs
    ]
    table(["model", "id", "backend", "tasks", "documents", "scored"], rows, right=("tasks", "documents"))
    print(f"{many(len(told.runs), 'run')} of lm-eval in the results; see harness list imported")
