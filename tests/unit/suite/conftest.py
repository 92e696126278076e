"""A small catalogue in place of the installed TRL's, and suites written as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import Problem, SuiteError
from harness.methods.catalog import Catalog, Field
from harness.records.suite import Suite
from harness.suite import load


def _fields(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


_COMMON = (
    Field(name="max_steps", types=("integer",), default=-1, help="Steps."),
    Field(name="learning_rate", types=("number",), default=2e-5, help="Learning rate."),
    Field(name="bf16", types=("boolean", "null"), help="Mixed precision."),
    Field(name="max_length", types=("integer", "null"), default=1024, help="Tokens."),
    Field(name="optim", types=("string",), choices=("adamw_torch", "adamw_8bit", "sgd"), default="adamw_torch"),
    Field(name="lr_scheduler_kwargs", types=("null", "object", "string"), help="Options of the schedule."),
    Field(name="train_sampling_strategy", types=("string",), default="random"),
    Field(name="output_dir", types=("null", "string")),
)
_SFT = (
    *_COMMON,
    Field(name="packing", types=("boolean",), default=False),
    Field(name="loss_type", types=("string",), choices=("nll", "dft"), default="nll"),
    Field(name="assistant_only_loss", types=("boolean",), default=False),
)
_DPO = (
    *_COMMON,
    Field(name="beta", types=("number",), default=0.1),
    Field(name="loss_type", types=("array", "string"), items=("string",), default=["sigmoid"]),
)
_ORPO = (*_COMMON, Field(name="beta", types=("number",), default=0.1))
_LORA = (
    Field(name="r", types=("integer",), default=8),
    Field(name="lora_alpha", types=("integer",), default=8),
    Field(name="target_modules", types=("array", "null", "string"), items=("string",)),
    Field(name="init_lora_weights", types=("boolean", "string"), choices=("pissa", "pissa_niter_[n]"), default=True),
    Field(name="eva_config", types=("null", "object")),
)
SMALL = Catalog(
    methods={"sft": _fields(*_SFT), "dpo": _fields(*_DPO), "orpo": _fields(*_ORPO)},
    lora=_fields(*_LORA),
    versions={"trl": "1.16.0", "peft": "0.21.2"},
)


@pytest.fixture
def catalog() -> Catalog:
    return SMALL


SuiteOf = Callable[[str], Suite]
ProblemsOf = Callable[[str], list[Problem]]


@pytest.fixture
def suite_of(tmp_path: Path) -> SuiteOf:
    """Loads a suite from its text."""

    def read(text: str) -> Suite:
        file = tmp_path / "suite.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file, catalog=SMALL)

    return read


@pytest.fixture
def problems_of(suite_of: SuiteOf) -> ProblemsOf:
    """The problems of a suite's text; there must be some."""

    def read(text: str) -> list[Problem]:
        with pytest.raises(SuiteError) as caught:
            suite_of(text)
        assert caught.value.exit_code == 2
        return list(caught.value.problems)

    return read
