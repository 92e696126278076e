"""Real tiny models through lm-eval, against a plain loop over the same questions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import data, models
from harness.records import suite
from harness.records.outcome import Outcome
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.records.score import Document, Score
from harness.score import ScoreReport, score
from harness.score.jobs import Job, JobCheckpoint, JobTask
from harness.score.scorefiles import flags_of, folder_of, read_score
from harness.score.taskfiles import resolve

pytestmark = pytest.mark.slow

MODEL = {"shape": "tiny", "seed": 0}
LIMIT = 20
UTILS = """
import datasets

def load(**_):
    rows = [{"question": f"{n}+1=", "choices": [str(n + 1), "no"], "answer": 0} for n in range(12)]
    return {"test": datasets.Dataset.from_list(rows)}

def judge(doc, results):
    raise RuntimeError("no such luck")
"""
CHOICE = """
task: {name}
custom_dataset: !function utils.load
output_type: multiple_choice
test_split: test
fewshot_split: test
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
target_delimiter: ""
metadata: {{version: 1}}
"""


@dataclass(frozen=True, slots=True)
class Scored:
    """One scoring run: two good checkpoints, one of NaNs, one that cannot be loaded; five tasks, one of them raises."""

    root: Path
    wanted: suite.Score
    report: ScoreReport

    def folder(self, name: str) -> RunFolder:
        return RunFolder(self.root / "suite" / name)

    @property
    def folders(self) -> list[RunFolder]:
        return [self.folder(name) for name in ("whole", "adapter", "nan", "torn")]

    def score(self, name: str, task: str) -> Score:
        found = read_score(self.folder(name), task, "hf")
        assert found is not None
        return found

    def documents(self, name: str, task: str) -> list[Document]:
        text = (folder_of(self.folder(name), task, "hf") / "documents.jsonl").read_text()
        return [Document(**json.loads(line)) for line in text.splitlines()]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    root = tmp_path_factory.mktemp("score")
    (root / "utils.py").write_text(UTILS)
    (root / "shots.yaml").write_text(CHOICE.format(name="shots") + "num_fewshot: 2\n")
    (root / "raises.yaml").write_text(CHOICE.format(name="raises") + "process_results: !function utils.judge\n")
    _make_checkpoints(root)
    tasks = ["arithmetic_mc", "arithmetic_gen", "pydoc_mc", "shots.yaml", "raises.yaml"]
    wanted = suite.Score(tasks=tasks, limit=LIMIT, batch_size=7, backend="hf")
    folders = [RunFolder(root / "suite" / name) for name in ("whole", "adapter", "nan", "torn")]
    return Scored(root, wanted, score(folders, wanted, observer=Silent(), root=root))


def _make_checkpoints(root: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(1)  # small models are no faster on more, and much slower on a busy machine
    base = {"model": MODEL, "root": root, "start": None}
    model, tokenizer = models.load(MODEL, root=root, device="cpu")
    _keep(root, "whole", model, tokenizer, None)
    _keep(root, "torn", model, tokenizer, None)
    (weights,) = (root / "suite/torn/checkpoint").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    _keep(root, "adapter", adapted, tokenizer, base)
    broken, _ = models.load(MODEL, root=root, device="cpu")
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    _keep(root, "nan", broken, tokenizer, None)


def _keep(root: Path, name: str, model: Any, tokenizer: Any, base: dict[str, Any] | None) -> None:
    folder = RunFolder(root / "suite" / name)
    models.save(model, tokenizer, folder.checkpoint, base)
    folder.spec_file.write_text(json.dumps({"name": name, "trial_id": name, "cell_id": name, "kind": "cell"}))
    folder.new_attempt().close(Outcome(outcome="ok", attempt=1, started_at="", ended_at="", duration_s=1.0))


def _by_hand(model: Any, tokenizer: Any, question: str, choice: str) -> float:
    """log P(choice | question), the question's last newline being the answer's, as lm-eval has it: one forward, no
    batch, no padding."""
    import torch

    whole = tokenizer.encode(question + choice)
    start = len(tokenizer.encode(question.rstrip()))
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].float()
    logprobs = torch.log_softmax(logits, dim=-1)
    return float(sum(logprobs[at - 1, whole[at]] for at in range(start, len(whole))))


@pytest.mark.parametrize("name", ["whole", "adapter"])
@pytest.mark.parametrize("task", ["arithmetic_mc", "pydoc_mc"])
def test_choices_are_scored_as_by_hand(scored: Scored, name: str, task: str) -> None:
    rows = data.heldout(task.removesuffix("_mc"))[:LIMIT]
    model, tokenizer = models.open_checkpoint(scored.folder(name).checkpoint)
    right, right_norm = 0, 0
    for row, document in zip(rows, scored.documents(name, task), strict=True):
        expected = [_by_hand(model, tokenizer, row["question"], choice) for choice in row["choices"]]
        assert document.logprobs == pytest.approx(expected, abs=1e-3)
        assert document.target == row["target"]
        best = max(range(len(expected)), key=expected.__getitem__)
        assert document.response == row["choices"][best]
        right += best == row["answer"]
        per_character = [value / len(choice) for value, choice in zip(expected, row["choices"], strict=True)]
        right_norm += max(range(len(expected)), key=per_character.__getitem__) == row["answer"]
    metrics = scored.score(name, task).metrics
    assert metrics == {"acc": right / LIMIT, "acc_norm": right_norm / LIMIT}


def test_generations_are_greedy_continuations(scored: Scored) -> None:
    import torch

    model, tokenizer = models.open_checkpoint(scored.folder("whole").checkpoint)
    for row, document in zip(data.heldout("arithmetic")[:3], scored.documents("whole", "arithmetic_gen"), strict=False):
        tokens = tokenizer.encode(row["question"])
        prompt = len(tokens)
        with torch.no_grad():
            for _ in range(16):
                tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
                if tokens[-1] == tokenizer.eos_token_id:
                    break
        said = tokenizer.decode(tokens[prompt:], skip_special_tokens=True).split("\n")[0]
        assert document.response == said
        assert document.metrics["exact_match"] == float(said.strip() == row["target"])


def test_a_score_and_its_documents_agree(scored: Scored) -> None:
    for task in ("arithmetic_mc", "arithmetic_gen", "pydoc_mc"):
        kept, documents = scored.score("whole", task), scored.documents("whole", task)
        assert kept.n_documents == len(documents) == LIMIT
        assert [document.index for document in documents] == list(range(LIMIT))
        for name, value in kept.metrics.items():
            values = [document.metrics[name] for document in documents]
            assert value == pytest.approx(sum(values) / LIMIT)
            variance = sum((each - value) ** 2 for each in values) / (LIMIT - 1)
            assert kept.stderr[name] == pytest.approx((variance / LIMIT) ** 0.5)
            assert kept.higher_is_better[name] is True
        assert kept.weights_hash == models.weights_hash(scored.folder("whole").checkpoint)
        assert kept.task_version == "1"
        assert {"lm_eval", "torch", "transformers"} <= set(kept.versions)


def test_documents_are_the_same_questions_for_every_checkpoint(scored: Scored) -> None:
    for task in ("arithmetic_mc", "arithmetic_gen", "shots"):
        asked = [
            [
                (document.doc_hash, document.prompt_hash, document.target_hash)
                for document in scored.documents(name, task)
            ]
            for name in ("whole", "adapter")
        ]
        assert asked[0] == asked[1]  # few-shot examples too: a prompt's hash is over them


def test_an_adapter_is_not_its_base(scored: Scored) -> None:
    pairs = zip(scored.documents("whole", "arithmetic_mc"), scored.documents("adapter", "arithmetic_mc"), strict=True)
    assert all(max(abs(a - b) for a, b in zip(x.logprobs, y.logprobs, strict=True)) > 1e-3 for x, y in pairs)
    canaries = [scored.score(name, "arithmetic_mc").canary or {} for name in ("whole", "adapter")]
    assert [canary["differs_from_base"] for canary in canaries] == [None, True]


def test_what_fails_is_told_and_stops_nothing(scored: Scored) -> None:
    failed = {(failure.folder.name, failure.task): failure.cause for failure in scored.report.failed}
    assert {key for key in failed if key[0] != "torn"} == {(name, "raises") for name in ("whole", "adapter", "nan")}
    assert failed["whole", "raises"] == "RuntimeError: no such luck"
    assert {task for name, task in failed if name == "torn"} == {
        "arithmetic_mc",
        "arithmetic_gen",
        "pydoc_mc",
        "shots",
        "raises",
    }
    assert scored.report.scored == 12
    assert "no such luck" in (scored.root / "suite/score.log").read_text()


def test_numbers_that_are_none_are_kept_and_noted(scored: Scored) -> None:
    documents = scored.documents("nan", "arithmetic_mc")
    assert {str(value) for document in documents for value in document.logprobs} == {"NaN"}
    assert f"{LIMIT} of {LIMIT} documents have log-probabilities that are no finite numbers" in list(
        scored.score("nan", "arithmetic_mc").notes
    )
    assert scored.score("whole", "arithmetic_mc").notes == []


def test_nothing_is_scored_twice(scored: Scored) -> None:
    whole = suite.Score(
        tasks=["arithmetic_mc", "arithmetic_gen", "pydoc_mc", "shots.yaml"], limit=LIMIT, batch_size=9, backend="hf"
    )
    began = time.monotonic()
    report = score(scored.folders[:3], whole, observer=Silent(), root=scored.root)
    assert (report.scored, report.reused, report.failed) == (0, 12, ())
    assert time.monotonic() - began < 3  # no child was started


def test_scoring_again_gives_the_same_documents(scored: Scored) -> None:
    folder = scored.folder("whole")
    place = folder_of(folder, "arithmetic_mc", "hf") / "documents.jsonl"
    before = place.read_bytes()
    wanted = suite.Score(tasks=["arithmetic_mc"], limit=LIMIT, batch_size=7, backend="hf")
    report = score([folder], wanted, observer=Silent(), root=scored.root, force=True)
    assert report.scored == 1
    assert place.read_bytes() == before


@contextmanager
def _worker_under_a_shell(job: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that starts a scoring child, tells its id, and waits."""
    code = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-m', 'harness.score.worker', sys.argv[1], '--parent', str(os.getpid())]\n"
        "child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(job)], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_the_child_does_not_outlive_its_parent(scored: Scored, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    _job(scored).write(job)
    with _worker_under_a_shell(job) as (parent, child):
        while b"harness.score.worker" not in Path(f"/proc/{child}/cmdline").read_bytes():
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 5
        while _runs(child) and time.monotonic() < until:
            time.sleep(0.02)
        assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _job(scored: Scored) -> Job:
    (task,) = resolve(["arithmetic_mc"], Path())
    return Job(
        backend="hf",
        opener="harness.score.hf:HfOpener",
        flags=flags_of(scored.wanted),
        tasks=(JobTask(name=task.name, path=str(task.path), hash=task.hash),),
        checkpoints=(
            JobCheckpoint(
                folder=str(scored.folder("whole").path),
                checkpoint=str(scored.folder("whole").checkpoint),
                weights_hash=None,
                tasks=("arithmetic_mc",),
            ),
        ),
    )


