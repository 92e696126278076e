"""The environments that cells are trained in: what they do to ids, names, order, checks and specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import InputError
from harness.methods.catalog import NOT_BUILT, Catalog, Field
from harness.plan import expand, spec_of
from harness.records.plan import Plan
from harness.records.suite import Axis, Replicates, Score, Selector, Setup, Suite
from tests.unit.plan.made import CATALOG, named, setup, suite, values

OLD: dict[str, Any] = {"requirements": ["trl==1.15.0", "torch==2.13.0"], "harness": True}
NEW: dict[str, Any] = {"requirements": ["trl==1.16.0", "torch==2.13.0"], "harness": True}

OLDER: Catalog = replace(
    CATALOG,
    methods={**CATALOG.methods, "sft": {**CATALOG.methods["sft"], "gone": Field(name="gone", types=("integer",))}},
    versions={"trl": "1.15.0", "peft": "0.20"},
    packages={"trl": "1.15.0", "liger-kernel": "0.8"},
)
BOTH = replace(CATALOG, beside={"old": OLDER, "new": replace(CATALOG, packages={}, versions={"trl": "1.16.0"})})
UNKNOWN = replace(CATALOG, unread={"old": NOT_BUILT, "new": NOT_BUILT})


def across(
    *axes: Axis, levels: tuple[str | None, ...] = (None, "old", "new"), declared: Any = None, **fields: Any
) -> Suite:
    known = declared or {"old": OLD, "new": NEW}
    return suite(values("environment", *levels), *axes, environments=known, **fields)


def ids(plan: Plan) -> dict[str, str]:
    return {cell.name: cell.id for cell in plan.cells if cell.kind == "cell"}


def test_an_axis_over_environments_names_its_cells_by_them_and_leaves_other_ids_alone() -> None:
    (alone,) = expand(suite(), CATALOG).cells
    found = ids(expand(across(), BOTH))
    assert list(found) == ["sft", "sft-old", "sft-new"]
    assert found["sft"] == alone.id
    assert len(set(found.values())) == 3


@pytest.mark.parametrize(
    ("declared", "same"),
    [
        ({**OLD, "about": "another word", "needs": "cuda"}, True),
        ({**OLD, "requirements": OLD["requirements"][::-1]}, True),
        ({**OLD, "requirements": ["trl==1.15.1", "torch==2.13.0"]}, False),
        ({**OLD, "overrides": ["numpy<3"]}, False),
        ({**OLD, "python": "3.12"}, False),
    ],
)
def test_an_environment_counts_by_what_it_is_declared_to_hold(declared: Mapping[str, Any], same: bool) -> None:
    before = ids(expand(across(levels=("old",)), BOTH))
    after = ids(expand(across(levels=("renamed",), declared={"renamed": declared}), CATALOG))
    assert (list(before.values()) == list(after.values())) is same


def test_what_differs_in_its_environment_alone_runs_side_by_side() -> None:
    plan = expand(across(values("train.max_steps", 10, 20), replicates=Replicates(seeds=[0, 1])), BOTH)
    names = [trial.name for trial in plan.trials]
    assert names[:6] == [
        *("sft-max_steps10-s0", "sft-old-max_steps10-s0", "sft-new-max_steps10-s0"),
        *("sft-max_steps20-s0", "sft-old-max_steps20-s0", "sft-new-max_steps20-s0"),
    ]
    assert [name.replace("-s1", "-s0") for name in names[6:]] == names[:6]
    assert [cell.name for cell in plan.cells][:2] == ["sft-max_steps10", "sft-max_steps20"], (
        "shown as the file has them"
    )


def test_each_cell_is_checked_against_its_own_trl() -> None:
    plan = expand(across(levels=("old",), base=setup(train={"max_steps": 10, "gone": 1})), BOTH)
    assert list(ids(plan)) == ["sft-old"]
    with pytest.raises(InputError) as caught:
        expand(across(base=setup(train={"max_steps": 10, "gone": 1})), BOTH)
    (own, new) = caught.value.problems
    assert own.what == "SFTConfig has no field 'gone' (environment: none)"
    assert new.what == "SFTConfig has no field 'gone' in environment 'new' (trl 1.16.0) (environment: new)"


def test_trl_s_default_is_that_of_the_environment() -> None:
    other = {
        **OLDER.methods,
        "sft": {**OLDER.methods["sft"], "max_length": Field(name="max_length", types=("integer",), default=7)},
    }
    catalog = replace(BOTH, beside={**BOTH.beside, "old": replace(OLDER, methods=other)})
    plan = expand(across(), catalog)
    defaults = {trial.name: spec_of(trial, plan, catalog).defaults["max_length"] for trial in plan.trials}
    assert defaults == {"sft-s0": 1024, "sft-old-s0": 7, "sft-new-s0": 1024}


def test_what_is_not_known_of_an_environment_is_a_warning_and_stops_nothing() -> None:
    plan = expand(across(levels=("old", "new"), base=setup(train={"max_steps": 10, "gone": 1})), UNKNOWN)
    assert len(plan.cells) == 2
    first, second = plan.warnings
    assert first.what.startswith("`train` of cells in environment 'old' was checked against the harness's own TRL 0")
    assert first.what.endswith(", which would refuse train.gone")
    assert first.why == "the environment's own TRL is not known: it is not built yet"
    assert first.hint is not None
    assert "harness env build old" in first.hint
    assert "'new'" in second.what


def test_what_no_trl_takes_is_refused_in_an_environment_that_is_not_built_too() -> None:
    with pytest.raises(InputError, match="does not belong in a suite"):
        expand(across(levels=("old",), base=setup(train={"output_dir": "x"})), UNKNOWN)


@pytest.mark.parametrize(
    ("catalog", "runs"),
    [(BOTH, ["sft-old"]), (UNKNOWN, ["sft-new"])],
    ids=["by what is locked", "by what is declared"],
)
def test_what_needs_a_package_runs_where_that_is(catalog: Catalog, runs: list[str]) -> None:
    liger = Field(name="use_liger_kernel", types=("boolean",), default=False)
    methods = {**CATALOG.methods, "sft": {**CATALOG.methods["sft"], "use_liger_kernel": liger}}
    beside = {name: replace(one, methods=methods) for name, one in catalog.beside.items()}
    declared = {"old": OLD, "new": {**NEW, "requirements": [*NEW["requirements"], "liger-kernel"]}}
    asks = across(
        levels=("old", "new"), declared=declared, base=setup(train={"max_steps": 10, "use_liger_kernel": True})
    )
    plan = expand(asks, replace(catalog, methods=methods, beside=beside))
    assert list(ids(plan)) == runs
    (left,) = plan.excluded
    assert "needs liger-kernel, which environment" in left.reason


def test_stages_and_floors_are_made_in_the_harness_s_own_environment_unless_the_stage_says() -> None:
    recipe = named("recipe", {"dpo": {"method": "dpo", "init": {"stage": "start"}}})
    made = across(recipe, stages={"start": Setup(method="sft")}, score=Score(tasks=["arithmetic_mc"]))
    kinds = {cell.name: cell.config["environment"] for cell in expand(made, BOTH).cells}
    assert kinds == {"stage-start": None, "floor": None, "dpo": None, "old-dpo": "old", "new-dpo": "new"}
    said = across(recipe, stages={"start": Setup(method="sft", environment="old")})
    stages = [cell for cell in expand(said, BOTH).cells if cell.kind == "stage"]
    assert [stage.config["environment"] for stage in stages] == ["old"]


def test_the_spec_names_the_environment_and_holds_no_password() -> None:
    secret = {**OLD, "requirements": ["trl @ https://ada:s3cr3t@host.example/trl-1.15.0-py3-none-any.whl"]}
    plan = expand(across(levels=(None, "old"), declared={"old": secret}), CATALOG)
    own, told = (spec_of(trial, plan, CATALOG).environment for trial in plan.trials)
    assert own is None
    assert told is not None
    assert told["name"] == "old"
    assert len(told["spec_hash"]) == 64
    assert "s3cr3t" not in str(told)


def test_an_environment_can_be_excluded_and_be_the_baseline() -> None:
    made = across(
        exclude=(Selector(fields={"environment": ("new",)}),), baseline=Selector(fields={"environment": (None,)})
    )
    plan = expand(made, BOTH)
    assert list(ids(plan)) == ["sft", "sft-old"]
    assert plan.baseline == (ids(plan)["sft"],)


def test_an_unknown_environment_is_an_error() -> None:
    with pytest.raises(InputError, match="there is none called 'odl'"):
        expand(across(levels=("odl",)), CATALOG)


def test_of_other_libraries_values_beside_each_other_are_not_judged() -> None:
    """What this TRL refuses together another may take; the same versions take the same."""
    base = setup(train={"max_steps": 10}, lora={"target_modules": ["lm_head"]})
    lora = {"target_modules": Field(name="target_modules", types=("array", "string", "null"))}
    own = replace(CATALOG, lora=lora)
    catalog = replace(own, beside={"old": replace(OLDER, lora=lora), "new": own})
    assert list(ids(expand(across(levels=("old",), base=base), catalog))) == ["sft-old"]
    with pytest.raises(InputError, match="no adapter on lm_head"):
        expand(across(levels=("new",), base=base), catalog)
    unread = replace(own, unread={"old": NOT_BUILT, "new": NOT_BUILT})
    assert len(expand(across(levels=("old", "new"), base=base), unread).cells) == 2
