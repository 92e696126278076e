"""`harness fit` through the real command line: what it finds, what it refuses, and how it goes on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import environment

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

AXIS = "train.per_device_train_batch_size"
SUITE = """\
name: room
question: What fits?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic, rows: 200}
  train: {max_steps: 10, max_length: 64, gradient_checkpointing: false}
  init: {stage: first}
stages:
  first: {init: null}
matrix:
  weights: {full: {lora: null}, lora8: {lora: {r: 8}}}
  train.per_device_train_batch_size: [1, 4]
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    file = tmp_path / "room.yaml"
    file.write_text(SUITE, encoding="utf-8")
    return file


def _fit(harness: Harness, *arguments: str, limit: str = "1GiB", axis: str = AXIS, debug: bool = True) -> Answer:
    engine = ("--engine", "debug") if debug else ()
    return harness("fit", "room.yaml", "--axis", axis, "--limit", limit, *engine, *arguments, timeout=300)


def _cells(answer: Answer) -> dict[str, Any]:
    return {cell["cell"]: cell for cell in json.loads(answer.stdout)["cells"]}


def _tried(cell: dict[str, Any]) -> dict[int, bool]:
    return {probe["value"]: probe["fits"] for probe in cell["probes"]}


def test_it_finds_where_memory_ends(room: Path, harness: Harness) -> None:
    answer = _fit(harness, "--pretend", "sft-*@6=oom", "--pretend", "sft-*@8=oom", "--json", "--only", "sft-*")
    assert answer.returncode == 0, answer.stderr
    cells = _cells(answer)
    assert set(cells) == {"sft-full", "sft-lora8"}  # those that differ in the axis alone are one
    assert all(len(cell["alike"]) == 1 for cell in cells.values())
    full = cells["sft-full"]
    assert _tried(full) == {1: True, 2: True, 4: True, 5: True, 6: False, 8: False}
    assert (full["largest"], full["fails"]) == (5, 6)
    assert full["sentence"].startswith("sft-full: 5 fits in 1 GiB (4")
    assert {probe["metric"] for probe in full["probes"]} == {"peak_host_memory"}


@pytest.mark.parametrize("width", [80, 60])
def test_the_table_and_the_answer_are_for_people(room: Path, harness: Harness, width: int) -> None:
    arguments = ("fit", "room.yaml", "--axis", AXIS, "--limit", "1GiB", "--engine", "debug", "--to", "2")
    answer = harness(*arguments, "--cell", "*lora8*", env={"COLUMNS": str(width)})
    assert answer.returncode == 0
    lines = answer.stdout.splitlines()
    head = next(at for at, line in enumerate(lines) if "outcome" in line)
    name = AXIS.removeprefix("train.")
    figures = ["outcome", "peak", "positions/step", "tokens/s", "fits"]  # nothing is predicted on a CPU
    assert lines[head].split() == [name if width == 80 else "value", *figures]
    assert (f"by {name}" in " ".join(answer.stdout.split())) == (width == 60)  # too long for the head of its column
    assert lines[head + 1].split()[:2] == ["1", "ok"]
    made_up = " ".join(" ".join(lines[head + 3 :]).split())
    assert made_up.startswith("MADE UP, not measured: sft-lora8: 2, the largest that may be tried, fits")
    assert max(map(len, lines)) <= width


def test_probes_lie_apart_and_leave_nothing_large(room: Path, harness: Harness) -> None:
    assert _fit(harness, "--to", "2", "--cell", "*lora8*").returncode == 0
    results = room.parent / "results"
    assert not (results / "room").exists()
    specs = [json.loads(file.read_text()) for file in sorted((results / "room.fit").glob("*/spec.json"))]
    assert sorted(spec["train"][AXIS.removeprefix("train.")] for spec in specs) == [1, 2]
    assert all(spec["start"] is None and spec["train"]["max_steps"] == 6 for spec in specs)
    assert all(spec["data"]["path"].endswith(".jsonl") for spec in specs)
    assert not list((results / "room.fit").glob("*/checkpoint"))


def test_what_was_tried_is_not_tried_again(room: Path, harness: Harness) -> None:
    arguments = ("--pretend", "*@4=oom", "--cell", "*full*", "--json")
    first = _fit(harness, *arguments)
    again = _fit(harness, *arguments)
    assert first.returncode == again.returncode == 0
    assert json.loads(first.stdout) == json.loads(again.stdout)
    assert "started" in first.stderr
    assert "started" not in again.stderr
    closer = _fit(harness, "--cell", "*full*", "--json", limit="1MiB")  # the same trials, judged anew
    assert closer.returncode == 5
    assert "started" not in closer.stderr


