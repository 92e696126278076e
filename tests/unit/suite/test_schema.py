from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from harness.data import SOURCES
from harness.errors import InputError
from harness.methods import METHODS
from harness.methods.catalog import Catalog
from harness.methods.ranges import LORA, TRAIN, Range
from harness.models import SHAPES
from harness.records import suite as nouns
from harness.suite import TEMPLATES, json_schema, load, template
from harness.suite.load import KEYS
from harness.suite.source import read

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "suites").glob("*.yaml"))
KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
ASSERTIONS = {
    *("type", "enum", "const", "pattern", "minimum", "maximum", "minLength", "maxLength", "required", "properties"),
    *("patternProperties", "additionalProperties", "propertyNames", "minProperties", "items", "minItems", "anyOf"),
    *("oneOf", "allOf", "not", "if", "then", "$ref"),
    *("exclusiveMinimum", "exclusiveMaximum", "uniqueItems"),
}
NOTES = {"description", "default", "title", "examples", "$schema", "$defs"}


class Checker:
    """As much of JSON Schema as the suite's schema uses; says where a value does not fit."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def wrong(self, value: Any, schema: Any = None, path: str = "") -> list[str]:
        schema = self.schema if schema is None else schema
        if isinstance(schema, bool):
            return [] if schema else [f"{path}: nothing is allowed here"]
        return [
            problem
            for word, said in schema.items()
            if word in ASSERTIONS
            for problem in getattr(self, "_" + word.strip("$").lower())(value, said, schema, path)
        ]

    def _ref(self, value: Any, said: str, schema: Any, path: str) -> list[str]:
        target: Any = self.schema
        for step in said.removeprefix("#/").split("/"):
            target = target[step]
        return self.wrong(value, target, path)

    def _type(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        kinds = [said] if isinstance(said, str) else said
        fits = any(isinstance(value, KINDS[k]) and (k == "boolean" or not isinstance(value, bool)) for k in kinds)
        return [] if fits else [f"{path}: {value!r} is not {kinds}"]

    def _enum(self, value: Any, said: list[Any], schema: Any, path: str) -> list[str]:
        same = [one for one in said if one == value and isinstance(one, bool) == isinstance(value, bool)]
        return [] if same else [f"{path}: {value!r} is none of {said}"]

    def _const(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        return [] if value == said else [f"{path}: {value!r} is not {said!r}"]

    def _pattern(self, value: Any, said: str, schema: Any, path: str) -> list[str]:
        bad = isinstance(value, str) and not re.search(said, value)
        return [f"{path}: {value!r} does not match {said}"] if bad else []

    def _minimum(self, value: Any, said: float, schema: Any, path: str) -> list[str]:
        return [f"{path}: too small"] if isinstance(value, int | float) and value < said else []

    def _maximum(self, value: Any, said: float, schema: Any, path: str) -> list[str]:
        return [f"{path}: too large"] if isinstance(value, int | float) and value > said else []

    def _exclusivemaximum(self, value: Any, said: float, schema: Any, path: str) -> list[str]:
        return [f"{path}: too large"] if isinstance(value, int | float) and value >= said else []

    def _exclusiveminimum(self, value: Any, said: float, schema: Any, path: str) -> list[str]:
        return [f"{path}: too small"] if isinstance(value, int | float) and value <= said else []

    def _minlength(self, value: Any, said: int, schema: Any, path: str) -> list[str]:
        return [f"{path}: too short"] if isinstance(value, str) and len(value) < said else []

    def _maxlength(self, value: Any, said: int, schema: Any, path: str) -> list[str]:
        return [f"{path}: too long"] if isinstance(value, str) and len(value) > said else []

    def _minitems(self, value: Any, said: int, schema: Any, path: str) -> list[str]:
        return [f"{path}: too few"] if isinstance(value, list) and len(value) < said else []

    def _uniqueitems(self, value: Any, said: bool, schema: Any, path: str) -> list[str]:
        twice = isinstance(value, list) and any(one in value[:number] for number, one in enumerate(value))
        return [f"{path}: twice"] if said and twice else []

    def _minproperties(self, value: Any, said: int, schema: Any, path: str) -> list[str]:
        return [f"{path}: too few"] if isinstance(value, dict) and len(value) < said else []

    def _required(self, value: Any, said: list[str], schema: Any, path: str) -> list[str]:
        return [f"{path}: {key} is missing" for key in said if isinstance(value, dict) and key not in value]

    def _properties(self, value: Any, said: Mapping[str, Any], schema: Any, path: str) -> list[str]:
        inner = value if isinstance(value, dict) else {}
        return [p for key in inner if key in said for p in self.wrong(inner[key], said[key], f"{path}/{key}")]

    def _patternproperties(self, value: Any, said: Mapping[str, Any], schema: Any, path: str) -> list[str]:
        inner = value if isinstance(value, dict) else {}
        hits = [(key, one) for key in inner for pattern, one in said.items() if re.search(pattern, key)]
        return [p for key, one in hits for p in self.wrong(inner[key], one, f"{path}/{key}")]

    def _additionalproperties(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        inner = value if isinstance(value, dict) else {}
        patterns = schema.get("patternProperties", {})
        more = [
            k for k in inner if k not in schema.get("properties", {}) and not any(re.search(p, k) for p in patterns)
        ]
        return [p for key in more for p in self.wrong(inner[key], said, f"{path}/{key}")]

    def _propertynames(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        return [p for key in (value if isinstance(value, dict) else ()) for p in self.wrong(key, said, f"{path}/{key}")]

    def _items(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        inner = value if isinstance(value, list) else []
        return [p for number, item in enumerate(inner) for p in self.wrong(item, said, f"{path}/{number}")]

    def _anyof(self, value: Any, said: list[Any], schema: Any, path: str) -> list[str]:
        tried = [self.wrong(value, one, path) for one in said]
        return [] if any(not wrong for wrong in tried) else [f"{path}: fits none: {tried}"]

    def _oneof(self, value: Any, said: list[Any], schema: Any, path: str) -> list[str]:
        fitting = [one for one in said if not self.wrong(value, one, path)]
        return [] if len(fitting) == 1 else [f"{path}: fits {len(fitting)}"]

    def _allof(self, value: Any, said: list[Any], schema: Any, path: str) -> list[str]:
        return [problem for one in said for problem in self.wrong(value, one, path)]

    def _not(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        return [] if self.wrong(value, said, path) else [f"{path}: {value!r} is not allowed"]

    def _if(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        return self.wrong(value, schema["then"], path) if not self.wrong(value, said, path) else []

    def _then(self, value: Any, said: Any, schema: Any, path: str) -> list[str]:
        return []  # follows `if`


def schemas(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema in a schema, with its place."""
    if not isinstance(value, dict):
        return
    yield path, value
    for word in ("properties", "patternProperties", "$defs"):
        for key, inner in value.get(word, {}).items():
            yield from schemas(inner, f"{path}/{word}/{key}")
    for word in ("additionalProperties", "items", "if", "then", "not", "propertyNames"):
        yield from schemas(value.get(word), f"{path}/{word}")
    for word in ("anyOf", "oneOf", "allOf"):
        for number, inner in enumerate(value.get(word, ())):
            yield from schemas(inner, f"{path}/{word}/{number}")


