"""Documents that stand in training rows: exactly, or by a run of thirteen words."""

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import heldout
from harness.data.files import Numbered
from harness.data.overlap import LEAST, Hits, Index, N, Text, sequences
from harness.data.prepare import load, training_rows
from harness.data.words import words

LONG = "The quick brown fox jumps over the lazy dog while seventeen grey geese look on from a distant wall."


def _search(texts: Sequence[Text], rows: Sequence[dict[str, Any]]) -> Hits:
    return Index(texts).search([Numbered(number, row) for number, row in enumerate(rows, start=1)])


def _question(*questions: str) -> list[Text]:
    return [Text(question=question) for question in questions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  WORLD!\n", "hello world"),
        ("", ""),
        ("… – !?", ""),
        ("don't stop—now", "don t stop now"),
        ("don’t", "don t"),
        ("ＦＵＬＬ width ①", "full width 1"),
        ("Straße STRASSE", "strasse strasse"),
        ("ﬁne", "fine"),
        ("cafe\u0301 CAFÉ", "café café"),
        ("zero\u200bwidth soft\u00adhyphen", "zerowidth softhyphen"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("今日は晴れ", "今 日 は 晴 れ"),
        ("안녕 세상", "안녕 세상"),
        ("7+5 = ?", "7 + 5"),
        ("7-5 and 7 − 5", "7 - 5 and 7 - 5"),
        ("(7)*(5)", "7 * 5"),
        ("1+2+3", "1 + 2 + 3"),
        ("max(12,34)=", "max 12 34"),
        ("a-b c/d", "a b c d"),
        ("snake_case `x.y`", "snake case x y"),
        ("😀 ok", "ok"),
        ("bad \ud800 half", "bad half"),
    ],
)
def test_words_are_compared_without_case_form_and_punctuation(text: str, expected: str) -> None:
    assert " ".join(words(text)) == expected


@given(st.text())
def test_words_of_words_are_the_same(text: str) -> None:
    once = words(text)
    assert all(word and not word.isspace() for word in once)
    assert [word for word in words(" ".join(once)) if word.isalnum()] == [word for word in once if word.isalnum()]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "a"}, [["a"]]),
        ({"text": ""}, []),
        ({"prompt": "a", "completion": "b"}, [["a", "b"]]),
        ({"prompt": "", "completion": "b"}, [["b"]]),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, [["a", "b"], ["a", "c"]]),
        ({"prompt": "a"}, [["a"]]),
        (
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant"}]},
            [["s", "u"]],
        ),
        (
            {"prompt": [{"role": "user", "content": "u"}], "completion": [{"role": "assistant", "content": "a"}]},
            [["u", "a"]],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "u"}, {"type": "image"}]}]},
            [["u "]],
        ),
        ({}, []),
    ],
)
def test_a_row_of_any_format_gives_its_texts_in_order(row: dict[str, Any], expected: list[list[str]]) -> None:
    assert sequences(row) == expected


def test_a_question_that_is_a_prompt_is_found_with_its_row() -> None:
    rows = [{"prompt": "Who?", "completion": "Me"}, {"prompt": "what is it", "completion": "That"}]
    found = _search(_question("What is it?", "What was it?"), rows)
    assert {document: hit.row for document, hit in found.exact.items()} == {0: 2}
    assert (found.ngram, found.rows) == ({}, 2)


@pytest.mark.parametrize("column", ["chosen", "rejected"])
def test_both_answers_of_a_preference_row_count(column: str) -> None:
    row = {"prompt": "Tell me something", "chosen": "No.", "rejected": "Never.", column: f"Well: {LONG}"}
    found = _search([Text(question=LONG)], [row])
    assert set(found.ngram) == {0}
    assert _search([Text(question="Tell me something", answers=(row[column],))], [row]).exact


@pytest.mark.parametrize("of_prompt", [1, 8, N - 1])
@pytest.mark.parametrize("answer", ["chosen", "rejected"])
def test_a_run_of_words_may_cross_from_a_prompt_into_either_answer(answer: str, of_prompt: int) -> None:
    run = words(LONG)[:N]
    texts = {"chosen": "one two three", "rejected": "four five six", answer: " ".join(run[of_prompt:])}
    row = {"prompt": "Much before. " + " ".join(run[:of_prompt]), **texts}
    assert set(_search(_question(" ".join(run)), [row]).ngram) == {0}


@pytest.mark.parametrize("of_question", [1, 8, N - 1])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_run_of_words_may_cross_from_a_question_into_any_answer(place: int, of_question: int) -> None:
    run = words(LONG)[:N]
    answers = ["one two three", "four five six", "seven eight"]
    answers[place] = " ".join(run[of_question:])
    text = Text(question="Much before, and a lot of it. " + " ".join(run[:of_question]), answers=tuple(answers))
    assert set(_search([text], [{"text": f"so {' '.join(run)} so"}]).ngram) == {0}


@pytest.mark.parametrize("answer", ["first of all", "second", "the third"])
def test_a_short_question_with_any_of_its_answers_is_looked_for_inside_rows(answer: str) -> None:
    text = Text(question="one two three four five six seven", answers=("first of all", "second", "the third"))
    assert set(_search([text], [{"text": f"so one two three four five six seven {answer} so"}]).exact) == {0}
    assert not _search([text], [{"text": "so one two three four five six seven fourth so"}]).exact


