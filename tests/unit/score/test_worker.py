"""The scoring child's own part that needs no lm-eval: its job file, its progress lines, how it words a failure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from harness.errors import InputError, ModelError
from harness.score.jobs import Job, JobCheckpoint, JobTask
from harness.score.scoring import cause_of
from harness.score.worker import Teller, main

JOB = Job(
    backend="hf",
    opener="harness.score.hf:HfOpener",
    flags={"limit": 3, "num_fewshot": None, "apply_chat_template": False, "batch_size": 4},
    tasks=(JobTask(name="t", path="t.yaml", hash="h"),),
    checkpoints=(JobCheckpoint(folder="/a", checkpoint="/a/checkpoint", weights_hash=None, tasks=("t",)),),
)


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    JOB.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == JOB


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tasks": [], "checkpoints": [{}]}', '{"tasks": [], "checkpoints": []}']
)
def test_a_file_that_is_no_job_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(InputError, match="is not a scoring job"):
        Job.read(tmp_path / "job.json")


def test_a_missing_job_ends_with_the_code_of_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "is not a scoring job" in capsys.readouterr().err


def test_progress_is_one_object_a_line() -> None:
    out = io.StringIO()
    Teller(out).tell("done", checkpoint="/a", task="t", metrics={"acc": float("nan")})
    (line,) = out.getvalue().splitlines()
    assert json.loads(line) == {"kind": "done", "checkpoint": "/a", "task": "t", "metrics": {"acc": "NaN"}}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("no such luck"), "RuntimeError: no such luck"),
        (RuntimeError("\n\n  first\nsecond"), "RuntimeError: first"),
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "MemoryError"),
        (ModelError.of("no weights in /a", why="it is empty"), "no weights in /a: it is empty"),
    ],
)
def test_a_cause_is_one_line(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause
