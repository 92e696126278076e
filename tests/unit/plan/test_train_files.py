"""Files that `train` names: absolute for the worker, an error where they are missing, and their content in the id."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError, Problem
from harness.methods.catalog import Catalog, Field
from harness.plan import expand, spec_of
from harness.records.plan import Plan
from harness.suite import load
from tests.unit.plan.made import CATALOG

_FILES = {
    "chat_template_path": Field(name="chat_template_path", types=("null", "string")),
    "deepspeed": Field(name="deepspeed", types=("null", "object", "string")),
}
CATALOG = Catalog(
    methods={**CATALOG.methods, "sft": {**CATALOG.methods["sft"], **_FILES}},
    lora=CATALOG.lora,
    versions=CATALOG.versions,
)
HEAD = "name: demo\nquestion: Which one?\nbase:\n  {method: sft, model: {shape: tiny}, data: {source: arithmetic},\n"


def planned(folder: Path, train: str) -> Plan:
    file = folder / "suite.yaml"
    file.write_text(f"{HEAD}   train: {{{train}}}}}\n", encoding="utf-8")
    return expand(load(file, catalog=CATALOG), CATALOG)


def problem(folder: Path, train: str) -> Problem:
    with pytest.raises(InputError) as caught:
        planned(folder, train)
    (one,) = caught.value.problems
    return one


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with a template, a tokenizer and a JSON file."""
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    (tmp_path / "words.txt").write_text("{{ messages }}")
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    (tmp_path / "zero.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("chat_template_path", "chat.jinja", "chat.jinja"),
        ("chat_template_path", "./tokenizer", "tokenizer"),
        ("deepspeed", "zero.json", "zero.json"),
    ],
)
def test_a_worker_gets_them_absolute(there: Path, field: str, value: str, path: str) -> None:
    plan = planned(there, f"{field}: {value}")
    assert plan.cells[0].config["train"][field] == value
    assert spec_of(plan.trials[0], plan, CATALOG).train[field] == str(there / path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("chat_template_path", "Qwen/Qwen3-0.6B"), ("chat_template_path", "null"), ("deepspeed", "{stage: 2}")],
)
def test_what_names_no_file_stays_as_it_is(there: Path, field: str, value: str) -> None:
    plan = planned(there, f"{field}: {value}")
    assert spec_of(plan.trials[0], plan, CATALOG).train == plan.cells[0].config["train"]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("chat_template_path", "chats.jinja", "/chats.jinja does not exist"),
        ("chat_template_path", "./tokenizers", "/tokenizers does not exist"),
        ("chat_template_path", "a/b/c", "/a/b/c does not exist"),
        ("chat_template_path", "words.txt", "a template ends in .jinja or .j2"),
        ("deepspeed", "one.json", "/one.json does not exist"),
        ("deepspeed", "tokenizer", "/tokenizer is not a file"),
    ],
)
def test_what_cannot_be_used_is_told_at_its_place(there: Path, field: str, value: str, says: str) -> None:
    found = problem(there, f"{field}: {value}")
    assert found.what.startswith(f"train.{field}: ")
    assert says in found.what
    assert found.where is not None
    assert (found.where.line, found.where.column) == (5, 14 + len(field))


def test_the_content_decides_the_id_and_not_the_path(there: Path) -> None:
    one = planned(there, "chat_template_path: chat.jinja").cells[0].id
    (there / "other.jinja").write_text("{{ messages }}")
    assert planned(there, "chat_template_path: other.jinja").cells[0].id == one
    (there / "other.jinja").write_text("{{ messages[0] }}")
    assert planned(there, "chat_template_path: other.jinja").cells[0].id != one
    assert planned(there, "chat_template_path: tokenizer").cells[0].id != one
