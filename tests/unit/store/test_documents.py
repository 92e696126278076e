"""documents.jsonl read by Arrow and line by line: both say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import lines as by_lines
from harness.store import documents

_TEXTS = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["2020-01-01", "1", "true", " a"]))
_NUMBERS = st.one_of(st.none(), st.floats(width=32), st.integers(-3, 3), st.booleans())
_ODD = st.one_of(_NUMBERS, st.text(max_size=2), st.just("NaN"), st.lists(st.integers(), max_size=1))
_LINE = st.fixed_dictionaries(
    {"metrics": st.dictionaries(st.sampled_from(["acc", "f1", "em@x"]), _NUMBERS, max_size=3)},
    optional={
        "index": st.one_of(st.none(), st.integers(-1, 5), st.just(2**40)),
        "doc_hash": _TEXTS,
        "target": _TEXTS,
        "response": _TEXTS,
        "logprobs": st.one_of(st.none(), st.lists(_NUMBERS, max_size=3)),
        "of the future": _ODD,
    },
)
_ODD_LINE = st.dictionaries(st.sampled_from(["index", "doc_hash", "response", "metrics", "logprobs"]), _ODD)


def by_line(raw: bytes) -> documents.Documents:
    """As Python reads it: behind a blank line, which the fast way leaves to the slow one."""
    return documents.read(b"\n" + raw)


def said(found: documents.Documents) -> Any:
    return repr((found.asked.to_pylist(), found.results.to_pylist(), found.names, found.digest, found.unreadable))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(_LINE, _ODD_LINE), max_size=4))
def test_both_ways_say_the_same(lines: list[dict[str, Any]]) -> None:
    raw = "".join(json.dumps(line) + "\n" for line in lines).encode()

    assert said(documents.read(raw)) == said(by_line(raw))


@pytest.mark.parametrize(
    ("raw", "count", "unreadable", "first"),
    [
        (b"", 0, 0, None),
        (b"\n\n", 0, 0, None),
        (b'{"index": 0}', 1, 0, None),
        (b'{"index": 0}\n{"index"', 1, 1, 2),
        (b'{"index":0\n"target":"b"}\n', 0, 2, 1),
        (b'{"index":0} {"index":1}\n', 0, 1, 1),
        (b'[1]\n{"index":0}\n', 1, 1, 1),
    ],
)
def test_damaged_files(raw: bytes, count: int, unreadable: int, first: int | None) -> None:
    found = documents.read(raw)

    assert (found.asked.num_rows, found.unreadable, found.first_unreadable) == (count, unreadable, first)


def test_the_usual_file_is_read_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise AssertionError("read line by line")

    monkeypatch.setattr(by_lines, "parse", slow)
    line = {"index": 0, "doc_hash": "d", "prompt_hash": "p", "target_hash": "t", "target": "4", "response": " 4"}
    line |= {"metrics": {"acc": 1.0, "acc_norm": 0}, "logprobs": [-0.5, -1.5]}

    found = documents.read((json.dumps(line, separators=(",", ":")) + "\n").encode())

    assert found.names == ("acc", "acc_norm")
    assert found.results.to_pylist() == [
        {
            "document": 0,
            "choice": 0,
            "response": " 4",
            "metrics": [("acc", 1.0), ("acc_norm", 0.0)],
            "logprobs": [-0.5, -1.5],
        }
    ]


def test_the_digest_tells_every_field_apart() -> None:
    line: dict[str, Any] = {"index": 0, "doc_hash": "d", "prompt_hash": "p", "target_hash": "t", "target": "4"}
    others = [line | change for change in ({"index": 1}, {"doc_hash": "e"}, {"prompt_hash": ""}, {"target": None})]
    others += [line | {"target_hash": "", "target": "t4"}, line | {"target": ""}]
    digests = [documents.read((json.dumps(one) + "\n").encode()).digest for one in (line, *others)]

    assert len(set(digests)) == len(digests)
    answered = line | {"response": "x", "logprobs": [1.0], "metrics": {"acc": 1.0}}
    assert documents.read((json.dumps(answered) + "\n").encode()).digest == digests[0]
