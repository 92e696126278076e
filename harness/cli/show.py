"""`harness show`: everything about one trial, or two side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.cli.trials import Found
    from harness.records.outcome import Outcome

_MANY = 20
"""A mapping with more values than this is a whole config of TRL, which hides what one looks for."""

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "liger-kernel")
_NAMES = ("suite", "kind", "method", "seed", "levels", "start")
_MEASURE = ("warmup_steps", "device_hz")
_LIMITS = ("diverged", "max_loss", "max_grad_norm", "retries", "expect")


def show(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Its name, its id, or a glob that matches one.")],
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="Another trial: tells what differs between the two.")
    ] = None,
    suite: Annotated[str | None, typer.Option(metavar="NAME", help="Look in this suite only.")] = None,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Show everything of one trial, or two side by side.

    Outcome, metrics, scores, health, what was really active, environment, attempts, notes, files. Of two trials: their
    figures, what differs by the axis, and what else changed with it.

    \b
    Examples:
      harness show sft-lora8-s0 --suite quickstart
      harness show sft-s0 sft-lora8-s0
    """
    from harness.cli.output import print_json
    from harness.cli.trials import find

    told = tell(find(results, trial, suite))
    if other is not None:
        from harness.cli import beside

        both = beside.tell(told, tell(find(results, other, suite)))
        print_json(both) if as_json else beside.show(both)
    elif as_json:
        print_json(without_defaults(told))
    else:
        _print(told)


def tell(found: Found) -> dict[str, Any]:
    """Everything about the trial, as one document; what was active, notes and findings of the attempt that counts."""
    from harness.records.run_folder import read_json

    attempts = found.folder.attempts()
    outcome = found.folder.outcome()
    counting = [attempt for attempt in attempts if outcome is not None and attempt.number == outcome.attempt]
    said = _said((counting or attempts)[-1]) if attempts else _Said()
    return {
        "id": found.id,
        "name": found.name,
        "outcome": outcome.outcome if outcome else None,
        "cause": outcome.cause if outcome else None,
        "spec": found.spec,
        "active": said.active,
        "metrics": _metrics(outcome),
        "facts": outcome.facts if outcome else {},
        "disturbed": outcome.disturbed if outcome else [],
        "findings": said.findings,
        "scores": [score for folder in _score_folders(found) if (score := _score(folder))],
        "unscored": [one for file in _failures(found) if (one := read_json(file))],
        "environment": read_json(found.folder.environment_file) or {},
        "attempts": [_attempt(attempt) for attempt in attempts],
        "notes": said.notes,
        "folder": found.folder.path,
        "files": sorted(str(path.relative_to(found.folder.path)) for path in _files(found)),
    }


def without_defaults(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the hundreds of TRL's defaults, which the resolved configuration holds too."""
    return {**told, "spec": {name: value for name, value in told["spec"].items() if name != "defaults"}}


@dataclass(slots=True)
class _Said:
    """What an attempt's events tell in words."""

    active: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)


def _attempt(attempt: Any) -> dict[str, Any]:
    outcome = attempt.outcome()
    if outcome is None:
        return {"number": attempt.number, "outcome": None, "log": attempt.log}
    return {"number": attempt.number, "log": attempt.log, **outcome.to_json()}


def _said(attempt: Any) -> _Said:
    """What was active, the notes and the findings of one attempt; a damaged event file is itself a note."""
    said = _Said()
    try:
        for event in attempt.all_events():
            if event.get("kind") == "active":
                said.active.update(event.get("values", {}))
            elif event.get("kind") == "note":
                said.notes.append(f"{event.get('level', 'info')}: {event.get('text', '')}")
            elif event.get("kind") == "finding":
                said.findings.append({name: event.get(name) for name in ("name", "step", "level", "text")})
    except ValueError as error:
        said.notes.append(f"warning: {error}")
    return said


def _metrics(outcome: Outcome | None) -> dict[str, Any]:
    from harness.records.metrics import metric

    if outcome is None:
        return {}
    units = {name: (found.unit if (found := metric(name)) else "") for name in outcome.summary}
    return {name: {"value": value, "unit": units[name]} for name, value in outcome.summary.items()}


def _score_folders(found: Found) -> list[Any]:
    return sorted(path for path in found.folder.scores.glob("*") if path.is_dir())


