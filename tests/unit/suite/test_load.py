from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import Problem, SuiteError
from harness.methods.catalog import Catalog
from harness.records.metrics import Margin
from harness.records.suite import HubModel, PathData, Setup, ShapeModel, SourceData, Suite
from harness.suite import load

SuiteOf = Callable[[str], Suite]

HEAD = """
name: demo
question: Which one?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10}
"""


def levels(suite: Suite, axis: str) -> dict[str, dict[str, object]]:
    (found,) = [one for one in suite.matrix if one.name == axis]
    return {level.name: dict(level.sets) for level in found.levels}


def test_the_smallest_suite(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD)
    assert (suite.name, suite.question, suite.file.name) == ("demo", "Which one?", "suite.yaml")
    assert suite.base.method == "sft"
    assert suite.base.model == ShapeModel(shape="tiny")
    assert suite.base.data == SourceData(source="arithmetic")
    assert suite.base.train == {"max_steps": 10}
    assert suite.base.model_fields_set == {"method", "model", "data", "train"}
    assert suite.replicates.seeds == [0]
    assert (suite.matrix, suite.stages, suite.score, suite.decide) == ((), {}, None, None)


def test_models_and_data_are_told_apart_by_their_key(suite_of: SuiteOf) -> None:
    suite = suite_of(
        "name: a\nquestion: b\nbase:\n  method: dpo\n  model: {hub: org/name, revision: '12e5'}\n"
        "  data: {path: rows.jsonl, columns: {prompt: question}}\n"
    )
    assert suite.base.model == HubModel(hub="org/name", revision="12e5")
    assert suite.base.data == PathData(path="rows.jsonl", columns={"prompt": "question"})


def test_dotted_and_nested_paths_say_the_same(suite_of: SuiteOf) -> None:
    nested = suite_of(HEAD + "  lora: {r: 4}\n  measure: {warmup_steps: 2}\n  limits: {timeout: 10m}\n")
    dotted = suite_of(HEAD + "  lora.r: 4\n  measure.warmup_steps: 2\n  limits.timeout: 10m\n")
    assert nested.base == dotted.base
    assert nested.base.lora == {"r": 4}


def test_a_dotted_entry_extends_the_whole_field_beside_it(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD + "  model.seed: 3\n  train.lr_scheduler_kwargs.num_cycles: 2\n")
    assert suite.base.model == ShapeModel(shape="tiny", seed=3)
    assert suite.base.train == {"max_steps": 10, "lr_scheduler_kwargs": {"num_cycles": 2}}


def test_a_field_axis_names_its_levels_by_their_values(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD
        + "matrix:\n  lora: [null, {r: 8}, {r: 8, lora_alpha: 16},\n"
        + "         {target_modules: all-linear, init_lora_weights: true}]\n"
        + "  train.learning_rate: [5e-7, 0.001]\n  train.packing: [false, true]\n"
        + "  model: [{shape: tiny}, {hub: Qwen/Qwen2.5-0.5B}, {shape: tiny, seed: 1}]\n"
    )
    assert list(levels(suite, "lora")) == [
        "none",
        "r8",
        "r8-lora_alpha16",
        "target_modules-all-linear-init_lora_weights",
    ]
    assert levels(suite, "lora")["r8"] == {"lora": {"r": 8}}
    assert levels(suite, "train.learning_rate") == {
        "5e-7": {"train.learning_rate": 5e-7},
        "0.001": {"train.learning_rate": 0.001},
    }
    assert levels(suite, "train.packing") == {"false": {"train.packing": False}, "true": {"train.packing": True}}
    assert list(levels(suite, "model")) == ["tiny", "Qwen2.5-0.5B", "tiny-seed1"]
    assert [axis.field for axis in suite.matrix] == ["lora", "train.learning_rate", "train.packing", "model"]


def test_levels_that_would_share_a_name_are_numbered(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD + "matrix: {model: [{hub: a/m}, {hub: b/m}, {path: x/m}]}\n")
    assert list(levels(suite, "model")) == ["m", "m-2", "m-3"]


def test_a_field_axis_may_name_its_levels(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD + "matrix: {train.learning_rate: {low: 1e-6, high: 1}}\n")
    assert levels(suite, "train.learning_rate") == {
        "low": {"train.learning_rate": 1e-6},
        "high": {"train.learning_rate": 1},
    }


def test_an_axis_of_override_sets_is_flattened_to_field_paths(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD
        + "stages: {warm: {train: {max_steps: 3}, seed: 4}}\n"
        + "matrix:\n  recipe:\n    plain: {}\n"
        + "    dpo: {method: dpo, init: {stage: warm}, train: {learning_rate: 1e-6}, train.beta: 0.2, lora: {r: 2}}\n"
    )
    assert levels(suite, "recipe") == {
        "plain": {},
        "dpo": {
            "method": "dpo",
            "init": {"stage": "warm"},
            "train.learning_rate": 1e-6,
            "train.beta": 0.2,
            "lora": {"r": 2},
        },
    }
    assert suite.matrix[0].field is None
    assert suite.stages["warm"].seed == 4


def test_a_stage_entry_extends_what_it_inherits(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD + "stages: {warm: {data.rows: 50}}\n")
    assert suite.stages["warm"].data == SourceData(source="arithmetic", rows=50)


def test_selectors_tell_levels_from_values(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD
        + "matrix:\n  recipe: {a: {method: sft}, b: {method: dpo}}\n  lora: {full: null, small: {r: 2}}\n"
        + "  train.packing: [false, true]\n"
        + "exclude:\n  - {recipe: [a, b], lora: small, train.packing: true}\n  - {method: [dpo, orpo], lora: {r: 9}}\n"
        + "baseline: {recipe: a, lora: null, train: {packing: false}}\n"
    )
    first, second = suite.exclude
    assert first.levels == {"recipe": ("a", "b")}
    assert first.fields == {"lora": ({"r": 2},), "train.packing": (True,)}
    assert second.levels == {}
    assert second.fields == {"method": ("dpo", "orpo"), "lora": ({"r": 9},)}
    assert suite.baseline is not None
    assert suite.baseline.fields == {"lora": (None,), "train.packing": (False,)}