@pytest.fixture
def checker(catalog: Catalog) -> Checker:
    return Checker(json_schema(catalog=catalog))


def suite(**changes: Any) -> dict[str, Any]:
    base = {"method": "sft", "model": {"shape": "tiny"}, "data": {"source": "arithmetic"}, "train": {"max_steps": 3}}
    return {"name": "a", "question": "b", "base": {**base, **changes.pop("base", {})}, **changes}


def claim(**changes: Any) -> dict[str, Any]:
    """A right claim with entries changed, or taken out where they are None."""
    right = {
        "says": "a",
        "source": "b",
        "compare": {"train.packing": [False, True]},
        "metric": "tokens_per_second",
        "expect": {"ratio_at_least": 2.0},
    }
    return {name: value for name, value in (right | changes).items() if value is not None}


def test_it_is_json_and_refers_only_to_what_it_holds(catalog: Catalog) -> None:
    schema = json_schema(catalog=catalog)
    assert json.loads(json.dumps(schema)) == schema
    for place, part in schemas(schema):
        assert set(part) <= ASSERTIONS | NOTES, place
        if "$ref" in part:
            functools.reduce(lambda at, step: at[step], part["$ref"].removeprefix("#/").split("/"), schema)


def test_every_key_of_a_suite_is_there_and_described(catalog: Catalog) -> None:
    schema = json_schema(catalog=catalog)
    assert set(schema["properties"]) == set(KEYS)
    assert schema["required"] == ["name", "question", "base"]
    assert all(part["description"] for part in schema["properties"].values())
    for name in ("setup", "stage", "level", "score", "decide", "replicates", "measure", "limits", "init"):
        for key, part in schema["$defs"][name]["properties"].items():
            assert "$ref" in part or part["description"], f"{name}.{key}"
    assert set(nouns.Setup.model_fields) == {key for key in schema["$defs"]["stage"]["properties"] if "." not in key}


