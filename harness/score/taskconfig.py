"""What lm-eval needs of a task's YAML, looked at before hours of training rather than after.

Source: lm-eval 0.4.13, `lm_eval.config.task.TaskConfig` and `lm_eval.api.task.ConfigurableTask`, which fail on these
when a task is built or its first document is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import Location, Problem, did_you_mean

Config = Mapping[str, Any]

_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
"""lm-eval's metrics of a task without `metric_list`, by output type (`lm_eval.api.registry`)."""

_NEEDED = (
    (("custom_dataset", "dataset_path"), "where its documents come from"),
    (("test_split", "validation_split"), "which documents are scored"),
    (("doc_to_text", "use_prompt"), "what the model is shown"),
    (("doc_to_target", "use_prompt"), "what the right answer is"),
)
_HINT = "add it, or `include:` the YAML of a whole task; a task of lm-eval's own is named as it is, without a file"


def wrong_with(config: Config, given: str, path: Path | None) -> Problem | None:
    """What a task lacks to be scored; `given` is how the suite names it. What a task's own class does is not known."""
    if config.get("class") is not None:
        return None
    where = Location(file=path) if path else None
    kind = str(config.get("output_type", "generate_until"))
    if kind not in _DEFAULTS:
        hint = did_you_mean(kind, _DEFAULTS)
        return Problem(what=f"{given!r} has an unknown output_type {kind!r}", where=where, hint=hint)
    lacking = [(keys, says) for keys, says in _needed(kind) if all(config.get(key) is None for key in keys)]
    if lacking:
        said = ", ".join(f"{' or '.join(keys)} ({says})" for keys, says in lacking)
        return Problem(what=f"{given!r} is no whole task: it lacks {said}", where=where, hint=_HINT)
    wrong = _wrong_metrics(config.get("metric_list"))
    return None if wrong is None else Problem(what=f"{given!r}: {wrong}", where=where, hint="write - metric: acc")


def _needed(kind: str) -> Sequence[tuple[tuple[str, ...], str]]:
    if kind == "multiple_choice":
        return (*_NEEDED, (("doc_to_choice",), "what the model chooses from"))
    return _NEEDED


def _wrong_metrics(listed: Any) -> str | None:
    if listed is None:
        return None
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        return "metric_list must be a list of metrics"
    if not all(isinstance(entry, Mapping) and "metric" in entry for entry in listed):
        return "an entry of metric_list names no metric"
    return None


def metrics_of(config: Config) -> tuple[str, ...] | None:
    """The metrics of a task, as scores name them: `acc`, or `acc@filter` for filters' own.

    None where code decides them, or where they cannot be made out.
    """
    if config.get("class") is not None:
        return None
    listed = config.get("metric_list")
    if listed is None:
        names: list[Any] = list(_DEFAULTS.get(config.get("output_type", "generate_until"), (None,)))
    elif isinstance(listed, list):
        names = [_named(entry, "metric") for entry in listed]
    else:
        return None
    filters = [_named(entry, "name") for entry in config.get("filter_list") or [{"name": "none"}]]
    if not all(isinstance(name, str) for name in (*names, *filters)):
        return None
    return tuple(name if choice == "none" else f"{name}@{choice}" for choice in filters for name in names)


def _named(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, Mapping) else None
