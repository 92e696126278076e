"""The nursery's own protocol, spoken to directly."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.records.run_folder import RunFolder, write_json
from harness.worker.nursery import cuda_begun

HELD_S = 20.0


@dataclass
class Spoken:
    """A nursery of rehearsals, and what it replies."""

    process: subprocess.Popen[bytes]
    replies: int
    pending: list[bytes] = field(default_factory=list)

    def run(self, folder: RunFolder, attempt: int = 1) -> None:
        (folder.path / "attempts" / str(attempt)).mkdir(parents=True, exist_ok=True)
        command = {"cmd": "run", "id": f"{folder.path.name}/{attempt}", "folder": str(folder.path), "attempt": attempt}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def reply(self) -> dict[str, Any]:
        while not self.pending:
            assert select.select([self.replies], [], [], HELD_S)[0], "no reply in time"
            chunk = os.read(self.replies, 65536)
            assert chunk, "the nursery has ended"
            self.pending = chunk.splitlines()
        found: dict[str, Any] = json.loads(self.pending.pop(0))
        return found


def begin(*options: str, parent: int | None = None) -> Spoken:
    read, write = os.pipe()
    command = [sys.executable, "-m", "harness.worker.nursery", f"--reply-fd={write}", "--preload=none"]
    command += ["--train=harness.worker.rehearsal:train", f"--parent={parent or os.getpid()}", *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(write,), start_new_session=True)
    os.close(write)
    return Spoken(process, read)


@pytest.fixture
def nursery() -> Iterator[Spoken]:
    spoken = begin()
    yield spoken
    assert spoken.process.stdin is not None
    spoken.process.stdin.close()
    assert spoken.process.wait(HELD_S) is not None
    os.close(spoken.replies)
    assert psutil.Process().children(recursive=True) == []


def make_folder(path: Path, **train: Any) -> RunFolder:
    folder = RunFolder(path)
    write_json(folder.spec_file, {"train": train})
    return folder


def gone(pid: int) -> bool:
    deadline = time.monotonic() + HELD_S
    while psutil.pid_exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_it_says_what_it_is_ready_with(nursery: Spoken) -> None:
    ready = nursery.reply()
    assert ready["ready"] is True
    assert ready["import_s"] < 1
    assert ready["threads"] == 1
    assert ready["warning"] is None


def test_a_thread_before_the_fork_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='poll', daemon=True).start()"
    (tmp_path / "starts_a_thread.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spoken = begin("--preload=starts_a_thread")
    ready = spoken.reply()
    assert ready["warning"] == "threads run in the nursery before the fork: poll"
    assert ready["threads"] == 2
    spoken.process.communicate()


def test_where_a_fork_is_not_safe_workers_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='poll', daemon=True).start()"
    (tmp_path / "starts_a_thread.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spoken = begin("--preload=starts_a_thread")
    spoken.reply()
    folder = make_folder(tmp_path / "t", behaviour="hang")
    spoken.run(folder)
    pid = spoken.reply()["started"]
    attempt = folder.attempts()[0]
    wait_until(attempt.events.exists)
    worker = psutil.Process(pid)
    assert "harness.worker.attempt" in worker.cmdline()
    assert worker.environ()["HARNESS_COLD_START"] == "threads run in the nursery before the fork: poll"
    assert os.getsid(pid) == pid
    assert worker.num_threads() == 1
    worker.terminate()
    ended = spoken.reply()
    assert (ended["exited"], ended["status"]) == (pid, 0)
    assert folder.outcome() is not None
    assert str(folder.outcome()).count("interrupted")
    spoken.process.communicate()


def test_a_fresh_worker_dies_with_its_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='poll', daemon=True).start()"
    (tmp_path / "starts_a_thread.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spoken = begin("--preload=starts_a_thread")
    spoken.reply()
    folder = make_folder(tmp_path / "t", behaviour="hang")
    spoken.run(folder)
    pid = spoken.reply()["started"]
    wait_until(folder.attempts()[0].events.exists)
    spoken.process.kill()
    spoken.process.wait()
    assert gone(pid)


@pytest.mark.parametrize(
    ("opened", "begun"),
    [
        (["/dev/null", "socket:[7]"], False),
        (["/dev/nvidiactl", "/dev/nvidia0"], False),  # NVML alone
        (["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0"], True),  # CUDA, whoever asked it
    ],
)
def test_cuda_that_has_begun_shows_although_torch_does_not_say_so(
    opened: list[str], begun: bool, tmp_path: Path
) -> None:
    for number, target in enumerate(opened):
        (tmp_path / str(number)).symlink_to(target)
    (tmp_path / "closed-meanwhile").touch()
    assert cuda_begun(tmp_path) is begun
    assert not cuda_begun(tmp_path / "nowhere")
    assert not cuda_begun()


@pytest.mark.slow
def test_a_package_that_asks_the_device_is_hidden_from_imports_only() -> None:
    """PEFT imports bitsandbytes where it is installed, and that initialises CUDA: afterwards no fork could use it."""
    code = """