def _failures(found: Found) -> list[Any]:
    return sorted(found.folder.scores.glob("*.failed.json"))


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
    print_pairs("", {"outcome": outcome_line(told), **{key: spec.get(key) for key in _NAMES}})
    _print_lines("figures not to be trusted", told["disturbed"])
    _print_metrics(told["metrics"])
    print_pairs("facts", told["facts"])
    _print_scores(told["scores"])
    _print_lines("not scored", [_unscored_line(one) for one in told["unscored"]])
    _print_lines("health", [finding_line(finding) for finding in told["findings"]])
    print_pairs(*_made_with(spec))
    print_pairs("data", spec.get("data") or {})
    print_pairs("active", _unfolded(told["active"]))
    print_pairs("environment", _environment(told["environment"]))
    print("\nattempts")
    for attempt in told["attempts"]:
        print(wrapped(f"  {attempt['number']}  {_attempt_line(attempt)}", indent=5))
    _print_lines("notes", told["notes"])
    print(f"\nfiles in {told['folder']}")
    print("\n".join(f"  {name}" for name in told["files"]))


def _made_with(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a trial was to train, how it was measured, and within what; of one that trained nothing the model alone."""
    from harness.records.units import format_duration, format_size

    asked = {name: spec.get(name) for name in ("train", "lora", "reference", "model")}
    if spec.get("kind") in ("scored", "imported"):
        return "model", asked
    measure = {name: spec[name] for name in _MEASURE if spec.get(name) is not None}
    limits = {"timeout": format_duration(spec["timeout_s"])} if spec.get("timeout_s") is not None else {}
    if spec.get("host_memory") is not None:
        limits["host_memory"] = format_size(spec["host_memory"])
    limits |= {name: spec[name] for name in _LIMITS if spec.get(name) is not None}
    return "trained with", {**asked, "measure": measure, "limits": limits}


def _print_lines(title: str, lines: Sequence[str]) -> None:
    from harness.cli.output import wrapped

    if lines:
        print(f"\n{title}")
        print("\n".join(wrapped(f"  {line}", indent=4) for line in lines))


def finding_line(finding: Mapping[str, Any]) -> str:
    """`warning: loss_spike at step 40: the loss jumped …`."""
    where = f" at step {finding['step']}" if finding.get("step") is not None else ""
    return f"{finding.get('level') or 'info'}: {finding.get('name')}{where}: {finding.get('text')}"


def _unfolded(active: Mapping[str, Any]) -> dict[str, Any]:
    """What was active with adapters by their names; what is off or says the same twice is left to --json."""
    adapters = active.get("adapter")
    again = {name for name in ("dtypes", "trained_dtypes") if active.get(name) == [active.get("dtype")]}
    off = {name for name, value in active.items() if value in (False, [], None)}
    shown = {name: value for name, value in active.items() if name not in again | off | {"adapter"}}
    if isinstance(adapters, Mapping):
        shown |= {f"adapter {name}": options for name, options in adapters.items()}
    return shown


def _environment(found: Mapping[str, Any]) -> dict[str, Any]:
    """The environment in some lines: what is most often asked for."""
    packages = found.get("packages") or {}
    declared = found.get("environment") or {}
    return {
        "name": declared.get("name"),
        "declared": ", ".join((declared.get("declaration") or {}).get("requirements", ())),
        "lock": str(declared.get("lock_hash") or "")[:12],
        "hash": str(found.get("hash") or "")[:12],
        "python": found.get("python"),
        "packages": {name: packages[name] for name in _PACKAGES if name in packages},
        "harness": {name: _short(value) for name, value in (found.get("harness") or {}).items()},
        "torch": found.get("torch"),
        "device": found.get("device"),
        "cpu": found.get("cpu"),
        "limits": found.get("limits"),
        "system": found.get("platform"),
        "container": found.get("container"),
        "variables": found.get("variables"),
        "not read": found.get("not_read"),
    }


def _short(value: Any) -> Any:
    """A commit or a hash by its first letters."""
    return value[:12] if isinstance(value, str) and len(value) >= 40 else value


def outcome_line(told: Mapping[str, Any]) -> str:
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
        print_pairs("metrics", {name: figure(entry["value"], entry["unit"]) for name, entry in metrics.items()})


def _print_scores(scores: list[dict[str, Any]]) -> None:
    if not scores:
        return
    print("\nscores")
    for score in scores:
        for name, value in score.get("metrics", {}).items():
            error = score.get("stderr", {}).get(name)
            spread = f" ± {error:.3f}" if isinstance(error, float) else ""
            made = f"{score['backend']}, {score['n_documents']} documents"
            at = "" if score.get("step") is None else f" at step {score['step']}"
            print(f"  {score['task']} {name}{at}: {value:.4g}{spread}  ({made})")


def _unscored_line(one: Mapping[str, Any]) -> str:
    at = "" if one.get("step") is None else f" at step {one['step']}"
    return f"{one.get('task')}{at} ({one.get('backend')}): {one.get('cause')}"


def print_pairs(title: str, pairs: Mapping[str, Any]) -> None:
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
        parts = (f"{name}={_text(inner)}" for name, inner in value.items() if inner is not None)
        return ", ".join(parts) or "{}"
    if isinstance(value, list | tuple):
        return "+".join(_text(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
