"""The built-in sources: exact, seeded, and never showing in training what is scored."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from harness.data import SOURCES, heldout
from harness.data import pydoc as pydoc_source
from harness.data.source import Document, Row
from harness.errors import DataError


def _rows(name: str, seed: int = 0, **options: Any) -> list[Row]:
    source = SOURCES[name]
    return source.rows(source.resolve(options), seed)


CASES = [
    ("arithmetic", {}),
    ("arithmetic", {"tasks": ["parity"]}),
    ("arithmetic", {"tasks": ["add"]}),
    ("arithmetic", {"tasks": ["larger", "parity", "add"], "digits": 3}),
    ("pydoc", {}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_nothing_that_is_scored_is_in_the_training_rows(name: str, options: dict[str, Any]) -> None:
    scored = heldout(name, **options)
    trained = _rows(name, **options)
    assert len(scored) >= 200
    assert not {document["question"] for document in scored} & {row["prompt"] for row in trained}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_right_choice_is_the_target_and_no_choice_begins_another(name: str, options: dict[str, Any]) -> None:
    for document in heldout(name, **options):
        choices = document["choices"]
        assert choices[document["answer"]] == document["target"]
        begun = [(a, b) for a in choices for b in choices if a is not b and b.startswith(a)]
        assert not begun, document


def _share(documents: list[Document], place: int) -> float:
    return sum(document["answer"] == place for document in documents) / len(documents)


@pytest.mark.parametrize(("name", "options", "choices"), [("arithmetic", {}, 4), ("pydoc", {}, 4)])
def test_the_right_answer_stands_anywhere(name: str, options: dict[str, Any], choices: int) -> None:
    documents = heldout(name, **options)
    assert {len(document["choices"]) for document in documents} == {choices}
    assert all(_share(documents, place) == pytest.approx(1 / choices, abs=0.1) for place in range(choices))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_rejected_answers_differ_from_chosen_ones(name: str, options: dict[str, Any]) -> None:
    assert all(row["rejected"] != row["chosen"] for row in _rows(name, **options))


@pytest.mark.parametrize("name", ["arithmetic", "pydoc"])
def test_the_seed_decides_the_rows(name: str) -> None:
    assert _rows(name, seed=1) == _rows(name, seed=1)
    assert _rows(name, seed=1) != _rows(name, seed=2)


def _true(prompt: str) -> str:
    numbers = [int(number) for number in re.findall(r"\d+", prompt)]
    if prompt.startswith("max("):
        return str(max(numbers))
    if prompt.startswith("Is "):
        return "odd" if numbers[0] % 2 else "even"
    return str(sum(numbers))


def test_arithmetic_is_exact() -> None:
    options: dict[str, Any] = {"tasks": ["larger", "parity", "add"], "count": 500}
    rows = _rows("arithmetic", **options)
    assert len(rows) == 1500
    assert all(row["chosen"] == _true(row["prompt"]) for row in rows)
    assert all(document["target"] == _true(document["question"]) for document in heldout("arithmetic", **options))


def test_arithmetic_tasks_are_mixed_from_the_start() -> None:
    first = _rows("arithmetic", tasks=["larger", "parity"], count=500)[:50]
    assert 10 < sum(row["prompt"].startswith("max(") for row in first) < 40


def test_a_held_out_pair_is_held_out_in_either_order() -> None:
    trained = {tuple(sorted(map(int, re.findall(r"\d+", row["prompt"])))) for row in _rows("arithmetic", count=10_000)}
    scored = {tuple(sorted(map(int, re.findall(r"\d+", doc["question"])))) for doc in heldout("arithmetic")}
    assert not trained & scored


def test_numbers_of_many_digits_are_drawn_not_listed() -> None:
    rows = _rows("arithmetic", digits=4, count=2000)
    assert len({row["prompt"] for row in rows}) == 2000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": ["add"]}, "did you mean 'tasks'"),
        ({"tasks": ["adding"]}, "unknown task 'adding'"),
        ({"tasks": []}, "expected a list of task names"),
        ({"tasks": ["add", "add"]}, "named twice"),
        ({"digits": 1}, "from 2 to 4"),
        ({"digits": True}, "from 2 to 4"),
        ({"count": 0}, "from 1 to 100000"),
    ],
)
def test_wrong_options_say_what_is_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        _rows("arithmetic", **options)


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'arithmetic'"):
        heldout("aritmetic")


def test_pydoc_is_real_text_with_a_long_tail() -> None:
    lengths = sorted(len(row["chosen"]) for row in _rows("pydoc"))
    assert 2500 < len(lengths) < 3500
    median, tail = lengths[len(lengths) // 2], lengths[int(len(lengths) * 0.99)]
    assert 80 < median < 250
    assert tail > 8 * median


def test_pydoc_options() -> None:
    assert max(len(row["chosen"]) for row in _rows("pydoc", max_chars=200)) <= 200
    with pytest.raises(DataError, match="at least 40"):
        _rows("pydoc", max_chars=10)


def test_pydoc_answers_are_the_docstrings() -> None:
    import textwrap

    answers = {row["prompt"]: row["chosen"] for row in _rows("pydoc")}
    import inspect

    assert answers["What does `textwrap.shorten` do?\n"] == inspect.cleandoc(textwrap.shorten.__doc__ or "")


def test_pydoc_asks_once_about_each_text() -> None:
    texts = [entry.text for entry in pydoc_source.entries()]
    assert len(set(texts)) == len(texts)


def test_what_other_packages_do_to_the_library_does_not_show() -> None:
    """transformers adds methods to logging.Logger, others replace functions: the docstrings come from outside."""
    script = (
        "import sys, json, logging, inspect\n"
        "logging.Logger.warning_once = lambda self: None\n"
        "logging.Logger.warning_once.__doc__ = 'A docstring that is not of the standard library at all.'\n"
        "inspect.getfile = len\n"
        "from harness.data.pydoc import entries\n"
        "print(json.dumps([entry.name for entry in entries()]))\n"
    )
    patched = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert json.loads(patched.stdout) == [entry.name for entry in pydoc_source.entries()]


def test_a_damaged_cache_is_made_anew() -> None:
    from harness.records.fingerprint import cache_folder

    expected = pydoc_source.entries()
    (kept,) = (cache_folder() / "pydoc").iterdir()
    whole = kept.read_bytes()
    kept.write_text('[["torn')
    pydoc_source.entries.cache_clear()
    assert pydoc_source.entries() == expected
    assert kept.read_bytes() == whole