def test_a_bad_end_that_says_nothing_of_memory_stops_the_cell_and_only_it(room: Path, harness: Harness) -> None:
    answer = _fit(harness, "--pretend", "sft-full@4=crash", "--to", "8", "--json", "--only", "sft-*")
    assert answer.returncode == 5
    cells = _cells(answer)
    assert cells["sft-full"]["largest"] == 2
    assert "4 ended crashed" in cells["sft-full"]["stopped"]
    assert _tried(cells["sft-full"]) == {1: True, 2: True, 4: None}
    assert cells["sft-lora8"]["largest"] == 8
    assert "error: sft-full: not decided: 4 ended crashed" in answer.stderr
    mended = _fit(harness, "--to", "8", "--json", "--cell", "*full*")
    assert _cells(mended)["sft-full"]["largest"] == 8  # the crashed one is tried again


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"axis": "train.per_device_batch"}, "SFTConfig has no field 'per_device_batch'"),
        ({"axis": "batch_size"}, "--axis 'batch_size' is no field of train, lora or model.overrides"),
        ({"axis": "data.rows"}, "--axis 'data.rows' is no field of train"),
        ({"axis": "train.learning_rate"}, "takes no whole numbers"),
        ({"axis": "train.packing"}, "takes no whole numbers"),
        ({"axis": "train.max_steps"}, "fit sets it itself: --steps"),
        ({"axis": "train.seed"}, "train.seed does not belong in a suite"),
        ({"axis": "lora.rank"}, "PEFT calls it r"),
        ({"axis": "model.overrides.layers"}, "the shape has no whole number 'layers'"),
        ({"limit": "24"}, "--limit '24' is not a size"),
        ({"limit": "much"}, "--limit 'much' is not a size"),
        ({"limit": "0GiB"}, "--limit must be more than nothing"),
        ({"more": ("--from", "9", "--to", "3")}, "--from 9 is above --to 3"),
        ({"more": ("--from", "9", "--to", "12", "--multiple-of", "8")}, "no multiple of 8 lies between"),
        ({"more": ("--cell", "kto-*")}, "'kto-*' matches no trial"),
        ({"more": ("--from", "0")}, "--from"),
        ({"more": ("--steps", "1")}, "--steps"),
        ({"more": ("--pretend", "nonsense")}, "--pretend 'nonsense' is not GLOB=END"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    arguments: dict[str, Any], says: str, room: Path, harness: Harness
) -> None:
    more = arguments.pop("more", ())
    answer = _fit(harness, *more, **arguments)
    assert answer.returncode == 2
    assert says in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
    assert not list((room.parent / "results").glob("*/*/spec.json"))


def test_a_limit_below_the_smallest_is_said_to_be_too_small(room: Path, harness: Harness) -> None:
    answer = _fit(harness, "--cell", "*full*", limit="1MiB")
    assert answer.returncode == 5
    assert "sft-full: 1, the smallest that may be tried, does not fit in 1 MiB" in answer.stderr
    assert "raise --limit\n" in answer.stderr  # and no lower --from: there is no smaller value


def test_cells_without_the_axis_are_left_out_and_named(room: Path, harness: Harness) -> None:
    answer = _fit(harness, "--to", "4", "--json", axis="lora.r")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert {cell["cell"] for cell in told["cells"]} == {
        "sft-lora8-per_device_train_batch_size1",
        "sft-lora8-per_device_train_batch_size4",
    }
    assert set(told["left_out"].values()) == {"it trains all weights"}


def test_without_a_bound_on_length_the_suites_own_rows_are_used_and_that_is_said(room: Path, harness: Harness) -> None:
    room.write_text(SUITE.replace("max_length: 64", "max_length: null"), encoding="utf-8")
    answer = _fit(harness, "--to", "1", "--cell", "*full*")
    assert answer.returncode == 0
    assert "warning: sft-full: train.max_length is null, so its own rows were used" in answer.stderr
    (spec,) = (room.parent / "results").glob("room.fit/*/spec.json")
    assert json.loads(spec.read_text())["data"]["source"] == "arithmetic"


