"""`harness score`: scores for checkpoints that lack one: a suite's, or any model by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from harness.cli import options, watch

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.records.score import Score
    from harness.score import Alone, ScoreReport

_CHAT = "--apply-chat-template"
_YAML = (".yaml", ".yml")
_WIDEST, _NARROWEST = 36, 12  # characters of a model's name in a table of several
_FIGURES = ("value", "±", "docs")


_What = Annotated[
    list[str], typer.Argument(metavar="SUITE | MODEL …", help="A suite's file; or models: folders, hub ids.")
]
_Tasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", metavar="A,B", help="Of models: shipped tasks, lm-eval's names, .yaml files, folders."),
]
_Backend = Annotated[Literal["auto", "hf", "vllm"] | None, typer.Option("--backend", help="What runs the model.")]
_Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most N documents of each task.")]
_Shots = Annotated[int | None, typer.Option("--num-fewshot", metavar="N", min=0, help="Few-shot examples.")]
_Chat = Annotated[
    str | None, typer.Option(_CHAT, metavar="[=NAME]", help="Render prompts with the chat template (of this name).")
]
_System = Annotated[str | None, typer.Option("--system-instruction", metavar="TEXT", help="System prompt.")]
_Turns = Annotated[
    bool | None,
    typer.Option("--fewshot-as-multiturn/--no-fewshot-as-multiturn", help="Examples as turns of a chat."),
]
_Parity = Annotated[
    int | None, typer.Option("--parity", metavar="N", min=1, help="Ask N documents of transformers too, and compare.")
]
_Batch = Annotated[int | None, typer.Option("--batch-size", metavar="N", min=1, help="Documents per forward (hf).")]
_Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="What the model is to be called.")]
_Revision = Annotated[str | None, typer.Option("--revision", metavar="SHA", help="Commit, tag or branch on the hub.")]
_Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Also write lm-eval's own results and samples files here.")
]
_Unsafe = Annotated[
    bool, typer.Option("--confirm-run-unsafe-code", help="Run tasks that execute what the model writes.")
]
_Force = Annotated[bool, typer.Option("--force", help="Score again what has its score.")]


class ScoreCommand(TyperCommand):
    """Takes `--apply-chat-template` alone as well as with `=NAME`; it never takes the argument after it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does it, with an empty name where there is none."""
        return super().parse_args(ctx, [f"{_CHAT}=" if arg == _CHAT else arg for arg in args])


def score(
    what: _What,
    tasks: _Tasks = None,
    backend: _Backend = None,
    limit: _Limit = None,
    num_fewshot: _Shots = None,
    apply_chat_template: _Chat = None,
    system_instruction: _System = None,
    fewshot_as_multiturn: _Turns = None,
    parity: _Parity = None,
    batch_size: _Batch = None,
    name: _Name = None,
    revision: _Revision = None,
    out: _Out = None,
    unsafe: _Unsafe = False,
    only: options.Only = None,
    skip: options.Skip = None,
    force: _Force = False,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Score what a suite trained and lacks a score, or other models.

    A model is a folder with a model or an adapter, a run folder, or an id of the Hugging Face hub. Its scores lie in
    results/scored/ and in the database. Ends with 5 when something could not be scored.

    \b
    Examples:
      harness score suites/quickstart.yaml --only 'dpo-*'
      harness score Qwen/Qwen2.5-0.5B my-adapter/ --tasks arithmetic_mc,my.yaml
      harness score my-model/ --tasks pydoc_mc --limit 100 --out lm-eval-files/
    """
    asked = {
        "backend": backend,
        "parity": parity,
        "limit": limit,
        "num_fewshot": num_fewshot,
        "apply_chat_template": True if apply_chat_template == "" else apply_chat_template,
        "system_instruction": system_instruction,
        "fewshot_as_multiturn": fewshot_as_multiturn,
        "batch_size": batch_size,
        "confirm_run_unsafe_code": unsafe or None,
    }
    asked = {field: value for field, value in asked.items() if value is not None}
    alone = {"tasks": tasks, "name": name, "revision": revision, "out": out}
    chosen = {"only": only, "skip": skip}
    file = _suite_of(what)
    if file is None:
        _refuse(chosen, "a suite", "models are scored by name: leave it out")
        wanted = {"tasks": _listed(tasks), **asked}
        _models(what, wanted, name, revision, out, force=force, results=results, quiet=quiet, as_json=as_json)
        return
    own = {field: value for field, value in asked.items() if field not in ("backend", "parity")}
    _refuse({**alone, **own}, "a model", f"the suite says it itself: change the score section of {file}")
    with watch.observing(file.stem, quiet=quiet) as observer:
        _suite(file, options.choice(only, skip, force=force), asked, results, observer, as_json=as_json)


def _suite_of(what: Sequence[str]) -> Path | None:
    """The suite's file, where one is given; None for models."""
    from harness.errors import InputError

    files = [one for one in what if one.endswith(_YAML) and not Path(one).is_dir()]
    if files and len(what) > 1:
        raise InputError.of(
            f"{files[0]} is a suite, and more is given", hint="score suites one by one, and models apart"
        )
    return Path(files[0]) if files else None


