"""JSON Schema (draft 2020-12) of the suite file as people write it, for editors.

It says what `load` says as far as a schema can; `load` has the last word (references between parts, units, cycles).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from harness.data import SOURCES
from harness.methods import METHODS
from harness.methods.catalog import Catalog, Field, Say, tell
from harness.methods.catalog import load as load_catalog
from harness.methods.fields import LORA_OWNED, owned
from harness.methods.ranges import LORA, TRAIN, Range
from harness.models import SHAPES
from harness.records import suite as nouns
from harness.records.metrics import METRICS
from harness.suite.checked import is_mapping_field
from harness.suite.claims import EXPECTS
from harness.suite.claims import NEEDED as NEEDED_OF_CLAIMS
from harness.suite.fields import DATA, FIELDS, MERGED, MODELS
from harness.suite.load import NEEDED
from harness.suite.sections import LARGEST_SEED, MOST_SEEDS, RESERVED

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ANY_VALUE = "A value, or a list of values any of which will do; a named level of the axis stands for its value."


def json_schema(*, catalog: Catalog | None = None, say: Say | None = tell) -> Schema:
    """The schema of a suite file, its `train` and `lora` fields those of the installed TRL and PEFT.

    Raises:
        InputError: TRL is not installed.
    """
    known = catalog or load_catalog(say)
    return {
        "$schema": DIALECT,
        "title": "harness suite",
        "description": "One question about fine-tuning with TRL, and the experiment that answers it.",
        "type": "object",
        "properties": _sections(),
        "required": list(NEEDED),
        "additionalProperties": False,
        "$defs": _definitions(known),
    }


def _sections() -> Schema:
    """The keys at the top of the file."""
    said = {name: str(field.description) for name, field in nouns.Suite.model_fields.items() if name != "file"}
    forms: Mapping[str, Schema] = {
        "name": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
            "maxLength": 80,
            "not": {"enum": list(RESERVED)},
        },
        "question": {"type": "string", "minLength": 1},
        "base": _ref("setup"),
        "stages": {"type": "object", "additionalProperties": _ref("stage")},
        "matrix": _ref("matrix"),
        "include": {"type": "array", "items": _ref("include")},
        "exclude": {"type": "array", "items": _ref("selector")},
        "replicates": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_SEEDS}, _ref("replicates")]},
        "score": {"anyOf": [{"type": "null"}, _ref("score")]},
        "baseline": _ref("selector"),
        "environments": {"type": "object", "additionalProperties": _ref("environment")},
        "decide": _ref("decide"),
        "claims": {"type": "array", "items": _ref("claim")},
        "margins": _ref("margins"),
    }
    return {name: {**forms[name], "description": text} for name, text in said.items()}


def _definitions(known: Catalog) -> Schema:
    paths = _paths(known)
    deeper = _deeper(known)
    per_method = {f"train-{name}": _train(known, [name]) for name in METHODS}
    return {
        **{f"model-{key}": _record(kind, key, SHAPES) for key, kind in MODELS.items()},
        **{f"data-{key}": _record(kind, key, SOURCES) for key, kind in DATA.items()},
        **per_method,
        "model": _any_of(f"model-{key}" for key in MODELS),
        "data": _any_of(f"data-{key}" for key in DATA),
        "train": _train(known, list(METHODS)),
        "lora": _lora(known),
        "init": _plain(nouns.Init),
        "measure": _plain(nouns.Measure),
        "limits": _limits(),
        "setup": _setup(paths, deeper),  # may hold fields of any method: levels choose others
        "stage": {**_setup(paths, deeper, seed=_plain(nouns.Setup)["properties"]["seed"]), **_own_fields()},
        "level": {**_setup(paths, deeper), **_own_fields(), "description": "Field paths that move together."},
        "matrix": _matrix(paths, deeper),
        "include": {"type": "object", "minProperties": 1, "properties": {"name": _text("Name of the cell.")}},
        "selector": {"type": "object", "minProperties": 1, "properties": _selectable(paths)},
        "replicates": _replicates(),
        "score": _plain(nouns.Score),
        "environment": _environment(),
        "decide": _decide(),
        "claim": _claim(),
        "margins": _margins(),
    }


def _environment() -> Schema:
    from harness.environments import Declaration

    schema = _plain(Declaration)
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key != "name"}
    schema["required"] = ["requirements"]
    return schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _any_of(names: Iterable[str]) -> Schema:
    return {"anyOf": [_ref(name) for name in names]}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _plain(kind: type[BaseModel]) -> Schema:
    """Pydantic's schema of a record, self-contained."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})
    return dict(_inline(schema, definitions))