def test_names_are_the_known_ones(catalog: Catalog) -> None:
    defs = json_schema(catalog=catalog)["$defs"]
    assert defs["setup"]["properties"]["method"]["enum"] == list(METHODS)
    assert defs["model-shape"]["properties"]["shape"]["enum"] == list(SHAPES)
    assert defs["data-source"]["properties"]["source"]["enum"] == list(SOURCES)


def test_train_fields_are_those_of_the_methods(catalog: Catalog) -> None:
    defs = json_schema(catalog=catalog)["$defs"]
    assert "beta" not in defs["train-sft"]["properties"]
    assert defs["train-dpo"]["properties"]["beta"] == {"type": "number", "default": 0.1}
    assert defs["train-dpo"]["properties"]["packing"]["enum"] == [None, False]
    assert "output_dir" not in defs["train"]["properties"]
    assert {"beta", "packing"} <= set(defs["train"]["properties"])
    assert "task_type" not in defs["lora"]["properties"]


@pytest.mark.parametrize(("root", "ranges"), [("train", TRAIN), ("lora", LORA)])
def test_ranges_of_fields_are_the_ones_that_are_checked(
    checker: Checker, root: str, ranges: Mapping[str, Range]
) -> None:
    known = checker.schema["$defs"][root]["properties"]
    for name in ranges.keys() & known.keys():
        for value in (-2, -1, -0.5, 0, 0.5, 1, 2, 1000):
            typed = isinstance(value, int) or "number" in known[name]["type"]
            assert (checker.wrong(value, known[name]) == []) == (typed and ranges[name].holds(value)), (
                f"{name}: {value}"
            )


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *[("measure", "warmup_steps"), ("measure", "device_hz"), ("limits", "retries"), ("limits", "max_loss")],
        *[("data-source", "rows"), ("data-source", "eval_fraction"), ("score", "limit"), ("replicates", "seeds")],
    ],
)
@pytest.mark.parametrize("value", [-1, 0, 0.5, 1, 5, 10, 11, 100, 101, [-1], [0], [2**32 - 1], [2**32], [1, 1]])
def test_numbers_of_the_records_have_their_ranges(checker: Checker, section: str, name: str, value: Any) -> None:
    kinds: dict[str, type[BaseModel]] = {
        "data-source": nouns.SourceData,
        "measure": nouns.Measure,
        "limits": nouns.Limits,
        "score": nouns.Score,
    }
    schema = checker.schema["$defs"][section]["properties"][name]
    assert (checker.wrong(value, schema) == []) == _is_taken(section, name, value, kinds.get(section))


