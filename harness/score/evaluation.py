"""lm-eval's tasks asked of one model, and its answer as our records. Imported by the scoring child alone.

`lm_eval.evaluate` is called rather than `simple_evaluate`: it takes the tasks already loaded, and leaves out the
description of the machine that `simple_evaluate` collects by subprocesses on every call. What `simple_evaluate`
does before it (seeds, few-shot counts) is done here. No cache of lm-eval's is used: they key on arguments, not on
the weights.
"""

from __future__ import annotations

import logging
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from harness.records.score import Document
from harness.score.encoding import notes_on_prompts
from harness.score.jobs import JobTask

SEED = 1234
"""lm-eval's own default, for its few-shot examples and the numbers a task may draw."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """One task's answer: what a `Score` needs of it."""

    metrics: dict[str, float]
    stderr: dict[str, float]
    higher_is_better: dict[str, bool]
    version: str
    documents: list[Document]
    notes: tuple[str, ...]


class Evaluator:
    """Loads each task once, and asks it of any number of models."""

    def __init__(self, tasks: Sequence[JobTask], flags: Mapping[str, Any]) -> None:
        self._paths = {task.name: task.path for task in tasks}
        self._flags = flags
        self._manager = TaskManager(include_defaults=False)
        self._loaded: dict[str, Any] = {}

    def evaluate(self, lm: Any, name: str) -> Evaluated:
        """The task's metrics and documents for this model.

        Raises:
            Exception: whatever the task's or the model's own code raises.
        """
        task = self.task(name)
        _seed()
        task.set_fewshot_seed(seed=SEED)  # every checkpoint sees the same examples
        with _Cuts() as cuts:
            answer = evaluate(
                lm=lm,
                task_dict={"tasks": {name: task}, "groups": {}, "group_map": {}},
                limit=self._flags["limit"],
                bootstrap_iters=0,
                cache_requests=False,
                log_samples=True,
                apply_chat_template=self._flags["apply_chat_template"],
                fewshot_as_multiturn=True,
            )
        prompts = notes_on_prompts(lm, _prompts(answer["samples"][name]))
        return _evaluated(answer, name, [*self.notes(task), *cuts.notes(), *prompts])

    def task(self, name: str) -> Any:
        """lm-eval's task object, loaded when first asked for, with the number of examples that was asked for."""
        if name in self._loaded:
            return self._loaded[name]
        tasks = self._manager.load([self._paths[name]])["tasks"]
        if list(tasks) != [name]:
            raise ValueError(f"{self._paths[name]} holds {sorted(tasks)}, not the task {name!r}")
        task = tasks[name]
        own, asked = task.get_config("num_fewshot"), self._flags["num_fewshot"]
        if own is None or (asked is not None and own != 0):
            task.set_config(key="num_fewshot", value=asked or 0)
        self._loaded[name] = task
        return task

    def notes(self, task: Any) -> list[str]:
        """What of the flags the task does not follow. lm-eval lets a task that says 0 examples have its way."""
        used, asked = task.get_config("num_fewshot"), self._flags["num_fewshot"]
        if asked is None or asked == used:
            return []
        return [f"the task fixes num_fewshot at {used}; {asked} was asked for"]


class _Cuts(logging.Handler):
    """Hears lm-eval's warnings that a prompt did not fit the model's context, which it otherwise only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._count = 0

    def __enter__(self) -> _Cuts:
        logging.getLogger("lm_eval").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("lm_eval").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._count += "truncat" in record.getMessage().lower()

    def notes(self) -> list[str]:
        """What to say in the score: nothing when everything fitted."""
        return ["prompts longer than the model's context were cut on the left (see score.log)"] if self._count else []


def _seed() -> None:
    random.seed(0)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def _evaluated(answer: Mapping[str, Any], name: str, notes: list[str]) -> Evaluated:
    samples = _by_document(answer["samples"][name])
    documents = [_document(index, samples[index]) for index in sorted(samples)]
    better = answer["higher_is_better"].get(name) or {}
    metrics: dict[str, float] = {}
    stderr: dict[str, float] = {}
    direction: dict[str, bool] = {}
    for key, value in answer["results"][name].items():
        metric, _, choice = key.partition(",")
        number = _number(value)
        if not choice or metric.endswith("_stderr") or number is None:
            continue
        called = _called(metric, choice)
        if not math.isfinite(number):
            notes.append(f"{called} came out as {number}")
            continue
        metrics[called] = number
        direction[called] = better.get(metric) is not False
        error = _standard_error(number, [doc.metrics[called] for doc in documents if called in doc.metrics])
        if error is not None:
            stderr[called] = error
    return Evaluated(
        metrics=metrics,
        stderr=stderr,
        higher_is_better=direction,
        version=str(answer["versions"].get(name)),
        documents=documents,
        notes=(*notes, *_oddities(documents, samples)),
    )


def _called(metric: str, choice: str) -> str:
    """lm-eval names a metric with its filter: `exact_match,strict`. `none`, most tasks' only filter, is left out."""
    return metric if choice == "none" else f"{metric}@{choice}"


