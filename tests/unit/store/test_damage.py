"""Run folders with damage in them: it is said, and the rest is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import add_score, spec_of, step_events, write_folder


def test_a_torn_last_line_is_legal(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of(), events=step_events(3))
    file = folder.attempts()[0].events
    file.write_bytes(file.read_bytes() + b'{"t":0.4,"kind":"st')

    done = store.ingest([folder])

    assert done.problems == ()
    assert one(store, "SELECT max(step) FROM samples") == 3


DAMAGE: Sequence[tuple[str, bytes]] = [
    ("cut inside", b'{"t":0.2,"kind":"log","st\n'),
    ("not UTF-8", b'\xff\xfe{"kind": "log"}\n'),
    ("zeros", b"\0" * 300 + b"\n"),
    ("no object", b"[1, 2]\n"),
    ("two on a line", b'{"kind":"note"} {"kind":"note"}\n'),
    ("merging with the next", b'{"kind":"note"\n"text":"x"}\n'),
    ("nested without end", b"[" * 100_000 + b"\n"),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE, ids=[name for name, _ in DAMAGE])
def test_a_damaged_events_file_is_said_and_the_rest_is_stored(
    store: Store, results: Path, name: str, damage: bytes
) -> None:
    folder = write_folder(results, spec_of(), events=step_events(2))
    file = folder.attempts()[0].events
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + damage + b"".join(lines[3:]))

    done = store.ingest([folder, write_folder(results, spec_of("orpo"))])

    (problem,) = done.problems
    assert "lines are no events" in problem.what
    assert problem.where is not None
    assert (problem.where.file, problem.where.line) == (file, 4)
    assert one(store, "SELECT count(*) FROM samples WHERE trial_id = 'dpo-id-0'") == 2 * 13
    assert one(store, "SELECT count(*) FROM samples WHERE trial_id = 'orpo-id-0'") == 3 * 13


@pytest.mark.parametrize(
    "event",
    [
        {"t": 0.1, "kind": "log", "step": "three", "values": {"loss": 1.0}},
        {"t": 0.1, "kind": "log", "step": None, "values": {"loss": 1.0}},
        {"t": 0.1, "kind": "log", "step": 2**70, "values": {"loss": 1.0}},
        {"t": 0.1, "kind": "log", "step": 1, "values": {"loss": "high", "list": [1], "none": None, "big": 10**400}},
        {"t": 0.1, "kind": "log", "step": 1, "values": [1, 2]},
        {"kind": "log"},
        {"kind": "step"},
        {"kind": ["log"]},
        {"t": 0.1, "kind": "phase", "name": 3, "edge": "start"},
        {"t": 0.1, "kind": "note", "text": {"a": 1}},
        {"t": 0.1, "kind": "active", "values": 1},
        {"t": 0.1, "kind": "of the future", "step": 1},
        {},
    ],
)
def test_events_of_an_odd_shape_are_passed_over(store: Store, results: Path, event: dict[str, Any]) -> None:
    events = [*step_events(2), event, *step_events(2)[:1]]
    folder = write_folder(results, spec_of(), events=[])
    folder.attempts()[0].events.write_text("".join(json.dumps(line) + "\n" for line in events))

    store.ingest([folder])

    assert one(store, "SELECT count(*) FROM samples") == 2 * 13 + 8


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("attempts/1/outcome.json", "outcome.json cannot be read"),
        ("environment.json", "environment.json cannot be read"),
        ("scores/arithmetic_mc.hf/score.json", "score.json cannot be read"),
        ("scores/arithmetic_mc.hf/documents.jsonl", "1 of its lines are no documents"),
    ],
)
def test_other_damaged_files_are_said_and_the_rest_is_stored(store: Store, results: Path, file: str, what: str) -> None:
    folder = write_folder(results, spec_of())
    add_score(folder)
    (folder.path / file).write_text('{"outcome": "ok"')

    done = store.ingest([folder])

    assert [problem.what for problem in done.problems] == [what]
    assert one(store, "SELECT count(*) FROM trials") == 1
    assert one(store, "SELECT count(*) FROM samples") == 39


def test_a_damaged_spec_leaves_its_folder_out(store: Store, results: Path) -> None:
    good, bad = write_folder(results, spec_of("dpo")), write_folder(results, spec_of("orpo"))
    bad.spec_file.write_text("{")

    done = store.ingest([bad, good])

    assert [problem.what for problem in done.problems] == ["spec.json cannot be read"]
    assert store.query("SELECT trial_id FROM trials").rows == [("dpo-id-0",)]


def test_an_unreadable_events_file_is_said(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    file = folder.attempts()[0].events
    file.unlink()
    file.mkdir()  # what nobody can read as a file, root included

    done = store.ingest([folder])

    assert [problem.what for problem in done.problems] == ["events.jsonl cannot be read"]
    assert one(store, "SELECT outcome FROM attempts") == "ok"


def test_a_results_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")

    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "results" / "harness.duckdb").ingest([])

    assert "cannot be opened" in str(caught.value)
