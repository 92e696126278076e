"""`harness check` on 500 cells × 5 metrics × 5 replicates: the whole command, from shell to exit code, in ≤ 5 s."""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.records.run_folder import run_folders
from harness.store import Baselines, Store
from tests.benchmarks.conftest import Tell
from tests.unit.compare.made import ENVIRONMENT
from tests.unit.store.made_up import OUTCOME, spec_of, step_events, write_folder

CELLS, SEEDS, STEPS = 500, 5, 5
METRICS = ("tokens_per_second", "step_seconds_p50", "peak_host_memory", "train_seconds", "final_loss")
BOUND_S, ROUNDS = 5.0, 3
SLOWER = 7  # the number of the cell that lost 10%


def _summary(number: int, chance: random.Random, *, slower: bool) -> dict[str, float]:
    """A trial's figures; every other metric that trials have is there too, since it has to be read."""
    pace = (1 + number / CELLS) * chance.gauss(1, 0.003) * (1.1 if slower else 1)
    others = {f"{name}_seconds": 0.1 * chance.random() for name in ("startup", "import", "model", "data", "trainer")}
    return {
        **others,
        "tokens_per_second": 20_000 / pace,
        "padded_tokens_per_second": 25_000 / pace,
        "samples_per_second": 60 / pace,
        "step_seconds_p50": 0.2 * pace,
        "step_seconds_p90": 0.21 * pace,
        "step_seconds_p99": 0.25 * pace,
        "train_seconds": 40 * pace,
        "trial_seconds": 43 * pace,
        "peak_host_memory": 2.0**30 * (1 + number / CELLS),
        "final_loss": 1.2 + 0.01 * chance.random(),
        **dict.fromkeys(("real_tokens", "padded_tokens", "loss_tokens", "trainable_parameters"), 1e6),
    }


def _write(results: Path) -> None:
    """Tonight's trials as run folders, with configurations and facts as long as real ones."""
    chance = random.Random(1)
    environment = {**ENVIRONMENT, "hash": "env1", "packages": {f"package{n}": f"1.{n}" for n in range(120)}}
    active = {"t": 0.0, "kind": "active", "values": {f"fact{n}": f"value {n}" for n in range(60)}}
    events = [active, *step_events(STEPS, margin=False)]
    for number in range(CELLS):
        for seed in range(SEEDS):
            train = {"max_steps": 200, "learning_rate": 1e-5 * (number + 1)}
            spec = spec_of(f"sft-{number}", seed, train=train, defaults={f"field{n}": None for n in range(100)})
            outcome = replace(OUTCOME, summary=_summary(number, chance, slower=number == SLOWER))
            write_folder(results, spec, events=events, outcome=outcome, environment=environment)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tonight's results in a store, and a baseline of the night before."""
    folder = tmp_path_factory.mktemp("nights")
    _write(folder / "results")
    store, chance = Store(folder / "results" / "harness.duckdb"), random.Random(0)
    store.ingest(run_folders(folder / "results"))
    tonight = store.results("quick")
    before = [
        replace(trial, metrics=_summary(int(trial.cell_name.removeprefix("sft-")), chance, slower=False))
        for trial in tonight.trials
    ]
    Baselines(folder / "results" / "baselines").save("before", replace(tonight, trials=tuple(before)))
    return folder


def _cpu_seconds() -> float:
    """Of all commands so far: what a command takes beside no other work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _check(folder: Path, *options: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    command: Sequence[str] = [sys.executable, "-m", "harness", "check", "quick", "--baseline", "before", *options]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return time.perf_counter() - began, done


def test_a_check_of_500_cells_takes_no_more_than_five_seconds(
    benchmark: BenchmarkFixture, nights: Path, tell: Tell
) -> None:
    asked = [part for name in METRICS for part in ("--metric", name)]
    before = _cpu_seconds()
    runs = [_check(nights, *asked) for _ in range(ROUNDS)]
    cpu = (_cpu_seconds() - before) / ROUNDS
    seconds = [taken for taken, _ in runs]
    document = json.loads(_check(nights, *asked, "--json")[1].stdout)

    assert {done.returncode for _, done in runs} == {1}, runs[0][1].stderr
    regressed = {one["cell"] for one in document["verdicts"] if one["ruling"] == "regressed"}
    assert regressed == {f"sft-{SLOWER}"}
    assert len(document["verdicts"]) == CELLS * len(METRICS)
    benchmark.extra_info |= {"cpu_s": round(cpu, 2)}
    benchmark.extra_info |= {"best_s": round(min(seconds), 2), "median_s": round(statistics.median(seconds), 2)}
    benchmark.pedantic(lambda: _check(nights, *asked), rounds=1)
    tell("check, 500 cells × 5 metrics × 5 replicates", f"{min(seconds):.2f} s ({cpu:.2f} s of CPU)", f"{BOUND_S:g} s")
    assert min(seconds) <= BOUND_S
