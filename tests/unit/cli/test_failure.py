from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from harness.cli import failure
from harness.errors import InputError, Interrupted, Location, Problem, StoreError, TrialsFailed


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError, 2), (StoreError, 2), (TrialsFailed, 5), (Interrupted, 130)],
)
def test_an_expected_error_ends_with_its_own_code(
    error: type[InputError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure.of_problems(error(problems=[Problem(what="it is wrong", hint="make it right")])) == code
    assert capsys.readouterr().err == "error: it is wrong\n  try: make it right\n"


def test_every_problem_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    where = Location(file=Path("s.yaml"), line=2, column=3, text="  a: 1")
    failure.of_problems(InputError(problems=[Problem(what="first", where=where), Problem(what="second")]))
    said = capsys.readouterr().err
    assert "s.yaml:2:3: error: first" in said
    assert "error: second" in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EDQUOT])
def test_what_the_machine_refuses_is_told_without_a_traceback(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.of_system(OSError(number, os.strerror(number), "/data/results")) == 2
    said = capsys.readouterr().err
    assert "cannot use /data/results" in said
    assert "try: " in said
    assert "Traceback" not in said
    assert "bug" not in said


def test_a_full_disk_says_that_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    failure.of_system(OSError(errno.ENOSPC, "No space left on device", "x"))
    said = capsys.readouterr().err
    assert "the disk is full" in said
    assert "what finished is kept" in said


def test_a_bug_is_one_paragraph_and_its_traceback_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("HARNESS_DEBUG", raising=False)
    assert failure.of_bug(_raised(), ["run", "a b.yaml"]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "bug in harness" in said
    assert "Traceback" not in said
    (saved,) = re.findall(r"\S+harness-bug-\S+\.txt", said)
    text = Path(saved).read_text()
    assert "harness run 'a b.yaml'" in text
    assert "Traceback" in text


def test_with_debugging_on_the_traceback_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DEBUG", "1")
    failure.of_bug(_raised(), [])
    assert "Traceback" in capsys.readouterr().err


def _raised() -> ZeroDivisionError:
    try:
        raise ZeroDivisionError("a long\nmessage " + "x" * 1000)
    except ZeroDivisionError as error:
        return error


def test_long_lines_are_hung_under_their_beginning_and_quotes_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    where = Location(file=Path("s.yaml"), line=2, column=3, text="  a: " + "1 " * 40)
    problem = Problem(what="wrong", where=where, why="one two three " * 5, hint="see /" + "x" * 50 + " and more of it")
    laid = failure.laid_out(problem.render()).splitlines()
    assert f"    2 | {where.text}".rstrip() in [line.rstrip() for line in laid]
    why = laid[laid.index(next(line for line in laid if line.startswith("  why: "))) :]
    assert why[1].startswith("       one") or why[1].startswith("       t")
    assert "       /" + "x" * 50 in laid
    assert all(len(line) <= 40 for line in laid if "x" * 50 not in line and " | " not in line)


def test_what_is_no_terminal_gets_whole_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    failure.print_problems([Problem(what="it is wrong", why="word " * 40 + "end")])
    assert capsys.readouterr().err.splitlines()[1] == "  why: " + "word " * 40 + "end"
