"""What is scored, what is kept, and what happens when the child dies; with a fake child."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness import models
from harness.errors import FolderError, InputError, Interrupted
from harness.records import suite
from harness.records.outcome import Outcome
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.score import BACKENDS, Backend, Failure, ScoreReport, score
from harness.score.backends import Place
from harness.score.scorefiles import folder_of, read_documents, read_score

MakeFolder = Callable[..., RunFolder]


@contextmanager
def _fakes(tell: object) -> Iterator[Place]:
    yield Place(command=(sys.executable, str(Path(__file__).with_name("fake_worker.py"))))


FAKE = Backend(
    name="vllm",
    description="a fake",
    opener="none:none",
    missing=lambda: None,
    place=_fakes,
)
BOTH = suite.Score(tasks=["arithmetic_mc", "arithmetic_gen"])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", FAKE)


def _score(folders: list[RunFolder], wanted: suite.Score = BOTH, *, force: bool = False) -> ScoreReport:
    return score(folders, wanted, observer=Silent(), root=Path(), force=force)


def _stamps(folders: list[RunFolder]) -> list[int]:
    return [path.stat().st_mtime_ns for folder in folders for path in sorted(folder.scores.glob("*/score.json"))]


def test_made_up_scores_say_so(run_folder: MakeFolder) -> None:
    folders = [run_folder("a"), run_folder("b")]
    report = _score(folders)
    assert (report.scored, report.reused, report.failed) == (4, 0, ())
    assert report.backend == "debug"
    assert report.note is not None
    assert "made-up" in report.note
    kept = read_score(folders[0], "arithmetic_mc", "debug")
    assert kept is not None
    assert kept.backend == "debug"
    assert kept.notes


def test_only_what_is_missing_is_scored(run_folder: MakeFolder) -> None:
    folders = [run_folder("a"), run_folder("b")]
    _score(folders)
    before = _stamps(folders)
    shutil.rmtree(folder_of(folders[1], "arithmetic_gen", "debug"))
    report = _score(folders)
    assert (report.scored, report.reused) == (1, 3)
    after = _stamps(folders)
    assert sorted(before)[:-1] == sorted(after)[:-1]


def test_force_scores_again(run_folder: MakeFolder) -> None:
    folders = [run_folder("a")]
    _score(folders)
    report = _score(folders, force=True)
    assert (report.scored, report.reused) == (2, 0)


@pytest.mark.parametrize(
    ("change", "scored"),
    [
        ({}, 0),
        ({"batch_size": 8}, 0),
        ({"limit": 5}, 1),
        ({"num_fewshot": 2}, 1),
        ({"apply_chat_template": True}, 1),
        ({"engine": {"quantization": "fp8"}}, 1),
    ],
)
def test_flags_that_change_the_questions_score_again(
    run_folder: MakeFolder, change: dict[str, Any], scored: int
) -> None:
    folders = [run_folder("a")]
    _score(folders, suite.Score(tasks=["arithmetic_mc"]))
    assert _score(folders, suite.Score(tasks=["arithmetic_mc"], **change)).scored == scored


@pytest.mark.usefixtures("fake")
def test_weights_that_training_did_not_leave_are_not_taken_for_its_own(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    _score([folder])
    (folder.checkpoint / "model.safetensors").write_bytes(b"two")
    report = _score([folder])
    assert (report.scored, report.reused) == (0, 0)
    assert ["not those that training left" in failure.cause for failure in report.failed] == [True, True]


@pytest.mark.usefixtures("fake")
def test_weights_that_a_later_attempt_left_are_scored_again(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"one")
    _score([folder])
    first = read_score(folder, "arithmetic_mc", "vllm")
    (folder.checkpoint / "model.safetensors").write_bytes(b"two")
    left = models.weights_hash(folder.checkpoint)
    folder.new_attempt().close(
        Outcome(outcome="ok", attempt=2, started_at="", ended_at="", duration_s=1.0, weights_hash=left)
    )
    assert _score([folder]).scored == 2
    second = read_score(folder, "arithmetic_mc", "vllm")
    assert first is not None
    assert second is not None
    assert first.weights_hash != second.weights_hash == left


@pytest.mark.usefixtures("fake")
def test_the_same_weights_are_asked_once(run_folder: MakeFolder) -> None:
    folders = [run_folder(name, weights=b"one", same=True) for name in "ab"] + [run_folder("c", weights=b"two")]
    observer = Silent()
    report = score(folders, BOTH, observer=observer, root=Path())
    assert (report.scored, report.failed) == (6, ())
    twin = read_score(folders[1], "arithmetic_gen", "vllm")
    assert twin is not None
    assert "not asked again" in twin.notes[-1]
    assert read_documents(folders[1], "arithmetic_gen", "vllm") == read_documents(folders[0], "arithmetic_gen", "vllm")
    assert _score(folders).reused == 6


@pytest.mark.usefixtures("fake")
def test_twins_of_weights_that_cannot_be_scored_fail_with_them(run_folder: MakeFolder) -> None:
    folders = [run_folder(name, weights=b"fails on arithmetic_mc", same=True) for name in "ab"]
    report = _score(folders)
    assert report.scored == 2
    assert [(failure.name, failure.cause) for failure in report.failed] == [
        ("a", "RuntimeError: no such luck"),
        ("b", "RuntimeError: no such luck"),
    ]


def test_a_changed_task_is_scored_again(run_folder: MakeFolder, tmp_path: Path) -> None:
    task = tmp_path / "mine.yaml"
    task.write_text(
        "task: mine\ncustom_dataset: !function utils.load\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n"
    )
    wanted = suite.Score(tasks=["mine.yaml"])
    folder = run_folder("a")
    assert score([folder], wanted, observer=Silent(), root=tmp_path).scored == 1
    assert score([folder], wanted, observer=Silent(), root=tmp_path).reused == 1
    (tmp_path / "utils.py").write_text("def load(): ...\n")
    assert score([folder], wanted, observer=Silent(), root=tmp_path).scored == 1


@pytest.mark.parametrize("outcome", ["oom", "diverged", "timeout", "crashed", "interrupted", "skipped"])
def test_a_trial_that_did_not_end_well_is_not_scored(run_folder: MakeFolder, outcome: str) -> None:
    folder = run_folder("a", outcome=outcome)
    report = _score([folder])
    assert (report.scored, report.failed) == (0, ())
    assert not folder.scores.exists()


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("weights", [b"fine", None])
def test_scores_of_a_dropped_checkpoint_stay(run_folder: MakeFolder, weights: bytes | None) -> None:
    folder = run_folder("a", weights=weights)
    _score([folder], suite.Score(tasks=["arithmetic_mc"]))
    shutil.rmtree(folder.checkpoint)
    report = _score([folder], force=True)
    assert report.reused == 1
    assert [(failure.task, "gone" in failure.cause) for failure in report.failed] == [("arithmetic_gen", True)]


def test_a_backend_that_cannot_be_used_is_refused_before_anything(
    run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", replace(FAKE, missing=lambda: "no device has room"))
    folder = run_folder("a")
    with pytest.raises(InputError, match="vllm backend cannot be used") as caught:
        _score([folder], suite.Score(tasks=["arithmetic_mc"], backend="vllm"))
    assert "hf" in str(caught.value.problems[0].hint)
    assert not folder.scores.exists()


def test_an_unknown_task_is_refused_before_anything(run_folder: MakeFolder) -> None:
    folder = run_folder("a")
    with pytest.raises(InputError, match="unknown task 'arithmetc_mc'"):
        _score([folder], suite.Score(tasks=["arithmetic_gen", "arithmetc_mc"]))
    assert not folder.scores.exists()


@pytest.mark.usefixtures("fake")
def test_every_trial_is_told_and_counted(run_folder: MakeFolder) -> None:
    folders = [run_folder("a", weights=b"1"), run_folder("b", weights=b"2")]
    observer = Silent()
    report = score(folders, BOTH, observer=observer, root=Path())
    texts = [text for kind, text in observer.told if kind == "message" and text.startswith("scoring")]
    assert texts == [
        "scoring 1/4 a arithmetic_mc",
        "scoring 2/4 a arithmetic_gen",
        "scoring 3/4 b arithmetic_mc",
        "scoring 4/4 b arithmetic_gen",
    ]
    assert (report.scored, report.backend) == (4, "vllm")
    assert report.note == "scored with vllm (a fake): `backend: auto` takes it where it can be used"
    kept = read_score(folders[0], "arithmetic_mc", "vllm")
    assert kept is not None
    assert report.note in kept.notes


@pytest.mark.usefixtures("fake")
def test_a_task_that_raises_costs_itself_alone(run_folder: MakeFolder) -> None:
    folders = [run_folder("a", weights=b"fails on arithmetic_mc"), run_folder("b", weights=b"fine")]
    report = _score(folders)
    assert report.scored == 3
    assert report.failed == (
        Failure(name="a", folder=folders[0].path, task="arithmetic_mc", cause="RuntimeError: no such luck"),
    )


@pytest.mark.usefixtures("fake")
def test_a_killed_child_costs_what_it_was_on(run_folder: MakeFolder) -> None:
    folders = [
        run_folder("a", weights=b"fine"),
        run_folder("b", weights=b"dies on arithmetic_mc"),
        run_folder("c", weights=b"dies loading"),
        run_folder("d", weights=b"also fine"),
    ]
    report = _score(folders)
    assert report.scored == 5
    lost = [(failure.folder.name, failure.task) for failure in report.failed]
    assert lost == [("b", "arithmetic_mc"), ("c", "arithmetic_mc"), ("c", "arithmetic_gen")]
    assert "SIGKILL" in report.failed[0].cause
    assert report.failed[0].cause.endswith("ends: last words")
    again = _score(folders)
    assert (again.scored, again.reused, len(again.failed)) == (0, 5, 3)


@pytest.mark.usefixtures("fake")
def test_a_child_that_never_starts_is_not_started_again(run_folder: MakeFolder) -> None:
    folders = [run_folder(name, weights=b"dies before anything") for name in "ab"]
    observer = Silent()
    report = score(folders, BOTH, observer=observer, root=Path())
    assert len(report.failed) == 4
    assert "code 3" in report.failed[0].cause
    assert "no module named 'lm_eval'" in report.failed[0].cause
    assert sum("importing" in str(text) for _, text in observer.told) == 1


@pytest.mark.usefixtures("fake")
def test_children_that_only_die_are_given_up(run_folder: MakeFolder) -> None:
    folders = [run_folder(f"t{index}", weights=b"dies loading") for index in range(5)]
    observer = Silent()
    report = score(folders, suite.Score(tasks=["arithmetic_mc"]), observer=observer, root=Path())
    assert len(report.failed) == 5
    assert sum("importing" in str(text) for _, text in observer.told) == 3


@dataclass(slots=True)
class _Impatient(Silent):
    """Presses Ctrl-C when it hears a certain line."""

    at: str = ""
    children: list[int] = field(default_factory=list)

    def message(self, text: str) -> None:
        if text.startswith(self.at):
            self.children = _children()
            raise KeyboardInterrupt


@pytest.mark.usefixtures("fake")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_ctrl_c_ends_the_child_and_keeps_what_was_scored(run_folder: MakeFolder) -> None:
    folders = [run_folder("a", weights=b"fine"), run_folder("b", weights=b"hangs on arithmetic_mc")]
    observer = _Impatient(at="scoring 3/4")
    with pytest.raises(KeyboardInterrupt):
        score(folders, BOTH, observer=observer, root=Path())
    assert len(observer.children) == 1
    assert not Path(f"/proc/{observer.children[0]}").exists()
    assert read_score(folders[0], "arithmetic_gen", "vllm") is not None
    assert not folders[1].scores.exists()


@pytest.mark.usefixtures("fake")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_who_wants_it_to_stop_need_not_wait_for_a_child_that_works_on(run_folder: MakeFolder) -> None:
    folders = [run_folder("a", weights=b"fine"), run_folder("b", weights=b"hangs on arithmetic_mc")]
    said: list[str] = []
    children: list[int] = []

    def check() -> None:
        if said and said[-1].startswith("scoring 3/4"):
            children.extend(_children())
            raise Interrupted.of("stopped")

    with pytest.raises(Interrupted):
        score(folders, BOTH, observer=Silent(), root=Path(), doing=said.append, check=check)
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()
    assert said[-1] == "scoring 3/4 b arithmetic_mc"
    assert read_score(folders[0], "arithmetic_gen", "vllm") is not None
    assert _score(folders[:1]).reused == 2, "running again goes on from there"


def test_made_up_scoring_stops_as_well(run_folder: MakeFolder) -> None:
    folders = [run_folder("a"), run_folder("b")]
    said: list[str] = []

    def check() -> None:
        if any(text.startswith("scoring 2/") for text in said):
            raise Interrupted.of("stopped")

    with pytest.raises(Interrupted):
        score(folders, BOTH, observer=Silent(), root=Path(), doing=said.append, check=check)
    assert _score(folders).reused == 2


def test_a_child_that_hangs_is_killed_and_costs_what_it_was_on(
    run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", replace(FAKE, silence_s=2.5))
    folders = [run_folder("a", weights=b"hangs on arithmetic_mc"), run_folder("b", weights=b"fine")]
    report = _score(folders)
    assert report.scored == 3
    (lost,) = report.failed
    assert (lost.name, lost.task) == ("a", "arithmetic_mc")
    assert "no sign of life" in lost.cause


def test_a_child_whose_log_grows_is_left_to_work(run_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", replace(FAKE, silence_s=2.5))
    report = _score([run_folder("a", weights=b"is slow on arithmetic_mc")])
    assert (report.scored, report.failed) == (2, ())


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in text.split()]


@pytest.mark.usefixtures("fake")
def test_a_log_that_cannot_be_written_is_said(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"fine")
    (folder.path.parent / "score.log").mkdir()
    with pytest.raises(FolderError, match=r"score\.log cannot be written"):
        _score([folder])


def test_a_checkpoint_without_weights_is_a_failure(run_folder: MakeFolder) -> None:
    folder = run_folder("a", weights=b"x")
    (folder.checkpoint / "model.safetensors").unlink()
    report = _score([folder])
    assert [(failure.task, "no weights" in failure.cause) for failure in report.failed] == [
        ("arithmetic_mc", True),
        ("arithmetic_gen", True),
    ]


def test_made_up_and_real_checkpoints_may_lie_together(run_folder: MakeFolder, fake: None) -> None:
    folders = [run_folder("a"), run_folder("b", weights=b"fine")]
    report = _score(folders)
    assert (report.scored, report.backend) == (4, "vllm")
    assert {path.name for path in folders[0].scores.iterdir()} == {"arithmetic_mc.debug", "arithmetic_gen.debug"}
    assert {path.name for path in folders[1].scores.iterdir()} == {"arithmetic_mc.vllm", "arithmetic_gen.vllm"}


def test_importing_the_room_stays_light() -> None:
    heavy = "torch transformers trl peft datasets lm_eval pandas"
    code = f"import sys, harness.score; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
