"""`harness show` of one trial and of two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from harness.records.run_folder import run_folders

Harness = Callable[..., CompletedProcess[str]]


@pytest.fixture
def cells(ran: Path, harness: Harness) -> list[str]:
    """Names of the two cells' trials; the first was packed by accident, on another torch, and not healthy."""
    names = [row["name"] for row in json.loads(harness("list", "tiny", "--json").stdout) if row["kind"] == "cell"]
    for folder in run_folders(ran.parent / "results", "tiny"):
        spec = folder.spec() or {}
        first = spec["name"] == names[0]
        adapter = {"default": {"r": 8, "target_modules": ["q_proj", "v_proj"]}}
        active = {
            "attention": "sdpa",
            "padding_free": first,
            "dtype": "float32",
            "dtypes": ["float32"],
            "adapter": adapter,
        }
        finding = {
            "name": "loss_spike",
            "step": 7,
            "level": "warning",
            "text": "the loss jumped to 9, from a median of 1",
        }
        with folder.attempts()[-1].events.open("a", encoding="utf-8") as events:
            events.write(json.dumps({"kind": "active", "values": active}) + "\n")
            if first:
                events.write(json.dumps({"kind": "finding", **finding}) + "\n")
        environment = {"hash": "e" * 64, "packages": {"torch": "2.13.0" if first else "2.12.0"}, "device": None}
        folder.environment_file.write_text(json.dumps(environment), encoding="utf-8")
    return names


def test_one_trial_shows_what_could_not_be_scored(ran: Path, harness: Harness) -> None:
    (floor,) = [
        one
        for one in run_folders(ran.parent / "results", "tiny")
        if (one.spec() or {})["kind"] not in ("cell", "stage")
    ]
    record = {"task": "arithmetic_gen", "backend": "vllm", "step": 20, "cause": "crashed: the engine died", "log": []}
    (floor.scores / "arithmetic_gen.vllm@20.failed.json").write_text(json.dumps(record), encoding="utf-8")
    shown = harness("show", floor.path.name).stdout
    assert "arithmetic_gen at step 20 (vllm): crashed: the engine died" in shown
    assert json.loads(harness("show", floor.path.name, "--json").stdout)["unscored"] == [record]


def test_one_trial_shows_its_health_what_was_active_and_where_it_ran(cells: list[str], harness: Harness) -> None:
    shown = harness("show", cells[0]).stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "warning: loss_spike at step 7: the loss jumped to 9, from a median of 1" in lines
    assert "padding_free yes" in lines
    assert "adapter default r=8, target_modules=q_proj+v_proj" in lines
    assert "dtypes" not in shown  # it says no more than dtype
    assert "packages torch=2.13.0" in lines
    assert any(line.startswith("measure warmup_steps=") and "device_hz=" in line for line in lines)
    assert any(line.startswith("limits timeout=") and "diverged=stop" in line for line in lines)
    told = json.loads(harness("show", cells[0], "--json").stdout)
    assert told["findings"][0]["step"] == 7
    assert told["environment"]["packages"] == {"torch": "2.13.0"}
    assert "defaults" not in told["spec"]


def test_two_trials_show_side_by_side_with_what_else_changed(cells: list[str], harness: Harness) -> None:
    answer = harness("show", *cells)
    assert answer.returncode == 0, answer.stderr
    sections = dict(part.partition("\n")[::2] for part in answer.stdout.split("\n\n"))
    assert sections["what differs by the axis"].split() == ["train.learning_rate", "1.0e-3", "→", "2.0e-3"]
    assert sections["what else changed: active"].split() == ["padding_free", "true", "→", "false"]
    assert sections["what else changed: environment"].split() == ["packages.torch", "2.13.0", "→", "2.12.0"]
    assert "loss_spike at step 7" in sections["health of A"]
    assert "health of B" not in sections
    rates = next(line for line in answer.stdout.splitlines() if line.startswith("tokens_per_second "))
    assert rates.endswith("×")
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_a_difference_has_its_sign_either_way(cells: list[str], harness: Harness) -> None:
    def change(*trials: str) -> str:
        shown = harness("show", *trials).stdout.splitlines()
        return next(line for line in shown if line.startswith("final_loss ")).split()[-1]

    there, back = change(*cells), change(*reversed(cells))
    assert {there[0], back[0]} == {"+", "−"}
    assert there[1:] == back[1:]


def test_a_trial_without_the_level_is_told_with_the_value_it_has(cells: list[str], ran: Path, harness: Harness) -> None:
    for folder in run_folders(ran.parent / "results", "tiny"):
        spec = folder.spec() or {}
        if spec["name"] == cells[0]:
            spec_file = folder.path / "spec.json"
            spec_file.write_text(json.dumps({**spec, "levels": {}}), encoding="utf-8")
    shown = harness("show", *cells).stdout
    told = next(line for line in shown.splitlines() if line.startswith("  train.learning_rate"))
    assert told.split() == ["train.learning_rate", "0.001", "→", "0.002"]


def test_two_trials_as_json_are_one_document(cells: list[str], harness: Harness) -> None:
    told = json.loads(harness("show", *cells, "--json").stdout)
    assert [told[side]["name"] for side in ("one", "other")] == cells
    speed = told["metrics"]["tokens_per_second"]
    assert speed["ratio"] == pytest.approx(speed["other"] / speed["one"])
    assert told["metrics"]["score.arithmetic_mc.acc"]["ratio"] is None
    assert [entry["name"] for entry in told["differences"]["active"]] == ["padding_free"]


def test_a_trial_beside_itself_differs_in_nothing(cells: list[str], harness: Harness) -> None:
    shown = harness("show", cells[0], cells[0]).stdout
    assert "nothing differs but what must: the seed, names and times" in shown
    assert "what else changed" not in shown


def test_the_other_trial_is_found_as_the_first_is(cells: list[str], harness: Harness) -> None:
    answer = harness("show", cells[0], "nonsense")
    assert answer.returncode == 2
    assert "no trial 'nonsense'" in answer.stderr