class _FakeModel:
    """Has no dtype to be changed."""

    def num_parameters(self) -> int:
        return 10**9


@pytest.mark.parametrize(("gpu", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, gpu: bool, device: str) -> None:
    from harness.score import hf

    model, emptied = _FakeModel(), []
    asked: list[str] = []

    def open_checkpoint(folder: Path, *, device: str) -> tuple[_FakeModel, str]:
        asked.append(device)
        return model, "tokenizer"

    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(models, "open_checkpoint", open_checkpoint)
    monkeypatch.setattr(hf, "_Model", lambda **given: given)
    job = Job(backend="hf", opener="", flags={"batch_size": 4}, tasks=(), checkpoints=())
    with hf.HfOpener(job).lm(Path("x")) as lm:
        assert lm == {"pretrained": model, "tokenizer": "tokenizer", "backend": "causal", "batch_size": 4}
    assert (asked, bool(emptied)) == ([device], gpu)


def test_a_task_that_fixes_its_examples_is_noted(scored: Scored) -> None:
    from harness.score.evaluation import Evaluator

    (scored.root / "zero.yaml").write_text(CHOICE.format(name="zero") + "num_fewshot: 0\n")
    tasks = [JobTask(name=name, path=str(scored.root / f"{name}.yaml"), hash="h") for name in ("zero", "shots")]
    flags = {"limit": None, "num_fewshot": 3, "apply_chat_template": False, "batch_size": 4}
    evaluator = Evaluator(tasks, flags)
    assert evaluator.notes(evaluator.task("zero")) == ["the task fixes num_fewshot at 0; 3 was asked for"]
    assert evaluator.notes(evaluator.task("shots")) == []
    assert evaluator.task("shots").get_config("num_fewshot") == 3