def _standard_error(mean: float, values: list[float]) -> float | None:
    """√(s²/n) of the per-document values, where the metric is their mean; None for other aggregates."""
    if len(values) < 2 or not math.isclose(mean, sum(values) / len(values), rel_tol=1e-9, abs_tol=1e-12):
        return None
    average = sum(values) / len(values)
    variance = sum((value - average) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))


def _by_document(samples: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Samples by document; a document has one per filter of its task."""
    grouped: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for sample in samples:
        grouped[int(sample["doc_id"])].append(sample)
    return grouped


def _document(index: int, samples: list[Mapping[str, Any]]) -> Document:
    first = samples[0]
    logprobs = _logprobs(first)
    metrics = {
        _called(metric, sample["filter"]): value
        for sample in samples
        for metric in sample["metrics"]
        if (value := _number(sample[metric])) is not None
    }
    return Document(
        index=index,
        doc_hash=first["doc_hash"],
        prompt_hash=first["prompt_hash"],
        target_hash=first["target_hash"],
        target=_target(first),
        response=_response(first, logprobs),
        metrics=metrics,
        logprobs=logprobs,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, np.ndarray | torch.Tensor) and value.size in (1, torch.Size([])):
        value = value.item()
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return float(value)
    return None


def _prompts(samples: Sequence[Mapping[str, Any]]) -> list[set[str]]:
    """What the model was given before each continuation, by document; most tasks have one for all."""
    return [
        {str(arguments[0]) for sample in some for arguments in _arguments(sample)}
        for some in _by_document(samples).values()
    ]


def _continuations(sample: Mapping[str, Any]) -> list[str]:
    """What the model was asked the probability of: one text per choice."""
    return [str(arguments[-1]) for arguments in _arguments(sample)]


def _arguments(sample: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The arguments of each request, whether lm-eval kept them as tuples or as named values."""
    arguments = sample["arguments"]
    if isinstance(arguments, Mapping):
        return [tuple(inner.values()) for inner in arguments.values()]
    return [tuple(inner) for inner in arguments]


def _logprobs(sample: Mapping[str, Any]) -> list[float]:
    """The log-probability of each choice, in nats; empty for generated text."""
    found = [response[0] if isinstance(response, tuple | list) else response for response in sample["filtered_resps"]]
    numbers = [_number(value) for value in found]
    return [number for number in numbers if number is not None] if all(n is not None for n in numbers) else []


def _target(sample: Mapping[str, Any]) -> str:
    target = sample["target"]
    choices = _continuations(sample)
    if isinstance(target, int | np.integer) and len(choices) > 1 and 0 <= int(target) < len(choices):
        return choices[int(target)]
    return str(target)


def _response(sample: Mapping[str, Any], logprobs: list[float]) -> str:
    if not logprobs:
        return str(sample["filtered_resps"][0])
    if len(logprobs) == 1:
        return ""  # a likelihood of one given text: nothing was chosen
    return _continuations(sample)[int(np.argmax(logprobs))]


def _oddities(documents: list[Document], samples: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What a reader of the metrics should know: numbers that are none, text that is not there."""
    odd = sum(not all(math.isfinite(value) for value in document.logprobs) for document in documents)
    empty = sum(not document.logprobs and _is_empty(samples[document.index]) for document in documents)
    notes = []
    if odd:
        notes.append(f"{odd} of {len(documents)} documents have log-probabilities that are no finite numbers")
    if empty:
        notes.append(f"{empty} of {len(documents)} generations are empty")
    return notes


def _is_empty(samples: Sequence[Mapping[str, Any]]) -> bool:
    return all(not str(sample["filtered_resps"][0]).strip() for sample in samples)
