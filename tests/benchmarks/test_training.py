"""What the harness costs and saves against hand-written TRL scripts. Ratios of runs in one session on one machine."""

from __future__ import annotations

import copy
import ctypes
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from harness import execute, pipeline, plan
from harness.methods import METHODS, catalog
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder, suite_folder, write_json
from harness.records.spec import Spec

Tell = Callable[[str, str, str], None]

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "suites" / "quickstart.yaml"
SMOKE = ROOT / "suites" / "smoke.yaml"
BARE = Path(__file__).with_name("bare_trl.py")


def specs_of(file: Path) -> dict[str, Spec]:
    """Every trial's spec, in running order."""
    planned = pipeline.planned(file, pipeline.Choice())
    known = catalog.load()
    return {trial.id: plan.spec_of(trial, planned, known) for trial in planned.trials}


def bare(folder: Path, *flags: str) -> tuple[float, float]:
    """Runs the bare script on a run folder: (seconds until training began, seconds in all)."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, str(BARE), str(folder / "spec.json"), str(folder / "bare"), *flags],
        check=True,
        capture_output=True,
        text=True,
    )
    train_began = json.loads(done.stdout.strip().splitlines()[-1])["train_began"]
    return train_began - began, time.time() - began


def until_training(engine: execute.LocalEngine, spec: Spec, folder: RunFolder) -> float:
    """Seconds from submitting an attempt to its trainer's on_train_begin; the attempt is then killed."""
    attempt = folder.new_attempt()
    began = time.time()
    handle = engine.start(spec, folder, attempt)
    try:
        while time.time() - began < 60:
            if attempt.events.exists() and '"name":"train","edge":"start"' in attempt.events.read_text():
                return time.time() - began
            handle.wait(0.002)
        raise AssertionError(f"training did not begin; see {attempt.log.read_text()}")
    finally:
        handle.kill()
        while handle.wait(0.1) is None:
            pass


def test_a_trial_starts_in_a_fifth_of_a_cold_process(tmp_path: Path, benchmark: Any, tell: Tell) -> None:
    spec = next(spec for spec in specs_of(SMOKE).values() if spec.method == "sft")
    folder = RunFolder(tmp_path / spec.trial_id)
    write_json(folder.spec_file, spec.to_json())
    engine = execute.LocalEngine()
    try:
        until_training(engine, spec, folder)  # the first waits for the nursery's imports, once per suite
        warm = [until_training(engine, spec, folder) for _ in range(5)]
        benchmark.pedantic(until_training, args=(engine, spec, folder), rounds=3)
    finally:
        engine.close()
    cold = [bare(folder.path, "--until-train-begin")[0] for _ in range(3)]
    ratio = statistics.median(warm) / statistics.median(cold)
    measured = f"{ratio:.3f} ({statistics.median(warm):.2f} s against {statistics.median(cold):.2f} s cold)"
    tell("submit → on_train_begin, of a cold TRL process", measured, "≤ 0.2")
    assert ratio <= 0.2


def test_the_quickstart_trains_in_half_the_time_of_scripts(tmp_path: Path, benchmark: Any, tell: Tell) -> None:
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")

    def train() -> None:
        finished = pipeline.run(
            QUICKSTART,
            pipeline.Choice(),
            places,
            engine=execute.LocalEngine(),
            observer=Silent(),
            scoring=False,
        )
        assert not finished.failed

    began = time.time()
    benchmark.pedantic(train, rounds=1)
    ours = time.time() - began
    here = suite_folder(places.results, "quickstart")
    trained = [here / trial for trial, spec in specs_of(QUICKSTART).items() if spec.method]
    scripts = sum(bare(folder)[1] for folder in trained)
    measured = f"{ours / scripts:.3f} ({ours:.0f} s against {scripts:.0f} s for {len(trained)} trainings)"
    tell("quickstart's trainings, of bare scripts in a row", measured, "≤ 0.5")
    assert ours / scripts <= 0.5


def test_probes_cost_less_than_a_hundredth(tmp_path: Path, benchmark: Any, tell: Tell) -> None:
    import torch

    torch.set_num_threads(1)  # threads that wait for each other would be noise that hides a hundredth
    keep_what_is_freed()
    trained = next(spec for spec in specs_of(QUICKSTART).values() if spec.method == "sft" and not spec.start)
    spec = replace(trained, data={**(trained.data or {}), "rows": 2000})
    steps, runs = 200, 8
    by_turns(spec, tmp_path / "warm", steps=20, probed_first=True)
    ratios = [by_turns(spec, tmp_path / str(run), steps=steps, probed_first=run % 2 == 0) for run in range(runs)]
    benchmark.pedantic(by_turns, args=(spec, tmp_path / "last"), kwargs={"steps": 20, "probed_first": True}, rounds=1)
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.mean(logs)
    half = float(stats.t.ppf(0.975, runs - 1)) * statistics.stdev(logs) / math.sqrt(runs)
    ratio, low, high = math.exp(mean), math.exp(mean - half), math.exp(mean + half)
    measured = f"{ratio:.4f}, 95% CI {low:.4f}–{high:.4f}, {runs} runs"
    tell("throughput with probes, of bare TRL", measured, "CI ≥ 0.99")
    assert low >= 0.99


