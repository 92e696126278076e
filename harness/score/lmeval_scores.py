"""A results file of lm-eval → what score.json and spec.json say of it. What the file does not say is absent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.records.events import encode
from harness.records.secrets import clean, plain
from harness.score import sources
from harness.score.lmeval_documents import called, number
from harness.score.lmeval_files import Run
from harness.score.tasktemplate import hash_of

_NO_METRICS = {"alias", "name", "sample_len", "sample_count", "samples", " "}
_MODEL_KEYS = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Arguments of a model that name it, in lm-eval's own order."""
_SEEDS = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
_VERSION = re.compile(r"\d[\w.+-]*")
_TORCH = re.compile(r"^PyTorch version: (\d\S*)", re.MULTILINE)
_VLLM = re.compile(r"^(?:\[\w+\] vllm(?:-\w+)?==|vLLM Version: )(\d\S*)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """A task's figures by name. `notes`: those that are none, or not finite. `filters` and `names` are lm-eval's."""

    values: dict[str, float] = field(default_factory=dict)
    stderr: dict[str, float] = field(default_factory=dict)
    better: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def metrics_of(run: Run, task: str) -> Metrics:
    """The figures of one task or group of a results file."""
    entry = run.content["results"][task]
    keyed = any("," in key for key in entry)  # 0.4; before that a metric had no filter
    directions = _directions(run, task)
    found = Metrics()
    for key, value in entry.items():
        metric, _, choice = key.partition(",")
        if (keyed and not choice) or metric in _NO_METRICS or metric.endswith("_stderr"):
            continue
        name, figure = called(metric, choice), number(value)
        found.filters.append(choice or "none")
        found.names.append(metric)
        if figure is None:
            found.notes.append(f"{name} is no number and was left out: {_short(value)}")
        elif not math.isfinite(figure):
            found.notes.append(f"{name} came out as {figure}")
        else:
            found.values[name] = figure
            error = number(entry.get(f"{metric}_stderr,{choice}" if choice else f"{metric}_stderr"))
            if error is not None and math.isfinite(error):
                found.stderr[name] = error
            if metric in directions:
                found.better[name] = directions[metric]
    return found


def score_json(run: Run, task: str, found: Metrics, *, n_documents: int | None, notes: Sequence[str]) -> dict[str, Any]:
    """score.json of one task or group."""
    content = run.content
    template, system = _text(content.get("chat_template")), _text(content.get("system_instruction"))
    task_hash = _text(_section(content, "task_hashes").get(task))
    version = _section(content, "versions").get(task)
    value = {
        "task": task,
        "backend": backend_of(run),
        "metrics": found.values,
        "stderr": found.stderr,
        "higher_is_better": found.better,
        "n_documents": n_documents if n_documents is not None else _counted(run, task),
        "task_hash": f"lm-eval:{task_hash}"
        if task_hash
        else None,  # of its documents and prompts: another kind of hash
        "task_version": None if version in (None, "N/A", "Yaml") else str(version),
        "weights_hash": None,
        "flags": _flags(run, task),
        "versions": _versions(content),
        "scored_at": scored_at(run),
        "duration_s": duration_s(run) if len(content["results"]) == 1 else None,
        "notes": [*found.notes, *notes],
        "members": members_of(run, task),
        "template_hash": hash_of(template, system),
        "schema": 2,
    }
    return dict(_writable(plain(value)))


def spec_json(run: Run, trial_id: str, suite: str, name: str) -> dict[str, Any]:
    """spec.json of a results file: nothing was trained, and the model is as lm-eval was told of it."""
    content, config = run.content, _section(run.content, "config")
    told = {
        "backend": backend_of(run),
        "args": model_args(run),
        **{key: config[key] for key in config if key.startswith("model_") and key != "model_args"},
    }
    about = {
        "file": f"{run.file.parent.name}/{run.file.name}",
        "date": scored_at(run),
        **{key: content.get(key) for key in ("lm_eval_version", "git_hash", "upper_git_hash")},
        **{key: config.get(key) for key in (*_SEEDS, "bootstrap_iters", "device")},
        "machine": content.get("pretty_env_info"),
    }
    value = {
        "suite": suite,
        "trial_id": trial_id,
        "cell_id": trial_id,
        "name": name,
        "cell_name": name,
        "kind": "imported",
        "levels": {},
        "seed": None,
        "method": None,
        "model": {key: inner for key, inner in told.items() if inner not in (None, "", {})},
        "data": None,
        "train": {},
        "lora": None,
        "checkpoint": "none",
        "lm_eval": {key: inner for key, inner in about.items() if inner is not None},
        "schema": 1,
    }
    return dict(_writable(plain(value)))


def name_of(run: Run) -> str:
    """What the model is called: by lm-eval, by its arguments, else by its folder."""
    named = _text(run.content.get("model_name"))
    args = model_args(run)
    if not named and isinstance(args, Mapping):
        named = next((str(args[key]) for key in _MODEL_KEYS if args.get(key)), None)
    return " ".join(clean(named or run.file.parent.name or "unnamed").split())


def backend_of(run: Run) -> str:
    """What ran the model: hf, vllm, local-completions, …; letters that a folder's name may have."""
    said = _section(run.content, "config").get("model") or run.content.get("model_source")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", said if isinstance(said, str) else "")[:40].strip("-") or "unknown"


def model_args(run: Run) -> Any:
    """The model's arguments by name, secrets masked, however that version of lm-eval wrote them."""
    given = _section(run.content, "config").get("model_args")
    if isinstance(given, str):
        given = _parsed(given)
    return plain(given)


def members_of(run: Run, task: str) -> list[str]:
    """The tasks of a group, through groups inside it; empty for a task."""
    inside = _section(run.content, "group_subtasks")
    left, seen = [task], {task}
    found: list[str] = []
    while left:
        below = inside.get(left.pop(0))
        for name in below if isinstance(below, list) else []:
            if isinstance(name, str) and name not in seen:
                seen.add(name)
                (left if inside.get(name) else found).append(name)
    return found


def is_group(run: Run, task: str) -> bool:
    """Whether figures are means of other tasks' rather than of documents."""
    return task in _section(run.content, "groups") or bool(members_of(run, task))


def output_type(run: Run, task: str) -> str | None:
    """How the task asks: multiple_choice, generate_until, …; None where the file does not say."""
    config = _section(run.content, "configs").get(task)
    return _text(config.get("output_type")) if isinstance(config, Mapping) else None


def source_field(run: Run, task: str) -> str | None:
    """The field of a document that holds what it was made from; None where the task names none."""
    return sources.field_of(_section(run.content, "configs").get(task))


def scored_at(run: Run) -> str | None:
    """When, ISO 8601: in UTC; where only the file's name says it, in a time zone that nobody knows."""
    stamp = number(run.content.get("date"))
    try:
        if stamp is not None:
            return datetime.fromtimestamp(stamp, UTC).isoformat(timespec="seconds")
        if run.date is not None:
            day, _, time = run.date.partition("T")
            return datetime.fromisoformat(f"{day}T{time.replace('-', ':')}").isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
    return None


def duration_s(run: Run) -> float | None:
    """Wall seconds of the whole run."""
    try:
        found = float(run.content.get("total_evaluation_time_seconds") or "nan")
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _flags(run: Run, task: str) -> dict[str, Any]:
    """By the names that scores of the harness use."""
    content, config = run.content, _section(run.content, "config")
    flags: dict[str, Any] = {}
    if "limit" in config:
        limit = config["limit"]
        flags["limit"] = int(limit) if isinstance(limit, float) and limit.is_integer() else limit
    shots = _section(content, "n-shot").get(task)
    if isinstance(shots, int) and not isinstance(shots, bool):
        flags["num_fewshot"] = shots
    if "chat_template" in content:
        flags["apply_chat_template"] = content["chat_template"] is not None
        flags["fewshot_as_multiturn"] = bool(content.get("fewshot_as_multiturn"))
    if "system_instruction" in content:
        flags["system_instruction"] = content["system_instruction"]
    for key in ("batch_size", "gen_kwargs"):
        if config.get(key) not in (None, {}, ""):
            flags[key] = config[key]
    return flags


def _counted(run: Run, task: str) -> int | None:
    """Documents asked, as the file counts them: of a group, its tasks' together."""
    counts = _section(run.content, "n-samples")
    entries = [counts.get(name) for name in members_of(run, task) or [task]]
    found = [entry.get("effective") for entry in entries if isinstance(entry, Mapping)]
    known = [one for one in found if isinstance(one, int)]
    if len(known) == len(entries):
        return sum(known)
    length = run.content["results"][task].get("sample_len")
    return length if isinstance(length, int) else None


def _directions(run: Run, task: str) -> dict[str, bool]:
    said = _section(run.content, "higher_is_better").get(task)
    found = {key: value for key, value in said.items() if isinstance(value, bool)} if isinstance(said, Mapping) else {}
    config = _section(run.content, "configs").get(task)
    listed = config.get("metric_list") if isinstance(config, Mapping) else None
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, Mapping) and isinstance(entry.get("higher_is_better"), bool):
            found.setdefault(str(entry.get("metric")), entry["higher_is_better"])
    return found


def _versions(content: Mapping[str, Any]) -> dict[str, str]:
    machine = _text(content.get("pretty_env_info")) or ""
    torch, vllm = _TORCH.search(machine), _VLLM.search(machine)
    found = {
        "lm_eval": content.get("lm_eval_version"),
        "transformers": content.get("transformers_version"),
        "torch": torch[1] if torch else None,
        "vllm": vllm[1] if vllm else None,
    }
    return {name: said for name, said in found.items() if isinstance(said, str) and _VERSION.fullmatch(said)}


def _parsed(text: str) -> Any:
    """`pretrained=x,dtype=float` by name, as early versions wrote it; JSON as well."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return {key.strip(): inner for key, sign, inner in pairs} if all(sign for _, sign, _ in pairs) else text


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _writable(value: Any) -> Any:
    """Without lone surrogates, which JSON may hold and UTF-8 may not, and with numbers that are none as text."""
    finite = json.loads(encode(value))
    return json.loads(json.dumps(finite, ensure_ascii=False).encode("utf-8", "replace"))
