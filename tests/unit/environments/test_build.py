"""Building: all of it or nothing, once, and told well when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import environments
from harness.environments import Declaration, Environment, fakes, lockfile, locks
from harness.environments.build import buildable
from harness.environments.environment import place_of
from harness.errors import BuildError, HeldError
from tests.unit.environments.conftest import Uv, visible

NO_PAUSES = (0.0, 0.0)


def test_what_is_built_is_found_locked_and_runs(uv: Uv, tiny: Declaration, cache: Path) -> None:
    uv()
    assert environments.find(tiny) is None
    built = environments.build(tiny)
    assert environments.find(tiny) == built
    assert visible(cache) == [built.folder.name] == [f"tiny-{tiny.spec_hash()[:12]}"]
    version = subprocess.run([built.python, "-c", "import six; print(six.version)"], capture_output=True, text=True)
    assert version.stdout.strip() == "1.16.0"
    record = built.record()
    assert record["packages"] == {"six": "1.16.0", "idna": "3.7"}
    assert record["python"] == sys.version.split()[0]
    assert (record["name"], record["spec_hash"]) == ("tiny", tiny.spec_hash())
    written = json.loads((built.folder / "lock.json").read_text())
    assert written["lock_hash"] == record["lock_hash"]
    assert written["freeze"] == ["idna==3.7", "six==1.16.0"]


def test_the_lock_is_of_what_is_installed(uv: Uv) -> None:
    uv()
    hashes = [
        environments.build(environments.declare(name, {"requirements": [wanted]})).lock.lock_hash
        for name, wanted in (("a", "six==1.16.0"), ("b", "six == 1.16.0"), ("c", "six==1.17.0"))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_environment_that_is_ready_is_not_built_again(uv: Uv, tiny: Declaration) -> None:
    folder = uv()
    environments.build(tiny)
    environments.build(tiny)
    assert [call["kind"] for call in fakes.calls(folder)] == ["venv", "pip"]
    (folder / "uv").unlink()
    assert environments.build(tiny).name == "tiny"  # needs no uv any more


def test_overrides_python_and_indexes_reach_uv(uv: Uv, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = uv()
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://ada:s3cr3t@two.example/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    fields = {"requirements": ["six==1.16.0", "torchvision"], "overrides": ['torchvision ; sys_platform == "never"']}
    built = environments.build(environments.declare("mine", fields))
    venv, install = fakes.calls(folder)
    assert sys.executable in venv["arguments"]
    assert install["files"]["overrides.txt"] == 'torchvision ; sys_platform == "never"\n'
    assert "--no-index" in install["arguments"]
    assert install["variables"]["UV_INDEX"] == "https://ada:s3cr3t@two.example/simple"
    assert install["variables"]["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert built.record()["packages"] == {"six": "1.16.0"}


def test_a_network_that_comes_back_is_enough(uv: Uv, tiny: Declaration) -> None:
    folder = uv(pip=("network", "network", "ok"))
    said: list[str] = []
    environments.build(tiny, tell=said.append, pauses_s=NO_PAUSES)
    assert [call["kind"] for call in fakes.calls(folder)] == ["venv", "pip", "pip", "pip"]
    assert sum("trying again" in line for line in said) == 2


def test_a_network_that_stays_away_is_told_with_the_end_of_the_log(uv: Uv, tiny: Declaration, cache: Path) -> None:
    folder = uv(pip=("network",))
    with pytest.raises(BuildError) as caught:
        environments.build(tiny, pauses_s=NO_PAUSES)
    said = str(caught.value)
    log = place_of(tiny).log
    assert "cannot be reached, tried 3 times" in said
    assert "dns error" in said
    assert str(log) in said
    assert "error sending request" in log.read_text()
    assert "s3cr3t" not in said + log.read_text()
    assert len(fakes.calls(folder)) == 4
    assert visible(cache) == []


@pytest.mark.parametrize(
    ("word", "said", "hint"),
    [
        ("unsolvable", "cannot be met", "overrides"),
        ("full", "the disk is full", "free some space"),
        ("certificate", "not trusted", "SSL_CERT_FILE"),
        ("refused", "refused", "password"),
        ("broken", "uv failed", "log"),
        ("killed", "killed", "memory"),
    ],
)
@pytest.mark.parametrize("step", ["venv", "pip"])
def test_other_failures_are_told_at_once(
    uv: Uv, tiny: Declaration, cache: Path, step: str, word: str, said: str, hint: str
) -> None:
    folder = uv(**{step: (word,)})
    with pytest.raises(BuildError) as caught:
        environments.build(tiny, pauses_s=NO_PAUSES)
    assert said in str(caught.value)
    assert hint in str(caught.value.problems[0].hint)
    assert caught.value.exit_code == 2
    assert [call["kind"] for call in fakes.calls(folder)].count(step) == 1
    assert visible(cache) == []
    uv()
    assert environments.build(tiny).name == "tiny"


def test_offline_is_told_as_such(uv: Uv, tiny: Declaration, monkeypatch: pytest.MonkeyPatch) -> None:
    uv(pip=("unsolvable",))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(BuildError, match="unset UV_OFFLINE"):
        environments.build(tiny)


def test_a_uv_that_hangs_is_ended(uv: Uv, tiny: Declaration, cache: Path) -> None:
    folder = uv(pip=("hang",))
    with pytest.raises(BuildError, match="did not end in time"):
        environments.build(tiny, timeout_s=1.0)
    assert gone(fakes.calls(folder)[-1]["pid"])
    assert visible(cache) == []


def test_force_builds_anew_and_keeps_the_old_where_that_fails(uv: Uv, tiny: Declaration, cache: Path) -> None:
    uv()
    first = environments.build(tiny)
    again = environments.build(tiny, force=True)
    assert again.lock.built_at > first.lock.built_at
    uv(pip=("unsolvable",))
    with pytest.raises(BuildError):
        environments.build(tiny, force=True)
    assert environments.find(tiny) == again
    assert visible(cache) == [again.folder.name]


def test_force_never_replaces_what_is_in_use(uv: Uv, tiny: Declaration) -> None:
    folder = uv()
    with environments.build(tiny).in_use():
        with pytest.raises(HeldError, match=f"(process {os.getpid()}|another process) runs in it"):
            environments.build(tiny, force=True)
        assert len(fakes.calls(folder)) == 2
    environments.build(tiny, force=True)


def test_what_was_taken_into_use_during_the_build_is_not_replaced(uv: Uv, tiny: Declaration, cache: Path) -> None:
    uv()
    first = environments.build(tiny)
    uv(pip=("slow",))
    failures: list[HeldError] = []

    def rebuild() -> None:
        try:
            environments.build(tiny, force=True)
        except HeldError as error:
            failures.append(error)

    thread = threading.Thread(target=rebuild)
    thread.start()
    time.sleep(0.4)
    with first.in_use():
        thread.join()
    assert len(failures) == 1
    assert environments.find(tiny) == first
    assert visible(cache) == [first.folder.name]


def test_two_builds_at_once_are_one(uv: Uv, tiny: Declaration, cache: Path) -> None:
    folder = uv(pip=("slow",))
    said: list[str] = []
    built: list[Environment] = []
    threads = [
        threading.Thread(target=lambda: built.append(environments.build(tiny, tell=said.append))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 3
    assert built[0] == built[1] == built[2]
    assert [call["kind"] for call in fakes.calls(folder)] == ["venv", "pip"]
    assert sum(f"process {os.getpid()} here since" in line for line in said) == 2
    assert visible(cache) == [built[0].folder.name]


BUILD = """
import sys
from harness import environments
environments.build(environments.declare("tiny", {"requirements": ["six==1.16.0", "idna==3.7"]}))
"""


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process ends in this time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="uv is tied to its parent on Linux only")
def test_kill_9_in_the_middle_leaves_nothing_that_is_used(uv: Uv, tiny: Declaration, cache: Path) -> None:
    folder = uv(pip=("orphan",))
    done = subprocess.run([sys.executable, "-c", BUILD], check=False)
    assert done.returncode == -signal.SIGKILL
    assert gone(fakes.calls(folder)[-1]["pid"])
    left = visible(cache)
    assert len(left) == 2  # the environment, and what uv was given
    assert all(name.startswith(".building-tiny-") for name in left)
    assert list((cache / left[0]).glob("lib/python*/site-packages/*.dist-info"))  # half of it was there
    assert environments.find(tiny) is None
    state = next(one for one in environments.overview([tiny]) if one.name == "tiny")
    assert state.condition == "not built"
    uv()
    built = environments.build(tiny)
    assert visible(cache) == [built.folder.name]
    assert built.record()["packages"] == {"six": "1.16.0", "idna": "3.7"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_uv(uv: Uv, tiny: Declaration, cache: Path, number: signal.Signals) -> None:
    folder = uv(pip=("hang",))
    process = subprocess.Popen([sys.executable, "-c", BUILD], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(fakes.calls(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) != 0
    assert gone(fakes.calls(folder)[-1]["pid"])
    assert environments.find(tiny) is None
    if number == signal.SIGINT:
        assert visible(cache) == []


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("python", "its Python is gone"),
        ("package", "six missing"),
        ("version", "six 9.9 not as locked"),
        ("lock", None),
    ],
)
def test_a_damaged_environment_is_not_used_and_built_anew(
    uv: Uv, tiny: Declaration, cache: Path, harm: str, why: str | None
) -> None:
    uv()
    built = environments.build(tiny)
    site = next(built.folder.glob("lib/python*/site-packages"))
    if harm == "python":
        built.python.unlink()
        built.python.symlink_to("/nowhere/python")
    elif harm == "package":
        (site / "six-1.16.0.dist-info" / "METADATA").unlink()
    elif harm == "version":
        (site / "six-1.16.0.dist-info").rename(site / "six-9.9.dist-info")
    else:
        (built.folder / "lock.json").write_text('{"format": 1')
    assert environments.find(tiny) is None
    state = next(one for one in environments.overview([tiny]) if one.name == "tiny")
    assert (state.condition, state.why) == ("broken", why or "its lock.json is missing or damaged")
    assert environments.build(tiny) != built
    assert visible(cache) == [built.folder.name]


def test_origins_are_told_by_commit_or_hash_never_by_address(uv: Uv, tmp_path: Path) -> None:
    wheel = tmp_path / "six-1.16.0-py3-none-any.whl"
    wheel.write_bytes(b"content")
    uv()
    wanted = [f"six @ file://{wheel}", "idna @ git+https://ada:hunter22@host.example/idna"]
    built = environments.build(environments.declare("mine", {"requirements": wanted}))
    origins = built.record()["origins"]
    assert origins["idna"] == {"vcs": "git", "commit_id": "c0ffee"}
    assert origins["six"]["archive"].startswith("sha256=ed7002b439e9ac84")
    assert "hunter22" not in (built.folder / "lock.json").read_text()
    assert "hunter22" not in built.place.log.read_text()


def test_a_cache_that_cannot_be_written_is_told(
    uv: Uv, tiny: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="XDG_CACHE_HOME"):
        environments.build(tiny)


def test_without_uv_it_says_how_to_get_it(tiny: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setitem(sys.modules, "uv", None)
    assert "pip install uv" in str(buildable(tiny))
    with pytest.raises(BuildError, match="pip install uv"):
        environments.build(tiny)


def test_cuda_is_asked_for_before_anything_is_built(uv: Uv, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = uv()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in str(buildable("vllm"))
    with pytest.raises(BuildError, match="CUDA"):
        environments.build("vllm")
    assert fakes.calls(folder) == []


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(BuildError, match="did you mean 'vllm-cpu'"):
        environments.find("vllm-gpu")


def test_a_process_in_an_environment_runs_this_harness_and_nothing_else_from_outside(
    uv: Uv, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv()
    wanted = environments.declare("mine", {"requirements": ["six==1.16.0"], "harness": True})
    built = environments.build(wanted)
    monkeypatch.setenv("PYTHONPATH", "/foreign")
    ask = (
        "import sys, harness.errors, importlib.metadata as m\n"
        "print(harness.errors.__file__, m.version('trl-harness'), '/foreign' in sys.path)\n"
        "import pytest"
    )
    done = subprocess.run(
        [built.python, "-P", "-c", ask], env=built.variables(), capture_output=True, text=True, check=False
    )
    here = Path(environments.__file__).resolve().parent.parent
    file, _, foreign = done.stdout.split()
    assert Path(file).resolve() == here / "errors.py"
    assert foreign == "False"
    assert "No module named 'pytest'" in done.stderr  # what lies beside the harness stays outside
    assert built.variables()["PYTHONPATH"] == built.variables()["PYTHONPATH"]
    plain = environments.build(environments.declare("plain", {"requirements": ["six==1.16.0"]}))
    assert "PYTHONPATH" not in plain.variables()
    given = plain.variables({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHOME": "/elsewhere", "LANG": "C"})
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME"} & set(given)
    assert given["LANG"] == "C"


def test_a_lock_of_another_format_is_none(uv: Uv, tiny: Declaration) -> None:
    uv()
    built = environments.build(tiny)
    file = built.folder / "lock.json"
    whole = json.loads(file.read_text())
    for change in ({"format": 99}, {"packages": {"six": "1.17.0"}}, {"more": 1}):
        file.write_text(json.dumps({**whole, **change}))
        assert lockfile.read(built.folder) is None
    file.write_text(json.dumps(whole))
    assert lockfile.read(built.folder) == built.lock


def test_an_environment_of_a_suite_is_found_in_the_cache_by_name(uv: Uv, tiny: Declaration) -> None:
    uv()
    assert environments.cached("tiny") is None
    built = environments.build(tiny)
    assert environments.cached("tiny") == environments.cached(built.place.key) == built


def test_looking_at_locks_disturbs_nobody(tmp_path: Path) -> None:
    lock = tmp_path / "some.use"
    assert locks.is_free(lock)
    with locks.shared(lock, patience_s=0), locks.shared(lock, patience_s=0) as second:
        assert second
        assert locks.users(lock) in ([os.getpid()], [])  # some file systems list another device than they have
        assert not locks.is_free(lock)
        assert not locks.is_held_alone(lock)
        with locks.alone(lock) as taken:
            assert not taken
    with locks.alone(lock) as taken:
        assert taken
        assert locks.is_held_alone(lock)
        assert locks.holder(lock).startswith(f"process {os.getpid()} here since")
        with locks.shared(lock, patience_s=0) as also:
            assert not also
    assert locks.is_free(lock)
