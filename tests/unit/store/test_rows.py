"""What the tables and views say of a run folder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.events import encode
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import OUTCOME, add_device, add_score, spec_of, step_events, write_folder


def test_what_the_tables_say_of_a_trial(store: Store, results: Path) -> None:
    spec = spec_of(init={"stage": "base", "trial_id": "base-id-0"}, start="../base-id-0/checkpoint")
    folder = write_folder(results, spec)
    add_score(folder)
    store.ingest([folder])

    assert one(store, "SELECT name, seed, method, starts_from, question, folder FROM trials") == (
        "dpo-s0",
        0,
        "dpo",
        "base-id-0",
        "Which method?",
        "quick/dpo-id-0",
    )
    assert one(store, "SELECT levels['method'], spec->>'$.train.learning_rate' FROM trials") == ("dpo", "0.001")
    assert one(store, "SELECT active->>'optimizer' FROM attempts") == "AdamW"
    assert store.query("SELECT phase, started_s, seconds FROM phases").rows == [
        ("model", 0.0, 0.05),
        ("train", 0.08, pytest.approx(8.92)),
    ]
    assert one(store, "SELECT scores['arithmetic_mc.acc'] FROM trial_summary") == 0.9
    assert one(store, "SELECT response, metrics['acc'], logprobs FROM score_documents WHERE document = 1") == (
        "5",
        1.0,
        [-0.5, -1.5],
    )


def test_step_events_become_samples_by_their_public_names(store: Store, results: Path) -> None:
    store.ingest([write_folder(results, spec_of())])

    found = dict(store.query("SELECT metric, value FROM samples WHERE step = 2").rows)

    step = {"step_seconds": 0.1, "data_seconds": 0.01, "real_tokens": 902, "padded_tokens": 1024, "loss_tokens": 300}
    step |= {"reference_tokens": 0, "samples": 32, "measured": 1}
    log = {"loss": 2 * math.exp(-2 / 300), "grad_norm": 0.5, "learning_rate": 1e-3, "rewards/margins": 0.02}
    assert found == pytest.approx(step | log | {"host_uss": 500_000_002})
    assert one(store, "SELECT t FROM samples WHERE step = 2 AND metric = 'loss'") == 0.2


def test_nan_and_infinity_are_kept(store: Store, results: Path) -> None:
    values = [float("nan"), float("inf"), float("-inf"), 1.5]
    events = [{"t": 0.1 * n, "kind": "log", "step": n, "values": {"loss": v}} for n, v in enumerate(values)]
    outcome = replace(OUTCOME, outcome="diverged", summary={"final_loss": float("nan")})
    store.ingest([write_folder(results, spec_of(), events=events, outcome=outcome)])

    found = [value for (value,) in store.query("SELECT value FROM samples ORDER BY step").rows]

    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, 1.5]
    assert math.isnan(one(store, "SELECT final_loss FROM trial_summary"))


def test_events_with_equally_many_but_other_fields_keep_apart(store: Store, results: Path) -> None:
    logs = [{"loss": 1.0, "lr": 0.1}, {"eval_loss": 2.0, "lr": 0.2}, {"lr": 0.3, "loss": 3.0}, {"kind": 4.0, "t": 5.0}]
    events = [{"t": 0.1 * n, "kind": "log", "step": n, "values": values} for n, values in enumerate(logs)]
    store.ingest([write_folder(results, spec_of(), events=events)])

    found: dict[str, list[tuple[int, float]]] = {}
    for metric, step, value in store.query("SELECT metric, step, value FROM samples ORDER BY metric, step").rows:
        found.setdefault(metric, []).append((step, value))
    assert found == {
        "loss": [(0, 1.0), (2, 3.0)],
        "eval_loss": [(1, 2.0)],
        "lr": [(0, 0.1), (1, 0.2), (2, 0.3)],
        "kind": [(3, 4.0)],
        "t": [(3, 5.0)],
    }


def test_a_time_that_is_none_is_null(store: Store, results: Path) -> None:
    events = [
        {"kind": "log", "step": 1, "values": {"loss": 1.0}},
        {"kind": "log", "step": 2, "t": 3, "values": {"loss": 2}},
    ]
    folder = write_folder(results, spec_of(), events=[])
    folder.attempts()[0].events.write_text("".join(json.dumps(event) + "\n" for event in events))
    store.ingest([folder])

    assert store.query("SELECT step, t, value FROM samples ORDER BY step").rows == [(1, None, 1.0), (2, 3.0, 2.0)]


def test_odd_text_arrives_as_it_can(store: Store, results: Path) -> None:
    spec = spec_of(train={"note": float("nan"), "text": "a 'quoted' \u2028 ümläut"})
    folder = write_folder(
        results, spec, events=[{"t": 1, "kind": "note", "level": "info", "text": "lone \ud800 surrogate"}]
    )
    done = store.ingest([folder])

    assert done.problems == ()
    assert one(store, "SELECT text FROM notes") == "lone ? surrogate"
    assert one(store, "SELECT spec->>'$.train.text', spec->>'$.train.note' FROM trials") == (
        "a 'quoted' \u2028 ümläut",
        "NaN",
    )


def test_samples_of_the_device_have_a_time_and_no_step(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    add_device(folder, samples=2)

    done = store.ingest([folder])

    assert done.problems == ()
    found = store.query("SELECT metric, device, t, value FROM samples WHERE step IS NULL ORDER BY ALL").rows
    assert found == [
        ("device_memory_used", "GPU-1", 0.0, 2**30),
        ("device_memory_used", "GPU-1", 0.1, 2**30),
        ("device_power", "GPU-1", 0.0, 300.0),
        ("device_power", "GPU-1", 0.1, 301.0),
        ("device_utilization", "GPU-1", 0.0, 0.9),
        ("device_utilization", "GPU-1", 0.1, 0.9),
    ]
    rows = store.query("SELECT device, t, power, memory_used, sm_clock FROM device_timeline ORDER BY t").rows
    assert rows == [("GPU-1", 0.0, 300.0, 2**30, None), ("GPU-1", 0.1, 301.0, 2**30, None)]
    assert one(store, "SELECT count(*) FROM samples WHERE step IS NOT NULL AND device IS NULL") == 39
    assert one(store, "SELECT count(*) FROM notes WHERE text LIKE '%clocks%'") == 1


def test_samples_of_the_device_alone(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of(), events=[])
    add_device(folder, samples=1)
    store.ingest([folder])

    assert one(store, "SELECT count(*), count(step) FROM samples") == (3, 0)


def test_devices_of_one_moment_keep_apart(store: Store, results: Path) -> None:
    samples = [
        {"t": 1.0, "kind": "device", "device": f"GPU-{n}", "values": {"power": 100.0 * n, "utilization": n / 10}}
        for n in (1, 2)
    ]
    store.ingest([write_folder(results, spec_of(), events=samples)])

    assert store.query("SELECT device, t, power, utilization FROM device_timeline ORDER BY ALL").rows == [
        ("GPU-1", 1.0, 100.0, 0.1),
        ("GPU-2", 1.0, 200.0, 0.2),
    ]


def test_a_metric_of_a_step_and_of_the_device_is_one_metric(store: Store, results: Path) -> None:
    memory = {"t": 0.5, "kind": "memory", "step": 4, "values": {"device_memory_used": 7}}
    folder = write_folder(results, spec_of(), events=[memory])
    add_device(folder, samples=1)
    store.ingest([folder])

    assert store.query("SELECT step, value FROM samples WHERE metric = 'device_memory_used' ORDER BY step").rows == [
        (4, 7.0),
        (None, 2**30),
    ]


def test_steps_of_several_processes_are_those_of_one_training(store: Store, results: Path) -> None:
    def events(rank: int, steps: int) -> list[dict[str, Any]]:
        made = [event | {"real_tokens": 100 * (rank + 1)} for event in step_events(steps) if event["kind"] == "step"]
        made.append({"t": 1.0, "kind": "memory", "step": 1, "values": {"host_uss": rank}})
        return made

    active = {"t": 0.0, "kind": "active", "values": {"world_size": 2}}
    folder = write_folder(results, spec_of(), events=[active, *events(0, 3)])
    store.ingest([folder])
    finding = {"t": 2.0, "kind": "finding", "name": "no_tokens", "step": 1, "level": "warning", "text": "no tokens"}
    further = folder.path / "attempts" / "1" / "events.rank1.jsonl"
    note = {"t": 2.5, "kind": "note", "level": "warning", "text": "memory of the device is no longer measured"}
    further.write_text("".join(encode(event) for event in (*events(1, 2), finding, note)))

    done = store.ingest([folder])

    assert done.problems == ()
    assert store.query("SELECT step, value FROM samples WHERE metric = 'real_tokens' ORDER BY step").rows == [
        (1, 300.0),
        (2, 300.0),
        (3, 100.0),
    ]
    measured = dict(store.query("SELECT step, value FROM samples WHERE metric = 'measured'").rows)
    assert measured == {1: 0.0, 2: 1.0, 3: 0.0}  # a step that a process lacks is out of the window
    assert one(store, "SELECT value FROM samples WHERE metric = 'host_uss'") == 0
    assert one(store, "SELECT name FROM findings") == "no_tokens"
    assert one(store, "SELECT text FROM notes") == "memory of the device is no longer measured"


def test_the_further_fields_of_a_step(store: Store, results: Path) -> None:
    step = {"t": 1.0, "kind": "step", "step": 1, "wall_s": 0.2, "device_s": 0.1, "model_flops": 1e12}
    store.ingest([write_folder(results, spec_of(), events=[step | {"hardware_flops": 2e12, "measured": True}])])

    assert dict(store.query("SELECT metric, value FROM samples").rows) == {
        "step_seconds": 0.2,
        "device_seconds": 0.1,
        "model_flops": 1e12,
        "hardware_flops": 2e12,
        "measured": 1.0,
    }


def test_breakdown_compute_findings_facts_and_disturbances(store: Store, results: Path) -> None:
    facts = {"peak_phase": "backward", "oom": {"phase": "train", "requested_bytes": 2**31}}
    summary = {"weight_memory": 400.0, "gradient_memory": 300.0, "peak_allocated": 1000.0, "mfu": 0.4}
    outcome = replace(OUTCOME, facts=facts, disturbed=("throttled", "shared"), summary=summary)
    store.ingest([write_folder(results, spec_of(), outcome=outcome)])

    assert one(store, "SELECT breakdown->>'$.device', (breakdown->'$.weights')::DOUBLE FROM attempts") == ("cuda", 400)
    assert one(store, "SELECT compute->>'$.source' FROM attempts") == "data sheet"
    assert one(store, "SELECT name, step, level, text FROM findings") == (
        "loss_spike",
        2,
        "warning",
        "loss rose 3-fold",
    )
    assert one(store, "SELECT disturbed, mfu, weight_memory, hfu FROM trial_summary") == (
        ["throttled", "shared"],
        0.4,
        400.0,
        None,
    )
    assert one(
        store,
        "SELECT device, weights, gradients, optimizer, peak_allocated, peak_phase, oom_requested FROM memory_breakdown",
    ) == ("cuda", 400.0, 300.0, None, 1000.0, "backward", 2**31)


def test_an_attempt_without_them_has_nothing_there(store: Store, results: Path) -> None:
    store.ingest([write_folder(results, spec_of(), events=[], outcome=None)])

    assert one(store, "SELECT facts, disturbed, breakdown, compute FROM attempts") == (None, None, None, None)
    assert one(store, "SELECT disturbed FROM trial_summary") == []


@pytest.mark.parametrize("odd", [{"facts": "none", "disturbed": None}, {"facts": [1], "disturbed": []}, {"facts": {}}])
def test_outcomes_of_an_odd_shape_are_stored_without_it(store: Store, results: Path, odd: dict[str, Any]) -> None:
    folder = write_folder(results, spec_of())
    file = folder.attempts()[0].outcome_file
    file.write_text(json.dumps(json.loads(file.read_text()) | odd))

    done = store.ingest([folder])

    assert done.problems == ()
    assert one(store, "SELECT outcome, facts, disturbed FROM attempts") == ("ok", None, [])
