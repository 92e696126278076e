"""A comparison's scores: by their documents where both sides have them, by seeds where not, and not at all where the
documents are others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.compare import compare
from harness.records.document_scores import DocumentProvider
from harness.records.verdict import CellComparison, Selected
from tests.unit.compare import made
from tests.unit.compare.made_providers import MadeDocuments

ACC = made.ACC
F1 = "score.arithmetic_mc.f1"
CHANCE = np.random.default_rng(2)
RIGHT = (CHANCE.random((3, 400)) < 0.9).astype(float)
WORSE = RIGHT * (CHANCE.random((3, 400)) < 0.6)


def side(
    label: str, values: Mapping[str, Any], documents: DocumentProvider | None, metrics: Sequence[str] = (ACC,)
) -> Selected:
    """Cells by name, one row of values per seed; their scores are the means, in every metric."""
    cells = [made.cell(name) for name in values]
    plan = made.plan(cells, seeds=max(len(rows) for rows in values.values()))
    trials = [
        made.result(trial, {name: float(np.mean(values[trial.cell.name][trial.seed])) for name in metrics})
        for trial in plan.trials
    ]
    return Selected(label=label, results=made.results(trials), trials=trials, documents=documents)


def provider(values: Mapping[str, Any], metrics: Sequence[str] = ("acc",), **changes: Any) -> MadeDocuments:
    return MadeDocuments(
        values={
            f"{name}-{seed}": dict.fromkeys(metrics, row)
            for name, rows in values.items()
            for seed, row in enumerate(rows)
        },
        **changes,
    )


def only_cell(before: Any, after: Any, *, flips: int | None = 0, **changes: Any) -> CellComparison:
    one, other = {"dpo": before}, {"dpo": after}
    found = compare(side("A", one, provider(one)), side("B", other, provider(other, **changes)), flips=flips)
    return found.cells[0]


def test_scores_are_judged_by_their_documents() -> None:
    verdict = only_cell(RIGHT, WORSE).verdicts[ACC]

    assert verdict.ruling == "regressed"
    assert verdict.documents is not None
    assert verdict.documents.documents == 400
    assert verdict.effect is not None
    assert "documents" in verdict.effect.how


def test_flips_come_with_both_answers() -> None:
    found = only_cell(RIGHT, WORSE, flips=3).flips[ACC]

    assert found.broken > 3 == len(found.listed)
    first = found.listed[0]
    assert (first.target, first.reference) == ("4", "dpo-0 says")
    assert first.candidate is not None
    assert only_cell(RIGHT, WORSE).flips[ACC].listed == ()


def test_a_side_without_documents_is_judged_by_seeds() -> None:
    with_documents = provider({"dpo": RIGHT})
    before = side("A", {"dpo": RIGHT}, with_documents)

    verdict = compare(before, side("B", {"dpo": WORSE}, None)).cells[0].verdicts[ACC]
    told = compare(before, side("B", {"dpo": WORSE}, provider({}))).cells[0].verdicts[ACC]

    assert verdict.documents is None is told.documents
    assert verdict.effect is not None
    assert (verdict.effect.how, verdict.why) == ("paired t over seeds", "")
    assert told.why == "judged by seeds alone: the candidate has no values of single documents (dpo-s0 and 2 more)"


def test_other_prompts_are_refused_and_not_judged_by_seeds_either() -> None:
    cell = only_cell(RIGHT, WORSE, prompt="other")

    assert ACC not in cell.verdicts
    assert cell.refused[ACC].startswith("the prompts differ on 400 of 400 documents")


def test_other_documents_are_refused() -> None:
    assert "400 of the reference, 399 of the candidate" in only_cell(RIGHT, WORSE[:, :399]).refused[ACC]


def test_a_score_that_is_no_mean_over_documents_is_judged_by_seeds() -> None:
    values = {"dpo": RIGHT}
    before, after = side("A", values, provider(values)), side("B", values, provider({"dpo": 1 - RIGHT}))

    verdict = compare(before, after).cells[0].verdicts[ACC]

    assert verdict.documents is None
    assert verdict.why == "judged by seeds alone: it is no mean over documents (of dpo-s0, the candidate)"


def test_each_side_is_asked_once_for_a_task() -> None:
    values = {"dpo": RIGHT, "orpo": WORSE}
    metrics = (ACC, F1, "tokens_per_second")
    documents = provider(values, ("acc", "f1"))

    found = compare(side("A", values, documents, metrics), side("B", values, provider(values, ("acc", "f1")), metrics))

    assert documents.asked_for == [("arithmetic_mc", ("dpo-0", "dpo-1", "dpo-2", "orpo-0", "orpo-1", "orpo-2"))]
    assert [list(cell.verdicts) for cell in found.cells] == [[ACC, F1, "tokens_per_second"]] * 2


def test_scores_are_corrected_among_themselves_by_holm() -> None:
    slightly = RIGHT.copy()
    slightly[:, :40] = 0  # found by itself
    one = {"dpo": RIGHT}
    many = one | {f"dpo-{number}": RIGHT for number in range(20)}

    def first(before: Mapping[str, Any], after: Mapping[str, Any]) -> Any:
        return compare(side("A", before, provider(before)), side("B", after, provider(after))).cells[0].verdicts[ACC]

    alone, among = first(one, {"dpo": slightly}), first(many, many | {"dpo": slightly})

    assert among.p == alone.p
    assert among.p_adjusted == min(1.0, 21 * alone.p)
