"""Models scored without a suite, their files beside those of lm-eval's own command, and what comes back of these."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import models
from harness.score.taskfiles import FOLDER
from tests.functional.conftest import Answer, call, environment

Harness = Callable[..., Answer]
TASKS = ("arithmetic_mc", "arithmetic_gen")
SYSTEM = "Answer at once."
ASKED = ("--tasks", ",".join(TASKS), "--limit", "12")
AS_CHAT = ("--apply_chat_template", "--system_instruction", SYSTEM, "--num_fewshot", "2")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What both commands left in one folder: `ours` and `theirs`, and the results of the harness."""

    root: Path
    answer: Answer

    def results(self, whose: str, model: str = "base") -> dict[str, Any]:
        (file,) = (self.root / whose / model).glob("results_*.json")
        found: dict[str, Any] = json.loads(file.read_bytes())
        return found

    def samples(self, whose: str, task: str) -> bytes:
        (file,) = (self.root / whose / "base").glob(f"samples_{task}_*.jsonl")
        return file.read_bytes()

    def scores(self, kind: str, name: str) -> Path:
        specs = [(file.parent, json.loads(file.read_bytes())) for file in self.root.glob(f"results/{kind}/*/spec.json")]
        (folder,) = [folder for folder, spec in specs if spec["name"] == name]
        return folder / "scores"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A base and an adapter, scored by the harness; the base by lm-eval's own command too, at the same time."""
    root = tmp_path_factory.mktemp("alone")
    _make_models(root)
    theirs = _lm_eval(root)
    ours = ("--apply-chat-template", "--system-instruction", SYSTEM, "--num-fewshot", "2", "--batch-size", "5")
    answer = call(
        root, "score", "base", "adapter/", *ASKED, *ours, "--backend", "hf", "--out", "ours", "--json", timeout=300
    )
    said, _ = theirs.communicate(timeout=300)
    assert theirs.returncode == 0, said
    assert answer.returncode == 0, answer.stderr
    return Told(root=root, answer=answer)