def test_messages_count_alone_in_pairs_and_together() -> None:
    said = ["Be brief", "Why?", "Because", "And then?", "Nothing"]
    roles = ["system", "user", "assistant", "user", "assistant"]
    row = {"messages": [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]}
    asked = [
        Text(question="And then?"),
        Text(question="Why?", answers=("Because", "Since")),
        Text(question=" ".join(said)),
        Text(question="Why? Because And"),
    ]
    assert set(_search(asked, [row]).exact) == {0, 1, 2}


def test_a_conversation_is_read_over_the_borders_of_its_messages() -> None:
    parts = words(LONG)
    row = {
        "messages": [{"role": "user", "content": " ".join(parts[:7])}, {"role": "user", "content": " ".join(parts[7:])}]
    }
    assert set(_search(_question(LONG), [row]).exact) == {0}
    assert set(_search(_question("so " + LONG + " so"), [row]).ngram) == {0}


def test_two_rows_are_not_read_as_one() -> None:
    parts = words(LONG)
    rows = [{"text": " ".join(parts[:9])}, {"text": " ".join(parts[9:])}]
    assert _search(_question(LONG), rows) == Hits(rows=2)


def test_twelve_words_are_not_thirteen() -> None:
    parts = words(LONG)
    twelve, thirteen = {"text": "x " + " ".join(parts[1:13]) + " y"}, {"text": "x " + " ".join(parts[1:14]) + " y"}
    assert _search(_question(LONG), [twelve]).ngram == {}
    found = _search(_question(LONG), [twelve, thirteen]).ngram
    assert found[0].row == 2
    assert found[0].shared == " ".join(parts[1:14])


def test_a_short_question_is_looked_for_inside_rows_from_eight_words_on() -> None:
    eight, seven = "one two three four five six seven eight", "one two three four five six seven"
    row = {"text": f"Q: {eight}? A: yes"}
    index = Index(_question(eight, seven, LONG))
    assert index.short == [True, True, False]
    assert set(index.search([Numbered(1, row)]).exact) == {0}
    assert set(_search(_question(seven), [{"text": "One, two, three, four, five, six, seven"}]).exact) == {0}
    assert LEAST == 8


def test_other_wordings_of_a_question_count() -> None:
    text = Text(question="Question: Who wrote it?\nAnswer:", answers=(" Ann",), also=("Who wrote it?",))
    assert _search([text], [{"prompt": "who wrote it", "completion": "Nobody"}]).exact
    assert _search([text], [{"text": "Who wrote it? Ann"}]).exact
    assert not _search([text], [{"text": "Who wrote it? Bob"}]).exact


def test_arithmetic_that_differs_in_its_sign_is_another_question() -> None:
    assert not _search(_question("7+5="), [{"prompt": "7-5=", "completion": "2"}]).exact
    assert _search(_question("7+5="), [{"prompt": "7 + 5 =", "completion": "12"}]).exact


@pytest.mark.parametrize("rows", [[], [{"text": ""}], [{"prompt": "", "completion": " "}], [{"text": "?!"}]])
def test_empty_rows_and_documents_hold_nothing(rows: list[dict[str, Any]]) -> None:
    found = _search([Text(question=""), Text(question="?", answers=("", "!")), Text(question=LONG)], rows)
    assert (found.exact, found.ngram, found.rows) == ({}, {}, len(rows))
    assert _search([], [{"text": LONG}]).rows == 1


def test_text_that_is_no_ascii_is_found() -> None:
    question = "Ｗｈａｔ　ｄｏｅｓ ÉCOLE mean – and where do 子供 go when they are six years old?"
    row = {"text": "It said: what does école mean, and where do 子供 go when they are six years old"}
    assert set(_search(_question(question), [row]).ngram) == {0}


SHARED = [f"w{number}" for number in range(20)]  # so short that texts of several pieces of it meet
PIECE = st.tuples(st.integers(0, 19), st.integers(0, 20)).map(lambda piece: SHARED[piece[0] : piece[0] + piece[1]])
SENTENCE = st.lists(PIECE, max_size=3).map(lambda pieces: " ".join(word for piece in pieces for word in piece))
ROW = st.one_of(
    st.fixed_dictionaries({"text": SENTENCE}),
    st.fixed_dictionaries({"prompt": SENTENCE, "completion": SENTENCE}),
    st.fixed_dictionaries({"prompt": SENTENCE, "chosen": SENTENCE, "rejected": SENTENCE}),
    st.lists(SENTENCE, min_size=1, max_size=4).map(
        lambda said: {"messages": [{"role": "user", "content": text} for text in said]}
    ),
)
TEXT = st.builds(
    Text,
    question=SENTENCE,
    answers=st.lists(SENTENCE, max_size=3).map(tuple),
    also=st.lists(SENTENCE, max_size=1).map(tuple),
)


