"""A trial from its run folder: what it leaves behind when it goes well, and how each failure is named."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import FolderError, ModelError, SuiteError
from harness.measure import Diverged
from harness.measure.redact import redact_file, redactor
from harness.methods import METHODS
from harness.records.events import read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from harness.records.spec import Spec
from harness.worker.config import HARNESS_DEFAULTS, resolve
from tests.unit.worker.made import spec_of

TINY = {"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}}
TRAIN = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "max_length": 32,
    "learning_rate": 1e-3,
    "logging_steps": 1,
    "gradient_checkpointing": False,
}


def _spec(**changes: Any) -> Spec:
    plain = spec_of(TINY, TRAIN, {"source": "arithmetic", "rows": 40, "eval_fraction": 0.25}, seed=3)
    return replace(plain, **changes)


def _run(folder: Path, spec: Spec) -> Outcome:
    from harness.worker.trial import run_trial

    run = RunFolder(folder)
    write_json(run.spec_file, spec.to_json())
    attempt = run.new_attempt()
    outcome = run_trial(run, attempt)
    attempt.close(outcome)
    assert not (attempt.path / "scratch").exists()
    return outcome


# The configuration


def _resolve(spec: Spec, *, cuda: bool = False, eval_rows: int = 0) -> Any:
    return resolve(spec, METHODS[str(spec.method)], scratch=Path("/x"), cuda=cuda, eval_rows=eval_rows)


def test_the_config_is_what_the_suite_says_over_the_harness_defaults() -> None:
    found = _resolve(_spec(train={**TRAIN, "logging_nan_inf_filter": True}), cuda=True)
    assert found.kwargs == {
        **HARNESS_DEFAULTS,
        **TRAIN,
        "logging_nan_inf_filter": True,
        "output_dir": "/x",
        "seed": 3,
    }
    assert found.notes == ()


def test_without_cuda_bf16_is_off_and_said_unless_asked_for() -> None:
    found = _resolve(_spec())
    assert (found.kwargs["bf16"], found.kwargs["use_cpu"]) == (False, True)
    assert "bf16 is off" in found.notes[0]
    asked = _resolve(_spec(train={**TRAIN, "bf16": True}))
    assert (asked.kwargs["bf16"], asked.notes) == (True, ())


@pytest.mark.parametrize(("cuda", "more"), [(False, {}), (True, {"use_cpu": True})])
def test_activations_cannot_be_moved_where_no_gpu_trains(cuda: bool, more: dict[str, Any]) -> None:
    spec = _spec(train={**TRAIN, "activation_offloading": True, **more})
    with pytest.raises(SuiteError, match=r"train.activation_offloading: .* trains on the CPU"):
        _resolve(spec, cuda=cuda)
    assert _resolve(_spec(train={**TRAIN, "activation_offloading": True}), cuda=True).kwargs["activation_offloading"]


def test_tf32_needs_a_gpu() -> None:
    spec = _spec(train={**TRAIN, "tf32": True})
    with pytest.raises(SuiteError, match=r"train.tf32: only a GPU .* trains on the CPU"):
        _resolve(spec)
    assert _resolve(spec, cuda=True).kwargs["tf32"]
    assert _resolve(_spec(train={**TRAIN, "tf32": False})).kwargs["tf32"] is False


def test_evaluation_without_rows_is_off_and_said() -> None:
    spec = _spec(train={**TRAIN, "eval_strategy": "steps"})
    assert _resolve(spec, cuda=True, eval_rows=5).kwargs["eval_strategy"] == "steps"
    without = _resolve(spec, cuda=True)
    assert without.kwargs["eval_strategy"] == "no"
    assert "no rows" in without.notes[0]


def test_what_trl_does_not_do_is_an_error_that_names_all_of_it() -> None:
    spec = _spec(method="dpo", train={**TRAIN, "packing": True, "padding_free": True})
    with pytest.raises(SuiteError, match=r"train.packing.*train.padding_free"):
        _resolve(spec)


# Secrets


def test_secret_values_are_replaced_wherever_they_stand(tmp_path: Path) -> None:
    redact = redactor({"HF_TOKEN": "hf_abcdefgh", "MY_API_KEY": "hf_abcdefghijk", "USER": "somebody-long"})
    assert redact("a hf_abcdefghijk b hf_abcdefgh somebody-long") == (
        "a [MY_API_KEY redacted] b [HF_TOKEN redacted] somebody-long"
    )
    log = tmp_path / "worker.log"
    log.write_bytes(b"key hf_abcdefgh\xff\n")
    with log.open("ab") as open_elsewhere:
        redact_file(log, redact)
        open_elsewhere.write(b"later\n")
    assert log.read_bytes() == b"key [HF_TOKEN redacted]\xff\nlater\n"
    redact_file(tmp_path / "missing.log", redact)


@pytest.mark.parametrize("name", ["PROXY_PASSWD", "DB_CREDENTIALS", "AWS_ACCESS_KEY_ID", "STORAGE_KEY", "SMTP_PASS"])
def test_names_of_secret_variables(name: str) -> None:
    assert redactor({name: "planted-secret"})("a planted-secret") == f"a [{name} redacted]"


def test_each_line_of_a_secret_of_several_lines_is_replaced() -> None:
    redact = redactor({"SERVICE_PRIVATE_KEY": "planted-one\nplanted-two\n}\n"})
    assert redact("worker 1: planted-two\n}\n") == "worker 1: [SERVICE_PRIVATE_KEY redacted]\n}\n"
    assert redact("planted-one\nplanted-two\n}\n") == "[SERVICE_PRIVATE_KEY redacted]"


def test_what_looks_like_a_secret_goes_without_a_variable_and_leaves_json_whole() -> None:
    event = {
        "text": "no http://me:planted@host/a?token=planted",
        "cause": "to me@host",
        "key": "hf_plantedplantedplanted",
    }
    cleaned = redactor({})(json.dumps(event))
    assert "planted" not in cleaned
    assert json.loads(cleaned) == {
        "text": "no http://host/a?token=[redacted]",
        "cause": "to me@host",
        "key": "[redacted]",
    }
    assert json.loads(redactor({})(json.dumps(["http://host", "a@b"]))) == ["http://host", "a@b"]


def test_settings_that_look_like_secrets_by_name_stay() -> None:
    redact = redactor({"TOKENIZERS_PARALLELISM": "false", "TOKEN_FILE": "/home/me/token", "X_SECRET": "1"})
    assert redact("false /home/me/token 1") == "false /home/me/token 1"


# Failures by name


def _classified(error: Exception) -> tuple[str, str]:
    from harness.worker.trial import classify

    return classify(error)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "outcome", "says"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0"), "oom", "device memory: 2.50 GiB"),
        (MemoryError(), "oom", "out of host memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes."),
            "oom",
            "host memory: 800 bytes",
        ),
        (Diverged("loss became nan", 7), "diverged", "at step 7"),
        (ValueError("first line\nsecond line"), "crashed", "ValueError: first line"),
        (
            ModelError.of("the shape 'tiny' cannot be built", why="no such\nkernel", hint="another one"),
            "crashed",
            "ModelError: the shape 'tiny' cannot be built: no such kernel",
        ),
    ],
)
def test_errors_are_named(error: Exception, outcome: str, says: str) -> None:
    name, cause = _classified(error)
    assert name == outcome
    assert says in cause
    assert "\n" not in cause


@pytest.mark.slow
def test_a_folder_without_a_trial_is_an_error(tmp_path: Path) -> None:
    from harness.worker.trial import run_trial

    with pytest.raises(FolderError, match="holds no trial"):
        run_trial(RunFolder(tmp_path), RunFolder(tmp_path).new_attempt())


# Real trainings


@pytest.mark.slow
def test_a_trial_leaves_a_checkpoint_figures_and_its_environment(tmp_path: Path) -> None:
    outcome = _run(tmp_path / "a", _spec())
    folder = RunFolder(tmp_path / "a")
    assert (outcome.outcome, outcome.cause, outcome.phase) == ("ok", None, "eval")
    assert (folder.checkpoint / "model.safetensors").is_file()
    assert not (folder.path / "checkpoint.tmp").exists()
    events = list(read_events(folder.attempts()[0].events))
    phases = [event["name"] for event in events if event["kind"] == "phase" and event["edge"] == "start"]
    assert phases == ["import", "model", "data", "trainer", "train", "save", "eval"]
    assert outcome.summary["measured_steps"] == 3
    assert outcome.summary["final_eval_loss"] > 0
    assert outcome.summary["peak_host_memory"] > 2**20
    assert outcome.summary["startup_seconds"] < outcome.summary["trial_seconds"]
    environment = json.loads(folder.environment_file.read_text())
    assert environment["hash"] == outcome.environment
    assert len(str(outcome.data_fingerprint)) > 8
    again = _run(tmp_path / "b", _spec())
    other = _run(tmp_path / "c", _spec(seed=4))
    assert outcome.weights_hash == again.weights_hash != other.weights_hash


@pytest.mark.slow
def test_weights_that_nobody_wants_are_not_written(tmp_path: Path) -> None:
    outcome = _run(tmp_path, _spec(checkpoint="none"))
    assert (outcome.outcome, outcome.cause, outcome.weights_hash) == ("ok", None, None)
    assert outcome.summary["measured_steps"] == 3
    assert not RunFolder(tmp_path).checkpoint.exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo", "orpo"])
def test_a_stage_hands_over_to_an_adapter_and_an_adapter_to_a_training(method: str, tmp_path: Path) -> None:
    from harness.models.load import load_checkpoint

    stage = _run(tmp_path / "stage", _spec())
    adapted = _spec(method=method, lora={"r": 2}, start="../stage/checkpoint", train={**TRAIN, "learning_rate": 1e-2})
    middle = _run(tmp_path / "middle", adapted)
    last = _run(tmp_path / "last", _spec(method=method, start="../middle/checkpoint"))
    assert [stage.outcome, middle.outcome, last.outcome] == ["ok", "ok", "ok"], (middle.cause, last.cause)
    assert (tmp_path / "middle" / "checkpoint" / "adapter_model.safetensors").is_file()
    assert middle.summary["trainable_parameters"] < stage.summary["trainable_parameters"]
    assert last.summary["trainable_parameters"] == stage.summary["trainable_parameters"]
    first, _ = load_checkpoint(tmp_path / "stage" / "checkpoint", device="cpu")
    merged, _ = load_checkpoint(tmp_path / "middle" / "checkpoint", device="cpu")
    pairs = zip(first.parameters(), merged.parameters(), strict=True)
    assert any(not bool((before == after).all()) for before, after in pairs)  # the adapter moved something
    if method != "sft":
        assert "final_reward_margin" in last.summary
    if method == "dpo":
        assert last.summary["reference_tokens"] == last.summary["real_tokens"]


@pytest.mark.slow
def test_a_floor_is_the_model_as_it_comes(tmp_path: Path) -> None:
    from harness.models.load import load, load_checkpoint

    outcome = _run(tmp_path, _spec(kind="floor", method=None, data=None, train={}))
    assert outcome.outcome == "ok"
    assert "tokens_per_second" not in outcome.summary
    fresh, _ = load(TINY, root=tmp_path, device="cpu")
    saved, _ = load_checkpoint(tmp_path / "checkpoint", device="cpu")
    assert all(bool((a == b).all()) for a, b in zip(fresh.parameters(), saved.parameters(), strict=True))


@pytest.mark.slow
def test_a_training_that_diverges_says_at_which_step_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    huge = {**TRAIN, "learning_rate": 1e30, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    outcome = _run(tmp_path, _spec(train=huge))
    assert (outcome.outcome, outcome.phase) == ("diverged", "train")
    assert "at step 2" in str(outcome.cause)
    assert not (tmp_path / "checkpoint").exists()
    assert outcome.summary["trainable_parameters"] > 0


@pytest.mark.slow
def test_a_crash_keeps_its_traceback_in_the_log_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hf_" + "verysecret"
    monkeypatch.setenv("SOME_TOKEN", secret)
    outcome = _run(tmp_path, _spec(train={**TRAIN, "optim": secret}))
    assert (outcome.outcome, outcome.phase) == ("crashed", "trainer")
    assert secret not in str(outcome.cause)
    log = (tmp_path / "attempts" / "1" / "worker.log").read_text()
    assert "Traceback" in log
    assert secret not in log
    assert "[SOME_TOKEN redacted]" in log
    assert os.environ["SOME_TOKEN"] == secret


@pytest.mark.slow
def test_an_older_checkpoint_outlives_a_failed_attempt(tmp_path: Path) -> None:
    first = _run(tmp_path, _spec())
    second = _run(tmp_path, _spec(train={**TRAIN, "optim": "no such optimizer"}))
    assert second.outcome == "crashed"
    assert first.weights_hash is not None
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
