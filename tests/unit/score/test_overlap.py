"""What a trial was trained on, beside what it is asked: measured once, and never silently left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.overlap import Text
from harness.data.prepare import training_rows
from harness.methods import METHODS
from harness.records.fingerprint import of_value
from harness.records.outcome import Outcome
from harness.records.overlap import Overlap, overlaps, read_overlap
from harness.records.run_folder import RunFolder, write_json
from harness.score import overlap
from harness.score.jobs import Job, JobTask
from tests.unit.score.fake_task import DOC, FakeTask

TASK = JobTask(name="quiz", path="quiz.yaml", hash="of quiz")
LONG = "Why do seventeen grey geese look on while the quick brown fox jumps over a lazy dog?"
QUIZ = [
    Text(question="Who was first?", answers=("Ann", "Bob")),
    Text(question=LONG, answers=("They wait.",)),
    Text(question="Is nothing of this anywhere?", answers=("No.",)),
]
ROWS = [
    {"prompt": "Unlike anything", "completion": "Quite"},
    {"prompt": "Who was first", "completion": "Bob"},
    {"prompt": "Tell me", "completion": f"They asked: {LONG} And nobody knew."},
]
Make = Callable[..., RunFolder]


@pytest.fixture
def trained(tmp_path: Path) -> Make:
    """Makes the run folder of a trial that was trained on `lines`, and records their fingerprint as training does."""

    def make(
        name: str,
        lines: Sequence[Mapping[str, Any]] | None = ROWS,
        *,
        stage: str | None = None,
        method: str = "sft",
        file: str | None = None,
        **options: Any,
    ) -> RunFolder:
        folder = RunFolder(tmp_path / "suite" / name)
        folder.path.mkdir(parents=True)
        given: dict[str, Any] | None = None
        fingerprint = None
        if lines is not None:
            path = tmp_path / (file or f"{name}.jsonl")
            path.write_text("".join(json.dumps(row) + "\n" for row in lines))
            given = {"path": str(path), **options}
            known = METHODS[method]
            _, fingerprint = training_rows(given, known.formats, root=tmp_path, template_columns=known.template_columns)
        init = None if stage is None else {"stage": f"stage {stage}", "trial_id": stage}
        spec = {"trial_id": name, "method": method if given else None, "data": given, "init": init}
        folder.spec_file.write_text(json.dumps({**spec, "suite_file": str(tmp_path / "suite.yaml")}))
        ended = Outcome(
            outcome="ok", attempt=1, started_at="", ended_at="", duration_s=1.0, data_fingerprint=fingerprint
        )
        folder.new_attempt().close(ended)
        return folder

    return make


class Asked:
    """Gives the quiz's documents, and remembers how often it was asked."""

    def __init__(self, texts: Mapping[str, Sequence[Text]] | None = None) -> None:
        self.names: list[str] = []
        self._texts = texts or {"quiz": QUIZ}

    def __call__(self, name: str) -> Sequence[Text]:
        self.names.append(name)
        return self._texts[name]


def _measured(folder: RunFolder, task: str = "quiz") -> Overlap:
    found = read_overlap(overlap.file_of(folder, task))
    assert found is not None
    return found


def _measure(*folders: RunFolder, asked: Asked | None = None, limit: int | None = None) -> list[str]:
    return overlap.measure([(folder, TASK) for folder in folders], asked or Asked(), limit=limit)


