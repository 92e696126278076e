"""The files of lm-eval's own that go with a score: written by its own writer, read by its own tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.score.jobs import Job, JobCheckpoint, JobTask
from harness.score.taskfiles import FOLDER

pytestmark = pytest.mark.slow

FLAGS = {
    "limit": 3,
    "num_fewshot": None,
    "apply_chat_template": False,
    "system_instruction": None,
    "fewshot_as_multiturn": False,
    "batch_size": 4,
}
TASKS = ("arithmetic_mc", "arithmetic_gen")


def _job(out: Path, checkpoint: str = "/models/a", **arguments: str) -> Job:
    one = JobCheckpoint(
        folder="/run",
        checkpoint=checkpoint,
        weights_hash=None,
        tasks=TASKS,
        arguments=arguments or {"pretrained": "org/a"},
    )
    tasks = tuple(JobTask(name=name, path=str(FOLDER / f"{name}.yaml"), hash="h") for name in TASKS)
    return Job(backend="hf", opener="", flags=FLAGS, tasks=tasks, checkpoints=(one,), out=str(out))


def _lm() -> Any:
    from lm_eval.models.dummy import DummyLM

    class Made(DummyLM):  # type: ignore[misc, unused-ignore]
        tokenizer = None  # lm-eval's own would ask the hub for one

    return Made()


def _written(out: Path, job: Job, lm: Any) -> None:
    from harness.score.evaluation import Evaluator
    from harness.score.outfiles import OutFiles

    files = OutFiles(job=job, checkpoint=job.checkpoints[0], lm=lm)
    evaluator = Evaluator(job.tasks, job.flags)
    for name in TASKS:
        evaluator.evaluate(lm, name, hear=files.add)
    files.write()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out")
    commit = "/cache/models--org--a/snapshots/" + "c0ffee"
    _written(out, _job(out, commit, pretrained="org/a", revision="v1"), _lm())
    (file,) = out.glob("org__a/results_*.json")
    return file, json.loads(file.read_bytes())


def test_all_tasks_are_in_one_file_with_samples_of_the_same_date(results: tuple[Path, dict[str, Any]]) -> None:
    file, content = results
    assert set(content["results"]) == set(content["task_hashes"]) == set(TASKS)
    date = file.stem.removeprefix("results_")
    for task in TASKS:
        lines = (file.parent / f"samples_{task}_{date}.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line)["doc_id"] for line in lines] == [0, 1, 2]
        assert content["n-samples"][task]["effective"] == 3
        assert content["configs"][task]["metadata"]["pretrained"] == "org/a"


def test_lm_evals_own_tools_read_them(results: tuple[Path, dict[str, Any]]) -> None:
    from lm_eval.utils import get_file_task_name, get_latest_filename, make_table

    file, content = results
    table = make_table(content)
    assert "arithmetic_mc" in table
    assert "exact_match" in table
    samples = [path.name for path in file.parent.glob("samples_*")]
    assert {get_file_task_name(name) for name in samples} == set(TASKS)
    assert get_latest_filename([file.name]) == file.name


def test_the_model_is_named_as_it_was_given(results: tuple[Path, dict[str, Any]]) -> None:
    _, content = results
    assert (content["model_source"], content["model_name"]) == ("hf", "org/a")
    assert content["config"]["model_args"] == {"pretrained": "org/a", "revision": "v1"}
    assert content["config"]["limit"] == 3.0


def test_standard_errors_are_those_of_its_own_command(results: tuple[Path, dict[str, Any]]) -> None:
    _, content = results
    assert isinstance(content["results"]["arithmetic_mc"]["acc_stderr,none"], float)
    assert content["config"]["bootstrap_iters"] == 100_000


def test_a_hub_model_and_an_adapter_tell_their_commits(tmp_path: Path) -> None:
    from harness.score.outfiles import OutFiles

    class Told:
        def get_model_info(self) -> dict[str, Any]:
            return {"model_num_parameters": 7, "model_revision": "main", "model_sha": ""}

    def config(checkpoint: str, **arguments: str) -> dict[str, Any]:
        job = _job(tmp_path, checkpoint, **arguments)
        return OutFiles(job=job, checkpoint=job.checkpoints[0], lm=Told())._config()

    whole = config("/x/snapshots/abc", pretrained="org/a", revision="v1")
    assert (whole["model_revision"], whole["model_sha"], "peft_sha" in whole) == ("v1", "abc", False)
    adapter = config("/x/snapshots/abc", pretrained="org/a", peft="org/b")
    assert (adapter["model_sha"], adapter["peft_sha"]) == ("", "abc")
    assert config("/models/abc", pretrained="abc")["model_sha"] == ""


def test_nothing_is_written_without_an_answer(tmp_path: Path) -> None:
    from harness.score.outfiles import OutFiles

    job = _job(tmp_path)
    OutFiles(job=job, checkpoint=job.checkpoints[0], lm=_lm()).write()
    assert list(tmp_path.iterdir()) == []


def test_files_that_lm_eval_could_not_write_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "org__a").write_text("in the way")  # lm-eval logs that, and goes on
    with pytest.raises(OSError, match="lm-eval could not write results_"):
        _written(tmp_path, _job(tmp_path), _lm())
