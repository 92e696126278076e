"""Each checkpoint proven to be itself: the scoring child's own work, with a fake engine and made-up answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.run_folder import RunFolder
from harness.records.score import Document, Score
from harness.score.jobs import Job, JobCheckpoint, JobTask
from harness.score.opened import Opened
from harness.score.preflight import Way
from harness.score.scorefiles import read_score

pytestmark = pytest.mark.slow  # imports lm-eval

NAN = math.nan


@dataclass
class Engine:
    """Answers by the weights that are in it: a number for each name. `engine.heard` are the names it was asked as."""

    numbers: dict[str, float]
    now: str = ""
    began: str | None = None
    heard: list[str] = field(default_factory=list)
    dead: bool = False

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        if self.dead:
            raise RuntimeError("EngineDeadError")
        self.heard.append(self.now)
        return [(self.numbers[self.now] - index, False) for index, _ in enumerate(requests)]


@dataclass
class FakeOpener:
    """An engine that is shared. Checkpoints in `ignored` answer as their base until they are merged; opening one in
    `deadly` kills the engine; one in `null` is an adapter that changes nothing."""

    engine: Engine
    ignored: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    null: set[str] = field(default_factory=set)

    @contextmanager
    def open(self, checkpoint: JobCheckpoint) -> Iterator[Opened]:
        name = checkpoint.name
        if name in self.broken:
            raise RuntimeError(f"{name} cannot be loaded")
        if name in self.deadly:
            self.engine.dead = True
            raise RuntimeError(f"{name} was too much")
        fresh = self._begin(name)
        adapter = checkpoint.way == "adapter"
        base = str((checkpoint.base or {}).get("path"))
        self.engine.now = base if name in self.ignored else name
        yield Opened(
            lm=self.engine,
            served="adapter" if adapter else "base" if fresh else "reloaded",
            null=name in self.null,
        )

    def base(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Any] | None:
        return None if checkpoint.base is None else self._bare(str(checkpoint.base["path"]))

    def again(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Opened] | None:
        return self._merged(checkpoint) if checkpoint.way == "adapter" else None

    def first(self) -> AbstractContextManager[Any] | None:
        return None if self.engine.began is None else self._bare(self.engine.began)

    def lives(self) -> bool:
        return not self.engine.dead

    def close(self) -> None: ...

    def _begin(self, name: str) -> bool:
        fresh = self.engine.began is None
        self.engine.began = name if fresh else self.engine.began
        return fresh

    @contextmanager
    def _bare(self, name: str) -> Iterator[Engine]:
        self._begin(name)
        self.engine.now = name
        yield self.engine

    @contextmanager
    def _merged(self, checkpoint: JobCheckpoint) -> Iterator[Opened]:
        self.engine.now = checkpoint.name
        yield Opened(lm=self.engine, served="merged")


class Tasks:
    """In the place of lm-eval's: a document for each task. `bad` raises, `deadly` takes the engine with it."""

    def __init__(self, *_: object) -> None: ...

    def evaluate(self, lm: Engine, name: str, indexes: Sequence[int] | None = None, hear: object = None) -> Any:
        from harness.score.answers import Evaluated

        if name == "bad":
            raise ValueError("the task raised")
        if name == "deadly":
            lm.dead = True
            raise RuntimeError("EngineDeadError")
        one = Document(
            index=0, doc_hash="d", prompt_hash="p", target_hash="t", target="4", response=lm.now, metrics={"acc": 1.0}
        )
        return Evaluated(
            metrics={"acc": 1.0}, stderr={}, higher_is_better={}, version="1", documents=[one], notes=("of the task",)
        )


@dataclass
class Scored:
    """A job that was done."""

    root: Path
    told: list[tuple[str, str, str, str]]
    opener: FakeOpener
    died: bool = False

    def score(self, name: str, task: str = "good") -> Score:
        found = read_score(RunFolder(self.root / name), task, "vllm")
        assert found is not None
        return found

    def canary(self, name: str) -> dict[str, Any]:
        return dict(self.score(name).canary or {})

    def kinds(self, kind: str) -> list[tuple[str, str]]:
        return [(name, task) for what, name, task, _ in self.told if what == kind]


Do = Callable[..., Scored]