import importlib.util, json, sys
import torch
torch.cuda.is_available = lambda: True
from harness.worker.nursery import preload
import importlib
preload(["peft", "peft.tuners.lora", "transformers"])
from transformers.utils import is_bitsandbytes_available
torch.cuda.is_available = lambda: False
print(json.dumps({
    "imported": "bitsandbytes" in sys.modules,
    "found": importlib.util.find_spec("bitsandbytes") is not None,
    "transformers": is_bitsandbytes_available(),
}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1]) == {"imported": False, "found": True, "transformers": True}


def test_a_worker_leads_its_own_session_and_prints_into_its_log(nursery: Spoken, tmp_path: Path) -> None:
    nursery.reply()
    folder = make_folder(tmp_path / "t", behaviour="hang")
    nursery.run(folder)
    pid = nursery.reply()["started"]
    attempt = folder.attempts()[0]
    wait_until(attempt.events.exists)
    assert os.getsid(pid) == pid == os.getpgid(pid)
    opened = {int(path.name): str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert (opened[0], opened[1], opened[2]) == (os.devnull, str(attempt.log), str(attempt.log))
    pipes = [target for target in opened.values() if "pipe" in target]
    assert pipes == [], "the protocol's pipes are closed in the worker"
    os.kill(pid, signal.SIGINT)  # ignored: Ctrl-C is the parent's to judge
    os.kill(pid, signal.SIGTERM)
    assert nursery.reply() == {"exited": pid, "id": "t/1", "status": 0, "signal": None}
    outcome = attempt.outcome()
    assert outcome is not None
    assert (outcome.outcome, outcome.cause, outcome.phase) == ("interrupted", "stopped by SIGTERM", "train")


def test_an_error_made_of_the_stop_is_still_an_interruption(nursery: Spoken, tmp_path: Path) -> None:
    nursery.reply()
    folder = make_folder(tmp_path / "t", behaviour="swallow", steps=1)
    nursery.run(folder)
    pid = nursery.reply()["started"]
    wait_until(folder.attempts()[0].events.exists)
    time.sleep(0.05)
    os.kill(pid, signal.SIGTERM)
    assert nursery.reply()["status"] == 0
    outcome = folder.attempts()[0].outcome()
    assert outcome is not None
    assert outcome.outcome == "interrupted"
    assert outcome.cause == "stopped by SIGTERM; then: RuntimeError: wrapped by a library"


def test_workers_are_independent_and_each_end_is_reported(nursery: Spoken, tmp_path: Path) -> None:
    nursery.reply()
    nursery.run(make_folder(tmp_path / "dies", behaviour="die"))
    nursery.run(make_folder(tmp_path / "fine"))
    replies = [nursery.reply() for _ in range(4)]
    ends = {reply["id"]: (reply["status"], reply["signal"]) for reply in replies if "exited" in reply}
    assert ends == {"dies/1": (None, 9), "fine/1": (0, None)}


def test_an_outcome_that_cannot_be_written_is_told_by_the_exit_code(nursery: Spoken, tmp_path: Path) -> None:
    nursery.reply()
    folder = make_folder(tmp_path / "t")
    (folder.path / "attempts" / "1" / "outcome.json").mkdir(parents=True)
    nursery.run(folder)
    nursery.reply()
    assert nursery.reply()["status"] == 74
    assert "the outcome could not be written" in folder.attempts()[0].log.read_text()


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGKILL"])
def test_no_worker_outlives_its_nursery(tmp_path: Path, end: str) -> None:
    spoken = begin()
    spoken.reply()
    folder = make_folder(tmp_path / "t", behaviour="deaf")
    spoken.run(folder)
    pid = spoken.reply()["started"]
    wait_until(folder.attempts()[0].events.exists)
    if end == "stdin":
        assert spoken.process.stdin is not None
        spoken.process.stdin.close()
    else:
        spoken.process.send_signal(signal.Signals[end])
    assert gone(pid)
    assert spoken.process.wait(HELD_S) == (-9 if end == "SIGKILL" else 0)


def test_a_nursery_whose_parent_is_gone_already_does_not_begin() -> None:
    spoken = begin(parent=1)
    assert spoken.process.wait(HELD_S) == 128 + signal.SIGTERM


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + HELD_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.slow
def test_the_training_stack_is_safe_to_fork_once_imported() -> None:
    """No Python thread, no CUDA; the few native threads are those of libraries that prepare for forks."""
    spoken = begin("--preload=default", "--train=harness.worker.trial:run_trial")
    assert select.select([spoken.replies], [], [], 120)[0], "it did not import in time"
    ready = spoken.reply()
    spoken.process.communicate()
    assert ready["warning"] is None
    assert ready["threads"] <= 1 + 3 * (os.cpu_count() or 1)
