"""Cells that ask for what is not installed here, and DPO's choice of a reference."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InputError
from harness.plan import expand
from harness.records.suite import Axis, Level, Setup
from tests.unit.plan.made import CATALOG, setup, suite


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any optional package."""
    monkeypatch.setattr("harness.methods.requirements.is_installed", lambda distribution: False)


def _axis(path: str, **levels: Any) -> Axis:
    return Axis(
        name=path, field=path, named=True, levels=tuple(Level(name=n, sets={path: v}) for n, v in levels.items())
    )


@pytest.mark.usefixtures("bare")
def test_a_cell_that_needs_a_missing_package_is_left_out_and_says_what_to_install() -> None:
    plan = expand(suite(matrix=(_axis("train.optim", torch="adamw_torch", bnb="adamw_bnb_8bit"),)), CATALOG)
    assert [cell.config["train"]["optim"] for cell in plan.cells] == ["adamw_torch"]
    (left_out,) = plan.excluded
    assert "adamw_bnb_8bit needs bitsandbytes" in left_out.reason
    assert "trl-harness[gpu]" in left_out.reason


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("release", ["2", "3", "4"])
def test_flash_attention_needs_the_package_of_its_release(release: str) -> None:
    kernel = f"flash_attention_{release}"
    plan = expand(suite(matrix=(_axis("model.attn_implementation", plain="sdpa", flash=kernel),)), CATALOG)
    (left_out,) = plan.excluded
    assert f"model.attn_implementation: {kernel} needs flash-attn" in left_out.reason


@pytest.mark.usefixtures("bare")
def test_a_suite_of_nothing_else_says_what_to_install() -> None:
    with pytest.raises(InputError) as raised:
        expand(suite(base=setup(train={"max_steps": 10, "optim": "adamw_bnb_8bit"})), CATALOG)
    (problem,) = raised.value.problems
    assert problem.what == "every cell is excluded"
    assert "bitsandbytes" in str(problem.why)


def _reference(value: str, lora: dict[str, Any] | None, train: dict[str, Any] | None = None) -> Setup:
    return setup(method="dpo", reference=value, lora=lora, train={"max_steps": 10, **(train or {})})


@pytest.mark.parametrize(("value", "lora"), [("explicit", None), ("shared", {"r": 8})])
def test_a_reference_as_trl_has_it_anyway_says_nothing(value: str, lora: dict[str, Any] | None) -> None:
    said = expand(suite(base=_reference(value, lora)), CATALOG).cells[0]
    silent = expand(suite(base=setup(method="dpo", lora=lora, train={"max_steps": 10})), CATALOG).cells[0]
    assert said.id == silent.id
    assert said.config["reference"] is None


def test_an_explicit_reference_beside_an_adapter_is_another_cell() -> None:
    matrix = (_axis("reference", shared="shared", explicit="explicit"),)
    plan = expand(suite(base=setup(method="dpo", lora={"r": 8}, train={"max_steps": 10}), matrix=matrix), CATALOG)
    assert [cell.config["reference"] for cell in plan.cells] == [None, "explicit"]
    assert len({cell.id for cell in plan.cells}) == 2


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (_reference("shared", None), "dpo cannot share its reference here"),
        (_reference("explicit", {"r": 8}, {"precompute_ref_log_probs": True}), "exclude each other"),
        (setup(method="sft", reference="explicit", train={"max_steps": 10}), "sft has no reference model to choose"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(base: Setup, says: str) -> None:
    with pytest.raises(InputError) as raised:
        expand(suite(base=base), CATALOG)
    assert says in raised.value.problems[0].what
    assert len(raised.value.problems) == 1
