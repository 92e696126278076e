"""Full disks, folders that cannot be written, two runs at once, stores that cannot be read: told, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]


def _told(answer: Answer, *said: str, code: int = 2) -> None:
    assert answer.returncode == code, answer.stderr
    for words in said:
        assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "bug in harness" not in answer.stderr


def test_a_file_where_the_results_folder_should_be(suite: Path, harness: Harness) -> None:
    (suite.parent / "results").write_text("precious", encoding="utf-8")
    _told(harness("run", suite.name, "--engine", "debug"), "results", "--results")
    assert (suite.parent / "results").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("folder", ["/proc/harness-results", "/dev/null/results"])
def test_a_results_folder_that_cannot_be_written(folder: str, suite: Path, harness: Harness) -> None:
    _told(harness("run", suite.name, "--engine", "debug", "--results", folder), folder, "--results")


def test_a_reports_folder_that_cannot_be_written_is_told_before_anything_runs(suite: Path, harness: Harness) -> None:
    _told(harness("run", suite.name, "--engine", "debug", "--reports", "/proc/reports"), "/proc/reports")
    assert not (suite.parent / "results").exists()


def test_a_report_that_cannot_be_written_in_the_end_keeps_the_results(suite: Path, harness: Harness) -> None:
    in_the_way = suite.parent / "reports" / "tiny" / "report.md"
    in_the_way.mkdir(parents=True)
    _told(harness("run", suite.name, "--engine", "debug"), "report.md")
    in_the_way.rmdir()
    assert harness("report", suite.name).returncode == 0  # nothing had to be run again
    assert "3/3 trials done" in harness("status").stdout


def test_output_to_a_full_device_is_told(suite: Path) -> None:
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "harness", "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    _told(answer, "the disk is full")


_ON_A_SMALL_DISK = """
mount -t tmpfs -o size={size} tmpfs {disk} || exit 99
{python} -m harness run {suite} --engine debug --results {disk}/results >{out}/1.out 2>{out}/1.err
echo $? >{out}/1.code
mount -o remount,size=64m {disk}
{python} -m harness run {suite} --engine debug --results {disk}/results >{out}/2.out 2>{out}/2.err
echo $? >{out}/2.code
"""


@pytest.mark.parametrize("size", ["16k", "64k", "256k"])
def test_a_disk_that_fills_up_is_told_and_the_run_resumes(size: str, suite: Path, tmp_path: Path) -> None:
    """On a real file system that is full, in a mount namespace of its own, which vanishes with the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = textwrap.dedent(_ON_A_SMALL_DISK).format(
        size=size, disk=disk, python=sys.executable, suite=suite, out=tmp_path
    )
    made = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], check=False)
    if made.returncode != 0:
        made = subprocess.run(["unshare", "--mount", "sh", "-c", script], check=False)
    if made.returncode != 0:
        pytest.skip("this machine allows no mount namespace to make a small disk in")
    first = _written(tmp_path, 1)
    _told(first, "full", "try:")
    second = _written(tmp_path, 2)
    assert second.returncode == 0, second.stderr
    assert "report:" in second.stdout


def _written(folder: Path, number: int) -> Answer:
    code, out, err = ((folder / f"{number}.{kind}").read_text(encoding="utf-8") for kind in ("code", "out", "err"))
    return Answer(args=[], returncode=int(code), stdout=out, stderr=err)


@contextmanager
def _hanging_run(suite: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that hangs in its first training, as soon as it got there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", suite.name, "--engine", "debug", "--pretend", "*0.00*=hang"],
        cwd=suite.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while len(list(suite.parent.glob("results/tiny/*/attempts/*/events.jsonl"))) < 2:  # the floor, and the training
            assert time.monotonic() < deadline, "the run never began"
            assert process.poll() is None
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_run_of_a_suite_is_told_who_holds_it_and_status_sees_it(suite: Path, harness: Harness) -> None:
    with _hanging_run(suite) as first:
        _told(harness("run", suite.name, "--engine", "debug"), f"{first.pid}", "tiny")
        (one,) = json.loads(harness("status", "--json").stdout)
        assert one["holder"]["pid"] == first.pid
        said = harness("status", "tiny").stdout
        assert f"run by process {first.pid}" in said
        beside = harness("run", suite.name, "--engine", "debug", "--results", "beside")
        assert beside.returncode == 0, beside.stderr


def test_ctrl_c_ends_with_130_and_the_run_resumes(suite: Path, harness: Harness) -> None:
    with _hanging_run(suite) as first:
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=30)
        assert first.returncode == 130, said
        assert "Traceback" not in said
    again = harness("run", suite.name, "--engine", "debug")
    assert again.returncode == 0, again.stderr


def test_a_killed_run_resumes(suite: Path, harness: Harness) -> None:
    with _hanging_run(suite) as first:
        first.kill()
        first.communicate()
    again = harness("run", suite.name, "--engine", "debug")
    assert again.returncode == 0, again.stderr
    assert "interrupted" in harness("query", "select outcome from attempts").stdout


@pytest.fixture
def store(ran: Path) -> Path:
    """The database of a finished run."""
    return ran.parent / "results/harness.duckdb"


def test_a_damaged_store_is_told_and_rebuilt(store: Path, harness: Harness) -> None:
    store.write_bytes(b"not a database at all" * 1000)
    _told(harness("query", "from trial_summary"), "harness.duckdb", "harness store rebuild")
    assert harness("store", "rebuild").returncode == 0
    assert harness("query", "select count(*) as n from trials", "--csv").stdout == "n\n3\n"


def test_a_truncated_store_is_told_and_rebuilt(store: Path, harness: Harness) -> None:
    os.truncate(store, store.stat().st_size // 2)
    _told(harness("report", "tiny.yaml"), "harness.duckdb", "harness store rebuild")
    assert harness("store", "rebuild").returncode == 0
    assert harness("report", "tiny.yaml").returncode == 0


def test_a_store_from_a_newer_version_is_told_and_left_alone(store: Path, harness: Harness) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute('update meta set value = 999')"
    subprocess.run([sys.executable, "-c", code, str(store)], check=True)
    before = store.read_bytes()
    _told(harness("query", "from trial_summary"), "999", "newer")
    _told(harness("run", "tiny.yaml", "--engine", "debug"), "999", "newer")
    assert store.read_bytes() == before


def test_a_locked_store_is_told_with_the_way_out(store: Path, harness: Harness) -> None:
    code = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            _told(harness("query", "from trial_summary"), "harness.duckdb", str(other.pid))
        finally:
            other.kill()


def test_a_query_before_anything_ran_says_how_to_begin(harness: Harness) -> None:
    _told(harness("query", "from trial_summary"), "harness run")


def test_a_run_folder_without_its_spec_is_no_trial(store: Path, harness: Harness) -> None:
    folder = next(spec.parent for spec in store.parent.glob("tiny/*/spec.json"))
    (folder / "spec.json").write_text("{torn", encoding="utf-8")
    assert harness("list", "tiny").returncode == 0
    answer = harness("store", "rebuild")
    assert answer.returncode == 0, answer.stderr
    assert folder.name in answer.stderr


def test_a_missing_results_folder_is_nothing_wrong(harness: Harness) -> None:
    assert harness("status").returncode == 0
    assert harness("list").returncode == 0
    _told(harness("show", "anything"), "anything")