def _refuse(given: Mapping[str, Any], of: str, hint: str) -> None:
    from harness.errors import InputError, Problem

    named = [f"--{field.replace('_', '-')}" for field, value in given.items() if value is not None]
    if named:
        what = f"{', '.join(named)} can be given with {of} only"
        raise InputError(problems=(Problem(what=what, hint=hint),))


def _listed(tasks: Sequence[str] | None) -> list[str]:
    from harness.errors import InputError

    names = [part.strip() for given in tasks or () for part in given.split(",") if part.strip()]
    if not names:
        from harness.score import TASKS

        shipped = ", ".join(TASKS)
        raise InputError.of(
            "models are scored on tasks, and none is given",
            hint=f"--tasks NAME,…: shipped ({shipped}), lm-eval's, or files and folders of yours",
        )
    return list(dict.fromkeys(names))


def _suite(file: Path, choice: Any, asked: Mapping[str, Any], results: Path, observer: Any, *, as_json: bool) -> None:
    from harness import pipeline
    from harness.cli.output import print_json
    from harness.errors import InputError, TrialsFailed

    told = pipeline.score_suite(file, choice, options.places(results), observer, asked=asked)
    if told is None:
        raise InputError.of(f"{file} asks for no scores", hint="add a score section, e.g. score: {tasks: [pydoc_mc]}")
    if as_json:
        print_json(told)
    else:
        _print_counts(told)
    problems = unscored(told)
    if problems:
        raise TrialsFailed(problems=problems)


def _models(
    what: Sequence[str],
    wanted: Mapping[str, Any],
    name: str | None,
    revision: str | None,
    out: Path | None,
    *,
    force: bool,
    results: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    from harness import scoring
    from harness.cli.output import jsonable, print_json
    from harness.errors import TrialsFailed
    from harness.records import suite

    with watch.observing("models", quiet=quiet) as observer:
        told = scoring.score_models(
            what,
            suite.Score(**wanted),
            options.places(results),
            observer,
            name=name,
            revision=revision,
            out=out,
            force=force,
        )
    if as_json:
        print_json({**jsonable(told.report), "models": told.models})
    else:
        _print_models(told)
    problems = [*unscored(told.report), *told.problems]
    if problems:
        raise TrialsFailed(problems=problems)


def _print_counts(told: ScoreReport) -> None:
    print(f"scored {told.scored}, kept {told.reused}, failed {len(told.failed)} (backend: {told.backend})")
    if told.note:
        print(told.note)


def _print_models(told: Alone) -> None:
    from harness.cli.output import room, shortened, table

    several = len(told.models) > 1
    rows = [[model.name, *row] for model in told.models for score in model.scores for row in _rows(score)]
    heads = ["model", "task", "metric", "value", "±", "docs", "served"]
    for model in () if several else told.models:
        print(f"{model.name}  {model.id}")
    if rows and several:
        most = min(max(room(heads, rows), _NARROWEST), _WIDEST)
        table(heads, [[shortened(row[0], most), *row[1:]] for row in rows], right=_FIGURES)
    elif rows:
        table(heads[1:], [row[1:] for row in rows], right=_FIGURES)
    _print_parity([score.parity for model in told.models for score in model.scores if score.parity])
    _print_notes(told)
    _print_counts(told.report)


def _rows(score: Score) -> list[list[Any]]:
    return [
        [score.task, metric, f"{value:.4g}", _error(score, metric), score.n_documents, score.served]
        for metric, value in score.metrics.items()
    ]


def _error(score: Score, metric: str) -> str | None:
    error = score.stderr.get(metric)
    return None if error is None else f"{error:.2g}"


def _print_parity(found: Sequence[Mapping[str, Any]]) -> None:
    """How far transformers is from what was scored, over all scores; nothing where it was not asked."""
    from harness.cli.output import many, wrapped

    if not found:
        return
    documents, same = (sum(one[key] for one in found) for key in ("documents", "same_answers"))
    apart = [float(one["max_logprob_difference"]) for one in found if one["max_logprob_difference"] is not None]
    far = f"log-probabilities up to {max(apart):.2g} nats apart, " if apart else ""
    said = f"parity with {found[0]['backend']} on {many(documents, 'document')} of {many(len(found), 'score')}: {far}"
    print(wrapped(f"{said}the same answer on {same:,} of {documents:,}", indent=2))


def _print_notes(told: Alone) -> None:
    """Each note once, with the scores it is of."""
    from harness.cli.output import wrapped

    of: dict[str, list[str]] = {}
    for model in told.models:
        for score in model.scores:
            for note in score.notes:
                of.setdefault(note, []).append(f"{model.name} {score.task}" if len(told.models) > 1 else score.task)
    for note, scores in of.items():
        print(wrapped(f"note on {listed(scores)}: {note}", indent=2))


def listed(names: Sequence[str], most: int = 8) -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unscored(told: ScoreReport) -> list[Problem]:
    """A problem for every cause, with the checkpoints and tasks it left without a score."""
    from harness.errors import Problem

    by_cause: dict[str, list[str]] = {}
    for failure in told.failed:
        by_cause.setdefault(failure.cause, []).append(f"{failure.name} on {failure.task}")
    return [Problem(what=f"not scored: {listed(lost)}", why=cause) for cause, lost in by_cause.items()]
