"""Single documents as arrays and as answers, of the scores that count."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from harness.store import Store
from tests.unit.store.made_up import add_score, made_up_documents, spec_of, write_folder

TASK = "arithmetic_mc"


def stored(store: Store, results: Path, *scores: dict[str, Any]) -> list[str]:
    """One trial for each of these scores; their ids."""
    folders = [write_folder(results, spec_of("dpo", seed)) for seed in range(len(scores))]
    for folder, score in zip(folders, scores, strict=True):
        add_score(folder, **score)
    store.ingest(folders)
    return [folder.path.name for folder in folders]


def suite_of(store: Store) -> str:
    return store.suites()[0]


def test_values_are_arrays_in_the_order_of_what_was_asked(store: Store, results: Path) -> None:
    one, other = stored(store, results, {"documents": 4}, {"documents": 4})

    found = store.documents(suite_of(store)).scores(TASK, ["acc", "nosuch"], [one, other, "nobody"])

    assert found.keys() == {one, other}
    assert found[one].asked is found[other].asked  # what they share is there once
    assert list(found[one].asked.indices) == [0, 1, 2, 3]
    assert list(found[one].asked.doc_hashes) == ["d0", "d1", "d2", "d3"]
    assert list(found[one].asked.prompt_hashes) == ["p"] * 4
    assert found[one].values.keys() == {"acc"}
    assert found[one].values["acc"].dtype == np.float64
    assert found[one].values["acc"].tolist() == [0, 1, 0, 1]


def test_what_documents_were_made_from_comes_with_them(store: Store, results: Path) -> None:
    lines = [line | {"source_hash": f"passage {line['index'] // 2}"} for line in made_up_documents(4)]
    one, other = stored(store, results, {"lines": lines}, {})

    found = store.documents(suite_of(store)).scores(TASK, ["acc"], [one, other])

    assert list(found[one].asked.sources) == ["passage 0", "passage 0", "passage 1", "passage 1"]
    assert list(found[other].asked.sources) == []


def test_what_has_no_value_is_nan(store: Store, results: Path) -> None:
    lines = made_up_documents(4)
    lines[1]["metrics"] = {}
    lines[2]["metrics"] = {"acc": math.nan}
    (trial,) = stored(store, results, {"lines": lines})

    values = store.documents(suite_of(store)).scores(TASK, ["acc"], [trial])[trial].values["acc"]

    assert np.isnan(values).tolist() == [False, True, True, False]


def test_other_tasks_suites_and_scores_without_documents_have_none(store: Store, results: Path) -> None:
    (trial,) = stored(store, results, {"lines": []})
    documents = store.documents(suite_of(store))

    assert documents.scores(TASK, ["acc"], [trial]) == {}
    assert documents.scores("nosuch", ["acc"], [trial]) == {}
    assert documents.scores(TASK, ["acc"], []) == {}
    assert store.documents("nosuch").scores(TASK, ["acc"], [trial]) == {}


def test_only_the_score_that_counts_is_given(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    add_score(folder, backend="hf", documents=2, scored_at="2026-11-22T10:00:00Z")
    add_score(folder, backend="vllm", documents=4, scored_at="2026-11-22T11:00:00Z")
    add_score(folder, backend="vllm", documents=3, step=20, scored_at="2026-11-22T12:00:00Z")
    store.ingest([folder])

    found = store.documents(suite_of(store)).scores(TASK, ["acc"], [folder.path.name])

    assert len(found[folder.path.name].values["acc"]) == 4


def test_answers_as_text_by_document(store: Store, results: Path) -> None:
    lines = made_up_documents(4)
    lines[3] |= {"doc_hash": "d1", "response": "other"}  # stands twice: the first is given
    one, other = stored(store, results, {"lines": lines}, {"lines": json.loads(json.dumps(lines))})

    found = store.documents(suite_of(store)).answers(TASK, [one], ["d1", "d2", "d9"])

    assert found.keys() == {one}
    said = {digest: (answer.index, answer.target, answer.response) for digest, answer in found[one].items()}
    assert said == {"d1": (1, "4", "5"), "d2": (2, "4", "5")}
    assert store.documents(suite_of(store)).answers(TASK, [other], []) == {}