def test_the_file_says_what_overlaps_and_where(trained: Make, tmp_path: Path) -> None:
    folder = trained("t1")
    assert _measure(folder) == []
    found = json.loads((folder.scores / "quiz.overlap.json").read_text())
    _, fingerprint = training_rows({"path": str(tmp_path / "t1.jsonl")}, METHODS["sft"].formats, root=tmp_path)
    assert found.pop("duration_s") >= 0
    assert found == {
        "task": "quiz",
        "task_hash": "of quiz",
        "data_fingerprint": fingerprint,
        "limit": None,
        "documents": 3,
        "exact": 1,
        "ngram": 1,
        "short": 2,
        "n": 13,
        "share": 2 / 3,
        "rows": 3,
        "reason": None,
        "version": 1,
        "trained_on": [{"trial_id": "t1", "stage": None, "rows": 3, "fingerprint": fingerprint}],
        "examples": [
            {
                "document": 0,
                "text": "Who was first?",
                "how": "exact",
                "shared": "Who was first",
                "row": 2,
                "trial_id": "t1",
            },
            {
                "document": 1,
                "text": LONG,
                "how": "ngram",
                "shared": "why do seventeen grey geese look on while the quick brown fox jumps",
                "row": 3,
                "trial_id": "t1",
            },
        ],
    }


def test_the_data_of_the_stages_counts_too(trained: Make) -> None:
    trained("s1", ROWS[1:2])
    trained("s2", ROWS[2:], stage="s1")
    folder = trained("t1", ROWS[:1], stage="s2")
    assert _measure(folder) == []
    found = _measured(folder)
    assert [(one["trial_id"], one["stage"], one["rows"]) for one in found.trained_on] == [
        ("s1", "stage s1", 1),
        ("s2", "stage s2", 1),
        ("t1", None, 1),
    ]
    assert (found.exact, found.ngram, found.rows, found.share) == (1, 1, 3, 2 / 3)
    assert [(one["trial_id"], one["row"]) for one in found.examples] == [("s1", 1), ("s2", 1)]
    assert found.data_fingerprint == of_value([one["fingerprint"] for one in found.trained_on])


def test_rows_kept_for_evaluation_or_not_chosen_do_not_count(trained: Make) -> None:
    rows = [{"prompt": f"question {number}", "completion": "yes"} for number in range(60)]
    asked = Asked({"quiz": [Text(question=row["prompt"]) for row in rows]})
    folder = trained("t1", rows, rows=40, eval_fraction=0.5)
    assert _measure(folder, asked=asked) == []
    found = _measured(folder)
    assert found.rows is not None
    assert 0 < found.rows < 40
    assert found.exact == found.rows


def test_preference_rows_are_read_as_the_method_was_given_them(trained: Make) -> None:
    pair = {"prompt": "Ask", "chosen": "no", "rejected": f"Well. {LONG}"}
    by_dpo, by_sft = trained("dpo", [pair], method="dpo"), trained("sft", [pair])
    assert _measure(by_dpo, by_sft) == []
    assert (_measured(by_dpo).ngram, _measured(by_sft).ngram) == (1, 0)  # sft never saw the rejected answer


def test_methods_that_hand_other_columns_to_the_template_have_other_rows(trained: Make) -> None:
    turn = {"role": "user", "content": "Ask"}
    pair = {"prompt": [turn], "chosen": [turn], "rejected": [{**turn, "content": LONG}], "tools": [{"name": "look"}]}
    by_dpo, by_orpo = (trained(method, [pair], method=method, file="pairs.jsonl") for method in ("dpo", "orpo"))
    assert _measure(by_dpo, by_orpo) == []
    assert [(_measured(folder).reason, _measured(folder).ngram) for folder in (by_dpo, by_orpo)] == [(None, 1)] * 2


