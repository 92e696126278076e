"""Bad input: several mistakes at once, and files that are no suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import MOST_TOLD, Problem, SuiteError
from harness.methods.catalog import Catalog
from harness.suite import load
from tests.unit.suite.wrong import HEAD

ProblemsOf = Callable[[str], list[Problem]]


def test_every_problem_is_told_at_once_in_the_order_of_the_file(problems_of: ProblemsOf) -> None:
    text = (
        HEAD.replace("sft", "stf")
        + "  train: {learning_rat: 1, max_steps: x}\nmatrix: {train.packing: [], recipe: {a: {r: 1}}}\n"
        + "replicates: {seeds: [a]}\n"
    )
    found = problems_of(text)
    assert [problem.where.line for problem in found if problem.where] == [4, 7, 7, 8, 8, 9]


@pytest.mark.parametrize("value", [".nan", "1e999", "!!python/name:os x", '"\\ud83d"'])
@pytest.mark.parametrize("path", ["train.max_length", "data.rows", "model.shape", "checkpoint", "train.optim"])
def test_what_is_no_value_is_not_complained_about_twice(problems_of: ProblemsOf, path: str, value: str) -> None:
    text = HEAD.replace("  data:", f"  {path}: {value}\n  data:") if path != "data.rows" else None
    text = text or HEAD.replace("arithmetic}", f"arithmetic, rows: {value}}}")
    assert len(problems_of(text)) == 1


def test_what_an_alias_repeats_is_told_once(problems_of: ProblemsOf) -> None:
    text = HEAD + "  train: &t {max_stepz: 1, optim: nope}\nstages: {a: {train: *t}, b: {method: dpo, train: *t}}\n"
    assert [problem.where.column for problem in problems_of(text) if problem.where] == [14, 35]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("matix: {recipe: {a: {}}}\nbaseline: {recipe: a}\nexclude: [{recipe: b, lora: r8}]\n", "unknown key 'matix'"),
        ("matrix: 3\nbaseline: {recipe: a}\ninclude: [{recipe: b, lora: r8}]\n", "matrix must be a mapping, not '3'"),
        ("matrix: {recipe: {a b: {}}}\nbaseline: {recipe: a b}\n", "'a b' cannot name a level of 'recipe'"),
        ("matrix: {lora: }\nbaseline: {lora: r8}\n", "the axis 'lora' has no levels"),
        ("matrix: {lroa: {full: null, r8: {r: 8}}}\nbaseline: {lora: r8}\n", "'lroa' is no field path, so each"),
        ("matrix: {tran.bf16: {on: true}}\nbaseline: {train.bf16: on}\n", "unknown field path 'tran.bf16'"),
        ("stags: {a: {}}\nmatrix: {init: [{stage: a}]}\n", "unknown key 'stags'"),
        ("stages: [a]\nmatrix: {init: [{stage: a}]}\n", "stages must be a mapping, not a list"),
        ("scor: {tasks: [a]}\ndecide: {maximise: score.a.acc}\n", "unknown key 'scor'"),
        ("stages: {a: {metod: dpo, train.beta: 1}}\n", "unknown key in stage 'a': 'metod'"),
        ("matrix: {how: {a: {metod: dpo, train.beta: 1}}}\n", "unknown key in level 'a': 'metod'"),
        ("matrix: {how: {a: {init: {stge: b}}}}\nstages: {b: {}}\n", "unknown key in init: 'stge'"),
    ],
)
def test_what_a_mistake_brings_about_is_not_told(problems_of: ProblemsOf, text: str, says: str) -> None:
    (problem,) = problems_of(HEAD + text)
    assert problem.what.startswith(says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("base:", "bsae:", "unknown key 'bsae'"),
        ("name:", "nme:", "unknown key 'nme'"),
        ("  model: {shape", "  modle: {shape", "unknown key in base: 'modle'"),
        ("  model: {shape", "  net: {shape", "unknown key in base: 'net'"),
        ("  method: sft\n", "method: sft\nbase:\n", "unknown key 'method'"),
        ("method: sft", "method: sfd", "unknown method 'sfd'"),
    ],
)
def test_what_is_misspelled_is_not_missing(problems_of: ProblemsOf, old: str, new: str, says: str) -> None:
    text = HEAD.replace("base:\n", "", 1) if "\nbase:" in new else HEAD
    assert old in text
    (problem,) = problems_of(text.replace(old, new, 1))
    assert problem.what == says


def test_a_broken_axis_is_not_complained_about_twice(problems_of: ProblemsOf) -> None:
    text = HEAD + "matrix: {recipe: [a, b]}\nbaseline: {recipe: a}\nexclude: [{recipe: b}]\ninclude: [{recipe: b}]\n"
    assert [problem.what for problem in problems_of(text)] == ["'recipe' is no field path, so its levels must be named"]


def test_a_wrong_field_of_an_axis_is_told_once_not_per_level(problems_of: ProblemsOf) -> None:
    assert len(problems_of(HEAD + "matrix: {train.lerning_rate: [1, 2, 3, 4]}\n")) == 1


def test_selectors_know_the_levels(problems_of: ProblemsOf) -> None:
    text = HEAD + "matrix: {recipe: {a: {}, b: {}}}\nbaseline: {recipe: c}\nexclude: [{recipe: {a: 1}}]\n"
    text += "include: [{recipe: [a]}]\n"
    found = problems_of(text)
    assert [problem.what for problem in found] == [
        "unknown level of 'recipe': 'c'",
        "recipe wants the name of a level, not a mapping",
        "a cell has one level of 'recipe', not a list of them",
    ]
    assert found[0].hint == "known: a, b"


def test_what_nothing_sets_is_missing(problems_of: ProblemsOf) -> None:
    found = problems_of("name: a\nquestion: b\nbase: {method: sft}\nmatrix: {model: [{shape: tiny}]}\n")
    assert [problem.what for problem in found] == ["nothing sets `data`"]
    assert "data: {source: arithmetic}" in str(found[0].hint)


def test_missing_keys_are_named(problems_of: ProblemsOf) -> None:
    assert [problem.what for problem in problems_of("matrix: {}\n")] == [
        "'name' is missing",
        "'question' is missing",
        "'base' is missing",
    ]


@pytest.mark.parametrize("name", ["a b", "'-x'", "../up", "''", "'a/b'"])
def test_a_name_is_a_folder(problems_of: ProblemsOf, name: str) -> None:
    (problem,) = problems_of(HEAD.replace("name: demo", f"name: {name}"))
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (1, 7)
    assert "name" in problem.what


def test_many_problems_are_counted(problems_of: ProblemsOf) -> None:
    text = HEAD + "matrix: {train.max_steps: [" + ", ".join(f"x{i}" for i in range(80)) + "]}\n"
    found = problems_of(text)
    assert len(found) == MOST_TOLD + 1
    assert found[-1].what == "and 30 more problems"


@pytest.mark.parametrize(
    ("text", "what"), [("", "the file is empty"), ("# nothing\n", "the file is empty"), ("~\n", "the file is empty")]
)
def test_an_empty_file(problems_of: ProblemsOf, text: str, what: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.what, problem.hint) == (what, "`harness init` writes one to start from")


@pytest.mark.parametrize(("text", "kind"), [("- a\n", "a list"), ("hello\n", "'hello'")])
def test_not_a_mapping(problems_of: ProblemsOf, text: str, kind: str) -> None:
    (problem,) = problems_of(text)
    assert problem.what == f"a suite must be a mapping, not {kind}"


def _refused(path: Path, catalog: Catalog) -> Problem:
    with pytest.raises(SuiteError) as caught:
        load(path, catalog=catalog)
    (problem,) = caught.value.problems
    assert problem.where is not None
    assert problem.where.file == path
    return problem


def test_a_missing_file_names_its_neighbours(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "real.yaml").write_text(HEAD)
    problem = _refused(tmp_path / "reel.yaml", catalog)
    assert problem.what == "no such file"
    assert "real.yaml" in str(problem.hint)


def test_a_suites_name_in_place_of_its_file_names_the_file(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "real.yml").write_text(HEAD)
    (tmp_path / "other.yaml").write_text(HEAD)
    assert str(_refused(tmp_path / "real", catalog).hint).endswith("suites/real.yml")


def test_a_folder_is_no_suite(tmp_path: Path, catalog: Catalog) -> None:
    assert _refused(tmp_path, catalog).what == "a folder, not a suite file"


def test_not_utf8_says_where(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "suite.yaml"
    file.write_bytes(b"name: demo\nquestion: caf\xe9\n")
    problem = _refused(file, catalog)
    assert problem.what == "not UTF-8: the byte 0xe9"
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (2, 14)


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "suite.yaml"
    file.write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    assert _refused(file, catalog).what == "8,388,609 bytes is too large for a suite"


def test_a_problem_shows_its_line(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(HEAD + "replicates: {seed: [1]}\n")
    shown = problem.render().split("\n")
    assert shown[0].endswith("suite.yaml:7:14: error: unknown key in replicates: 'seed'")
    assert shown[1:] == [
        "    7 | replicates: {seed: [1]}",
        "      |              ^",
        "  try: did you mean 'seeds'?",
    ]
