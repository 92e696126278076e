"""Disks that are full, and folders that are none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.errors import FolderError
from harness.execute import disk
from harness.execute.record import abandoned, log_end
from harness.records.run_folder import RunFolder


def test_a_real_full_device_is_told_with_the_way_out() -> None:
    with (
        pytest.raises(FolderError) as caught,
        disk.writing(Path("/dev/full")),
        Path("/dev/full").open("w") as handle,
    ):
        handle.write("x" * 10_000)
    (problem,) = caught.value.problems
    assert problem.what == "the disk is full: /dev/full"
    assert problem.why == os.strerror(errno.ENOSPC)
    assert "it resumes" in str(problem.hint)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EIO])
def test_every_error_of_writing_names_the_path_the_reason_and_a_way_out(number: int) -> None:
    with pytest.raises(FolderError) as caught, disk.writing(Path("/some/where")):
        raise OSError(number, os.strerror(number))
    (problem,) = caught.value.problems
    assert problem.what == "results cannot be written: /some/where"
    assert problem.why == os.strerror(number)
    assert "--results" in str(problem.hint)


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="not mine"), disk.writing(Path("x")):
        raise ValueError("not mine")


@pytest.mark.parametrize(
    ("cause", "full"),
    [
        ("OSError: [Errno 28] No space left on device", True),
        ("SafetensorError: I/O error: No space left on device (os error 28)", True),
        ("OSError: [Errno 122] Disk quota exceeded", True),
        ("RuntimeError: shapes differ", False),
        (None, False),
    ],
)
def test_a_crash_for_want_of_space_is_told_from_others(tmp_path: Path, cause: str | None, full: bool) -> None:
    assert disk.is_full(tmp_path, cause) is full


def test_the_end_of_a_log_is_one_short_line(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    assert log_end(log) == ""
    log.write_bytes(b"first\n\n  second \nth\xffird\n" + b"x" * 1000 + b"\n")
    said = log_end(log)
    assert len(said) == 400
    assert "\n" not in said
    log.write_text("a\nb\n\nc\nd\n")
    assert log_end(log) == "b · c · d"


def test_an_attempt_without_a_trace_is_closed_all_the_same(tmp_path: Path) -> None:
    outcome = abandoned(RunFolder(tmp_path).new_attempt())
    assert (outcome.outcome, outcome.duration_s, outcome.phase, outcome.summary) == ("interrupted", 0.0, None, {})
