"""All that is wrong with a suite comes in one round, and nothing that another mistake brings about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import Problem, SuiteError
from harness.methods.catalog import Catalog
from harness.suite import read
from tests.unit.plan.made import CATALOG
from tests.unit.plan.rich import RICH, ROWS, mistakes, spoilt, told
from tests.unit.suite.conftest import SMALL
from tests.unit.suite.wrong import each

HEAD = """name: demo
question: Which one?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10}
"""
PACKED = "dpo does not take train.packing: true"
EQUAL = "two cells come out equal"


def said(folder: Path, text: str, catalog: Catalog = CATALOG) -> list[str]:
    """Every problem as `line:column what`, without the cells it counts."""
    file = folder / "suite.yaml"
    file.write_text(text, encoding="utf-8")
    return [shown(problem) for part in told(file, catalog) for problem in part]


def shown(problem: Problem) -> str:
    where = problem.where
    place = f"{where.line}:{where.column}" if where and where.file.name == "suite.yaml" else str(where and where.line)
    return f"{place} {EQUAL if problem.what.startswith(EQUAL) else problem.what.partition(' (')[0]}"


@pytest.mark.parametrize("text", each())
def test_one_mistake_is_told_as_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(text, encoding="utf-8")
    found, beyond = told(file, SMALL)
    assert len(found) == 1
    assert beyond == []


def test_the_rich_suite_is_right(tmp_path: Path) -> None:
    assert _of_tree(tmp_path, dict(RICH)) == ([], [])


def _of_tree(folder: Path, tree: dict[str, Any]) -> tuple[list[Problem], list[Problem]]:
    (folder / "rows.jsonl").write_text(ROWS, encoding="utf-8")
    (folder / "suite.yaml").write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return told(folder / "suite.yaml", CATALOG)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
@given(mistake=st.sampled_from(mistakes()))
def test_what_is_left_out_makes_nothing_else_wrong(tmp_path: Path, mistake: tuple[tuple[str | int, ...], str]) -> None:
    found, beyond = _of_tree(tmp_path, spoilt(*mistake))
    if found:  # the suite is right but for the mistake, which the reading has found
        assert beyond == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_however_much_is_wrong_it_is_told(tmp_path: Path, data: st.DataObject) -> None:
    tree = dict(RICH)
    for _ in range(3):
        tree = spoilt(*data.draw(st.sampled_from(mistakes(tree))), tree)
    found, beyond = _of_tree(tmp_path, tree)
    assert all(problem.where is not None for problem in (*found, *beyond))
    assert not {problem for problem in found if problem in beyond}


def test_all_kinds_of_mistakes_come_in_one_round(tmp_path: Path) -> None:
    text = HEAD.replace("{source: arithmetic}", "{path: rows.jsonl}").replace("{max_steps: 10}", "{max_stepz: 10}")
    text += "matrix:\n  method: [sft, dpo]\n  train.packing: [null, false, true]\n  lora: [null, {rank: 3}]\n"
    text += "stages: {start: {method: sfd}}\nbaseline: {train.learning_rate: 3}\n"
    assert said(tmp_path, text) == [
        "7:11 none of SFTConfig, DPOConfig, ORPOConfig has a field 'max_stepz'",
        "11:17 LoraConfig has no field 'rank'",
        "12:26 unknown method 'sfd'",
        f"6:16 data file {tmp_path / 'rows.jsonl'} does not exist",
        f"10:25 {EQUAL}",
        f"10:25 {EQUAL}",
        f"10:32 {PACKED}",
        "13:33 baseline matches no cell: train.learning_rate is 3",
    ]


def test_rows_come_with_the_rest(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": 3}\n')
    text = HEAD.replace("{source: arithmetic}", "{path: rows.jsonl}").replace("max_steps", "max_stepz")
    assert said(tmp_path, text) == [
        "7:11 SFTConfig has no field 'max_stepz'",
        "2 'text' is int, expected text or a list of messages",
    ]


def test_rows_are_asked_of_every_method_where_it_is_misspelled(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b\n')
    text = HEAD.replace("{source: arithmetic}", "{path: rows.jsonl}").replace("method: sft", "method: sfd")
    assert said(tmp_path, text) == ["4:11 unknown method 'sfd'", "2 not JSON: Invalid control character at"]
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    assert said(tmp_path, text) == ["4:11 unknown method 'sfd'"], "it suits sft, which may be meant"
    (tmp_path / "rows.jsonl").write_text('{"words": "a"}\n')
    columns = "6:16 rows.jsonl: the columns 'words' make no format that the method takes"
    assert said(tmp_path, text) == ["4:11 unknown method 'sfd'", columns]


@pytest.mark.parametrize(
    ("data", "row", "told"),
    [
        (
            "{source: arithmetic}",
            {},
            ["7:47 train.assistant_only_loss takes messages, and arithmetic has rows of text"],
        ),
        ("{source: arithmetic, conversational: true}", {}, []),
        (
            "{path: rows.jsonl}",
            {"prompt": "a", "completion": "b"},
            ["7:47 train.assistant_only_loss takes messages, and rows.jsonl has rows of text"],
        ),
        ("{path: rows.jsonl}", {"messages": [{"role": "assistant", "content": "b"}]}, []),
        ("{path: rows.jsonl}", {"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}, []),
        (
            "{path: rows.jsonl}",
            {"prompt": 1, "completion": "b"},
            ["1 'prompt' is int, expected text or a list of messages"],
        ),
        ("{hub: o/n, revision: abc}", {}, []),
    ],
)
def test_who_speaks_is_asked_where_the_loss_depends_on_it(
    tmp_path: Path, data: str, row: dict[str, Any], told: list[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    text = HEAD.replace("{source: arithmetic}", data).replace("10}", "10, assistant_only_loss: true}")
    assert said(tmp_path, text + "matrix: {train.max_length: [8, 9]}\n", SMALL) == told


# what is added to HEAD, and all that is said
ONE_CAUSE = {
    "a rule that would leave the cells out": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\nexclude: [{metod: dpo, train.packing: true}]\n",
        ["9:12 unknown axis or field path 'metod'"],
    ),
    "a rule of which a value is wrong": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\n"
        "exclude: [{method: [dpoo, orpo], train.packing: true}]\n",
        ["9:21 unknown method 'dpoo'"],
    ),
    "a misspelled list of rules": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\nexclde: [{method: dpo, train.packing: true}]\n",
        ["9:1 unknown key 'exclde'"],
    ),
    "rules that are no list": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\nexclude: {method: dpo, train.packing: true}\n",
        ["9:10 exclude must be a list, not a mapping"],
    ),
    "a level that tells cells apart": (
        "matrix: {how: {a: {train.max_lenght: 64}, b: {train.max_length: 1024}}}\n",
        ["8:20 SFTConfig has no field 'max_lenght'"],
    ),
    "a level of another name": (
        "matrix: {how: {a: {train: {lr: 1}}, b: {train.learning_rate: 2e-5}}}\n",
        ["8:28 SFTConfig has no field 'lr'"],
    ),
    "the base under a level of defaults": (
        "  train.packing: maybe\nmatrix: {how: {a: {}, b: {train.packing: false}}}\n",
        ['8:18 train.packing wants true or false, not the text "maybe"'],
    ),
    "the baseline's level": (
        "matrix: {train.max_length: {short: x, long: 64}}\nbaseline: {train.max_length: short}\n",
        ['8:36 train.max_length wants a whole number, or null, not the text "x"'],
    ),
    "all levels but excluded ones": (
        "matrix: {method: [sft, orpoo]}\nexclude: [{method: sft}]\n",
        ["8:24 unknown method 'orpoo'"],
    ),
    "what every level needs": (
        "matrix: {how: {a: {init: {stag: x}}, b: {}}}\nstages: {x: {train.max_steps: 3}}\n",
        ["8:27 unknown key in init: 'stag'"],
    ),
    "the model of one of two that differ": (
        "matrix: {how: {a: {model: {shape: tinny}}, b: {}}}\n",
        ["8:35 unknown shape 'tinny'"],
    ),
    "the method of what would be refused": (
        "matrix: {how: {a: {method: spo, train.packing: true}, b: {}}}\n",
        ["8:28 unknown method 'spo'"],
    ),
    "a misspelled matrix": (
        "matix: {recipe: {a: {method: dpo}, b: {}}}\nexclude: [{recipe: a}]\nbaseline: {recipe: b}\n",
        ["8:1 unknown key 'matix'"],
    ),
    "misspelled stages": (
        "stags: {x: {}}\nmatrix: {init: [null, {stage: x}]}\n",
        ["8:1 unknown key 'stags'"],
    ),
    "the other of two precisions": (
        "matrix: {train.bf16: [true], how: {a: {train.fp16: true, train.bf61: false}, b: {}}}\n",
        ["8:58 SFTConfig has no field 'bf61'"],
    ),
    "a field that is there twice": (
        "matrix: {how: {a: {train.packing: true, train.packing: false}, b: {}}}\n",
        ["8:41 duplicate key 'train.packing'"],
    ),
}


@pytest.mark.parametrize(("more", "expected"), ONE_CAUSE.values(), ids=ONE_CAUSE.keys())
def test_what_follows_from_a_mistake_is_not_told(tmp_path: Path, more: str, expected: list[str]) -> None:
    assert said(tmp_path, HEAD + more) == expected


# what is added to HEAD, and all that is said: none of it can be cured by curing another
INDEPENDENT = {
    "levels beside a broken one": (
        "matrix:\n  method: [sft, dpo, orpoo]\n  train.packing: [false, true]\n",
        ["9:22 unknown method 'orpoo'", f"10:26 {PACKED}"],
    ),
    "cells that a misspelled list of rules does not reach": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\nexclde: [{method: dpo, train.packing: false}]\n",
        ["9:1 unknown key 'exclde'", f"8:53 {PACKED}"],
    ),
    "a rule in place of a list": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\nexclude: {method: orpo}\n",
        ["9:10 exclude must be a list, not a mapping", f"8:53 {PACKED}"],
    ),
    "cells that a broken rule does not reach": (
        "matrix: {method: [sft, dpo], train.packing: [false, true]}\nexclude: [{metod: dpo, train.packing: false}]\n",
        ["9:12 unknown axis or field path 'metod'", f"8:53 {PACKED}"],
    ),
    "equal in spite of the base": (
        "  lora: {rank: 3}\nmatrix: {train.weight_decay: {off: 0.0, zero: 0}}\n",
        ["8:10 LoraConfig has no field 'rank'", f"9:47 {EQUAL}"],
    ),
    "equal under every method": (
        "matrix: {train.weight_decay: {off: 0.0, zero: 0}, how: {a: {method: dpoo}, b: {method: sft}}}\n",
        ["8:69 unknown method 'dpoo'", f"8:47 {EQUAL}", f"8:47 {EQUAL}"],
    ),
    "a model for all cells, whichever run": (
        "matrix: {model: [{path: nowhere}]}\nexclude: [{metod: dpo}]\n",
        ["9:12 unknown axis or field path 'metod'", "8:25 model folder {} does not exist"],
    ),
    "every cell excluded by rules that are right": (
        "exclude: [{method: sft}]\nreplicates: 0\n",
        ["9:13 replicates must be from 1 to 10,000, not 0", "8:1 every cell is excluded"],
    ),
    "two stages": (
        "stages: {x: {model: {shape: tiny, seed: 5}}, y: {metod: sft}}\nmatrix: {init: [null, {stage: x}]}\n",
        ["8:50 unknown key in stage 'y': 'metod'", "9:31 stage 'x' trains another model than what starts from it"],
    ),
    "what the plan alone finds": (
        "matrix: {method: [sft, dpo], train.packing: [false, true], train.weight_decay: {off: 0.0, zero: 0}}\n"
        "include: [{method: sft, model: {path: nowhere}}]\n",
        [f"8:53 {PACKED}", *[f"8:97 {EQUAL}"] * 3, "9:39 model folder {} does not exist"],
    ),
    "two axes for one field": (
        "matrix: {how: {a: {train.packing: true}, b: {}}, train.packing: [true, false], method: [sft, dpo],\n"
        "  model: [{path: nowhere}]}\n",
        ["8:50 axes 'how' and 'train.packing' both set train.packing", "9:18 model folder {} does not exist"],
    ),
}


@pytest.mark.parametrize(("more", "expected"), INDEPENDENT.values(), ids=INDEPENDENT.keys())
def test_what_is_wrong_by_itself_is_told(tmp_path: Path, more: str, expected: list[str]) -> None:
    assert said(tmp_path, HEAD + more) == [line.format(tmp_path / "nowhere") for line in expected]


def test_of_too_many_cells_some_are_looked_at(tmp_path: Path) -> None:
    many = ", ".join(str(number) for number in range(1, 400))
    text = HEAD.replace("max_steps: 10", "max_stepz: 10")
    text += f"matrix:\n  method: [sft, dpo]\n  train.packing: [false, true]\n  train.max_length: [{many}]\n"
    text += f"  train.warmup_steps: [{many}]\n  model: [{{shape: tiny}}, {{path: nowhere}}]\n"
    found = said(tmp_path, text)
    assert found[0].startswith("7:11 none of SFTConfig, DPOConfig")
    assert "8:1 the matrix comes to 1,273,608 cells; at most 100,000 are planned" in found
    assert f"10:26 {PACKED}" in found
    assert f"13:33 model folder {tmp_path / 'nowhere'} does not exist" in found
    assert len(found) == 4


def test_levels_that_are_wrong_count_among_too_many(tmp_path: Path) -> None:
    many = ", ".join(str(number) for number in range(1, 318))
    text = HEAD + f"matrix: {{train.max_length: [{many}, x], train.warmup_steps: [{many}]}}\n"
    assert any("100,806 cells" in line for line in said(tmp_path, text))


def test_nothing_stands_without_a_base(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("name: a\nquestion: b\nbase: 3\nmatrix: {method: [sft]}\n", encoding="utf-8")
    reading = read(file, catalog=CATALOG)
    assert reading.suite is None
    assert [problem.what for problem in reading.problems] == ["base must be a mapping, not '3'"]


def test_a_misspelled_base_is_read_all_the_same(tmp_path: Path) -> None:
    assert said(tmp_path, HEAD.replace("base:", "bsae:").replace("max_steps", "max_stepz")) == [
        "3:1 unknown key 'bsae'",
        "7:11 SFTConfig has no field 'max_stepz'",
    ]


def test_what_cannot_be_read_at_all_is_an_error_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("base: {", encoding="utf-8")
    with pytest.raises(SuiteError):
        read(file, catalog=CATALOG)
