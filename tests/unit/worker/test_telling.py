"""What TRL and PEFT say while a trainer is built: refusals in our words, warnings as notes, and what is certain."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import DataError, ModelError, SuiteError
from harness.methods import METHODS
from harness.records.events import read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from harness.worker.attend import describe, is_certain
from harness.worker.telling import _package, check_head, check_processes, warnings_noted
from tests.unit.worker.made import spec_of

TINY = {"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}}
TRAIN = {"max_steps": 1, "per_device_train_batch_size": 2, "max_length": 32, "gradient_checkpointing": False}


def _raised(raising: Callable[[], Any]) -> BaseException:
    try:
        raising()
    except Exception as error:
        return error
    raise AssertionError


def _from(error: Exception, cause: Exception) -> BaseException:
    def raising() -> None:
        raise error from cause

    return _raised(raising)


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        (ValueError("no such loss"), True),
        (ZeroDivisionError(), True),
        (NotImplementedError("not on a CPU"), True),
        (RuntimeError("CUDA error"), False),
        (OSError("no network"), False),
        (MemoryError(), False),
        (DataError.of("no row is left"), True),
        (_from(ModelError.of("the model cannot be had"), OSError("no network")), False),
        (_from(ValueError("a batch"), RuntimeError("a device")), False),
        (_from(SuiteError.of("no assistant"), RuntimeError("TRL's own")), True),
        (_from(ValueError("a choice"), KeyError("nope")), True),
    ],
)
def test_what_a_configuration_ends_with_it_ends_with_again(error: BaseException, certain: bool) -> None:
    assert is_certain(error) is certain


def test_a_cause_says_what_to_do_next() -> None:
    error = DataError.of("no row is left", why="all are cut", hint="raise train.max_length")
    assert describe(error) == "DataError: no row is left: all are cut (try: raise train.max_length)"


def test_only_warnings_of_trl_and_peft_are_notes(capsys: pytest.CaptureFixture[str]) -> None:
    noted: list[str] = []
    with warnings_noted(noted.append):
        for file, category in (
            ("/lib/peft/layer.py", UserWarning),
            ("/lib/peft/layer.py", UserWarning),
            ("/lib/trl/trainer.py", FutureWarning),
            ("/lib/torch/nn.py", UserWarning),
        ):
            warnings.warn_explicit("set to\nFalse", category, file, 1)
    assert noted == ["PEFT warns: set to False"]
    assert capsys.readouterr().err.count("set to") == 3


def _run(folder: Path, **changes: Any) -> tuple[Outcome, list[str]]:
    from harness.worker.__main__ import train_alone

    run = RunFolder(folder)
    spec = spec_of(TINY, TRAIN, {"source": "arithmetic", "rows": 20})
    write_json(run.spec_file, replace(spec, **changes).to_json())
    outcome = train_alone(run)
    events = [event for event in read_events(run.attempts()[0].events) if event["kind"] == "note"]
    return outcome, [event["text"] for event in events if event["level"] == "warning"]


def test_a_reference_before_training_takes_one_process() -> None:
    spec = spec_of(TINY, {**TRAIN, "precompute_ref_log_probs": True}, {"source": "arithmetic"})
    check_processes(spec, 1)
    with pytest.raises(SuiteError, match="takes one process, and here are 2"):
        check_processes(spec, 2)
    check_processes(replace(spec, train=TRAIN), 2)


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("/home/u/trl/.venv/lib/python3.11/site-packages/torch/nn.py", None),
        ("/home/u/trl/.venv/lib/python3.11/site-packages/peft/config.py", "PEFT"),
        ("/home/u/trl/trl/trainer/sft_trainer.py", "TRL"),
    ],
)
def test_a_warning_is_of_the_package_whose_file_it_comes_from(file: str, package: str | None) -> None:
    assert _package(file) == package


def test_a_trl_without_a_fused_head_trains_tokens_of_a_tied_embedding() -> None:
    head = type("TrainableTokensWrapper", (), {})()
    trainer = SimpleNamespace(model=SimpleNamespace(get_output_embeddings=lambda: head))
    check_head(METHODS["sft"], trainer)


@pytest.mark.slow
@pytest.mark.parametrize(("short", "outcome"), [(20, "diverged"), (0, "crashed")])
def test_pairs_without_an_answer_are_told_before_training(tmp_path: Path, short: int, outcome: str) -> None:
    rows = [{"prompt": "?", "chosen": "a", "rejected": "b"}] * short
    rows += [{"prompt": "x" * 80, "chosen": f"{number}", "rejected": "b"} for number in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = {**TRAIN, "max_length": 16, "per_device_train_batch_size": 20, "max_steps": 2}
    made, notes = _run(tmp_path / "run", method="orpo", data={"path": str(tmp_path / "rows.jsonl")}, train=train)
    assert made.outcome == outcome
    if short:
        assert [note.partition(":")[0] for note in notes] == ["20 of 40 pairs for training have no answer left"]
    else:
        assert (made.phase, made.certain) == ("trainer", True)
        assert "no pair has an answer left" in str(made.cause)


@pytest.mark.slow
def test_what_an_adapter_asks_for_in_vain(tmp_path: Path) -> None:
    nowhere, _ = _run(tmp_path / "nowhere", lora={"target_modules": ["nope"]})
    assert (nowhere.outcome, nowhere.phase, nowhere.certain) == ("crashed", "trainer", True)
    assert str(nowhere.cause).startswith(
        "SuiteError: lora adapts no module of the model: Target modules nope not found"
    )
    assert "q_proj, k_proj" in str(nowhere.cause)
    tied, _ = _run(tmp_path / "tied", lora={"trainable_token_indices": [1]})
    assert (tied.outcome, tied.phase, tied.certain) == ("crashed", "trainer", True)
    assert "lora.trainable_token_indices" in str(tied.cause)
    outcome, notes = _run(tmp_path / "warned", lora={"exclude_modules": ["nope"]})
    assert outcome.outcome == "ok"
    assert ["PEFT warns: You have passed exclude_modules" in note for note in notes] == [True]


@pytest.mark.slow
def test_a_template_that_does_not_mark_the_assistant_says_so(tmp_path: Path) -> None:
    from harness.models.load import load

    model, tokenizer = load(TINY, root=Path(), device="cpu")
    marks = ("{% generation %}", "{% endgeneration %}")
    tokenizer.chat_template = tokenizer.chat_template.replace(marks[0], "").replace(marks[1], "")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    outcome, _ = _run(
        tmp_path / "run",
        model={"path": str(tmp_path / "model"), "dtype": "float32"},
        data={"source": "arithmetic", "rows": 20, "conversational": True},
        train={**TRAIN, "assistant_only_loss": True},
    )
    assert (outcome.outcome, outcome.phase, outcome.certain) == ("crashed", "trainer", True)
    assert "needs a chat template with {% generation %}" in str(outcome.cause)
