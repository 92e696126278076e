"""What holds of every plan, whatever the suite: looked for by hypothesis among made-up ones."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.plan import expand, select, spec_of
from harness.plan.canonical import canonical
from harness.records.plan import Plan
from harness.records.spec import Spec
from harness.records.suite import Axis, Replicates, Score, Selector, Setup, Suite
from tests.unit.plan.made import CATALOG, RECIPE, named, setup, suite, values

quickly = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

METHODS = named("recipe", {"sft": {"method": "sft"}, "dpo": {"method": "dpo", "init": {"stage": "start"}}})

STAGES = {
    "start": Setup(method="sft", train={"max_steps": 400}, init={"stage": "early"}),  # type: ignore[arg-type]
    "early": Setup(method="sft", train={"max_steps": 300}, seed=2),
}

# Fields with levels that differ in what is trained, so that no two combinations come out equal.
POOL: Mapping[str, tuple[Any, ...]] = {
    "train.learning_rate": (1e-5, 1e-4, 0.01, 1, 2),
    "train.weight_decay": (None, 0.1, 0.2),
    "train.gradient_checkpointing": (True, False),
    "train.max_length": (None, 64, 128),
    "train.lr_scheduler_kwargs": (None, {"a": 1}, {"a": [1, 2]}),
    "lora": (None, {"r": 4}, {"r": 4, "lora_alpha": 16}),
    "model": ({"shape": "tiny"}, {"shape": "tiny", "seed": 3}, {"shape": "smollm2-135m"}),
    "data.rows": (None, 10, 100),
    "measure.warmup_steps": (None, 0, 1),
}


@st.composite
def some_axes(draw: st.DrawFn) -> list[Axis]:
    """Up to three axes of the pool, maybe the recipe, in any order with any of their levels in any order."""
    fields = draw(st.lists(st.sampled_from(sorted(POOL)), unique=True, max_size=3))
    axes = [
        values(
            field, *draw(st.permutations(POOL[field]).flatmap(lambda p: st.integers(1, len(p)).map(lambda n: p[:n])))
        )
        for field in fields
    ]
    if draw(st.booleans()):
        axes.append(METHODS)
    return draw(st.permutations(axes))


@st.composite
def suites(draw: st.DrawFn) -> Suite:
    """A suite with axes, seeds, perhaps scoring, perhaps rules that exclude."""
    axes = draw(some_axes())
    rules = draw(st.lists(selectors(axes), max_size=2)) if axes else []
    seeds = draw(st.lists(st.integers(0, 20), unique=True, min_size=1, max_size=3))
    score = draw(st.sampled_from([None, Score(tasks=["arithmetic_mc"])]))
    return suite(*axes, stages=STAGES, replicates=Replicates(seeds=seeds), score=score, exclude=tuple(rules))


@st.composite
def selectors(draw: st.DrawFn, axes: list[Axis]) -> Selector:
    """Some levels of some axes: by value where the axis is a field, by name where it is not."""
    chosen = draw(st.lists(st.sampled_from(axes), unique_by=lambda axis: axis.name, min_size=1, max_size=2))
    fields: dict[str, tuple[Any, ...]] = {}
    levels: dict[str, tuple[str, ...]] = {}
    for axis in chosen:
        some = draw(st.lists(st.sampled_from(axis.levels), unique_by=lambda level: level.name, min_size=1, max_size=2))
        if axis.field:
            fields[axis.field] = tuple(level.sets[axis.field] for level in some)
        else:
            levels[axis.name] = tuple(level.name for level in some)
    return Selector(fields=fields, levels=levels)


def planned(declared: Suite) -> Plan | None:
    """The plan; None where the rules leave no cell."""
    try:
        return expand(declared, CATALOG)
    except InputError as error:
        if "every cell is excluded" not in str(error):
            raise
        return None


def key(levels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(levels.items()))


def matrix_ids(plan: Plan) -> dict[tuple[tuple[str, str], ...], str]:
    return {key(cell.levels): cell.id for cell in plan.cells if cell.kind == "cell"}


def matches(rule: Selector, declared: Suite, combination: Mapping[str, str]) -> bool:
    """Whether a rule made by `selectors` means this combination: worked out from level names alone."""
    by_name = {axis.name: {level.name: level for level in axis.levels} for axis in declared.matrix}
    by_value = all(
        canonical(by_name[path][combination[path]].sets[path]) in {canonical(value) for value in wanted}
        for path, wanted in rule.fields.items()
    )
    return by_value and all(combination[axis] in names for axis, names in rule.levels.items())


@quickly
@given(suites())
def test_every_combination_is_there_once_unless_a_rule_takes_it(declared: Suite) -> None:
    plan = planned(declared)
    if plan is None:
        return
    names = [[(axis.name, level.name) for level in axis.levels] for axis in declared.matrix]
    running, left = Counter(matrix_ids(plan)), Counter(key(excluded.levels) for excluded in plan.excluded)
    expected = [dict(combination) for combination in itertools.product(*names)]
    for combination in expected:
        taken = any(matches(rule, declared, combination) for rule in declared.exclude)
        assert (key(combination) in running) is not taken
        assert left[key(combination)] == taken
    assert len(running) + len(left) == len(expected)
    cells = [cell for cell in plan.cells if cell.kind == "cell"]
    pairs = Counter((trial.cell.id, trial.seed) for trial in plan.trials if trial.cell.kind == "cell")
    assert pairs == Counter((cell.id, seed) for cell in cells for seed in declared.replicates.seeds)


@quickly
@given(suites())
def test_ids_and_names_are_unique_and_safe(declared: Suite) -> None:
    plan = planned(declared)
    if plan is None:
        return
    for things in (plan.trials, plan.cells):
        assert len({thing.id for thing in things}) == len(things)
        assert len({thing.name for thing in things}) == len(things)
        assert all(re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+=-]*", thing.name) for thing in things)


@quickly
@given(suites())
def test_what_is_needed_comes_first_and_seeds_interleave(declared: Suite) -> None:
    plan = planned(declared)
    if plan is None:
        return
    at = {trial.id: number for number, trial in enumerate(plan.trials)}
    assert all(at[trial.needs] < at[trial.id] for trial in plan.trials if trial.needs is not None)
    own = [trial for trial in plan.trials if trial.cell.kind == "cell"]
    count = len({trial.cell.id for trial in own})
    rounds = [own[start : start + count] for start in range(0, len(own), count)]
    assert [{trial.seed for trial in one} for one in rounds] == [{seed} for seed in declared.replicates.seeds]
    assert all([trial.cell.id for trial in one] == [trial.cell.id for trial in rounds[0]] for one in rounds)


@quickly
@given(suites(), st.randoms(use_true_random=False))
def test_order_moves_no_id_and_no_name(declared: Suite, chance: Any) -> None:
    def shuffled(things: Any) -> tuple[Any, ...]:
        mixed = list(things)
        chance.shuffle(mixed)
        return tuple(mixed)

    axes = tuple(axis.model_copy(update={"levels": shuffled(axis.levels)}) for axis in declared.matrix)
    plan = planned(declared)
    other = planned(declared.model_copy(update={"matrix": axes, "exclude": shuffled(declared.exclude)}))
    if plan is None or other is None:
        assert plan is other
        return
    assert {(cell.id, cell.needs) for cell in plan.cells} == {(cell.id, cell.needs) for cell in other.cells}
    assert matrix_ids(plan) == matrix_ids(other)
    again = planned(
        declared.model_copy(
            update={
                "matrix": tuple(
                    a.model_copy(update={"levels": b.levels}) for a, b in zip(declared.matrix, axes, strict=True)
                )
            }
        )
    )
    assert again is not None
    assert {cell.name for cell in again.cells} == {cell.name for cell in plan.cells}


@quickly
@given(some_axes(), st.data())
def test_more_levels_move_no_id(axes: list[Axis], data: st.DataObject) -> None:
    few = [
        axis.model_copy(update={"levels": axis.levels[: data.draw(st.integers(1, len(axis.levels)))]}) for axis in axes
    ]
    all_ids = matrix_ids(expand(suite(*axes, stages=STAGES), CATALOG))
    for combination, cell in matrix_ids(expand(suite(*few, stages=STAGES), CATALOG)).items():
        assert all_ids[combination] == cell


@quickly
@given(
    some_axes(),
    st.sampled_from([field for field, levels in POOL.items() if None in levels and field != "train.max_length"]),
)
def test_an_axis_with_null_moves_no_id(axes: list[Axis], field: str) -> None:
    rest = [axis for axis in axes if axis.name != field]
    before = matrix_ids(expand(suite(*rest, stages=STAGES), CATALOG))
    after = matrix_ids(expand(suite(*rest, values(field, *POOL[field]), stages=STAGES), CATALOG))
    for combination, cell in before.items():
        assert after[key({**dict(combination), field: "none"})] == cell
    assert len(after) == len(before) * len(POOL[field])


@quickly
@given(suites(), st.data())
def test_a_selection_has_what_was_chosen_and_all_it_needs(declared: Suite, data: st.DataObject) -> None:
    plan = planned(declared)
    if plan is None:
        return
    chosen = data.draw(st.lists(st.sampled_from(plan.trials), min_size=1, max_size=3))
    selected = select(plan, [trial.id for trial in chosen], [])
    ids = [trial.id for trial in selected.trials]
    assert {trial.id for trial in chosen} <= set(ids)
    assert all(trial.needs is None or trial.needs in ids for trial in selected.trials)
    assert ids == [trial.id for trial in plan.trials if trial.id in ids]
    needed = {trial.needs for trial in selected.trials}
    assert all(trial in chosen or trial.id in needed for trial in selected.trials)
    assert {cell.id for cell in selected.cells} == {trial.cell.id for trial in selected.trials}


@quickly
@given(suites())
def test_specs_survive_json_and_start_from_trials_of_the_plan(declared: Suite) -> None:
    plan = planned(declared)
    if plan is None:
        return
    ids = {trial.id for trial in plan.trials}
    for trial in plan.trials[:20]:
        spec = spec_of(trial, plan, CATALOG)
        assert Spec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False))) == spec
        assert spec.start is None or spec.start.split("/")[1] in ids
        assert (spec.start is None) == (spec.init is None)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def alike(one: Any, other: Any) -> bool:
    """Equality of JSON values: numbers by value, and never a number and a truth value."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


@given(json_values, json_values)
def test_canonical_text_is_one_for_equal_values_alone(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == alike(one, other)


@given(json_values)
def test_canonical_text_reads_back(value: Any) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text
    assert alike(json.loads(text), value)


def test_the_made_up_suites_do_have_stages_of_stages() -> None:
    plan = expand(suite(RECIPE, base=setup(), stages=STAGES), CATALOG)
    assert [trial.name for trial in plan.trials] == ["stage-early", "stage-start", "sft-s0", "dpo-s0", "orpo-s0"]