def test_a_disturbed_trial_is_marked_and_tried_again_when_asked(room: Path, harness: Harness) -> None:
    arguments = ("--to", "4", "--cell", "*full*")
    first = _fit(harness, *arguments, "--pretend", "*@2=disturbed")
    assert first.returncode == 0
    (marked,) = [line for line in first.stdout.splitlines() if "disturbed" in line]
    assert marked.split()[:3] == ["2", "ok,", "disturbed"]
    told = "warning: sft-full: disturbed at 2 (made up: another process was on the device)"
    assert f"{told}; --retry disturbed tries again" in first.stderr
    assert "started" not in _fit(harness, *arguments).stderr
    again = _fit(harness, *arguments, "--retry", "disturbed")
    assert [line for line in again.stderr.splitlines() if "started" in line] == ["sft-full@2: started"]
    assert "disturbed" not in again.stdout + again.stderr


def test_trials_of_unlike_environments_are_told_as_that(room: Path, harness: Harness) -> None:
    assert _fit(harness, "--to", "2", "--cell", "*full*").returncode == 0
    (second,) = [
        file
        for file in (room.parent / "results/room.fit").glob("*/attempts/1/outcome.json")
        if json.loads((file.parents[2] / "spec.json").read_text())["name"].endswith("@2")
    ]
    ended = json.loads(second.read_text())
    second.write_text(json.dumps(ended | {"environment": "another"}), encoding="utf-8")
    answer = _fit(harness, "--to", "2", "--cell", "*full*")
    assert answer.returncode == 0
    assert "warning: sft-full: its values were tried in 2 environments: harness show " in answer.stderr


def test_a_batch_of_more_rows_than_there_are_decides_nothing(room: Path, harness: Harness) -> None:
    few = SUITE.replace("rows: 200", "rows: 20").replace("max_length: 64", "max_length: null, padding_free: true")
    room.write_text(few, encoding="utf-8")
    arguments = ("--from", "16", "--to", "64", "--steps", "2", "--cell", "*full*", "--json")
    answer = _fit(harness, *arguments, limit="64GiB", debug=False)
    assert answer.returncode == 5
    cell = _cells(answer)["sft-full"]
    assert _tried(cell) == {16: True, 32: None}
    assert (cell["largest"], cell["fails"]) == (16, None)
    assert "32 ended ok (no batch was full: it trained on 20 rows; give the suite more)" in cell["stopped"]


def test_a_cell_that_trl_refuses_with_the_axis_is_left_out_before_anything_runs(room: Path, harness: Harness) -> None:
    free = "matrix:\n  rows: {padded: {}, free: {train.padding_free: true, train.max_length: null}}"
    room.write_text(SUITE.replace("matrix:", free), encoding="utf-8")
    answer = _fit(harness, "--to", "64", "--json", "--cell", "*full*size1", axis="train.max_length")
    assert answer.returncode == 0, answer.stderr
    ((name, why),) = json.loads(answer.stdout)["left_out"].items()
    assert "-free-" in name
    assert "TRL cuts no row there" in why
    alone = _fit(harness, "--cell", "*free*", axis="train.max_length")
    assert alone.returncode == 2
    assert "train.padding_free without packing takes no train.max_length" in alone.stderr


