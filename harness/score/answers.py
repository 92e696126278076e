"""What lm-eval answers, as records: metrics with their standard errors, documents, and what a reader should know."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.records.score import Document
from harness.score import sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """One task's answer: what a `Score` needs of it."""

    metrics: dict[str, float]
    stderr: dict[str, float]
    higher_is_better: dict[str, bool]
    version: str
    documents: list[Document]
    notes: tuple[str, ...]
    template_hash: str | None = None


def evaluated(answer: Mapping[str, Any], name: str, notes: list[str], template_hash: str | None) -> Evaluated:
    """The answer of `lm_eval.evaluate` on the task called `name`; `notes` are what is known of it already."""
    samples = _by_document(answer["samples"][name])
    source = sources.field_of((answer.get("configs") or {}).get(name))
    documents = [_document(index, samples[index], source) for index in sorted(samples)]
    notes += sources.missing(source, [document.source_hash for document in documents])
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
        template_hash=template_hash,
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


def _document(index: int, samples: list[Mapping[str, Any]], source: str | None) -> Document:
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
        source_hash=sources.source_of(first["doc"], source) if source else None,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, np.ndarray | torch.Tensor) and value.size in (1, torch.Size([])):
        value = value.item()
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return float(value)
    return None


def prompts_of(samples: Sequence[Mapping[str, Any]]) -> list[set[str]]:
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
    """Whether the model wrote nothing; what a filter makes of it may be text all the same."""
    written = [text for sample in samples for texts in sample["resps"] for text in texts]
    return all(not str(text).strip() for text in written)
