"""`harness score` and `harness import`: what is asked for, what goes together, and how scores are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import pipeline, scoring
from harness.__main__ import run
from harness.errors import Problem
from harness.records import suite
from harness.records.score import Score
from harness.score import Alone, Failure, Imported, ModelScores, ScoreReport


class Asked:
    """Stands in for the pipeline: keeps what it was asked, and gives what it was told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models: list[tuple[Sequence[str], suite.Score, Mapping[str, Any]]] = []
        self.suites: list[tuple[Path, Any, Mapping[str, Any] | None]] = []
        self.alone = Alone(report=_report(), models=())
        self.report: ScoreReport | None = _report()
        monkeypatch.setattr(scoring, "score_models", self._models)
        monkeypatch.setattr(pipeline, "score_suite", self._suite)

    def _models(self, said: Sequence[str], wanted: suite.Score, places: Any, observer: Any, **others: Any) -> Alone:
        self.models.append((list(said), wanted, others))
        return self.alone

    def _suite(self, file: Path, choice: Any, places: Any, observer: Any, *, asked: Any = None) -> ScoreReport | None:
        self.suites.append((file, choice, asked))
        return self.report


DIFFERENCES = [(6, 2e-6), (5, None)]


def _report(**changes: Any) -> ScoreReport:
    return ScoreReport(**{"scored": 1, "reused": 0, "failed": (), "backend": "hf", "note": None, **changes})


def _score(task: str, metrics: dict[str, float], notes: Sequence[str] = ()) -> Score:
    return Score(
        task=task,
        backend="hf",
        metrics=metrics,
        stderr=dict.fromkeys(metrics, 0.0123),
        higher_is_better=dict.fromkeys(metrics, True),
        n_documents=1234,
        task_hash="h",
        task_version="1",
        weights_hash="w",
        flags={},
        versions={},
        scored_at="",
        duration_s=1.0,
        notes=notes,
    )


def _model(name: str, *scores: Score) -> ModelScores:
    return ModelScores(name=name, id=f"id-{name}", folder=Path("r"), model=name, weights_hash="w", scores=tuple(scores))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setenv("COLUMNS", "80")
    return Asked(monkeypatch)


def test_options_become_a_score_section(asked: Asked) -> None:
    options = "--backend hf --limit 5 --num-fewshot 0 --parity 3 --batch-size 2 --no-fewshot-as-multiturn"
    code = run(["score", "a", "org/b", "--tasks", "x,y", "--tasks", " x,z.yaml", *options.split()])
    assert code == 0
    ((said, wanted, others),) = asked.models
    assert said == ["a", "org/b"]
    assert wanted == suite.Score(
        tasks=["x", "y", "z.yaml"],
        backend="hf",
        limit=5,
        num_fewshot=0,
        parity=3,
        batch_size=2,
        fewshot_as_multiturn=False,
    )
    assert others == {"name": None, "revision": None, "out": None, "force": False}
    assert asked.suites == []


