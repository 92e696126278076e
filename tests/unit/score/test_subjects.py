"""What a run folder holds to be scored, and the order in which an engine is given it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import models
from harness.errors import ModelError, Problem
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder
from harness.score.preflight import Preflight, Way
from harness.score.subjects import Subject, in_order, one_line, subject_of, subjects_of

MakeFolder = Callable[..., RunFolder]


def the(folder: RunFolder, *, every: bool = False) -> Subject:
    (found,) = subjects_of(folder, every=every)
    return found


def test_a_finished_trial_is_its_weights(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    found = the(folder)
    assert (found.name, found.step, found.there, found.problem) == ("a", None, True, None)
    assert found.weights == models.weights_hash(folder.checkpoint) == folder.weights_hash()
    assert found.found is not None
    assert found.found.way == "full"
    assert found.key == str(folder.path.resolve())


@pytest.mark.parametrize("outcome", ["oom", "diverged", "timeout", "crashed", "interrupted", "skipped"])
def test_a_trial_that_did_not_end_well_is_nothing(run_folder: MakeFolder, outcome: str) -> None:
    assert subjects_of(run_folder("a", weights=b"one", outcome=outcome), every=True) == []


def test_weights_that_training_did_not_leave_are_a_problem(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    (folder.checkpoint / "model.safetensors").write_bytes(b"two")
    found = the(folder)
    assert found.problem is not None
    assert "not those that training left: their hash is" in found.problem
    assert found.weights is None


def test_a_checkpoint_that_cannot_be_read_is_a_problem(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    (folder.checkpoint / "config.json").write_text("{")
    assert "cannot be read" in str(the(folder).problem)
    (folder.checkpoint / "model.safetensors").unlink()
    assert "no weights in" in str(the(folder).problem)


def test_dropped_weights_are_known_by_what_training_said(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    known = folder.weights_hash()
    folder.checkpoint.rename(folder.path / "elsewhere")
    found = the(folder)
    assert (found.there, found.weights, found.problem) == (False, known, None)


def test_weights_on_the_way_come_first_where_they_are_wanted(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    steps: dict[str, str] = {}
    for step in (20, 5):
        place = folder.checkpoint_at(step)
        place.mkdir(parents=True)
        (place / "config.json").write_text('{"model_type": "fake"}')
        (place / "model.safetensors").write_bytes(str(step).encode())
        steps[str(step)] = models.weights_hash(place)
    last = Outcome(outcome="ok", attempt=2, started_at="", ended_at="", duration_s=1.0, weights_hash=None)
    weights = models.weights_hash(folder.checkpoint)
    folder.new_attempt().close(replace(last, weights_hash=weights, step_hashes=steps))
    assert [one.step for one in subjects_of(folder, every=False)] == [None]
    found = subjects_of(folder, every=True)
    assert [(one.step, one.name) for one in found] == [(5, "a at step 5"), (20, "a at step 20"), (None, "a")]
    assert len({one.key for one in found}) == 3
    (folder.checkpoint_at(5) / "model.safetensors").write_bytes(b"others")
    assert [one.problem is None for one in subjects_of(folder, every=True)] == [False, True, True]


def test_weights_of_others_are_known_by_nothing_but_themselves(run_folder: MakeFolder, tmp_path: Path) -> None:
    folder = run_folder("a", weights=b"one")
    found = subject_of(RunFolder(tmp_path / "kept"), "mine", folder.checkpoint, {"pretrained": "mine"})
    assert (found.name, found.weights, found.problem) == ("mine", models.weights_hash(folder.checkpoint), None)
    assert found.arguments == {"pretrained": "mine"}
    (folder.checkpoint / "model.safetensors").write_bytes(b"two")
    assert subject_of(RunFolder(tmp_path / "kept"), "mine", folder.checkpoint, {}).problem is None


def test_what_is_wrong_is_one_line() -> None:
    several = (Problem(what="no", why="it rains", hint="wait"), Problem(what="nor that"))
    assert one_line(ModelError(problems=several)) == "no: it rains (wait); nor that"
    assert one_line(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"
    assert one_line(OSError()) == "OSError"


def subject(name: str, way: Way, base: str | None = None) -> Subject:
    place = Path("/results/suite") / name
    on = None if base is None else {"path": f"/results/suite/{base}/checkpoint"}
    found = Preflight(way=way, family="f", base=on)
    return Subject(folder=RunFolder(place), name=name, checkpoint=place / "checkpoint", found=found)


WAYS: tuple[Way, ...] = ("full", "adapter", "merged", "alone")
KINDS = st.lists(st.tuples(st.sampled_from(WAYS), st.integers(0, 3)), max_size=12)


@given(KINDS)
def test_an_engine_gets_each_base_and_then_its_adapters(kinds: list[tuple[Way, int]]) -> None:
    given_ = [subject(str(index), way, None if way == "full" else str(base)) for index, (way, base) in enumerate(kinds)]
    order = in_order(given_)
    assert sorted(one.name for one in order) == sorted(one.name for one in given_)
    adapters = [one for one in order if one.found is not None and one.found.way == "adapter"]
    bases = [str((one.found.base or {})["path"]) for one in adapters if one.found is not None]
    changes = sum(one != other for one, other in pairwise(bases))
    assert changes == max(len(set(bases)) - 1, 0), "adapters of one base are asked one after the other"
    for one in order:
        own = str(one.checkpoint)
        if own in bases and one.found is not None and one.found.way != "adapter":
            assert order.index(one) < order.index(adapters[bases.index(own)])
    rest = [one for one in order if one not in adapters and str(one.checkpoint) not in bases]
    assert order[len(order) - len(rest) :] == rest
    assert rest == [one for one in given_ if one in rest], "as they were given"


def test_bases_that_are_no_folders_are_told_apart_too() -> None:
    shapes = [{"shape": "tiny", "seed": seed, "overrides": {"a": [1]}} for seed in (0, 1, 0)]
    given_ = [
        replace(subject(str(index), "adapter"), found=Preflight(way="adapter", family="f", base=shape))
        for index, shape in enumerate(shapes)
    ]
    assert [one.name for one in in_order(given_)] == ["0", "2", "1"]
    assert json.dumps(shapes[0]) == json.dumps(shapes[2])
