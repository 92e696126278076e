from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError, Problem
from harness.methods import METHODS, catalog
from harness.methods.catalog import Catalog, Field, obtain

VERSIONS = {"trl": "1.16.0", "transformers": "5.19.0", "peft": "0.21.2", "python": "3.11"}


def entry(*types: str, **more: Any) -> dict[str, Any]:
    return {"types": list(types), "items": [], "choices": [], "default": None, "help": "", **more}


def document(source: Path) -> dict[str, Any]:
    """What reading the classes gives, had they been defined in `source`."""
    status = source.stat()
    common = {
        "max_steps": entry("integer", default=-1, help="Steps."),
        "learning_rate": entry("number", default=2e-5),
        "per_device_train_batch_size": entry("integer", default=8),
        "per_device_eval_batch_size": entry("integer", default=8),
        "gradient_accumulation_steps": entry("integer", default=1),
        "logging_steps": entry("number", default=10),
        "warmup_steps": entry("number", default=0),
        "adam_beta1": entry("number", default=0.9),
        "num_train_epochs": entry("number", default=3.0),
        "eval_steps": entry("number", "null"),
        "max_length": entry("integer", "null", default=1024),
        "bf16": entry("boolean", "null"),
        "optim": entry("string", choices=["adamw_torch", "sgd"], default="adamw_torch"),
        "output_dir": entry("string", "null"),
    }
    own = {
        "sft": {"packing": entry("boolean", default=False)},
        "dpo": {"beta": entry("number"), "loss_type": entry("array", "string", items=["string"])},
        "orpo": {"beta": entry("number"), "max_completion_length": entry("integer", "null")},
    }
    return {
        "methods": {name: {**common, **fields} for name, fields in own.items()},
        "lora": {
            "r": entry("integer", default=8),
            "lora_alpha": entry("integer"),
            "lora_dropout": entry("number"),
            "init_lora_weights": entry("boolean", "string", choices=["pissa", "pissa_niter_[number of iters]"]),
        },
        "files": {str(source): [status.st_mtime_ns, status.st_size]},
    }


