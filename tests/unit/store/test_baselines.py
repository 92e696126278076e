"""Baselines on their shelf: what is kept comes back, the same bytes for the same content, and damage is told."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import InputError, NoBaseline
from harness.records.document_scores import Asked, DocumentAnswer, DocumentScores
from harness.records.results import SuiteResults, TaskScore
from harness.store import Baselines, Store
from harness.store.baselines import SUFFIX
from tests.unit.compare import made
from tests.unit.store.made_up import spec_of, write_folder

TASK = "arithmetic_mc"


def _scored(results: SuiteResults) -> SuiteResults:
    """With a score of every trial, as the store tells it."""
    scores = [
        TaskScore(trial_id=trial.trial_id, task=TASK, backend="hf", n_documents=3, flags={"limit": 3}, notes=("a",))
        for trial in results.trials
    ]
    return replace(results, scores=tuple(scores))


class Answers:
    """Documents of a store, the second one there twice."""

    def scores(self, task: str, metrics: Sequence[str], trial_ids: Sequence[str]) -> Mapping[str, DocumentScores]:
        asked = Asked(
            task=task,
            indices=[0, 1, 2],
            doc_hashes=["a", "b", "b"],
            prompt_hashes=["p", "q", "q"],
            sources=["s", None, "s"],
        )
        values = {name: np.array([1.0, 0.0, math.nan]) for name in metrics}
        return {trial: DocumentScores(trial_id=trial, asked=asked, values=values) for trial in trial_ids[:4]}

    def answers(
        self, task: str, trial_ids: Sequence[str], doc_hashes: Sequence[str]
    ) -> Mapping[str, Mapping[str, DocumentAnswer]]:
        return {}


@pytest.fixture
def shelf(tmp_path: Path) -> Baselines:
    return Baselines(tmp_path / "results" / "baselines")


@pytest.fixture
def results() -> SuiteResults:
    _, found = made.whole()
    odd = replace(
        found.trials[2], metrics={**found.trials[2].metrics, "final_loss": math.inf}, config={"suite_file": "/x/y.yaml"}
    )
    return _scored(replace(found, trials=(*found.trials[:2], odd, *found.trials[3:])))


def test_what_is_kept_comes_back_as_the_store_gave_it(shelf: Baselines, results: SuiteResults) -> None:
    kept = shelf.save("night", results)
    assert (kept.cells, kept.trials, kept.devices) == (6, len(results.trials), ("Some CPU, 2 usable",))
    back = shelf.load("night").results
    assert back.trials[2].config == {"suite_file": "y.yaml"}  # whose folders they were is nobody's business
    told = tuple(replace(trial, config={}) for trial in back.trials)
    assert told == tuple(replace(trial, config={}) for trial in results.trials)
    assert (back.scores, back.environments, back.suite) == (results.scores, results.environments, results.suite)
    losses = tuple(curve for curve in results.curves if curve.metric == "loss")
    assert (back.curves, back.timelines, back.suite_file) == (losses, (), "quick.yaml")
    assert shelf.load("night", curves=False).results == replace(back, curves=())


def test_values_of_documents_are_kept_with_duplicates_and_gaps(shelf: Baselines, results: SuiteResults) -> None:
    kept = shelf.save("night", results, Answers())
    assert kept.documents == 4
    held = shelf.load("night").documents
    ids = [trial.trial_id for trial in results.trials]
    found = held.scores(TASK, ["acc"], ids[1:])
    assert list(found) == ids[1:4]  # the others were not asked
    one = found[ids[1]]
    assert (one.asked.doc_hashes, one.asked.sources) == (["a", "b", "b"], ["s", None, "s"])
    np.testing.assert_array_equal(one.values["acc"], [1.0, 0.0, math.nan])
    assert all(other.asked is one.asked for other in found.values())  # kept once
    assert held.scores("other", ["acc"], ids) == {}
    assert held.answers(TASK, ids, ["a"]) == {}


def test_equal_content_is_equal_bytes(shelf: Baselines, results: SuiteResults) -> None:
    shelf.save("one", results, Answers())
    shelf.save("other", results, Answers())
    assert shelf.file("one").read_bytes() == shelf.file("other").read_bytes()
    slower = replace(results.trials[5], metrics={"tokens_per_second": 1.0})
    shelf.save("third", replace(results, trials=(*results.trials[:5], slower, *results.trials[6:])), Answers())
    assert shelf.file("one").read_bytes() != shelf.file("third").read_bytes()


def test_nothing_is_overwritten_unasked(shelf: Baselines, results: SuiteResults, tmp_path: Path) -> None:
    shelf.save("night", results)
    before = shelf.file("night").read_bytes()
    with pytest.raises(InputError, match="there is a baseline 'night' already"):
        shelf.save("night", replace(results, trials=results.trials[:1]))
    file = shelf.export("night", tmp_path)
    with pytest.raises(InputError, match="is there already"):
        shelf.export("night", tmp_path)
    with pytest.raises(InputError, match="there is a baseline 'night' already"):
        shelf.import_(file)
    assert shelf.file("night").read_bytes() == before
    assert shelf.save("night", replace(results, trials=results.trials[:1]), replace=True).trials == 1


def test_a_file_goes_round_unchanged(shelf: Baselines, results: SuiteResults, tmp_path: Path) -> None:
    shelf.save("night", results)
    file = shelf.export("night", tmp_path / "kept" / f"h100{SUFFIX}")
    elsewhere = Baselines(tmp_path / "other")
    assert elsewhere.import_(file).name == "h100"
    assert elsewhere.import_(file, "again").trials == len(results.trials)
    assert elsewhere.file("again").read_bytes() == shelf.file("night").read_bytes()
    assert elsewhere.names() == ["again", "h100"]
    assert elsewhere.load(str(file)).name == "h100"  # a file does without being taken in
    elsewhere.remove("again")
    with pytest.raises(NoBaseline, match="there is no baseline 'again'"):
        elsewhere.remove("again")


def test_an_unknown_name_tells_the_nearest_and_a_bad_one_why(shelf: Baselines, results: SuiteResults) -> None:
    with pytest.raises(NoBaseline, match="make one: harness baseline save h100 SUITE"):
        shelf.load("h100")
    shelf.save("h100-trl", results)
    with pytest.raises(NoBaseline, match="did you mean 'h100-trl'") as caught:
        shelf.load("h100-tlr")
    assert caught.value.exit_code == 4
    for name in ("", "-x", "a b", "x" * 81):
        with pytest.raises(InputError, match="cannot be the name of a baseline"):
            shelf.save(name, results)
    with pytest.raises(NoBaseline, match="there is no baseline file"):
        shelf.load("elsewhere/h100-trl")


def _changed(path: Path, member: str, change: Any) -> None:
    """Writes the zip anew with one member changed, as an editor of zips would: its own checksums are right."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members[member] = change(members[member])
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    path.write_bytes(held.getvalue())