@pytest.fixture
def do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Do:
    """Scores checkpoints, given as (name, base or None), on tasks."""
    from harness.score import scoring

    monkeypatch.setattr(scoring, "Evaluator", Tasks)

    def run(
        checkpoints: Sequence[tuple[str, str | None]],
        numbers: dict[str, float],
        *,
        tasks: Sequence[str] = ("good",),
        at_the_end: Callable[[FakeOpener], None] | None = None,
        **opener: set[str],
    ) -> Scored:
        ways: dict[bool, Way] = {True: "full", False: "adapter"}
        job = Job(
            backend="vllm",
            opener="",
            flags={"limit": None},
            tasks=tuple(JobTask(name=task, path="", hash="h") for task in tasks),
            checkpoints=tuple(
                JobCheckpoint(
                    folder=str(tmp_path / name),
                    checkpoint=str(tmp_path / name),
                    weights_hash=f"weights of {name}",
                    tasks=tuple(tasks),
                    name=name,
                    way=ways[base is None],
                    base=None if base is None else {"path": base},
                )
                for name, base in checkpoints
            ),
        )
        made = FakeOpener(Engine(numbers), **opener)
        done = Scored(tmp_path, [], made)

        def tell(kind: str, **values: Any) -> None:
            where = Path(values.get("checkpoint", "")).name
            done.told.append((kind, where, values.get("task", ""), values.get("cause", "")))

        working = scoring.Scoring(job, made, tell)
        try:
            for checkpoint in job.checkpoints:
                working.score(checkpoint)
            if at_the_end is not None:
                at_the_end(made)
            working.finish()
        except scoring.EngineDied:
            done.died = True
        return done

    return run


def test_checkpoints_that_answer_each_their_own_way_are_proven(do: Do) -> None:
    done = do(
        [("base", None), ("a", "base"), ("b", "base"), ("full", None)], {"base": -1, "a": -2, "b": -3, "full": -4}
    )
    assert {name: done.canary(name)["differs_from_base"] for name in ("base", "a", "b", "full")} == {
        "base": None,
        "a": True,
        "b": True,
        "full": None,
    }
    for name in ("base", "a", "b", "full"):
        assert done.canary(name)["same_as"] == []
        assert done.canary(name)["base_again"] is True
        assert list(done.score(name).notes) == ["of the task"]
    assert done.canary("a")["logprobs"][:2] == [-2, -3]
    assert done.opener.engine.heard.count("base") == 3, "as a checkpoint, as a base, and again at the end"


def test_an_adapter_that_was_ignored_is_merged_and_says_so(do: Do) -> None:
    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": -2, "b": -3}, ignored={"a"})
    found = done.score("a")
    assert found.served == "merged"
    assert found.notes[0] == "the engine answered as its base when asked with this adapter, so it was merged"
    assert done.canary("a")["differs_from_base"] is True
    assert done.canary("a")["logprobs"][0] == -2
    assert done.score("b").served == "adapter"


def test_an_adapter_that_answers_as_its_base_all_the_same_is_doubted(do: Do) -> None:
    done = do([("a", "base")], {"base": -1, "a": -1})
    assert done.score("a").served == "merged"
    assert done.canary("a")["differs_from_base"] is False
    assert "it answers to the last bit as its base does, although its weights differ" in done.score("a").notes


def test_an_adapter_that_changes_nothing_may_answer_as_its_base(do: Do) -> None:
    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": -1, "b": -1}, null={"a", "b"})
    for name in ("a", "b"):
        assert done.score(name).served == "adapter"
        assert list(done.score(name).notes) == [
            "the adapter changes nothing: every product of its matrices is zero",
            "of the task",
        ]
    assert done.canary("b")["same_as"] == []


def test_other_weights_with_the_same_answers_are_named(do: Do) -> None:
    done = do([("a", "base"), ("b", "base"), ("c", None)], {"base": -1, "a": -2, "b": -2, "c": -2})
    assert [done.canary(name)["same_as"] for name in "abc"] == [[], ["a"], ["a", "b"]]
    assert "it answers to the last bit as a, b, although its weights differ" in done.score("c").notes


def test_the_same_weights_may_answer_the_same(do: Do, tmp_path: Path) -> None:
    from harness.score.canary import Canaries

    heard = Canaries()
    heard.keep("w", "a", (1.0,), null=False)
    assert heard.same_as("w", (1.0,)) == []
    assert heard.same_as("other", (1.0,)) == ["a"]
    assert heard.same_as("other", (1.5,)) == []


def test_numbers_that_are_none_prove_nothing(do: Do) -> None:
    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": NAN, "b": NAN})
    for name in "ab":
        assert done.canary(name)["same_as"] == []
        assert any("no finite numbers, so nothing proves" in note for note in done.score(name).notes)
        assert done.canary(name)["base_again"] is True
    first = do([("c", None), ("d", None)], {"c": NAN, "d": -1})
    assert first.canary("d")["base_again"] is None


def test_an_engine_that_is_not_what_it_was_proves_none_of_its_scores(do: Do) -> None:
    def change(opener: FakeOpener) -> None:
        opener.engine.numbers["base"] += 1e-6

    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": -2, "b": -3}, at_the_end=change)
    for name in "ab":
        assert done.canary(name)["base_again"] is False
        assert done.score(name).notes[-1].endswith("answered otherwise at the end than at the beginning: not proven")


