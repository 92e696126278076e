"""Lines of a samples file of lm-eval → lines of documents.jsonl. What a line does not say is absent, never made up."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.score import sources

_CHOICES = ("multiple_choice", "loglikelihood")
_ROLLING = "loglikelihood_rolling"


def called(metric: str, choice: str) -> str:
    """lm-eval names a metric with its filter: `exact_match,strict`. `none`, most tasks' only filter, is left out."""
    return metric if choice in ("none", "") else f"{metric}@{choice}"


def number(value: Any) -> float | None:
    """A figure; None for anything else, numbers spelled as text too."""
    return float(value) if isinstance(value, bool | int | float) else None


def documents(
    samples: Iterable[Mapping[str, Any]],
    *,
    kind: str | None,
    metrics: Sequence[str],
    filters: Sequence[str],
    source: str | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """One entry per document, by index, as `harness.records.score.Document` has them; and what is odd about them.

    A document has a sample for each filter. `kind` is the task's `output_type`, `metrics` and `filters` those of the
    results file, in its order: early versions name neither in their samples. `source` is the field of a document that
    holds what it was made from.
    """
    found: dict[int, dict[str, Any]] = {}
    empty: set[int] = set()
    seen: dict[int, int] = {}
    for place, sample in enumerate(samples):
        given = sample.get("doc_id")
        index = given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else place
        turn = seen[index] = seen.get(index, -1) + 1
        choice = sample.get("filter")
        if not isinstance(choice, str):
            choice = filters[turn] if turn < len(filters) else "none"
        entry = found.setdefault(index, {})
        if not entry:
            entry.update(_document(index, sample, kind, source))
            if not entry["logprobs"] and _wrote_nothing(sample.get("resps")):
                empty.add(index)
        names = sample.get("metrics")
        for name in names if isinstance(names, list) else metrics:
            value = number(sample.get(name)) if isinstance(name, str) else None
            if value is not None:
                entry["metrics"][called(name, choice)] = value
    entries = [found[index] for index in sorted(found)]
    lost = sources.missing(source, [entry["source_hash"] for entry in entries])
    return entries, [*lost, *_oddities(entries, len(empty))]


def _oddities(entries: Sequence[Mapping[str, Any]], empty: int) -> list[str]:
    """As of scores of the harness's own."""
    odd = sum(not all(math.isfinite(value) for value in entry["logprobs"]) for entry in entries)
    notes = []
    if odd:
        notes.append(f"{odd} of {len(entries)} documents have log-probabilities that are no finite numbers")
    if empty:
        notes.append(f"{empty} of {len(entries)} generations are empty")
    return notes


def _wrote_nothing(responses: Any) -> bool:
    """Whether the model wrote nothing; what a filter makes of it may be text all the same."""
    if not isinstance(responses, list) or not responses:
        return False
    written = [text for texts in responses for text in (texts if isinstance(texts, list) else [texts])]
    return all(isinstance(text, str) and not text.strip() for text in written)


def _document(index: int, sample: Mapping[str, Any], kind: str | None, source: str | None) -> dict[str, Any]:
    arguments = _arguments(sample.get("arguments"))
    answers = sample.get("filtered_resps")
    answers = answers if isinstance(answers, list) else []
    logprobs = _logprobs(answers, kind)
    texts = [str(one[-1]) for one in arguments if one]
    prompt = arguments[0][0] if arguments and arguments[0] else None
    target = sample.get("target")
    document = json.dumps(sample["doc"], indent=2, ensure_ascii=False) if "doc" in sample else None
    hashes = {"doc_hash": document, "prompt_hash": prompt, "target_hash": str(target) if "target" in sample else None}
    return {
        "index": index,
        **{key: sample[key] if isinstance(sample.get(key), str) else _hash(text) for key, text in hashes.items()},
        "target": _target(target, texts) if "target" in sample else None,
        "response": _response(answers, logprobs, texts),
        "metrics": {},
        "logprobs": logprobs,
        "source_hash": sources.source_of(sample.get("doc"), source),
    }


def _hash(text: Any) -> str | None:
    """As lm-eval makes it, where an early version has not; None where there is no text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if isinstance(text, str) else None


def _arguments(given: Any) -> list[list[Any]]:
    """The arguments of each request: values by name, in early versions lists."""
    entries = list(given.values()) if isinstance(given, Mapping) else given if isinstance(given, list) else []
    found = [list(entry.values()) if isinstance(entry, Mapping) else entry for entry in entries]
    return [entry for entry in found if isinstance(entry, list)]


def _logprobs(answers: Sequence[Any], kind: str | None) -> list[float]:
    """The log-probability of each choice, in nats: as text, in early versions numbers; empty for generated text."""
    if kind == _ROLLING:
        found = [_figure(one[0] if isinstance(one, list) and one else one) for one in answers]
    elif kind in _CHOICES or (kind is None and answers and all(map(_is_likelihood, answers))):
        found = [_figure(one[0] if isinstance(one, list) and one else None) for one in answers]
    else:
        return []
    numbers = [one for one in found if one is not None]
    return numbers if len(numbers) == len(found) else []


def _is_likelihood(answer: Any) -> bool:
    """[log-probability, whether greedy decoding would give it]."""
    pair = isinstance(answer, list) and len(answer) == 2
    return pair and (isinstance(answer[1], bool) or answer[1] in ("True", "False"))


def _figure(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def _target(target: Any, texts: Sequence[str]) -> str:
    """The text of the choice that a number stands for. A number that is itself the text of a choice is left as it is:
    the file no longer says which of the two was meant."""
    said = str(target)
    if len(texts) > 1 and said.isascii() and said.isdigit() and int(said) < len(texts):
        return said if said in {text.strip() for text in texts} else texts[int(said)]
    return said


def _response(answers: Sequence[Any], logprobs: Sequence[float], texts: Sequence[str]) -> str | None:
    if not logprobs:
        return str(answers[0]) if answers else None
    if len(logprobs) == 1:
        return ""  # a likelihood of one given text: nothing was chosen
    if len(texts) != len(logprobs):
        return None
    best = next((place for place, value in enumerate(logprobs) if math.isnan(value)), None)  # as numpy's argmax has it
    return texts[logprobs.index(max(logprobs)) if best is None else best]