@pytest.mark.parametrize(("end", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_it_goes_on_where_it_was_stopped(end: signal.Signals, code: int, room: Path, harness: Harness) -> None:
    command = [sys.executable, "-m", "harness", "fit", room.name, "--axis", AXIS, "--limit", "1GiB", "--cell", "*full*"]
    slow = ["--engine", "debug", "--pretend", "*@4=slow", "--to", "4", "--steps", "40"]
    running = subprocess.Popen(
        [*command, *slow], cwd=room.parent, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "@4: started" in line:
            break
    time.sleep(0.3)
    os.kill(running.pid, end)
    _, said = running.communicate(timeout=30)
    assert running.returncode == code, said
    counted = harness("query", "select count(*) from attempts where outcome = 'ok'", "--csv")
    assert counted.stdout.split()[-1] == "2", counted.stderr  # what was tried can be asked of the store at once
    answer = _fit(harness, "--to", "4", "--steps", "40", "--cell", "*full*", "--json")
    assert answer.returncode == 0, answer.stderr
    assert _tried(_cells(answer)["sft-full"]) == {1: True, 2: True, 4: True}
    assert [line.split(":")[0] for line in answer.stderr.splitlines() if "started" in line] == ["sft-full@4"]


def test_two_fits_of_one_suite_keep_out_of_each_others_way(room: Path, harness: Harness) -> None:
    command = [sys.executable, "-m", "harness", "fit", room.name, "--axis", AXIS, "--limit", "1GiB", "--cell", "*full*"]
    running = subprocess.Popen(
        [*command, "--engine", "debug", "--pretend", "*=slow", "--steps", "200"],
        cwd=room.parent,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "started" in line:
            break
    try:
        answer = _fit(harness, "--to", "4")
        assert answer.returncode == 2
        assert "room.fit" in answer.stderr
    finally:
        running.kill()
        running.communicate(timeout=30)


def test_real_trainings_on_a_cpu_decide(room: Path, harness: Harness) -> None:
    """The worker's own memory grows with the batch; the limit lies between the smallest batch and the largest."""
    sizes = _fit(harness, "--cell", "*full*", "--from", "2", "--to", "2", "--json", debug=False)
    assert sizes.returncode == 0, sizes.stderr
    (small,) = _cells(sizes)["sft-full"]["probes"]
    limit = f"{int(small['peak'] + 60 * 2**20)}B"
    arguments = ("--cell", "*full*", "--from", "2", "--to", "128", "--multiple-of", "2", "--json")
    answer = _fit(harness, *arguments, limit=limit, debug=False)
    assert answer.returncode == 0, answer.stderr
    cell = _cells(answer)["sft-full"]
    assert 2 <= cell["largest"] < cell["fails"] == cell["largest"] + 2
    peaks = {probe["value"]: probe["peak"] for probe in cell["probes"]}
    assert peaks[cell["largest"]] <= small["peak"] + 60 * 2**20 < peaks[cell["fails"]]
    assert max(probe["positions"] for probe in cell["probes"]) == 64 * max(peaks)


def test_packed_batches_are_as_large_as_they_can_get(room: Path, harness: Harness) -> None:
    packed = SUITE.replace("max_length: 64,", "max_length: 64, packing: true, packing_strategy: bfd,")
    room.write_text(packed, encoding="utf-8")
    answer = _fit(harness, "--cell", "*full*", "--from", "4", "--to", "4", "--json", limit="64GiB", debug=False)
    assert answer.returncode == 0, answer.stderr
    (tried,) = _cells(answer)["sft-full"]["probes"]
    assert tried["positions"] == 4 * 64  # in every step, and not a position less


def test_a_batch_of_one_row_is_full_in_every_step(room: Path, harness: Harness) -> None:
    """Short rows leave the full ones to the first step, say, which has no optimizer state yet: the peak is too low."""
    answer = _fit(harness, "--cell", "*full*", "--to", "1", "--steps", "3", "--json", debug=False)
    assert answer.returncode == 0, answer.stderr
    (tried,) = _cells(answer)["sft-full"]["probes"]
    assert tried["outcome"] == "ok"
    (events,) = room.parent.glob("results/room.fit/*/attempts/1/events.jsonl")
    steps = [event for event in map(json.loads, events.read_text().splitlines()) if event["kind"] == "step"]
    assert [step["padded_tokens"] for step in steps] == [64, 64, 64]


@pytest.mark.parametrize(("given", "first"), [((), 64), (("--to", "32"), 32), (("--from", "16"), 16)])
def test_lengths_begin_where_rows_have_room_for_more_than_a_prompt(
    room: Path, harness: Harness, given: tuple[str, ...], first: int
) -> None:
    axis = "train.max_length"
    answer = _fit(harness, *given, "--json", "--cell", "*full*", "--pretend", f"*@{first}=oom", axis=axis)
    cells = _cells(answer)
    assert {value for cell in cells.values() for value in _tried(cell)} == {first}


def test_the_trial_to_look_at_is_the_one_that_ended_badly(room: Path, harness: Harness) -> None:
    pretended = ("--pretend", "*@4=oom", "--pretend", "*@3=crash")
    answer = _fit(harness, *pretended, "--json", "--cell", "*full*", "--results", "there")
    assert answer.returncode == 5
    (cell,) = _cells(answer).values()
    (crashed,) = [probe["trial"] for probe in cell["probes"] if probe["value"] == 3]
    assert f"harness show {crashed} --results there tells more" in answer.stderr


def test_a_larger_limit_is_no_advice_where_memory_ran_out(room: Path, harness: Harness) -> None:
    answer = _fit(harness, "--pretend", "*@1=oom", "--cell", "*full*")
    assert answer.returncode == 5
    assert "raise --limit" not in answer.stderr
    assert "give it more than the device or limits.host_memory did" in answer.stderr
