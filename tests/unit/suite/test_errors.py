"""Bad input: what is said, where, and what to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import Problem, SuiteError
from harness.methods.catalog import Catalog
from harness.suite import load
from harness.errors import MOST_TOLD

ProblemsOf = Callable[[str], list[Problem]]

HEAD = """name: demo
question: Which one?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
"""
FIRST = HEAD.count("\n") + 1  # the line that follows HEAD

# what follows HEAD, column, message, and a part of the hint or the reason
IN_BASE = [
    ("  trian: {}", 3, "unknown key in base: 'trian'", "did you mean 'train'"),
    ("  learning_rate: 1", 3, "unknown key in base: 'learning_rate'", "write train: {learning_rate: …}"),
    ("  lora_alpha: 1", 3, "unknown key in base: 'lora_alpha'", "write lora: {lora_alpha: …}"),
    ("  shape: tiny", 3, "unknown key in base: 'shape'", "write model: {shape: …}"),
    ("  replicates: 3", 3, "unknown key in base: 'replicates'", "top of the file"),
    ("  seed: 3", 3, "base cannot set a seed", "replicates"),
    ("  train: [1]", 10, "base.train must be a mapping, not a list", "train: {…}"),
    ("  train:", 3, "base.train must be a mapping, not empty", "train: {…}"),
    ("  train: {learning_rat: 1}", 11, "SFTConfig has no field 'learning_rat'", "did you mean 'learning_rate'?"),
    ("  train: {max_seq_length: 9}", 11, "SFTConfig has no field 'max_seq_length'", "it is called max_length now"),
    ("  train: {tokenizer: x}", 11, "SFTConfig has no field 'tokenizer'", "the harness makes it from `model`"),
    ("  train: {evaluation_strategy: no}", 11, "SFTConfig has no field 'evaluation_strategy'", "eval_strategy"),
    ("  train: {no_cuda: true}", 11, "SFTConfig has no field 'no_cuda'", "use_cpu"),
    ("  train: {max_prompt_length: 9}", 11, "SFTConfig has no field 'max_prompt_length'", "max_length"),
    ("  train: {warmup_ratio: 0.1}", 11, "SFTConfig has no field 'warmup_ratio'", "a share of all steps"),
    ("  train: {beta: 0.1}", 11, "SFTConfig has no field 'beta'", "it is a field of dpo and orpo"),
    ("  train: {r: 8}", 11, "SFTConfig has no field 'r'", "a field of `lora`"),
    ("  train: {peft_config: {}}", 11, "SFTConfig has no field 'peft_config'", "`lora` beside `train`"),
    ("  train: {max_steps: 1e3}", 22, "train.max_steps wants a whole number, not the number 1000.0", "write 1000:"),
    ("  train: {max_steps: '10'}", 22, 'train.max_steps wants a whole number, not the text "10"', "without quotes"),
    ("  train: {max_steps: 1_000}", 22, 'train.max_steps wants a whole number, not the text "1_000"', "write 1000"),
    ("  train: {max_steps: true}", 22, "train.max_steps wants a whole number, not true", None),
    ("  train: {max_steps: }", 11, "train.max_steps wants a whole number, not null", "leave the key out"),
    ("  train: {bf16: yes}", 17, 'train.bf16 wants true or false, or null, not the text "yes"', "write true"),
    ("  train: {packing: 1}", 20, "train.packing wants true or false, not the number 1", None),
    ("  train: {optim: adamw}", 18, 'train.optim does not know "adamw"', "one of adamw_torch, adamw_8bit"),
    ("  train: {output_dir: out}", 11, "train.output_dir does not belong in a suite", "run folder"),
    ("  train: {seed: 1}", 11, "train.seed does not belong in a suite", "replicates"),
    ("  train: {hub_token: hf_x}", 11, "train.hub_token does not belong in a suite", "HF_TOKEN"),
    ("  train: {push_to_hub: false}", 11, "train.push_to_hub does not belong in a suite", "this machine"),
    ("  train: {report_to: none}", 11, "train.report_to does not belong in a suite", "records what TRL logs"),
    ("  train: {save_steps: 5}", 11, "train.save_steps does not belong in a suite", "once, at the end"),
    (
        "  train: {resume_from_checkpoint: x}",
        11,
        "train.resume_from_checkpoint does not belong in a suite",
        "run the suite again",
    ),
    ("  train: {max_steps.x: 1}", 11, "train.max_steps holds no mapping that train.max_steps.x could lead into", None),
    ("  lora: 8", 9, "lora must be a mapping, not '8'", "lora: {r: 8}, or null"),
    ("  lora: {rank: 8}", 10, "LoraConfig has no field 'rank'", "PEFT calls it r"),
    ("  lora: {lora_alfa: 8}", 10, "LoraConfig has no field 'lora_alfa'", "did you mean 'lora_alpha'"),
    ("  lora: {r: 8.5}", 13, "lora.r wants a whole number, not the number 8.5", None),
    (
        "  lora: {target_modules: [1]}",
        26,
        "lora.target_modules wants a list of text; entry 1 is the number 1",
        "quote it",
    ),
    ("  lora: {init_lora_weights: pisa}", 29, 'lora.init_lora_weights does not know "pisa"', "did you mean 'pissa'"),
    ("  lora: {task_type: CAUSAL_LM}", 10, "lora.task_type does not belong in a suite", "causal language models"),
    ("  init: warm", 9, "init must be a mapping, not 'warm'", "init: {stage: NAME}"),
    ("  init: {stage: warm}", 17, "unknown stage 'warm'", "no `stages`"),
    ("  checkpoint: kep", 15, "unknown checkpoint 'kep'", "did you mean 'keep'"),
    ("  measure: {warmup: 3}", 13, "unknown field of measure: 'warmup'", "did you mean 'warmup_steps'"),
    (
        "  measure: {warmup_steps: -1}",
        27,
        "measure.warmup_steps should be greater than or equal to 0, not the number -1",
        None,
    ),
    (
        "  limits: {timeout: soon}",
        21,
        "limits.timeout: 'soon' is not a duration; write seconds, or 90s, 10m, 2h, 1h30m",
        None,
    ),
    (
        "  limits: {host_memory: 8}",
        25,
        "limits.host_memory: 8 is not a size; write a number and its unit, e.g. 8GiB or 500 MB",
        None,
    ),
    ("  limits: {retries: 2.5}", 21, "limits.retries wants a whole number, not the number 2.5", None),
    ("  model.sed: 3", 3, "unknown field of model: 'sed'", "did you mean 'seed'"),
    ("  model.seed: x", 15, 'model.seed wants a whole number, not the text "x"', None),
    ("  model: {hub: a/b}", 3, "duplicate key 'model'", "line 5"),
    ("  train: {max_steps: 1}\n  train.max_steps: 2", 3, "train.max_steps is set twice", "line 7"),
]


@pytest.mark.parametrize(("text", "column", "what", "more"), IN_BASE)
def test_a_wrong_base(problems_of: ProblemsOf, text: str, column: int, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD + text + "\n")
    assert problem.what.startswith(what)
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (FIRST + text.count("\n"), column)
    assert problem.where.text == text.split("\n")[-1]
    assert more is None or more in f"{problem.hint} {problem.why}"


AT_TOP = [
    ("matix: {}", 1, "unknown key 'matix'", "did you mean 'matrix'"),
    ("method: sft", 1, "unknown key 'method'", "belongs in `base`"),
    ("matrix: [a]", 9, "matrix must be a mapping, not a list", "matrix: {"),
    ("matrix: {train.packing: []}", 10, "the axis 'train.packing' has no levels", "remove it"),
    ("matrix: {recipe: {}}", 10, "the axis 'recipe' has no levels", "remove it"),
    ("matrix: {recipe: }", 10, "the axis 'recipe' has no levels", "remove it"),
    (
        "matrix: {train.packing: true}",
        25,
        "the levels of 'train.packing' must be a list or a mapping, not 'true'",
        "[true]",
    ),
    ("matrix: {recipe: [a, b]}", 10, "'recipe' is no field path, so its levels must be named", "name its levels"),
    (
        "matrix: {methods: [sft]}",
        10,
        "'methods' is no field path, so its levels must be named",
        "did you mean 'method'",
    ),
    ("matrix: {trian.packing: [true]}", 10, "unknown field path 'trian.packing'", "did you mean 'train.packing'"),
    ("matrix: {train.pakcing: [true, false]}", 10, "SFTConfig has no field 'pakcing'", "did you mean 'packing'"),
    ("matrix: {train.packing: [true, 3]}", 32, "train.packing wants true or false, not the number 3", None),
    ("matrix: {train.packing: [true, true]}", 32, "the axis 'train.packing' has the level true twice", "line 7"),
    ("matrix: {train: {a: {}}}", 10, "'train' is not one field that an axis could set", "train.…"),
    ("matrix: {seed: [1, 2]}", 10, "seeds are not an axis", "replicates"),
    ("matrix: {method: [sft, stf]}", 24, "unknown method 'stf'", "did you mean 'sft'"),
    ("matrix: {method: [3]}", 19, "method wants a name, not the number 3", None),
    ("matrix: {my axis: {a: {}}}", 10, "'my axis' cannot name an axis", "use letters"),
    ("matrix: {recipe: {a b: {}}}", 19, "'a b' cannot name a level of 'recipe'", "names of trials"),
    ("matrix: {recipe: {a: 3}}", 22, "level 'a' must be a mapping, not '3'", "{} for the base as it is"),
    ("matrix: {recipe: {a: {sed: 3}}}", 23, "unknown key in level 'a': 'sed'", None),
    (
        "matrix: {recipe: {a: {method: dpo, train.packing: true}}}",
        36,
        "dpo does not take train.packing: true",
        "has no packing",
    ),
    (
        "matrix: {recipe: {a: {method: dpo, train: {max_step: 1}}}}",
        44,
        "DPOConfig has no field 'max_step'",
        "'max_steps'",
    ),
    ("matrix: {lora: {r: 8}}", 20, "lora must be a mapping, not '8'", "lora: {r: 8}"),
    ("stages: [a]", 9, "stages must be a mapping, not a list", None),
    ("stages: {a: 3}", 13, "stage 'a' must be a mapping, not '3'", "a: {method: sft}"),
    ("stages: {a b: {}}", 10, "'a b' cannot name a stage", None),
    (
        "stages: {a: {seed: -1}}",
        20,
        "the seed of stage 'a' should be greater than or equal to 0, not the number -1",
        None,
    ),
    (
        "stages: {a: {method: dpo, train: {packing: true}}}",
        35,
        "dpo does not take train.packing: true",
        "has no packing",
    ),
    ("stages: {a: {init: {stage: b}}}", 28, "unknown stage 'b'", "known: a"),
    ("stages: {a: {init: {stage: a}}}", 28, "stages start from each other: a → a", "model alone"),
    (
        "stages: {a: {init: {stage: b}}, b: {init.stage: a}}",
        28,
        "stages start from each other: a → b → a",
        "model alone",
    ),
    ("exclude: {method: sft}", 10, "exclude must be a list, not a mapping", "exclude: [{"),
    ("exclude: [sft]", 11, "exclude must be a mapping, not 'sft'", None),
    ("exclude: [{}]", 11, "exclude chooses every cell", "at least one"),
    ("exclude: [{metod: sft}]", 12, "unknown axis or field path 'metod'", "did you mean 'method'"),
    ("exclude: [{train.packing: []}]", 27, "train.packing lists no value", None),
    (
        "exclude: [{train.packin: true}]",
        12,
        "none of SFTConfig, DPOConfig, ORPOConfig has a field 'packin'",
        "'packing'",
    ),
    ("baseline: [a]", 11, "baseline must be a mapping, not a list", None),
    ("include: {method: sft}", 10, "include must be a list, not a mapping", None),
    ("include: [3]", 11, "a cell of include must be a mapping, not '3'", None),
    ("include: [{name: a b}]", 18, "'a b' cannot name a cell", None),
    ("include: [{foo: 3}]", 12, "unknown key in a cell of include: 'foo'", None),
    ("replicates: [1]", 13, "replicates must be a mapping or a number, not a list", "{seeds: [0, 1, 2]}"),
    ("replicates: 0", 13, "replicates must be from 1 to 10,000, not 0", None),
    ("replicates: true", 13, "replicates must be a mapping, not 'true'", None),
    ("replicates: {seeds: []}", 21, "replicates.seeds must not be empty", None),
    ("replicates: {seeds: [1, 2, 1]}", 28, "the seed 1 is there 2 times", "another seed"),
    ("replicates: {seeds: [-1]}", 22, "a seed must be from 0 to 4294967295, not -1", None),
    ("replicates: {seed: [1]}", 14, "unknown key in replicates: 'seed'", "did you mean 'seeds'"),
    ("score: {task: [a]}", 9, "unknown key in score: 'task'", "did you mean 'tasks'"),
    ("score: {tasks: a}", 16, 'score.tasks wants a list, not the text "a"', "write a list: [a]"),
    ("score: {tasks: [a, a]}", 20, "the task 'a' is there 2 times", None),
    ("score: {tasks: [a], floor: yes}", 28, 'score.floor wants true or false, not the text "yes"', "write true"),
    (
        "score: {tasks: [a], backend: vlm}",
        30,
        "score.backend must be 'auto', 'hf' or 'vllm', not the text \"vlm\"",
        "'vllm'",
    ),
    ("score: {tasks: [a], limit: 0}", 28, "score.limit should be greater than or equal to 1, not the number 0", None),
    ("decide: {}", 9, "decide needs exactly one of maximise, minimise", None),
    ("decide: {maximize: final_loss}", 10, "unknown key in decide: 'maximize'", "it is spelled maximise"),
    (
        "decide: {maximise: tokens_per_secnd}",
        20,
        "unknown metric 'tokens_per_secnd'",
        "did you mean 'tokens_per_second'",
    ),
    ("decide: {maximise: score.a.acc}", 20, "score.a.acc is never measured: this suite has no `score`", "tasks: [a]"),
    ("decide: {maximise: score}", 20, "unknown metric 'score'", "score.<task>.<metric>"),
    (
        "decide: {minimise: final_loss, keep: {peak_reserved: 3}}",
        54,
        "the bound of peak_reserved must be text, not the number 3",
        '"<= 3"',
    ),
    (
        "decide: {minimise: final_loss, keep: {final_loss: '3'}}",
        51,
        "keep.final_loss: '3' is not a bound; write an operator",
        None,
    ),
    (
        "decide: {minimise: final_loss, keep: {final_loss: '< 3 GiB'}}",
        51,
        "final_loss is in nats, not in bytes",
        "< <number>",
    ),
    (
        "decide: {minimise: final_loss, keep: {final_los: '< 3'}}",
        39,
        "unknown metric 'final_los'",
        "did you mean 'final_loss'",
    ),
]


@pytest.mark.parametrize(("text", "column", "what", "more"), AT_TOP)
def test_a_wrong_section(problems_of: ProblemsOf, text: str, column: int, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD + text + "\n")
    assert problem.what.startswith(what)
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (FIRST, column)
    assert more is None or more in f"{problem.hint} {problem.why}"


ONE_OF = [
    ("  model: tiny", "model must be a mapping, not 'tiny'", "model: {shape: tiny}"),
    ("  model: {}", "model needs exactly one of shape, hub, path; it has none of them", "model: {shape: tiny}"),
    (
        "  model: {shpae: tiny}",
        "model needs exactly one of shape, hub, path; it has none of them",
        "did you mean 'shape'",
    ),
    (
        "  model: {shape: tiny, hub: a/b}",
        "model needs exactly one of shape, hub, path; it has shape and hub",
        "keep one",
    ),
    ("  model: {shape: tini}", "unknown shape 'tini'", "did you mean 'tiny'"),
    ("  model: {shape: tiny, revision: a}", "unknown key in model: 'revision'", None),
    ("  model: {hub: a/b, revision: 12e5}", "model.revision wants text, or null, not the number 1200000.0", "quote it"),
    (
        "  model: {shape: tiny, dtype: bf16}",
        "model.dtype must be 'float32', 'bfloat16' or 'float16', not the text \"bf16\"",
        "bfloat16",
    ),
]


@pytest.mark.parametrize(("line", "what", "more"), ONE_OF)
def test_a_wrong_model(problems_of: ProblemsOf, line: str, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD.replace("  model: {shape: tiny}", line))
    assert problem.what == what
    assert problem.where is not None
    assert problem.where.text == line
    assert more is None or more in str(problem.hint)


@pytest.mark.parametrize(
    ("line", "what", "more"),
    [
        ("  data: arithmetic", "data must be a mapping, not 'arithmetic'", "data: {source: arithmetic}"),
        ("  data: {source: pydocs}", "unknown source 'pydocs'", "did you mean 'pydoc'"),
        ("  data: {sorce: pydoc}", "data needs exactly one of source, hub, path; it has none of them", "'source'"),
        (
            "  data: {source: arithmetic, rows: 0}",
            "data.rows should be greater than or equal to 1, not the number 0",
            None,
        ),
        ("  data: {source: arithmetic, colums: {}}", "unknown key in data: 'colums'", None),
        ("  data: {source: arithmetic, options: {nope: 1}}", "unknown option of 'arithmetic': 'nope'", None),
    ],
)
def test_wrong_data(problems_of: ProblemsOf, line: str, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD.replace("  data: {source: arithmetic}", line))
    assert problem.what == what
    assert problem.where is not None
    assert problem.where.text == line
    assert more is None or more in str(problem.hint)


def test_every_problem_is_told_at_once_in_the_order_of_the_file(problems_of: ProblemsOf) -> None:
    text = (
        HEAD.replace("sft", "stf")
        + "  train: {learning_rat: 1, max_steps: x}\nmatrix: {train.packing: [], recipe: {a: {r: 1}}}\n"
        + "replicates: {seeds: [a]}\n"
    )
    found = problems_of(text)
    assert [problem.where.line for problem in found if problem.where] == [4, 7, 7, 8, 8, 9]


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
