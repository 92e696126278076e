"""Following events.jsonl while it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.execute.live import Tail
from harness.execute.made_up import MadeUp
from harness.measure.summarise import summarise
from harness.records.events import Event, encode, last_phase
from harness.records.spec import Spec

Bench = Any


def phase(name: str, edge: str) -> Event:
    return {"t": 0, "kind": "phase", "name": name, "edge": edge}


def figures(tail: Tail) -> tuple[Any, ...]:
    return (tail.phase, tail.step, tail.max_steps, tail.tokens_per_second, tail.loss, tail.host_memory)


def spec(**changes: Any) -> Spec:
    values: dict[str, Any] = {
        "suite": "s",
        "suite_file": "s.yaml",
        "trial_id": "t",
        "cell_id": "c",
        "name": "n",
        "cell_name": "n",
        "kind": "cell",
        "levels": {},
        "seed": 0,
        "method": "dpo",
        "model": {},
        "data": {},
        "train": {"max_steps": 12},
        "lora": None,
        "start": None,
        "warmup_steps": 3,
        "timeout_s": 1.0,
        "host_memory": None,
        "retries": 0,
        "checkpoint": "keep",
    }
    return Spec(**(values | changes))


def made_up(**changes: Any) -> list[Event]:
    events = MadeUp(spec(**changes))
    found = [*events.start(), events.phase("train", "start")]
    for number in range(1, events.steps + 1):
        found += events.step(number)
    return [*found, events.phase("train", "end")]


def test_nothing_is_known_before_the_file_is_there(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl", max_steps=7)
    assert tail.read() is False
    assert figures(tail) == (None, None, 7, None, None, None)


def test_figures_are_the_latest_and_throughput_is_the_metric_s(tmp_path: Path) -> None:
    events = made_up()
    path = tmp_path / "events.jsonl"
    path.write_text("".join(map(encode, events)))
    tail = Tail(path)
    assert tail.read() is True
    assert tail.read() is False
    logs = [event["values"]["loss"] for event in events if event["kind"] == "log"]
    assert (tail.step, tail.max_steps, tail.loss) == (12, 12, logs[-1])
    assert tail.tokens_per_second == pytest.approx(summarise(events)["tokens_per_second"])
    assert tail.host_memory is not None


def test_warm_up_shows_no_throughput(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(map(encode, made_up(warmup_steps=12))))
    tail = Tail(path)
    tail.read()
    assert tail.tokens_per_second is None


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_the_way_the_file_grows_does_not_matter(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    path = tmp_path_factory.mktemp("tail") / "events.jsonl"
    whole = "".join(map(encode, made_up())).encode()
    at_once, in_pieces = Tail(path), Tail(path)
    for end in sorted(min(cut, len(whole)) for cut in cuts):
        path.write_bytes(whole[:end])
        in_pieces.read()
    path.write_bytes(whole)
    in_pieces.read()
    at_once.read()
    assert figures(in_pieces) == figures(at_once)


@settings(max_examples=60, deadline=None)
@given(edges=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["start", "end"])), max_size=12))
def test_the_phase_shown_is_the_phase_recorded(
    tmp_path_factory: pytest.TempPathFactory, edges: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("tail") / "events.jsonl"
    events = [phase(name, edge) for name, edge in edges]
    path.write_text("".join(map(encode, events)))
    tail = Tail(path)
    tail.read()
    assert tail.phase == last_phase(events)


def test_a_phase_within_a_phase_is_where_it_stands() -> None:
    events = [phase("train", "start"), phase("eval", "start")]
    assert last_phase(events) == "eval"
    assert last_phase([*events, phase("eval", "end")]) == "train"
    assert last_phase([*events, phase("eval", "end"), phase("train", "end")]) == "eval"
    assert last_phase([]) is None


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"torn\n[1]\n' + json.dumps({"kind": "log", "values": {"loss": "NaN"}}) + "\n")
    tail = Tail(path)
    assert tail.read() is True
    assert tail.loss is None
