"""One child per family, another where one dies, and nothing of any left behind; with a fake child."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.records import suite
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder, read_json
from harness.score import BACKENDS, Backend, ScoreReport, score
from harness.score.backends import Place
from harness.score.scorefiles import failure_file, folder_of, read_documents, read_score, update_score

MakeFolder = Callable[..., RunFolder]

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
MARK = "HARNESS_CHILDREN_TEST"
PATIENCE_S = 20.0
MC, GEN = "arithmetic_mc", "arithmetic_gen"
BOTH = suite.Score(tasks=[MC, GEN], backend="vllm")


@contextmanager
def _fakes(tell: object) -> Iterator[Place]:
    yield Place(command=(sys.executable, str(FAKE_WORKER)))


FAKE = Backend(name="vllm", description="a fake", opener="none:none", missing=lambda: None, place=_fakes, shares=True)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", FAKE)
    monkeypatch.setitem(BACKENDS, "hf", replace(FAKE, name="hf", shares=False))


@dataclass
class Heard(Silent):
    """What was told."""

    messages: list[str] = field(default_factory=list)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def children(self) -> int:
        return sum(text.startswith("importing lm-eval") for text in self.messages)

    def order(self) -> list[str]:
        return [text.split()[2] for text in self.messages if text.startswith("scoring ")]


def _score(folders: list[RunFolder], wanted: suite.Score = BOTH, *, force: bool = False) -> tuple[ScoreReport, Heard]:
    heard = Heard()
    return score(folders, wanted, observer=heard, root=Path(), force=force), heard


def _family(folder: RunFolder, name: str) -> RunFolder:
    """Makes the architecture of its checkpoint another one."""
    (folder.checkpoint / "config.json").write_text(json.dumps({"model_type": name}))
    place = folder.attempts()[-1].path / "outcome.json"
    from harness import models

    place.write_text(
        json.dumps({**json.loads(place.read_bytes()), "weights_hash": models.weights_hash(folder.checkpoint)})
    )
    return folder


def test_every_family_has_a_child_of_its_own(run_folder: MakeFolder) -> None:
    names = {"a": "one", "b": "two", "c": "one", "d": "two"}
    folders = [_family(run_folder(name, weights=b"fine"), family) for name, family in names.items()]
    report, heard = _score(folders, suite.Score(tasks=[MC], backend="vllm"))
    assert (report.scored, report.failed) == (4, ())
    assert heard.children() == 2
    assert heard.order() == ["a", "c", "b", "d"]


def test_a_backend_that_shares_nothing_has_one_child_for_all(run_folder: MakeFolder) -> None:
    folders = [_family(run_folder(name, weights=b"fine"), name) for name in "ab"]
    _, heard = _score(folders, suite.Score(tasks=[MC], backend="hf"))
    assert heard.children() == 1


def test_the_one_that_broke_the_engine_is_crashed_and_another_goes_on(run_folder: MakeFolder) -> None:
    folders = [
        run_folder("a", weights=b"fine"),
        run_folder("b", weights=f"breaks the engine on {MC}".encode()),
        run_folder("c", weights=b"also fine"),
    ]
    report, heard = _score(folders)
    assert (report.scored, heard.children()) == (5, 2)
    (lost,) = report.failed
    assert (lost.name, lost.task) == ("b", MC)
    log = folders[0].path.parent / "score.log"
    assert lost.cause == f"crashed: the vllm engine died: EngineDeadError: it was too much; its log is {log}"
    assert "EngineDeadError" in log.read_text()
    kept = read_json(failure_file(folders[1], MC, "vllm")) or {}
    assert (kept["task"], kept["backend"], kept["step"], kept["cause"]) == (MC, "vllm", None, lost.cause)
    assert "EngineDeadError: it was too much" in kept["log"]
    assert not failure_file(folders[1], GEN, "vllm").exists()
    assert heard.order() == ["a", "a", "b", "b", "c", "c"], "its other task is asked of the next child"


def test_the_log_of_a_child_holds_no_secret(run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "it was too much")
    folder = run_folder("b", weights=f"breaks the engine on {MC}".encode())
    _score([folder])
    log = (folder.path.parent / "score.log").read_text()
    assert "[SOME_TOKEN redacted]" in log
    assert "it was too much" not in log
    assert "it was too much" not in failure_file(folder, MC, "vllm").read_text()


def test_a_child_that_was_killed_costs_what_it_was_on(run_folder: MakeFolder) -> None:
    folders = [run_folder("a", weights=f"dies on {MC}".encode()), run_folder("b", weights=b"fine")]
    report, _ = _score(folders)
    assert report.scored == 3
    assert report.failed[0].cause.startswith("crashed: the scoring process was killed by SIGKILL; ")
    (folders[0].checkpoint / "model.safetensors").read_bytes()
    again, heard = _score(folders)
    assert (again.scored, again.reused, heard.children()) == (0, 3, 1)


def test_a_family_that_is_given_up_does_not_cost_the_others(run_folder: MakeFolder) -> None:
    bad = [_family(run_folder(f"bad{index}", weights=b"dies loading"), "bad") for index in range(4)]
    good = _family(run_folder("good", weights=b"fine"), "good")
    report, heard = _score([*bad, good])
    assert (report.scored, len(report.failed), heard.children()) == (2, 8, 4)


def test_what_a_killed_child_wrote_goes_with_it(
    run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    report, _ = _score([run_folder("a", weights=f"fills its folder on {MC}".encode())])
    assert (report.scored, len(report.failed)) == (1, 1)
    assert list(place.iterdir()) == []


def test_a_comparison_that_fails_is_not_told_as_a_missing_score(
    run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder("a", weights=b"fails on nothing")
    _score([folder], suite.Score(tasks=[MC], backend="vllm"))
    dying = tmp_worker(folder.path.parent.parent, "print('no transformers here'); raise SystemExit(4)")
    monkeypatch.setitem(BACKENDS, "hf", replace(BACKENDS["hf"], place=dying))
    report, _ = _score([folder], suite.Score(tasks=[MC], backend="vllm", parity=2))
    (lost,) = report.failed
    assert lost.cause.startswith("its score is there, but not compared with hf: the scoring process ended with code 4")
    assert read_score(folder, MC, "vllm") is not None
    assert report.reused == 1
    assert not list(folder.scores.glob("*.failed.json"))


def tmp_worker(folder: Path, code: str) -> Callable[[object], AbstractContextManager[Place]]:
    """A child that runs this code."""
    script = folder / "child.py"
    script.write_text(code)

    @contextmanager
    def place(tell: object) -> Iterator[Place]:
        yield Place(command=(sys.executable, str(script)))

    return place


def test_a_score_whose_engine_was_not_the_same_at_the_end_is_made_anew(run_folder: MakeFolder) -> None:
    folders = [run_folder(name, weights=b"fine") for name in "ab"]
    _score(folders)
    update_score(folders[0], MC, "vllm", None, lambda one: replace(one, canary={"base_again": False}))
    update_score(folders[1], MC, "vllm", None, lambda one: replace(one, canary={"base_again": True}))
    report, heard = _score(folders)
    assert (report.scored, report.reused) == (1, 3)
    assert heard.order() == ["a"]


DRIVER = """
import json, sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from harness.records import suite
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.score import BACKENDS, score
from harness.score.backends import Place