def test_rows_that_trials_share_are_read_once(trained: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []

    def reading(*given: Any, **named: Any) -> Any:
        read.append(given)
        return training_rows(*given, **named)

    monkeypatch.setattr(overlap, "training_rows", reading)
    trained("s1")
    folders = [trained(f"t{number}", ROWS[:1], file="shared.jsonl", stage="s1") for number in range(4)]
    asked = Asked({"quiz": QUIZ, "other": QUIZ[:1]})
    tasks = [TASK, replace(TASK, name="other")]
    pairs = [(folder, task) for folder in folders for task in tasks] * 2
    assert overlap.measure(pairs, asked, limit=None) == []
    assert (len(read), asked.names) == (2, ["quiz", "other"])
    assert {_measured(folder).share for folder in folders} == {2 / 3}
    assert {_measured(folder, "other").share for folder in folders} == {1.0}
    assert {example["document"] for example in _measured(folders[0], "other").examples} == {0}


def test_what_is_known_is_not_measured_again(trained: Make) -> None:
    folder, asked = trained("t1"), Asked()
    _measure(folder, asked=asked)
    _measure(folder, asked=asked)
    assert asked.names == ["quiz"]
    _measure(folder, asked=asked, limit=2)
    assert len(asked.names) == 2
    overlap.measure([(folder, replace(TASK, hash="another"))], asked, limit=2)
    assert (len(asked.names), _measured(folder).task_hash) == (3, "another")
    write_json(overlap.file_of(folder, "quiz"), replace(_measured(folder), version=0).to_json())
    overlap.measure([(folder, replace(TASK, hash="another"))], asked, limit=2)
    assert len(asked.names) == 4


def test_a_damaged_file_is_measured_again(trained: Make) -> None:
    folder = trained("t1")
    folder.scores.mkdir()
    for torn in ('{"task": "qu', '{"task": "quiz"}', "[]"):
        overlap.file_of(folder, "quiz").write_text(torn)
        assert overlaps(folder) == []
        assert _measure(folder) == []
        assert _measured(folder).documents == 3


def test_a_trial_that_was_trained_again_on_other_rows_is_measured_again(trained: Make, tmp_path: Path) -> None:
    folder = trained("t1")
    _measure(folder)
    (tmp_path / "t1.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    _, now = training_rows({"path": str(tmp_path / "t1.jsonl")}, METHODS["sft"].formats, root=tmp_path)
    again = Outcome(outcome="ok", attempt=2, started_at="", ended_at="", duration_s=1.0, data_fingerprint=now)
    folder.new_attempt().close(again)
    assert _measure(folder) == []
    assert (_measured(folder).share, _measured(folder).data_fingerprint) == (0.0, now)


def test_a_model_that_was_not_trained_has_no_file(trained: Make, tmp_path: Path) -> None:
    floor, asked = trained("floor", None), Asked()
    no_trial = RunFolder(tmp_path / "somebody's model")
    assert _measure(floor, no_trial, asked=asked) == []
    assert not floor.scores.exists()
    assert not no_trial.path.exists()
    assert asked.names == []


def _changed(folder: RunFolder, tmp_path: Path) -> str:
    (tmp_path / "t1.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    return "the rows that t1 was trained on are no longer what its data gives"


def _gone(folder: RunFolder, tmp_path: Path) -> str:
    (tmp_path / "t1.jsonl").unlink()
    return f"the data of t1 cannot be had: {tmp_path / 't1.jsonl'}: the data file does not exist"


def _no_stage(folder: RunFolder, tmp_path: Path) -> str:
    spec = {**(folder.spec() or {}), "init": {"stage": "warm", "trial_id": "s9"}}
    folder.spec_file.write_text(json.dumps(spec))
    return f"what the stage 'warm' was trained on is not known: there is no spec.json in {folder.path.parent / 's9'}"


def _no_method(folder: RunFolder, tmp_path: Path) -> str:
    folder.spec_file.write_text(json.dumps({**(folder.spec() or {}), "method": "ppo"}))
    return "t1 was trained by 'ppo', which is no method here"


@pytest.mark.parametrize("spoil", [_changed, _gone, _no_stage, _no_method])
def test_what_cannot_be_measured_says_why_and_is_tried_again(
    trained: Make, tmp_path: Path, spoil: Callable[[RunFolder, Path], str]
) -> None:
    folder, other = trained("t1"), trained("t2")
    whole, spec = (tmp_path / "t1.jsonl").read_text(), folder.spec_file.read_text()
    reason = spoil(folder, tmp_path)
    assert _measure(folder, other) == [f"overlap of t1 with quiz: {reason}"]
    assert (_measured(folder).reason, _measured(folder).share, _measured(folder).documents) == (reason, None, None)
    assert _measured(other).share == 2 / 3
    (tmp_path / "t1.jsonl").write_text(whole)
    folder.spec_file.write_text(spec)
    assert _measure(folder) == []
    assert (_measured(folder).reason, _measured(folder).share) == (None, 2 / 3)


def test_a_task_whose_documents_cannot_be_had_does_not_stop_the_others(trained: Make) -> None:
    folder = trained("t1")
    pairs = [(folder, replace(TASK, name="broken")), (folder, TASK)]
    said = overlap.measure(pairs, Asked(), limit=None)
    assert said == ["overlap of t1 with broken: the task's documents cannot be had: KeyError: 'broken'"]
    assert _measured(folder).share == 2 / 3


def test_a_folder_that_cannot_be_written_is_told(trained: Make) -> None:
    folder = trained("t1")
    folder.scores.write_text("a file where a folder should be")
    (said,) = _measure(folder)
    assert said.startswith("overlap of t1 with quiz: it cannot be written: ")


def test_a_task_may_have_any_name(trained: Make) -> None:
    folder, names = trained("t1"), ("a/b", ".hidden", "x" * 400)
    pairs = [(folder, replace(TASK, name=name)) for name in names]
    assert overlap.measure(pairs, Asked(dict.fromkeys(names, QUIZ)), limit=None) == []
    assert [one.task for one in overlaps(folder)] == sorted(names)


def test_a_task_without_documents_has_no_share(trained: Make) -> None:
    folder = trained("t1")
    assert _measure(folder, asked=Asked({"quiz": []})) == []
    assert (_measured(folder).documents, _measured(folder).share) == (0, None)


def test_examples_are_few_and_the_exact_ones_first(trained: Make) -> None:
    texts = [Text(question=f"{LONG} number {number}") for number in range(9)] + [Text(question="Who was first?")]
    folder = trained("t1")
    _measure(folder, asked=Asked({"quiz": texts}))
    found = _measured(folder)
    assert (found.exact, found.ngram, found.share) == (1, 9, 1.0)
    assert [one["document"] for one in found.examples] == [9, 0, 1, 2, 3]


def test_a_job_is_measured_by_its_folders_tasks_and_limit(trained: Make) -> None:
    folders = [trained("t1"), trained("t2", ROWS[:1])]
    job = Job(
        backend="hf",
        opener="",
        flags={"limit": 1},
        tasks=(TASK, replace(TASK, name="other")),
        checkpoints=(),
        overlaps=tuple(
            (str(folder.path), task)
            for folder, tasks in zip(folders, (("quiz",), ("quiz", "other")), strict=True)
            for task in tasks
        ),
    )
    task = FakeTask([DOC, DOC], text=lambda doc: doc["q"], target=lambda doc: "Bob")
    assert overlap.measure_job(job, {"quiz": task, "other": task}.__getitem__) == []
    found = [[(one.task, one.documents, one.exact, one.limit) for one in overlaps(folder)] for folder in folders]
    assert found == [[("quiz", 1, 1, 1)], [("other", 1, 0, 1), ("quiz", 1, 0, 1)]]


@pytest.mark.slow
def test_a_dataset_of_the_hub_that_is_not_here_is_a_reason(trained: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def absent(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'org/absent' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", absent)
    folder = trained("t1")
    folder.spec_file.write_text(json.dumps({**(folder.spec() or {}), "data": {"hub": "org/absent"}}))
    (said,) = _measure(folder)
    assert said.startswith("overlap of t1 with quiz: the data of t1 cannot be had: ")
    assert "org/absent" in str(_measured(folder).reason)
