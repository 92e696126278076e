"""`harness show`: everything about one trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.cli.trials import Found
    from harness.records.outcome import Outcome

_MANY = 20
"""A mapping with more values than this is a whole config of TRL, which hides what one looks for."""

_NAMES = ("suite", "kind", "method", "seed", "levels", "start")


def show(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Its name, its id, or a glob that matches one.")],
    suite: Annotated[str | None, typer.Option(metavar="NAME", help="Look in this suite only.")] = None,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Show one trial: outcome, metrics, scores, attempts, files.

    And what was really active in it, which notes it left, and where its log is.

    \b
    Example:
      harness show sft-lora8-s0 --suite quickstart
    """
    from harness.cli.output import print_json
    from harness.cli.trials import find

    told = _tell(find(results, trial, suite))
    if as_json:
        print_json(told)
    else:
        _print(told)


def _tell(found: Found) -> dict[str, Any]:
    """Everything about the trial, as one document."""
    attempts = [_attempt(attempt) for attempt in found.folder.attempts()]
    outcome = found.folder.outcome()
    last = found.folder.last_attempt()
    active, notes = _said(last) if last else ({}, [])
    return {
        "id": found.id,
        "name": found.name,
        "outcome": outcome.outcome if outcome else None,
        "cause": outcome.cause if outcome else None,
        "spec": {key: value for key, value in found.spec.items() if key != "defaults"},
        "active": active,
        "metrics": _metrics(outcome),
        "scores": [score for folder in _score_folders(found) if (score := _score(folder))],
        "attempts": attempts,
        "notes": notes,
        "folder": found.folder.path,
        "files": sorted(str(path.relative_to(found.folder.path)) for path in _files(found)),
    }


def _attempt(attempt: Any) -> dict[str, Any]:
    outcome = attempt.outcome()
    if outcome is None:
        return {"number": attempt.number, "outcome": None, "log": attempt.log}
    return {"number": attempt.number, "log": attempt.log, **outcome.to_json()}


def _said(attempt: Any) -> tuple[dict[str, Any], list[str]]:
    """What was active, and the notes, of one attempt; a damaged event file is itself a note."""
    from harness.records.events import read_events

    active: dict[str, Any] = {}
    notes = []
    try:
        for event in read_events(attempt.events):
            if event.get("kind") == "active":
                active.update(event.get("values", {}))
            elif event.get("kind") == "note":
                notes.append(f"{event.get('level', 'info')}: {event.get('text', '')}")
    except ValueError as error:
        notes.append(f"warning: {error}")
    return active, notes


def _metrics(outcome: Outcome | None) -> dict[str, Any]:
    from harness.records.metrics import metric

    if outcome is None:
        return {}
    units = {name: (found.unit if (found := metric(name)) else "") for name in outcome.summary}
    return {name: {"value": value, "unit": units[name]} for name, value in outcome.summary.items()}


def _score_folders(found: Found) -> list[Any]:
    return sorted(path for path in found.folder.scores.glob("*") if path.is_dir())


def _score(folder: Any) -> dict[str, Any] | None:
    from harness.records.run_folder import read_json

    return read_json(folder / "score.json")


def _files(found: Found) -> list[Any]:
    root = found.folder.path
    return [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]


def _print(told: Mapping[str, Any]) -> None:
    from harness.cli.output import wrapped

    spec = told["spec"]
    print(f"{told['name']}  {told['id']}")
    _print_pairs("", {"outcome": _outcome_line(told), **{key: spec.get(key) for key in _NAMES}})
    _print_metrics(told["metrics"])
    _print_scores(told["scores"])
    _print_pairs("trained with", {"train": spec.get("train"), "lora": spec.get("lora"), "model": spec.get("model")})
    _print_pairs("data", spec.get("data") or {})
    _print_pairs("active", told["active"])
    print("\nattempts")
    for attempt in told["attempts"]:
        print(wrapped(f"  {attempt['number']}  {_attempt_line(attempt)}", indent=5))
    if told["notes"]:
        print("\nnotes")
        print("\n".join(wrapped(f"  {note}", indent=4) for note in told["notes"]))
    print(f"\nfiles in {told['folder']}")
    print("\n".join(f"  {name}" for name in told["files"]))


def _outcome_line(told: Mapping[str, Any]) -> str:
    cause = f": {told['cause']}" if told["cause"] else ""
    return f"{told['outcome'] or 'not finished'}{cause}"


def _attempt_line(attempt: Mapping[str, Any]) -> str:
    from harness.records.units import format_duration

    if attempt["outcome"] is None:
        return "running, or cut off: no outcome was written"
    said = f"{attempt['outcome']} in {format_duration(attempt['duration_s'])}, started {attempt['started_at']}"
    phase = f", during {attempt['phase']}" if attempt.get("phase") and attempt["outcome"] != "ok" else ""
    return said + phase + (f": {attempt['cause']}" if attempt.get("cause") else "")


def _print_metrics(metrics: Mapping[str, Any]) -> None:
    from harness.cli.output import figure

    if metrics:
        _print_pairs("metrics", {name: figure(entry["value"], entry["unit"]) for name, entry in metrics.items()})


def _print_scores(scores: list[dict[str, Any]]) -> None:
    if not scores:
        return
    print("\nscores")
    for score in scores:
        for name, value in score.get("metrics", {}).items():
            error = score.get("stderr", {}).get(name)
            spread = f" ± {error:.3f}" if isinstance(error, float) else ""
            print(
                f"  {score['task']} {name}: {value:.4g}{spread}  ({score['backend']}, {score['n_documents']} documents)"
            )


def _print_pairs(title: str, pairs: Mapping[str, Any]) -> None:
    """Name and value in two columns, long values wrapped; mappings as `a=1, b=2`, missing values left out."""
    from harness.cli.output import wrapped

    shown = {name: _text(value) for name, value in pairs.items() if value not in (None, {}, "")}
    if not shown:
        return
    if title:
        print(f"\n{title}")
    wide = max(len(name) for name in shown)
    for name, value in shown.items():
        print(wrapped(f"  {name.ljust(wide)}  {value}", indent=wide + 4))


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) > _MANY:
        return f"{len(value)} values: see --json"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(inner)}" for name, inner in value.items()) or "{}"
    return str(value)