def _inline(value: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with references into pydantic's own definitions replaced by what they say."""
    if isinstance(value, list):
        return [_inline(inner, definitions) for inner in value]
    if not isinstance(value, dict):
        return value
    own = {key: _inline(inner, definitions) for key, inner in value.items() if key not in ("$ref", "title")}
    if isinstance(value.get("title"), dict):  # a property of that name, not the title that pydantic writes
        own["title"] = _inline(value["title"], definitions)
    if "$ref" in value:
        own = {**_inline(definitions[value["$ref"].rpartition("/")[2]], definitions), **own}
    return own


def _record(kind: type[BaseModel], key: str, names: Mapping[str, object]) -> Schema:
    schema = _plain(kind)
    if key in ("shape", "source"):
        schema["properties"][key]["enum"] = list(names)
    return schema


def _replicates() -> Schema:
    schema = _plain(nouns.Replicates)
    schema["properties"]["seeds"].update(items={"type": "integer", "minimum": 0, "maximum": LARGEST_SEED})
    schema["properties"]["seeds"]["uniqueItems"] = True
    return schema


def _limits() -> Schema:
    schema = _plain(nouns.Limits)
    schema["properties"]["timeout"]["examples"] = ["90s", "10m", "2h"]
    schema["properties"]["host_memory"]["examples"] = ["8GiB"]
    return schema


def _field(field: Field, ranges: Mapping[str, Range]) -> Schema:
    """The schema of one field of a config class."""
    types = [kind for kind in field.types if kind != "integer" or "number" not in field.types]
    schema: Schema = {"type": types[0] if len(types) == 1 else types, "default": field.default}
    if field.name in ranges:
        schema.update(ranges[field.name].schema)
    if field.help:
        schema["description"] = field.help
    if field.choices and not any("[" in choice for choice in field.choices) and set(types) <= {"string", "null"}:
        schema["enum"] = [*field.choices, *([None] if "null" in types else [])]
    if field.items:
        schema["items"] = {"type": list(field.items)}
    return schema


def _train(known: Catalog, methods: list[str]) -> Schema:
    """`train` for one method, or for any of several where a part of a suite may meet them all."""
    properties: Schema = {}
    for method in methods:
        for name, field in known.methods[method].items():
            if owned(name) is None and name not in METHODS[method].refuses:
                _join(properties, name, _taken(method, _field(field, TRAIN), name))
        for name in METHODS[method].refuses:
            _join(properties, name, _refused(method, name))
    classes = ", ".join(METHODS[method].config_class.rpartition(":")[2] for method in methods)
    return {
        "type": "object",
        "description": f"Fields of TRL's {classes} (TRL {known.versions.get('trl', '?')}).",
        "properties": dict(sorted(properties.items())),
        "patternProperties": {_beginning(_object_fields(known, methods), ""): True},
        "additionalProperties": False,
    }


def _taken(method: str, schema: Schema, name: str) -> Schema:
    """A field's schema without the values that TRL does not support for the method."""
    refused = METHODS[method].refuses_values.get(name)
    return {**schema, "not": {"enum": list(refused)}} if refused else schema


def _refused(method: str, name: str) -> Schema:
    """A field that TRL does not support for the method: only the values that ask for nothing."""
    quiet = [value for value in (None, False, True) if not METHODS[method].refused({name: value})]
    return {"enum": quiet, "description": METHODS[method].refuses[name]}


def _join(properties: Schema, name: str, schema: Schema) -> None:
    """Adds a field; where methods differ about it, either's word will do."""
    first = properties.get(name)
    if first is None:
        properties[name] = schema
    elif schema not in (first, *first.get("anyOf", ())):
        choices = first.get("anyOf", [first])
        properties[name] = {"anyOf": [*choices, schema], "description": choices[0].get("description", "")}


def _lora(known: Catalog) -> Schema:
    fields = {name: _field(field, LORA) for name, field in known.lora.items() if name not in LORA_OWNED}
    return {
        "type": ["object", "null"],
        "description": f"Fields of PEFT {known.versions.get('peft', '?')}'s LoraConfig; null trains all weights.",
        "properties": fields,
        "additionalProperties": False,
    }


def _object_fields(known: Catalog, methods: Iterable[str]) -> list[str]:
    names = {name for method in methods for name, field in known.methods[method].items() if "object" in field.types}
    return sorted(name for name in names if owned(name) is None)


def _paths(known: Catalog) -> Schema:
    """Every dotted field path with a reference to what it takes."""
    paths: Schema = {}
    for name in _train(known, list(METHODS))["properties"]:
        paths[f"train.{name}"] = _ref(f"train/properties/{name}")
    for name in _lora(known)["properties"]:
        paths[f"lora.{name}"] = _ref(f"lora/properties/{name}")
    for root, kinds in (("model", MODELS), ("data", DATA)):
        for key, kind in kinds.items():
            for name in kind.model_fields:
                paths.setdefault(f"{root}.{name}", _ref(f"{root}-{key}/properties/{name}"))
    for root, kind in (("init", nouns.Init), ("measure", nouns.Measure), ("limits", nouns.Limits)):
        paths.update({f"{root}.{name}": _ref(f"{root}/properties/{name}") for name in kind.model_fields})
    return paths


def _deeper(known: Catalog) -> str:
    """A pattern for paths that lead into a mapping: `train.lr_scheduler_kwargs.num_cycles`."""
    names = [f"train.{name}" for name in _object_fields(known, METHODS)]
    names += [f"lora.{name}" for name, field in known.lora.items() if "object" in field.types]
    for root, kinds in (("model", MODELS), ("data", DATA)):
        for kind in kinds.values():
            names += [f"{root}.{name}" for name in kind.model_fields if is_mapping_field(kind, name)]
    return _beginning(sorted(set(names)), "")


def _beginning(names: Iterable[str], otherwise: str) -> str:
    joined = "|".join(re.escape(name).replace("\\-", "-") for name in names)
    return rf"^({joined or otherwise})\..+"


def _setup(paths: Schema, deeper: str, **more: Schema) -> Schema:
    """A configuration: whole fields, and dotted paths."""
    said = nouns.Setup.model_fields
    whole: Schema = {name: {**_ref(name), "description": said[name].description} for name in FIELDS}
    whole["method"] = {"enum": list(METHODS), "description": said["method"].description}
    whole["checkpoint"] = {"enum": ["keep", "drop"], "description": said["checkpoint"].description}
    whole["reference"] = {"enum": ["explicit", "shared", None], "description": said["reference"].description}
    whole["environment"] = {"type": ["string", "null"], "description": said["environment"].description}
    whole["init"] = {"anyOf": [_ref("init"), {"type": "null"}], "description": said["init"].description}
    return {
        "type": "object",
        "properties": {**whole, **more, **paths},
        "patternProperties": {deeper: True},
        "additionalProperties": False,
    }


def _own_fields() -> Schema:
    """Where a configuration says its method, `train` holds that method's fields."""
    return {"allOf": [_with_method(name) for name in METHODS]}


def _with_method(name: str) -> Schema:
    return {
        "if": {"properties": {"method": {"const": name}}, "required": ["method"]},
        "then": {"properties": {"train": _ref(f"train-{name}")}},
    }


def _axis(value: Schema, description: str) -> Schema:
    """Levels of a field: a list of values, or values by level name."""
    return {
        "description": description,
        "anyOf": [
            {"type": "array", "items": value, "minItems": 1},
            {"type": "object", "additionalProperties": value, "minProperties": 1},
        ],
    }


def _matrix(paths: Schema, deeper: str) -> Schema:
    setup = _setup({}, deeper)["properties"]
    whole = {name: _axis(setup[name], f"Levels of {name}.") for name in FIELDS if name not in MERGED}
    dotted = {path: _axis(schema, f"Levels of {path}.") for path, schema in paths.items()}
    named = {
        "type": "object",
        "additionalProperties": _ref("level"),
        "minProperties": 1,
        "description": "An axis of named levels: level name → the field paths it sets.",
    }
    return {
        "type": "object",
        "properties": {**whole, **dotted},
        "patternProperties": {deeper: True},
        "additionalProperties": named,
        "propertyNames": {"not": {"enum": [*MERGED, "seed"]}},
    }


def _selectable(paths: Schema) -> Schema:
    names = [*(name for name in FIELDS if name not in MERGED), *paths]
    return {name: {"description": _ANY_VALUE} for name in names}


_METRIC: Schema = {"anyOf": [{"enum": list(METRICS)}, {"type": "string", "pattern": r"^score\..+\..+$"}]}


def _claim() -> Schema:
    amount: Schema = {"type": ["number", "string"]}
    expects: Schema = {"no_worse_than": {**amount, "description": "How much worse it may be: 2%, or in its unit."}}
    for name, (kind, side) in EXPECTS.items():
        one: Schema = {"type": "number", "exclusiveMinimum": 0} if kind == "ratio" else amount
        expects[name] = {"type": "array", "items": one, "minItems": 2} if side == "between" else one
    return {
        "type": "object",
        "properties": {
            "says": _text("The claim in words."),
            "source": _text("Where it is said: an address, a paper, a file."),
            "compare": {
                "type": "object",
                "description": "An axis or a field path, with the reference's level and the candidate's.",
                "minProperties": 1,
                "additionalProperties": {"type": "array", "minItems": 2},
            },
            "where": {**_ref("selector"), "description": "Which cells; all others are held still."},
            "metric": {**_METRIC, "description": "What it is about."},
            "expect": {"type": "object", "properties": expects, "additionalProperties": False, "minProperties": 1},
            "needs": _plain(nouns.Needs),
        },
        "required": list(NEEDED_OF_CLAIMS),
        "additionalProperties": False,
    }


def _decide() -> Schema:
    schema = _plain(nouns.Decide)
    metric = _metric(METRICS)
    for goal in ("maximise", "minimise"):
        schema["properties"][goal] = {**metric, "description": nouns.Decide.model_fields[goal].description}
    schema["properties"]["keep"]["propertyNames"] = metric
    schema["properties"]["keep"]["additionalProperties"] = {"type": "string", "pattern": r"^\s*(<=|>=|<|>)\s*\S"}
    schema["oneOf"] = [{"required": ["maximise"]}, {"required": ["minimise"]}]
    return schema


def _margins() -> Schema:
    return {
        "type": "object",
        "propertyNames": _metric(name for name, known in METRICS.items() if known.better != "none"),
        "additionalProperties": {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*[\d.]"}],
            "examples": ["3%", 0.02, "2% + 64MiB"],
        },
    }


def _metric(names: Iterable[str]) -> Schema:
    return {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": r"^score\..+\..+$"}]}