class Building:
    """A build that counts how often it is asked."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        return document(self.source)


@pytest.fixture
def build(tmp_path: Path) -> Building:
    source = tmp_path / "sft_config.py"
    source.write_text("class SFTConfig: ...")
    return Building(source)


@pytest.fixture
def known(tmp_path: Path, build: Building) -> Catalog:
    return obtain(tmp_path / "cache" / "catalog.json", VERSIONS, build=build, say=None)


def test_it_is_read_once_and_kept(tmp_path: Path, build: Building) -> None:
    file, said = tmp_path / "cache" / "catalog.json", list[str]()
    first = obtain(file, VERSIONS, build=build, say=said.append)
    second = obtain(file, VERSIONS, build=build, say=said.append)
    assert build.times == 1
    assert (first.methods, first.lora, first.versions) == (second.methods, second.lora, second.versions)
    assert said == ["reading the fields of TRL 1.16.0's config classes (once per version, some seconds)"]
    assert [f.name for f in file.parent.iterdir()] == ["catalog.json"]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"files": {}, "methods": {}, "lora": {}}',
        b'{"files": 3}',
        b"\xff\xfe",
        b'{"methods": 1}',
    ],
)
def test_a_damaged_cache_file_is_read_anew(tmp_path: Path, build: Building, damage: bytes) -> None:
    file = tmp_path / "catalog.json"
    file.write_bytes(damage)
    assert obtain(file, VERSIONS, build=build, say=None).methods["dpo"]["beta"].types == ("number",)
    assert build.times == 1
    assert json.loads(file.read_bytes())["lora"]["r"]["default"] == 8


def test_a_cut_off_cache_file_is_read_anew(tmp_path: Path, build: Building) -> None:
    file = tmp_path / "catalog.json"
    obtain(file, VERSIONS, build=build, say=None)
    file.write_bytes(file.read_bytes()[:-40])
    obtain(file, VERSIONS, build=build, say=None)
    assert build.times == 2


def test_a_changed_source_is_read_anew(tmp_path: Path, build: Building) -> None:
    file = tmp_path / "catalog.json"
    obtain(file, VERSIONS, build=build, say=None)
    build.source.write_text("class SFTConfig:\n    new: int = 3")
    obtain(file, VERSIONS, build=build, say=None)
    assert build.times == 2
    build.source.unlink()
    build.source.write_text("gone and back")
    obtain(file, VERSIONS, build=build, say=None)
    assert build.times == 3


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, build: Building) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    said: list[str] = []
    known = obtain(tmp_path / "cache" / "catalog.json", VERSIONS, build=build, say=said.append)
    assert known.methods["sft"]["packing"].default is False
    assert len(said) == 2
    assert "cannot be kept" in said[1]


def test_two_at_once_leave_one_whole_file(tmp_path: Path, build: Building) -> None:
    file = tmp_path / "cache" / "catalog.json"
    threads = [
        threading.Thread(target=obtain, args=(file, VERSIONS), kwargs={"build": build, "say": None}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f.name for f in file.parent.iterdir()] == ["catalog.json"]
    assert set(json.loads(file.read_bytes())["methods"]) == set(METHODS)


def test_the_file_is_another_for_other_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = catalog.cache_file(VERSIONS)
    assert file.parent == tmp_path / "trl-harness"
    assert file == catalog.cache_file(dict(reversed(VERSIONS.items())))
    assert file != catalog.cache_file({**VERSIONS, "trl": "1.16.1"})
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert catalog.cache_file(VERSIONS).parent == Path.home() / ".cache" / "trl-harness"


def said(problem: Problem | None) -> str:
    """A problem in one sentence; empty when there is none."""
    if problem is None:
        return ""
    because = f": {problem.why}" if problem.why else ""
    return f"{problem.what}{because}" + (f" ({problem.hint})" if problem.hint else "")


@pytest.mark.parametrize(
    ("method", "train", "says"),
    [
        ("sft", {"max_steps": 10, "learning_rate": 1, "bf16": None, "packing": True, "optim": "sgd"}, []),
        ("dpo", {"packing": False, "padding_free": None, "assistant_only_loss": False}, []),
        ("dpo", {"loss_type": "ipo"}, []),
        ("dpo", {"loss_type": ["ipo", "sigmoid"]}, []),
        ("dpo", {"loss_type": [1]}, ["train.loss_type wants a list of text; entry 1 is the number 1"]),
        ("dpo", {"packing": True}, ["dpo does not take train.packing: true: TRL's DPOTrainer has no packing"]),
        ("orpo", {"assistant_only_loss": True}, ["orpo does not take train.assistant_only_loss: true"]),
        ("sft", {"max_steps": 1.5}, ["train.max_steps wants a whole number, not the number 1.5"]),
        ("sft", {"max_steps": True}, ["train.max_steps wants a whole number, not true"]),
        ("sft", {"bf16": 1}, ["train.bf16 wants true or false, or null, not the number 1"]),
        ("sft", {"optim": "sgdd"}, ["train.optim does not know \"sgdd\" (did you mean 'sgd'?)"]),
        ("sft", {"beta": 1}, ["SFTConfig has no field 'beta' (it is a field of dpo and orpo)"]),
        ("dpo", {"max_completion_length": 9}, ["DPOConfig has no field 'max_completion_length' (use max_length"]),
        ("orpo", {"max_completion_length": 9}, []),
        ("sft", {"max_step": 1, "seed": 3}, ["SFTConfig has no field 'max_step'", "train.seed does not belong"]),
        ("sft", {"hub_strategy": "end"}, ["train.hub_strategy does not belong in a suite"]),
    ],
)
def test_a_cells_train(known: Catalog, method: str, train: dict[str, Any], says: list[str]) -> None:
    found = [said(known.check(method, name, value)) for name, value in train.items()]
    found = [sentence for sentence in found if sentence]
    assert len(found) == len(says)
    assert all(sentence.startswith(start) for sentence, start in zip(found, says, strict=True))


def test_an_adapter_changes_what_a_method_refuses(known: Catalog) -> None:
    assert "sync_ref_model: true" in said(known.check("dpo", "sync_ref_model", True, lora=True))


def test_equal_values_of_other_types_are_told_apart(known: Catalog) -> None:
    assert known.check("sft", "max_steps", 1) is None
    assert known.check("sft", "max_steps", True) is not None
    assert known.check("sft", "max_steps", 1.0) is not None
    assert known.check("sft", "packing", True) is None
    assert known.check("sft", "packing", 1) is not None


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("per_device_train_batch_size", (0, -1), (1, 64)),
        ("per_device_eval_batch_size", (0,), (1,)),
        ("max_steps", (0, -2), (-1, 1)),
        ("learning_rate", (-1e-9, -1), (0, 0.0, 5e-7)),
        ("gradient_accumulation_steps", (0,), (1,)),
        ("max_length", (0, -5), (1, None)),
        ("logging_steps", (0, -0.5), (0.1, 1)),
        ("warmup_steps", (-1, -0.1), (0, 0.1, 5)),
        ("adam_beta1", (1.0, -0.1), (0.0, 0.9)),
        ("eval_steps", (-1, 1.5), (0, 0.5, 3, None)),
    ],
)
def test_values_that_cannot_work_are_found(
    known: Catalog, name: str, bad: tuple[float, ...], good: tuple[float | None, ...]
) -> None:
    for value in bad:
        problem = known.check("dpo", name, value)
        assert problem is not None
        assert problem.what.startswith(f"train.{name} must be ")
        assert problem.why
    assert [known.check("dpo", name, value) for value in good] == [None] * len(good)


def test_adapters_that_cannot_work_are_found(known: Catalog) -> None:
    assert said(known.check_lora("r", 0)).startswith("lora.r must be at least 1, not 0")
    assert said(known.check_lora("lora_dropout", 1)).startswith("lora.lora_dropout must be from 0 to below 1")
    assert known.check_lora("r", 1) is None
    assert known.check_lora("lora_dropout", 0.0) is None


@pytest.mark.parametrize(
    ("lora", "says"),
    [
        (None, []),
        ({}, []),
        ({"r": 4, "init_lora_weights": "pissa_niter_16"}, []),
        ({"init_lora_weights": False}, []),
        ({"init_lora_weights": "pissa_niter_x"}, ['lora.init_lora_weights does not know "pissa_niter_x"']),
        ({"rank": 4}, ["LoraConfig has no field 'rank' (PEFT calls it r)"]),
        ({"task_type": "CAUSAL_LM"}, ["lora.task_type does not belong in a suite"]),
        ({"r": "8"}, ['lora.r wants a whole number, not the text "8" (write 8 without quotes)']),
    ],
)
def test_a_cells_lora(known: Catalog, lora: dict[str, Any] | None, says: list[str]) -> None:
    found = [said(known.check_lora(name, value)) for name, value in (lora or {}).items()]
    found = [sentence for sentence in found if sentence]
    assert len(found) == len(says)
    assert all(sentence.startswith(start) for sentence, start in zip(found, says, strict=True))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(max_size=5),
    "boolean": st.booleans(),
    "null": st.none(),
    "array": st.just([]),
    "object": st.just({}),
}


@given(st.sets(st.sampled_from(sorted(VALUES)), min_size=1), st.sampled_from(sorted(VALUES)), st.data())
def test_a_value_fits_exactly_its_types(types: set[str], kind: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    fits = kind in types or (kind == "integer" and "number" in types)
    problem = Field(name="x", types=tuple(sorted(types))).problem(value)
    assert (problem is None) == fits
    assert problem is None or problem.what.startswith("x wants ")


def test_loading_imports_nothing_heavy() -> None:
    heavy = "('torch', 'transformers', 'trl', 'peft', 'datasets', 'pandas')"
    code = f"import sys; import harness.methods.catalog, harness.suite; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    file = tmp_path_factory.mktemp("cache") / "catalog.json"
    return obtain(file, VERSIONS, say=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "name", "types", "default"),
    [
        ("sft", "max_length", ("integer", "null"), 1024),
        ("sft", "learning_rate", ("number",), 2e-5),
        ("sft", "bf16", ("boolean", "null"), None),
        ("sft", "gradient_checkpointing", ("boolean",), True),
        ("sft", "warmup_steps", ("number",), 0),
        ("dpo", "beta", ("number",), 0.1),
        ("dpo", "loss_type", ("array", "string"), ["sigmoid"]),
        ("orpo", "max_completion_length", ("integer", "null"), None),
    ],
)
def test_the_installed_trl(installed: Catalog, method: str, name: str, types: tuple[str, ...], default: object) -> None:
    field = installed.methods[method][name]
    assert field.types == types
    assert field.default == default
    assert field.help
    assert "\n" not in field.help


@pytest.mark.slow
def test_choices_of_the_installed_trl(installed: Catalog) -> None:
    assert {"adamw_torch", "adamw_8bit"} <= set(installed.methods["dpo"]["optim"].choices)
    assert {"linear", "cosine"} <= set(installed.methods["sft"]["lr_scheduler_type"].choices)
    assert set(installed.methods["sft"]["packing_strategy"].choices) >= {"bfd", "wrapped"}
    assert set(installed.lora["bias"].choices) == {"none", "all", "lora_only"}
    assert installed.lora["target_modules"].items == ("string",)
    assert "packing" not in installed.methods["dpo"]


@pytest.mark.slow
def test_every_declared_default_is_of_its_declared_type(installed: Catalog) -> None:
    every = [*installed.lora.values(), *(field for fields in installed.methods.values() for field in fields.values())]
    assert len(every) > 300
    wrong = [field.name for field in every if field.problem(field.default) is not None]
    assert wrong == []


@pytest.mark.slow
def test_a_broken_installation_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trl.py").write_text("raise ImportError('half an installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    with pytest.raises(InputError) as caught:
        catalog.read_installed()
    assert caught.value.problems[0].why == "ImportError: half an installation"
    assert caught.value.exit_code == 2