def _is_taken(section: str, name: str, value: Any, kind: type[BaseModel] | None) -> bool:
    if kind is None:  # seeds: numpy's range, each once
        return isinstance(value, list) and all(0 <= seed < 2**32 for seed in value) and len(set(value)) == len(value)
    needed: dict[str, Any] = {"source": "arithmetic"} if section == "data-source" else {}
    try:
        kind.model_validate({**({"tasks": ["a"]} if section == "score" else needed), name: value}, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.slow  # the installed TRL is read where no cache holds it
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_suites_and_fit_the_schema(tmp_path: Path, name: str) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(template(name), encoding="utf-8")
    assert load(file).name == name
    assert _wrong_by_installed(file) == []


@pytest.mark.slow
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_suites_fit_the_schema(file: Path) -> None:
    load(file)
    assert _wrong_by_installed(file) == []


def _wrong_by_installed(file: Path) -> list[str]:
    node, _ = read(file)
    assert node is not None
    return Checker(json_schema()).wrong(node.plain())


@pytest.mark.parametrize(
    "good",
    [
        suite(),
        suite(base={"lora": None, "train.learning_rate": 1e-4, "limits": {"timeout": "10m", "host_memory": "8GiB"}}),
        suite(base={"train": {"beta": 0.1}}, matrix={"method": ["sft", "dpo"]}),
        suite(matrix={"lora": [None, {"r": 8}], "train.packing": {"off": False, "on": True}}),
        suite(matrix={"recipe": {"a": {}, "b": {"method": "dpo", "train": {"packing": False}, "train.beta": 0.2}}}),
        suite(matrix={"recipe": {"a": {"method": "dpo", "train": {"train_sampling_strategy": "sequential"}}}}),
        suite(stages={"warm": {"seed": 3, "init": {"stage": "other"}}, "other": {}}),
        suite(replicates=3),
        suite(replicates={"seeds": [1, 2]}, baseline={"lora": "none"}, exclude=[{"method": ["dpo"]}]),
        suite(include=[{"recipe": "a", "lora": {"r": 3}, "name": "x"}]),
        suite(score=None),
        suite(score={"tasks": ["a"]}, decide={"maximise": "score.a.acc", "keep": {"peak_reserved": "<= 3 GiB"}}),
        suite(margins={"tokens_per_second": "3%", "peak_host_memory": "2% + 64MiB", "score.a.acc": 0.02}),
        suite(base={"train.lr_scheduler_kwargs.num_cycles": 2, "data.options.kinds": ["add"]}),
        suite(claims=[claim(), claim(expect={"difference_between": ["1 GiB", "2 GiB"]}, needs={"device": "cuda"})]),
    ],
)
def test_what_a_suite_may_say(checker: Checker, good: dict[str, Any]) -> None:
    assert checker.wrong(good) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "a", "question": "b"},
        suite(name="a b"),
        suite(matix={}),
        suite(base={"method": "stf"}),
        suite(base={"model": {"shape": "tini"}}),
        suite(base={"model": {"shape": "tiny", "hub": "a/b"}}),
        suite(base={"train": {"max_steps": "3"}}),
        suite(base={"train": {"learning_rat": 1}}),
        suite(base={"train": {"output_dir": "x"}}),
        suite(base={"train": {"optim": "adamw"}}),
        suite(base={"train.max_steps": 1.5}),
        suite(base={"seed": 1}),
        suite(base={"lora": {"rank": 1}}),
        suite(matrix={"train.packing": []}),
        suite(matrix={"train.packing": [3]}),
        suite(matrix={"train": {"a": {}}}),
        suite(matrix={"recipe": ["a"]}),
        suite(matrix={"recipe": {"a": {"method": "dpo", "train": {"packing": True}}}}),
        suite(matrix={"recipe": {"a": {"method": "dpo", "train": {"train_sampling_strategy": "group_by_length"}}}}),
        suite(stages={"a": {"method": "sft", "train": {"beta": 1}}}),
        suite(exclude={"method": "sft"}),
        suite(exclude=[{}]),
        suite(replicates=0),
        suite(score={"tasks": []}),
        suite(score={"tasks": ["a"], "backend": "vlm"}),
        suite(decide={"maximise": "tokens_per_secnd"}),
        suite(decide={"maximise": "final_loss", "minimise": "final_loss"}),
        suite(decide={"minimise": "final_loss", "keep": {"final_loss": "3"}}),
        suite(claims=[claim(source=None)]),
        suite(claims=[claim(expect={"ratio_at_least": 0})]),
        suite(claims=[claim(expect={"ratio_at_leat": 1})]),
        suite(claims=[claim(metric="final_los")]),
        suite(claims=[claim(compare={"lora": ["a"]})]),
        suite(claims=claim()),
        suite(margins={"tokens_per_secnd": "3%"}),
        suite(margins={"real_tokens": "3%"}),
        suite(margins={"tokens_per_second": "much"}),
        suite(margins={"tokens_per_second": -1}),
    ],
)
def test_what_a_suite_may_not_say(checker: Checker, bad: dict[str, Any]) -> None:
    assert checker.wrong(bad) != []


def test_an_unknown_template_is_named() -> None:
    with pytest.raises(InputError) as caught:
        template("minimum")
    assert caught.value.problems[0].what == "unknown template 'minimum'"
    assert "minimal" in str(caught.value.problems[0].hint)


def test_templates_explain_themselves() -> None:
    for name in TEMPLATES:
        assert template(name).startswith("# ")
        assert template(name).count("#") >= 8