def _variants(text: Text) -> list[list[str]]:
    questions = [words(question) for question in (text.question, *text.also)]
    return [
        found for asked in questions for found in (asked, *(asked + words(answer) for answer in text.answers)) if found
    ]


def _runs(said: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(said[at : at + n]) for at in range(len(said) - n + 1)}


def _naive(texts: Sequence[Text], rows: Sequence[dict[str, Any]]) -> tuple[dict[int, int], dict[int, int], list[bool]]:
    """The definition, word for word: first rows of exact and of ngram, and what is short."""
    exact: dict[int, int] = {}
    ngram: dict[int, int] = {}
    for number, row in enumerate(rows, start=1):
        for sequence in sequences(row):
            turns = [words(text) for text in sequence]
            whole = [word for turn in turns for word in turn]
            parts = [*turns, *(a + b for a, b in pairwise(turns)), whole]
            for document, text in enumerate(texts):
                for variant in _variants(text):
                    inside = LEAST <= len(variant) < N and tuple(variant) in _runs(whole, len(variant))
                    if variant in parts or inside:
                        exact.setdefault(document, number)
                    if _runs(variant, N) & _runs(whole, N):
                        ngram.setdefault(document, number)
    return exact, ngram, [max(map(len, _variants(text)), default=0) < N for text in texts]


@given(st.lists(TEXT, max_size=5), st.lists(ROW, max_size=6))
def test_it_is_what_the_definition_says(texts: list[Text], rows: list[dict[str, Any]]) -> None:
    exact, ngram, short = _naive(texts, rows)
    index = Index(texts)
    found = index.search([Numbered(number, row) for number, row in enumerate(rows, start=1)])
    assert found.exact.keys() == exact.keys()
    assert {document: hit.row for document, hit in found.ngram.items()} == ngram
    assert index.short == short


@given(
    st.integers(0, 60),
    st.integers(N, 60),
    st.integers(0, 3000),
    st.sampled_from(["text", "completion", "chosen", "rejected"]),
    st.integers(0, 2**32),
)
def test_a_planted_run_is_found_wherever_it_stands(row: int, length: int, place: int, column: str, seed: int) -> None:
    chance = random.Random(seed)
    texts = _question(*(" ".join(f"d{document}w{word}" for word in range(80)) for document in range(20)))
    rows = [{column: " ".join(chance.choices("xyz", k=20))} for _ in range(61)]
    planted, start = chance.randrange(20), chance.randrange(80 - length + 1)
    run = " ".join(texts[planted].question.split()[start : start + length])
    rows[row] = {column: f"{' '.join(chance.choices('xyz', k=place))} {run.upper()}, y"}
    found = _search(texts, rows if column == "text" else [{"prompt": "say", **one} for one in rows])
    assert {document: hit.row for document, hit in found.ngram.items()} == {planted: row + 1}
    assert not found.exact


def test_an_index_searches_any_number_of_trainings_afresh() -> None:
    index = Index(_question(LONG))
    for _ in range(2):
        assert index.search([Numbered(7, {"text": LONG})]).exact[0].row == 7
        assert not index.search([Numbered(7, {"text": "else"})]).exact


def test_rows_are_looked_at_in_pieces_and_told_by_their_number() -> None:
    filler = " ".join(["word"] * 1000)
    rows = [{"text": f"{filler} {number}"} for number in range(300)]  # more words than are looked at together
    rows[150], rows[299] = {"text": f"so {LONG}"}, {"text": LONG}
    found = _search(_question(LONG), rows)
    assert (found.ngram[0].row, found.exact[0].row, found.rows) == (151, 300, 300)


def _shipped(name: str, **options: Any) -> list[Text]:
    return [Text(question=held["question"], answers=tuple(held["choices"])) for held in heldout(name, **options)]


@pytest.mark.parametrize("style", ["prompt_completion", "preference", "language_modeling"])
def test_arithmetic_as_shipped_does_not_overlap_and_a_planted_question_does(style: Any) -> None:
    texts = _shipped("arithmetic")
    rows, _ = training_rows({"source": "arithmetic"}, (style,), root=Path())
    found = Index(texts).search(rows)
    assert (found.exact, found.ngram, found.rows) == ({}, {}, 4000)
    planted = texts[17]
    leak = (
        {"text": planted.question + planted.answers[0]}
        if style == "language_modeling"
        else {"prompt": planted.question}
    )
    assert set(Index(texts).search([*rows, Numbered(4001, {**rows[0].row, **leak})]).exact) == {17}


def test_only_rows_that_are_trained_on_are_given(tmp_path: Path) -> None:
    data = {"source": "arithmetic", "options": {"count": 200}, "eval_fraction": 0.3, "rows": 100, "seed": 3}
    rows, fingerprint = training_rows(data, ("prompt_completion",), root=tmp_path)
    prepared = load(data, ("prompt_completion",), root=tmp_path)
    assert [numbered.row for numbered in rows] == prepared.train.to_list()
    assert fingerprint == prepared.fingerprint
    kept_back = Index(_question(*prepared.eval["prompt"])).search(rows)
    assert (kept_back.exact, kept_back.rows) == ({}, len(prepared.train))
    assert len({numbered.number for numbered in rows}) == len(rows) < 100
