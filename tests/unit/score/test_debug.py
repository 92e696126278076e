"""Made-up scores: the same every time, plausible, and agreeing with their documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from harness.records.run_folder import RunFolder
from harness.score.debug import debug_score, is_debug
from harness.score.taskfiles import TASKS, TaskFile

MakeFolder = Callable[..., RunFolder]
FLAGS = {"limit": None}


def _task(name: str = "arithmetic_mc") -> TaskFile:
    return TaskFile(name=name, path=Path(name), hash="h")


def _value(folder: RunFolder, name: str = "arithmetic_mc") -> float:
    score, _ = debug_score(folder, _task(name), weights_hash=None, flags=FLAGS)
    (value,) = score.metrics.values()
    return value


def test_the_marker_tells(run_folder: MakeFolder) -> None:
    assert is_debug(run_folder("a"))
    assert not is_debug(run_folder("b", weights=b"x"))


def test_the_same_every_time(run_folder: MakeFolder) -> None:
    folder = run_folder("a")
    first = debug_score(folder, _task(), weights_hash="w", flags=FLAGS)
    second = debug_score(folder, _task(), weights_hash="w", flags=FLAGS)
    assert first[1] == second[1]
    assert first[0].metrics == second[0].metrics


def test_the_score_is_the_mean_of_its_documents(run_folder: MakeFolder) -> None:
    score, documents = debug_score(run_folder("a"), _task(), weights_hash="w", flags=FLAGS)
    assert score.metrics["acc"] == fmean(document.metrics["acc"] for document in documents)
    assert score.n_documents == len(documents)
    assert 0 < score.stderr["acc"] < 0.06


def test_trained_cells_are_better_than_the_floor(run_folder: MakeFolder) -> None:
    floor = _value(run_folder("floor", kind="floor"))
    cells = [_value(run_folder(f"cell{index}")) for index in range(8)]
    assert floor == pytest.approx(TASKS["arithmetic_mc"].chance, abs=0.15)
    assert min(cells) > floor
    assert len(set(cells)) > 1


def test_replicates_scatter_little(run_folder: MakeFolder) -> None:
    values = [_value(run_folder(f"a-s{seed}", cell="a")) for seed in range(6)]
    assert max(values) - min(values) < 0.3
    assert len(set(values)) > 1


def test_the_limit_counts(run_folder: MakeFolder) -> None:
    score, documents = debug_score(run_folder("a"), _task(), weights_hash="w", flags={"limit": 7})
    assert score.n_documents == len(documents) == 7


def test_a_task_of_ones_own_is_scored_too(run_folder: MakeFolder) -> None:
    score, _ = debug_score(run_folder("a"), _task("mine"), weights_hash="w", flags={"limit": 1})
    assert set(score.metrics) == {"acc"}
    assert score.stderr == {}