def _make_models(root: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(1)
    shape = {"shape": "tiny", "seed": 3, "overrides": {"num_hidden_layers": 2}}
    model, tokenizer = models.load(shape, root=root, device="cpu")
    models.save(model, tokenizer, root / "base", None)
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = str(root / "base")
    adapted.save_pretrained(str(root / "adapter"))


def _lm_eval(root: Path) -> subprocess.Popen[str]:
    command = (
        *(sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", "pretrained=base", *ASKED, *AS_CHAT),
        *("--include_path", str(FOLDER), "--batch_size", "5", "--device", "cpu"),
        *("--log_samples", "--output_path", "theirs"),
    )
    log = subprocess.PIPE
    return subprocess.Popen(command, env=environment(), cwd=root, stdout=log, stderr=subprocess.STDOUT, text=True)


def test_the_results_file_is_that_of_lm_evals_own_command(told: Told) -> None:
    ours, theirs = told.results("ours"), told.results("theirs")
    assert ours["chat_template"]
    assert ours["fewshot_as_multiturn"] is True
    for key in ("date", "total_evaluation_time_seconds"):
        assert type(ours.pop(key)) is type(theirs.pop(key))
    assert ours == theirs


@pytest.mark.parametrize("task", TASKS)
def test_the_samples_are_those_of_lm_evals_own_command_to_the_last_byte(told: Told, task: str) -> None:
    assert told.samples("ours", task) == told.samples("theirs", task)


def test_an_adapter_has_files_and_scores_of_its_own(told: Told) -> None:
    found = told.results("ours", "adapter__")
    assert found["config"]["model_args"] == {"pretrained": str(told.root / "base"), "peft": "adapter/"}
    base, adapter = (told.scores("scored", name) / "arithmetic_mc.hf/documents.jsonl" for name in ("base", "adapter"))
    assert len(adapter.read_text().splitlines()) == 12
    assert base.read_text() != adapter.read_text()


def test_json_tells_every_score(told: Told) -> None:
    said = json.loads(told.answer.stdout)
    assert (said["scored"], said["reused"], said["failed"], said["backend"]) == (4, 0, [], "hf")
    assert [model["name"] for model in said["models"]] == ["base", "adapter"]
    for model in said["models"]:
        assert [score["task"] for score in model["scores"]] == list(TASKS)
        assert {score["weights_hash"] for score in model["scores"]} == {model["weights_hash"]}
    theirs = told.results("theirs")["results"]["arithmetic_mc"]["acc,none"]
    assert said["models"][0]["scores"][0]["metrics"]["acc"] == theirs


@pytest.fixture(scope="module")
def imported(told: Told) -> Told:
    """The files of lm-eval's own command, read back beside what the harness scored itself."""
    answer = call(told.root, "import", "lm-eval", "theirs")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    assert "base" in answer.stdout
    return told


@pytest.mark.parametrize("task", TASKS)
def test_what_is_imported_is_what_would_have_been_scored(imported: Told, task: str) -> None:
    own, other = (imported.scores(kind, "base") / f"{task}.hf" for kind in ("scored", "imported"))
    assert (other / "documents.jsonl").read_bytes() == (own / "documents.jsonl").read_bytes()
    ours, theirs = (json.loads((place / "score.json").read_bytes()) for place in (own, other))
    same = ("metrics", "higher_is_better", "n_documents", "task_version", "template_hash", "notes")
    assert {key: theirs[key] for key in same} == {key: ours[key] for key in same}
    assert theirs["stderr"] == pytest.approx(ours["stderr"])
    asked = ("limit", "num_fewshot", "system_instruction", "apply_chat_template", "fewshot_as_multiturn")
    assert {key: theirs["flags"][key] for key in asked} == {key: ours["flags"][key] for key in asked}
    assert theirs["weights_hash"] is None


def test_the_store_is_the_same_from_the_folders_alone(imported: Told) -> None:
    asked = ("query", "--csv", "select suite, name, kind, method, outcome, scores from trial_summary order by all")
    before = call(imported.root, *asked).stdout
    assert len(before.splitlines()) == 4
    assert before.count(",ok,") == 3
    assert call(imported.root, "store", "rebuild").returncode == 0
    assert call(imported.root, *asked).stdout == before


def test_other_commands_know_them(imported: Told) -> None:
    listed = json.loads(call(imported.root, "list", "scored", "--json").stdout)
    assert {(row["name"], row["kind"], row["outcome"], row["loss"]) for row in listed} == {
        ("base", "scored", "ok", None),
        ("adapter", "scored", "ok", None),
    }
    shown = call(imported.root, "show", "adapter").stdout
    assert "the harness only scored these weights; it did not train them" in shown
    assert "trained with" not in shown
    assert "arithmetic_mc acc" in shown
    status = call(imported.root, "status").stdout
    assert "scored  2/2 trials done" in status
    assert "imported  1/1 trials done" in status


def test_what_is_scored_is_kept_and_out_asks_again(imported: Told) -> None:
    options = ("--apply-chat-template", "--system-instruction", SYSTEM, "--num-fewshot", "2", "--backend", "hf")
    again = call(imported.root, "score", "base", *ASKED, *options)
    assert again.returncode == 0
    assert "scored 0, kept 2, failed 0 (backend: hf)" in again.stdout
    assert "importing" not in again.stderr
    (imported.root / "moved").mkdir(exist_ok=True)
    out = call(imported.root, "score", "base", *ASKED, *options, "--out", "moved", timeout=120)
    assert "2 scored already, asked again" in out.stderr
    assert "scored 2, kept 0" in out.stdout
    assert len(list((imported.root / "moved/base").iterdir())) == 1 + len(TASKS)


def test_bad_input_is_told_without_a_trace(harness: Harness, tmp_path: Path) -> None:
    answer = harness("score", "org/none", "./none", "--tasks", "arithmetic_mc,nix")
    assert answer.returncode == 2
    assert answer.stderr.count("error: ") == 3
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "results").exists()
    nothing = harness("import", "lm-eval", tmp_path)
    assert nothing.returncode == 2
    assert "no results of lm-eval" in nothing.stderr