def test_a_list_that_is_a_level_is_one_value(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD.replace("sft", "dpo")
        + "matrix: {train.loss_type: [[sigmoid], [sigmoid, ipo]]}\n"
        + "exclude: [{train.loss_type: [sigmoid, ipo]}, {train.loss_type: [[sigmoid]]}]\n"
    )
    assert list(levels(suite, "train.loss_type")) == ["sigmoid", "sigmoid+ipo"]
    assert [one.fields["train.loss_type"] for one in suite.exclude] == [(["sigmoid", "ipo"],), (["sigmoid"],)]


def test_a_rule_may_choose_what_a_method_refuses(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD.replace("sft", "dpo") + "exclude: [{train.packing: true}]\n")
    assert suite.exclude[0].fields == {"train.packing": (True,)}


def test_include_chooses_levels_and_sets_fields(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD
        + "matrix:\n  recipe: {a: {method: sft}, b: {method: dpo}}\n  lora: {full: null, small: {r: 2}}\n"
        + "include:\n  - {recipe: b, lora: small, train.beta: 0.3}\n  - {recipe: a, lora: {r: 64}, name: big}\n"
        + "  - {recipe: a, lora: null, data.rows: 5}\n"
    )
    first, second, third = suite.include
    assert (first.levels, first.sets) == ({"recipe": "b", "lora": "small"}, {"train.beta": 0.3})
    assert (second.name, second.levels, second.sets) == ("big", {"recipe": "a"}, {"lora": {"r": 64}})
    assert (third.levels, third.sets) == ({"recipe": "a", "lora": "full"}, {"data.rows": 5})


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [0, 1, 2]), ("{seeds: [5, 7]}", [5, 7]), ("{until: {metric: mfu, ci: 2%}}", [0, 1])]
)
def test_replicates_are_a_number_or_seeds(suite_of: SuiteOf, text: str, seeds: list[int]) -> None:
    assert suite_of(HEAD + f"replicates: {text}\n").replicates.seeds == seeds


def test_score_and_decide(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD
        + "score: {tasks: [arithmetic_mc], limit: 5}\n"
        + 'decide: {maximise: score.arithmetic_mc.acc, keep: {peak_host_memory: "<= 2 GiB", train_seconds: "< 10m"}}\n'
    )
    assert suite.score is not None
    assert (suite.score.tasks, suite.score.limit, suite.score.floor) == (["arithmetic_mc"], 5, True)
    assert suite.score.every == "end"
    assert suite.decide is not None
    assert suite.decide.keep == {"peak_host_memory": "<= 2 GiB", "train_seconds": "< 10m"}


def test_margins_are_shares_and_amounts_by_metric(suite_of: SuiteOf) -> None:
    suite = suite_of(
        HEAD + "score: {tasks: [arithmetic_mc]}\n"
        "margins: {tokens_per_second: 3%, peak_host_memory: 2% + 64MiB, score.arithmetic_mc.acc: 0.02, mfu: 0}"
    )
    assert suite.margins == {
        "tokens_per_second": Margin(relative=0.03),
        "peak_host_memory": Margin(relative=0.02, absolute=64 * 2**20),
        "score.arithmetic_mc.acc": Margin(absolute=0.02),
        "mfu": Margin(),
    }


def test_a_field_of_any_of_the_methods_may_stand_in_base(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD + "  train.beta: 0.3\nmatrix: {method: [sft, dpo]}\n")
    assert suite.base.train["beta"] == 0.3


def test_one_axis_may_span_methods_of_which_one_refuses_a_value(suite_of: SuiteOf) -> None:
    suite = suite_of(HEAD + "matrix: {method: [sft, dpo], train.packing: [false, true]}\n")
    assert len(suite.matrix[1].levels) == 2


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "suite.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + HEAD.strip().replace("\n", "\r\n").encode())
    assert load(file, catalog=catalog).name == "demo"


def test_an_axis_may_have_thousands_of_levels(suite_of: SuiteOf) -> None:
    numbers = ", ".join(str(n) for n in range(1, 4001))
    assert len(suite_of(HEAD + f"matrix: {{train.max_steps: [{numbers}]}}\n").matrix[0].levels) == 4000


VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(), st.integers(-5, 5), st.sampled_from(["yes", "dpo", "tiny", "<= 3", ""]), st.just([]), st.just({})
)
KEYS = st.sampled_from(
    [*Suite.model_fields, *Setup.model_fields, "x", "train.packing", "lora.r", "data.rows", "seeds", "tasks", "keep"]
)
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=15
)


def _problems(file: Path, catalog: Catalog) -> list[Problem] | None:
    """What is wrong with the file; None when it is a suite."""
    try:
        load(file, catalog=catalog)
    except SuiteError as error:
        return list(error.problems)
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(tree=st.dictionaries(KEYS, TREES, max_size=6))
def test_whatever_a_file_says_it_is_read_or_refused(tree: dict[str, object], tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "suite.yaml"
    base = {"method": "sft", "model": {"shape": "tiny"}, "data": {"source": "arithmetic"}}
    file.write_text(json.dumps({"name": "a", "question": "b", "base": base, **tree}), encoding="utf-8")
    problems = _problems(file, catalog)
    assert problems is None or problems
    assert all(problem.where is not None and problem.where.file == file for problem in problems or ())
