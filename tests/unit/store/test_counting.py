"""Which attempt counts: the store's view and the run folder must say the same, whatever happened."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records.outcome import OUTCOMES, OutcomeName
from harness.records.run_folder import RunFolder
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import OUTCOME, add_attempt, add_score, spec_of, write_folder

_ENDS = st.one_of(st.none(), st.tuples(st.sampled_from(OUTCOMES), st.booleans()))


def _write(results: Path, ends: list[tuple[OutcomeName, bool] | None]) -> RunFolder:
    folder = write_folder(results, spec_of(), events=(), outcome=None)
    for number, end in enumerate(ends, start=2):
        outcome = None
        if end is not None:
            name, disturbed = end
            reasons = ("throttled",) if disturbed else ()
            outcome = replace(
                OUTCOME, outcome=name, disturbed=reasons, weights_hash=f"w{number}" if name == "ok" else None
            )
        add_attempt(folder, events=(), outcome=outcome)
    return folder


@settings(max_examples=30, deadline=None)
@given(st.lists(_ENDS, max_size=6))
def test_the_store_and_the_folder_agree(ends: list[tuple[OutcomeName, bool] | None]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = _write(Path(made) / "results", ends)
        store = Store(Path(made) / "results" / "harness.duckdb")
        store.ingest([folder])
        outcome = folder.outcome()
        counted, weights = one(store, "SELECT attempt, weights_hash FROM counting_attempts")
        assert counted == (outcome.attempt if outcome else None)
        assert weights == folder.weights_hash()


def test_an_undisturbed_attempt_counts_with_the_scores_of_the_weights_that_lie_there(
    results: Path, store: Store
) -> None:
    folder = _write(results, [("ok", False), ("ok", True)])
    add_score(folder, weights_hash="w3")
    store.ingest([folder])
    assert one(store, "SELECT attempt FROM trial_summary") == 2
    assert one(store, "SELECT count(*) FROM trial_scores") > 0
