"""One run per suite, and who it is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import FolderError, HeldError, Interrupted
from harness.execute import holder, session
from harness.execute.lock import hold, lock_file
from harness.execute.session import doing

HOLD = """
import sys, time
from pathlib import Path
from harness.execute.lock import hold
with hold(Path(sys.argv[1]), "s"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_while_it_holds(tmp_path: Path) -> None:
    assert holder(tmp_path, "s") is None
    with hold(tmp_path, "s"):
        who = holder(tmp_path, "s")
        assert who is not None
        assert (who["pid"], who["host"]) == (os.getpid(), socket.gethostname())
        assert set(who) == {"pid", "host", "started_at", "command", "user"}
    assert holder(tmp_path, "s") is None


def test_another_process_is_named_and_its_death_frees_the_suite(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(HeldError) as caught, hold(tmp_path, "s"):
            pass
        (problem,) = caught.value.problems
        assert problem.what == "suite 's' is being run already"
        assert f"process {other.pid} on {socket.gethostname()}" in str(problem.why)
        assert f"kill -INT {other.pid}" in str(problem.hint)
        assert caught.value.exit_code == 2
        other.kill()
        other.wait()
    assert json.loads(lock_file(tmp_path, "s").read_text())["pid"] == other.pid, "the file of the dead stays"
    assert holder(tmp_path, "s") is None
    with hold(tmp_path, "s"):
        assert json.loads(lock_file(tmp_path, "s").read_text())["pid"] == os.getpid()


def test_suites_do_not_block_each_other(tmp_path: Path) -> None:
    with hold(tmp_path, "s"), hold(tmp_path, "t"):
        assert holder(tmp_path, "s") is not None
        assert holder(tmp_path, "t") is not None


def test_a_lock_that_was_just_taken_may_not_say_by_whom(tmp_path: Path) -> None:
    with hold(tmp_path, "s"):
        lock_file(tmp_path, "s").write_text("")
        assert holder(tmp_path, "s") == {}
        with pytest.raises(HeldError, match="process unknown on unknown"), hold(tmp_path, "s"):
            pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="results cannot be written"), hold(tmp_path / "file", "s"):
        pass


def test_a_session_holds_the_suite_and_tells_what_it_does(tmp_path: Path) -> None:
    with session(tmp_path, "s") as held:
        held.doing("scoring 3/15 dpo-s0 arithmetic_mc")
        with pytest.raises(HeldError), session(tmp_path, "s"):
            pass
        assert doing(tmp_path, "s") == "scoring 3/15 dpo-s0 arithmetic_mc", "who is refused must not disturb the holder"
        held.check()
    assert doing(tmp_path, "s") is None
    assert holder(tmp_path, "s") is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_a_session_becomes_interrupted_with_the_way_on(tmp_path: Path, number: signal.Signals) -> None:
    with session(tmp_path, "s") as held:
        held.doing("scoring 3/15")
        signal.raise_signal(number)
        with pytest.raises(Interrupted) as caught:
            held.check()
    (problem,) = caught.value.problems
    assert problem.what == f"stopped by the user ({number.name})"
    assert problem.why == "scoring 3/15"
    assert "same command again" in str(problem.hint)
    assert caught.value.exit_code == 130


def test_what_a_killed_session_was_doing_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "progress.json").write_text('{"doing": "scoring 1/2"}')
    with session(tmp_path, "s"):
        assert doing(tmp_path, "s") is None