def test_an_engine_that_cannot_be_asked_again_is_said(do: Do) -> None:
    def kill(opener: FakeOpener) -> None:
        opener.engine.dead = True

    done = do([("a", "base")], {"base": -1, "a": -2}, at_the_end=kill)
    assert done.canary("a")["base_again"] is None
    assert done.score("a").notes[-1] == (
        "the engine's first weights could not be asked once more: RuntimeError: EngineDeadError"
    )


def test_the_first_weights_are_those_the_engine_began_with_even_if_they_failed(do: Do) -> None:
    """What failed after the engine had begun with its base leaves that base as the first."""
    done = do([("a", "one"), ("b", None)], {"one": -1, "b": -3}, broken={"a"})
    assert done.kinds("failed") == [("a", "good")]
    assert done.opener.engine.began == "one"
    assert done.canary("b")["base_again"] is True


def test_a_task_that_raises_costs_itself_alone(do: Do) -> None:
    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": -2, "b": -3}, tasks=("bad", "good"))
    assert done.kinds("failed") == [("a", "bad"), ("b", "bad")]
    assert done.kinds("done") == [("a", "good"), ("b", "good")]
    assert {cause for kind, _, _, cause in done.told if kind == "failed"} == {"ValueError: the task raised"}


def test_a_task_that_kills_the_engine_ends_the_child(do: Do) -> None:
    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": -2, "b": -3}, tasks=("good", "deadly"))
    assert done.died
    assert done.kinds("done") == [("a", "good")]
    assert done.kinds("crashed") == [("a", "deadly")]
    assert not any(name == "b" for _, name, _, _ in done.told), "another child goes on with it"


def test_a_checkpoint_that_kills_the_engine_before_its_tasks_ends_the_child(do: Do) -> None:
    numbers = {"base": -1.0, "a": -2.0, "b": -3.0, "c": -4.0}
    done = do([("a", "base"), ("b", "base"), ("c", "base")], numbers, tasks=("good", "other"), deadly={"b"})
    assert done.died
    assert done.kinds("crashed") == [("b", "good"), ("b", "other")], "each task of it, or the next child dies of it too"
    assert done.kinds("done") == [("a", "good"), ("a", "other")]


def test_a_checkpoint_that_cannot_be_loaded_costs_itself_alone(do: Do) -> None:
    done = do([("a", "base"), ("b", "base")], {"base": -1, "a": -2, "b": -3}, broken={"a"})
    assert not done.died
    assert done.kinds("failed") == [("a", "good")]
    assert done.kinds("done") == [("b", "good")]
    assert ("failed", "a", "good", "RuntimeError: a cannot be loaded") in done.told


def test_the_texts_are_asked_as_lm_eval_asks(do: Do) -> None:
    from harness.score import canary

    class Listening(Engine):
        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            assert disable_tqdm
            assert all(len(request.args) == 2 and all(request.args) for request in requests)
            return [(-0.5, True) for _ in requests]

    song = canary.sing(Listening({}))
    assert song == (-0.5,) * len(song)
    assert len(song) >= 4
    assert canary.finite(song)
    assert not canary.finite((*song, NAN))
    assert not canary.finite((*song, -math.inf))


class _Llm:
    """vLLM's `LLM` as far as the opener goes: an error in the middle of a request leaves it there."""

    def __init__(self) -> None:
        self.unfinished = False
        self.wiped = 0
        self.llm_engine = self

    def has_unfinished_requests(self) -> bool:
        return self.unfinished


class _Lm(Engine):
    lora_request: Any = None
    model: Any = None


def _opener(lm: _Lm) -> Any:
    from harness.score.vllm import VllmOpener

    opener = VllmOpener(replace(Job(backend="vllm", opener="", flags={}, tasks=(), checkpoints=())))
    opener._lm = lm
    return opener


def test_an_engine_that_has_not_ended_what_it_began_is_dead() -> None:
    """Asked again it would try that for ever: even asking whether it lives would not come back."""
    lm = _Lm({"": -1.0})
    lm.model = _Llm()
    opener = _opener(lm)
    assert opener.lives()
    asked = len(lm.heard)
    lm.model.unfinished = True
    assert not opener.lives()
    assert len(lm.heard) == asked
    opener.close()


def test_whether_an_engine_lives_is_asked_without_the_adapter_that_failed() -> None:
    class Picky(_Lm):
        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            assert self.lora_request is None, "this adapter is refused"
            return super().loglikelihood(requests, disable_tqdm)

    lm = Picky({"": -1.0}, dead=False)
    lm.model, lm.lora_request = _Llm(), "the adapter"
    opener = _opener(lm)
    assert opener.lives()
    assert lm.lora_request == "the adapter"
    lm.dead = True
    assert not opener.lives()
    opener.close()
