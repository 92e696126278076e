"""Whatever a command raises becomes words and an exit code."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness import pipeline
from harness.__main__ import run
from harness.errors import HeldError


@pytest.fixture(autouse=True)
def _traceback_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("HARNESS_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (HeldError.of("held by somebody", hint="wait"), 2, "error: held by somebody\n  try: wait"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "results/x"), 2, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "results/x"), 2, "permission denied"),
        (RecursionError("maximum recursion depth exceeded"), 70, "bug in harness"),
        (KeyError("oops"), 70, "KeyError: 'oops'"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    ],
)
def test_what_a_command_raises_becomes_words_and_a_code(
    raised: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(pipeline, "planned", fail)
    assert run(["plan", "suite.yaml"]) == code
    written = capsys.readouterr()
    assert written.out == ""
    assert said in written.err
    assert "Traceback" not in written.err


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "a", "b"], ["--nonsense"], ["run", "x", "--retry", "maybe"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Usage: harness" in capsys.readouterr().err
