"""`python -m harness.worker`: one trial in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.records.run_folder import RunFolder, write_json
from harness.worker.__main__ import main, train_alone

TRAIN = "harness.worker.rehearsal:train"


def make_folder(path: Path, **train: Any) -> RunFolder:
    folder = RunFolder(path)
    write_json(folder.spec_file, {"train": train})
    return folder


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [
        ("ok", 0, "attempt 1: ok after"),
        ("crash", 5, "in phase train, RuntimeError: rehearsed crash"),
        ("memory", 5, "attempt 1: oom after"),
    ],
)
def test_it_prints_the_outcome_and_ends_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], behaviour: str, code: int, said: str
) -> None:
    folder = make_folder(tmp_path / "t", behaviour=behaviour)
    assert main([str(folder.path), "--train", TRAIN]) == code
    assert said in capsys.readouterr().out
    outcome = folder.attempts()[0].outcome()
    assert outcome is not None
    assert (outcome.outcome == "ok") is (code == 0)


def test_every_call_is_a_new_attempt(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "t", behaviour=["crash", "ok"])
    assert [train_alone(folder, TRAIN).outcome for _ in range(2)] == ["crashed", "ok"]
    assert [attempt.number for attempt in folder.attempts()] == [1, 2]


def test_a_folder_without_a_trial_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr().err
    assert "holds no trial" in said
    assert "Traceback" not in said