@pytest.mark.parametrize(
    ("given", "means"),
    [([], False), (["--apply-chat-template"], True), (["--apply-chat-template=tools"], "tools")],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_chat_template_may_be_named_and_takes_nothing_else(
    asked: Asked, given: list[str], means: bool | str, first: bool
) -> None:
    model = ["a", "--tasks", "x"]
    assert run(["score", *([*given, *model] if first else [*model, *given])]) == 0
    ((said, wanted, _),) = asked.models
    assert (said, wanted.apply_chat_template) == (["a"], means)


def test_a_yaml_file_is_a_suite(asked: Asked) -> None:
    assert run(["score", "s.yaml", "--only", "a,b", "--force", "--backend", "vllm", "--parity", "4"]) == 0
    ((file, choice, changed),) = asked.suites
    assert (file, choice.only, choice.force) == (Path("s.yaml"), ("a", "b"), True)
    assert changed == {"backend": "vllm", "parity": 4}
    assert asked.models == []


def test_a_folder_may_be_called_like_a_suite(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").mkdir()
    assert run(["score", str(tmp_path / "m.yaml"), "--tasks", "x"]) == 0
    assert len(asked.models) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("s.yaml --tasks x", "--tasks can be given with a model only"),
        ("s.yaml --limit 3 --out o --name n", "--name, --out, --limit can be given with a model only"),
        ("s.yaml --apply-chat-template", "--apply-chat-template can be given with a model only"),
        ("a --tasks x --only b --skip c", "--only, --skip can be given with a suite only"),
        ("s.yaml a", "s.yaml is a suite, and more is given"),
        ("a", "none is given"),
        ("a --tasks ,", "none is given"),
    ],
)
def test_what_does_not_go_together_is_bad_input(
    asked: Asked, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    assert run(["score", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "  try: " in error
    assert (asked.models, asked.suites) == ([], [])


def test_scores_of_one_model_fit_the_terminal(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [_score("arithmetic_mc", {"acc": 0.5, "acc_norm": 1.0}, ["x " * 60]), _score("pydoc_gen", {"em": 0.0})]
    asked.alone = Alone(report=_report(note="scored with hf: why"), models=(_model("a", *scores),))
    assert run(["score", "a", "--tasks", "x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a  id-a"
    assert lines[1].split() == ["task", "metric", "value", "±", "docs", "served"]
    assert lines[2].split() == ["arithmetic_mc", "acc", "0.5", "0.012", "1234", "loaded"]
    assert max(map(len, lines)) <= 80
    assert lines[5].startswith("note on arithmetic_mc: x x")
    assert lines[-2:] == ["scored 1, kept 0, failed 0 (backend: hf)", "scored with hf: why"]


def test_scores_of_several_models_name_them_and_a_note_is_said_once(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tuple(_model(name, _score("arithmetic_mc", {"acc_norm": 0.5}, ["odd"])) for name in ("a", "b" * 60))
    asked.alone = Alone(report=_report(), models=both)
    assert run(["score", "a", "b", "--tasks", "x"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["model", "a"]
    assert "b" * 60 not in out.splitlines()[2]
    assert out.count("odd") == 1


def test_parity_is_told_over_all_scores(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"backend": "hf", "documents": 6, "same_answers": n, "max_logprob_difference": d} for n, d in DIFFERENCES]
    scores = [replace(_score(f"t{n}", {"acc": 0.5}), parity=one) for n, one in enumerate(found)]
    asked.alone = Alone(report=_report(), models=(_model("a", *scores),))
    assert run(["score", "a", "--tasks", "x"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "parity with hf on 12 documents of 2 scores: log-probabilities up to 2e-06 nats apart, the same" in said
    assert "the same answer on 11 of 12" in said


def test_what_was_not_scored_or_written_ends_with_5(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    lost = Failure(name="a", folder=Path("r"), task="t", cause="it is empty")
    asked.alone = Alone(report=_report(failed=(lost,)), models=(_model("a"),))
    assert run(["score", "a", "--tasks", "x"]) == 5
    assert "not scored: a on t" in capsys.readouterr().err
    asked.alone = Alone(report=_report(), models=(), problems=(Problem(what="no files"),))
    assert run(["score", "a", "--tasks", "x", "--json"]) == 5
    assert "no files" in capsys.readouterr().err


def test_import_warns_of_parts_and_ends_with_5_for_whole_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Imported(runs=(), problems=(Problem(what="cut off"),), unread=0)
    monkeypatch.setattr(scoring, "import_lm_eval", lambda *_, **__: told)
    assert run(["import", "lm-eval", "x"]) == 0
    assert capsys.readouterr().err == "warning: cut off\n"
    monkeypatch.setattr(scoring, "import_lm_eval", lambda *_, **__: Imported(runs=(), problems=told.problems, unread=1))
    assert run(["import", "lm-eval", "x"]) == 5