def keep_what_is_freed() -> None:
    """Has the C library keep memory that tensors free, in place of giving it back to the kernel.

    Else every step asks for its pages again, and the kernel fills them with zeros: four tenths on top of a step, and
    a spread of steps of a tenth, which would hide a hundredth. For this process alone; numbers are malloc.h's.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    libc = ctypes.CDLL(None)
    for parameter, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20)):
        assert libc.mallopt(parameter, value) == 1


def by_turns(spec: Spec, out: Path, *, steps: int, probed_first: bool) -> float:
    """One training whose steps are by turns bare TRL's and probed: bare seconds ÷ probed seconds.

    Two trainings differ by several hundredths for where their tensors happen to lie; the steps of one do not, and
    neighbours meet the same moods of the machine. In bare steps the trainer is what TRL built: no wrapper, callback or
    hook of the harness. Steps come in pairs, A B, B A, A B, …; the first ten warm up. The mean of the pairs' log ratios
    leaves the tenth at either end out, where something else took the core in one of the two steps. What happens once a
    second falls on half of the time here, so its cost shows double.
    """
    from transformers import TrainerCallback, set_seed

    from harness import data, measure, models
    from harness.worker.config import resolve

    set_seed(0)
    model, tokenizer = models.load(spec.model, root=out, device="cpu")
    assert spec.data
    assert spec.method
    method = METHODS[spec.method]
    prepared = data.load(spec.data, formats=method.formats, root=out)
    config = {
        **resolve(spec, method, scratch=out, cuda=False, eval_rows=0).kwargs,
        "max_steps": steps,
        "pad_to_multiple_of": 32,  # batches of one shape: else neighbouring steps differ by a fifth in work
        "dataloader_drop_last": True,
        "per_device_train_batch_size": 32,
    }
    trainer = method.build(model=model, tokenizer=tokenizer, prepared=copy.copy(prepared), config=config, lora=None)
    seconds: dict[bool, list[float]] = {True: [], False: []}

    class Turns(TrainerCallback):
        """Switches at the beginning of steps; what a step takes lasts to the beginning of the next."""

        def __init__(self) -> None:
            self.probed: bool | None = None
            self.began = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ended = time.perf_counter()
            if self.probed is not None and state.global_step > 10:
                seconds[self.probed].append(ended - self.began)
            second_of_pair, odd_pair = state.global_step % 2, state.global_step // 2 % 2
            self.probed = probed_first != (second_of_pair != odd_pair)
            (probed if self.probed else bare).restore()
            self.began = time.perf_counter()

    trainer.add_callback(Turns())
    bare = Attachments.of(trainer)
    with measure.Recorder(out / "events.jsonl") as recorder:
        measure.attach(trainer, recorder, method, warmup_steps=10)
        probed = Attachments.of(trainer)
        trainer.train()
    assert probed.callbacks != bare.callbacks
    assert probed.overrides != bare.overrides
    assert len(seconds[True]) + len(seconds[False]) == steps - 11
    pairs = [math.log(bare_s / probed_s) for bare_s, probed_s in zip(seconds[False], seconds[True], strict=False)]
    return math.exp(float(stats.trim_mean(pairs, 0.1)))


@dataclass(frozen=True, kw_only=True)
class Attachments:
    """Everything by which something can hang on a trainer: its own overrides, its callbacks, its modules' hooks."""

    trainer: Any
    overrides: list[tuple[Any, dict[str, Any]]]
    callbacks: list[Any]
    hooks: list[tuple[dict[Any, Any], dict[Any, Any]]]

    @classmethod
    def of(cls, trainer: Any) -> Attachments:
        kept = [
            (hooks, dict(hooks))
            for module in trainer.model.modules()
            for name, hooks in vars(module).items()
            if name.startswith("_") and "hooks" in name and isinstance(hooks, dict)
        ]
        return cls(
            trainer=trainer,
            overrides=[(holder, overrides(holder)) for holder in (trainer, trainer.accelerator)],
            callbacks=list(trainer.callback_handler.callbacks),
            hooks=kept,
        )

    def restore(self) -> None:
        """Leaves on the trainer what was there, and nothing else."""
        for holder, then in self.overrides:
            for name in overrides(holder):
                delattr(holder, name)
            vars(holder).update(then)
        self.trainer.callback_handler.callbacks = list(self.callbacks)
        for hooks, kept in self.hooks:
            if hooks or kept:
                hooks.clear()
                hooks.update(kept)


def overrides(holder: Any) -> dict[str, Any]:
    """Methods of its class that an object has replaced for itself."""
    return {name: value for name, value in vars(holder).items() if callable(getattr(type(holder), name, None))}


pytestmark = pytest.mark.slow