@contextmanager
def place(tell):
    yield Place(command=(sys.executable, {worker!r}))

class Printing(Silent):
    def message(self, text):
        print(text, flush=True)

BACKENDS["vllm"] = replace(BACKENDS["vllm"], place=place, missing=lambda: None)
wanted = suite.Score(tasks=["arithmetic_mc", "arithmetic_gen"], backend="vllm")
report = score([RunFolder(Path(one)) for one in sys.argv[1:]], wanted, observer=Printing(), root=Path())
print(json.dumps([report.scored, report.reused, [one.cause for one in report.failed]]), flush=True)
"""


@dataclass
class Run:
    """Scoring in a process of its own, whose children are known by a mark in their environment."""

    folders: list[RunFolder]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __enter__(self) -> Run:
        places = [str(folder.path) for folder in self.folders]
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER.format(worker=str(FAKE_WORKER)), *places],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            env={**os.environ, MARK: self.mark},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def until(self, beginning: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return
        pytest.fail(f"it never said {beginning!r}")

    def ended(self) -> list[object]:
        said, errors = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, errors
        return list(json.loads(said.splitlines()[-1]))

    def living(self) -> list[int]:
        """Everybody who carries the mark, wherever in the tree."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                marked = f"{MARK}={self.mark}".encode() in (place / "environ").read_bytes().split(b"\0")
                alive = (place / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            except OSError:
                continue
            if marked and alive:
                found.append(int(place.name))
        return found

    def scorer(self) -> int:
        (found,) = set(self.living()) - {self.process.pid}
        return found

    def assert_nobody_lives(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while left := self.living():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.02)


@pytest.fixture
def hanging(run_folder: MakeFolder) -> list[RunFolder]:
    """The second hangs on its first task."""
    return [run_folder("a", weights=b"fine"), run_folder("b", weights=f"hangs on {MC}".encode())]


@pytest.mark.slow
def test_a_killed_scorer_costs_what_it_was_on_and_the_next_goes_on(hanging: list[RunFolder]) -> None:
    with Run(hanging) as run:
        run.until("scoring 3/4 b")
        os.kill(run.scorer(), signal.SIGKILL)
        scored, reused, causes = run.ended()
        run.assert_nobody_lives()
    assert (scored, reused) == (3, 0)
    assert "SIGKILL" in str(causes)
    assert read_score(hanging[1], GEN, "vllm") is not None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_whoever_stops_the_parent_stops_the_scorer_and_the_next_run_goes_on(
    hanging: list[RunFolder], number: signal.Signals
) -> None:
    with Run(hanging) as run:
        run.until("scoring 3/4 b")
        assert len(run.living()) == 2
        os.kill(run.process.pid, number)
        run.process.wait(timeout=PATIENCE_S)
        run.assert_nobody_lives()
    before = folder_of(hanging[0], MC, "vllm") / "score.json"
    stamp = before.stat().st_mtime_ns
    assert read_score(hanging[1], MC, "vllm") is None
    hanging[1] = _mended(hanging[1])
    with Run(hanging) as again:
        assert again.ended() == [2, 2, []]
    assert before.stat().st_mtime_ns == stamp, "what was scored stays as it was"


def _mended(folder: RunFolder) -> RunFolder:
    from harness import models

    (folder.checkpoint / "model.safetensors").write_bytes(b"fine")
    place = folder.attempts()[-1].path / "outcome.json"
    place.write_text(
        json.dumps({**json.loads(place.read_bytes()), "weights_hash": models.weights_hash(folder.checkpoint)})
    )
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where one may be mounted."""
    place = tmp_path / "suite"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", place]).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_scored(small_disk: Path, run_folder: MakeFolder) -> None:
    folders = [run_folder(name, weights=b"fine") for name in "ab"]
    assert _score(folders[:1])[0].scored == 2
    had = {task: read_documents(folders[0], task, "vllm") for task in (MC, GEN)}
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    report, _ = _score(folders, force=True)
    assert report.scored == 0
    assert len(report.failed) == 4
    for task in (MC, GEN):
        assert read_score(folders[0], task, "vllm") is not None, "a score that cannot be replaced stays"
        assert read_documents(folders[0], task, "vllm") == had[task]
    ballast.unlink()
    report, _ = _score(folders)
    assert (report.scored, report.reused, report.failed) == (2, 2, ())