def test_a_file_that_was_cut_off_anywhere_is_told(shelf: Baselines, results: SuiteResults) -> None:
    shelf.save("night", results)
    file = shelf.file("night")
    whole = file.read_bytes()
    for share in (0, 0.01, 0.5, 0.99):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="is damaged") as caught:
            shelf.load("night")
        assert caught.value.exit_code == 2
    file.write_bytes(whole[:500] + b"\xff" * 8 + whole[508:])
    with pytest.raises(InputError, match="is damaged"):
        shelf.load("night")


def test_a_file_that_was_edited_is_told(shelf: Baselines, results: SuiteResults) -> None:
    def edit(head: dict[str, Any], **changes: Any) -> bytes:
        return json.dumps(head | changes).encode()

    for member, change, said in (
        ("baseline.json", lambda text: edit(json.loads(text), suite="other"), "baseline.json was changed"),
        ("baseline.json", lambda _: b"{", "no baseline.json that can be read"),
        ("baseline.json", lambda _: b'{"format": "zip"}', "is of another format"),
        ("metrics.parquet", lambda content: content + b"x", "metrics.parquet in it is missing or was changed"),
        ("baseline.json", lambda text: edit(json.loads(text), schema=2), "was written by a newer harness"),
    ):
        shelf.save("night", results, replace=True)
        _changed(shelf.file("night"), member, change)
        with pytest.raises(InputError) as caught:
            shelf.load("night")
        assert said in str(caught.value), (member, str(caught.value))
    (listed,) = shelf.list()
    assert listed.problem is not None
    assert "version 2" in listed.problem


def test_other_files_and_folders_are_no_baselines(shelf: Baselines, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("nothing", encoding="utf-8")
    for path, said in ((text, "is damaged"), (tmp_path, "is a folder"), (tmp_path / "none", "there is no file")):
        with pytest.raises(InputError, match=said):
            shelf.import_(path)


def test_baselines_survive_a_rebuild_of_the_store(shelf: Baselines, results: SuiteResults) -> None:
    folder = shelf.folder.parent
    shelf.save("night", results)
    write_folder(folder, spec_of())
    done = Store(folder / "harness.duckdb").rebuild(folder)
    assert (done.trials, done.problems) == (1, ())
    assert shelf.load("night").results.suite == "quick"


def test_the_store_gives_figures_alone_as_it_gives_everything(tmp_path: Path) -> None:
    write_folder(tmp_path, spec_of())
    store = Store(tmp_path / "harness.duckdb")
    store.rebuild(tmp_path)
    whole = store.results("quick")
    assert whole.curves
    assert store.figures("quick") == replace(whole, curves=(), timelines=(), overlaps={})
