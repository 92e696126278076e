"""Train/eval overlap: which of a task's documents stand in the rows that a model was trained on.

Two measures, over words (see `words`):

- ngram: a document shares at least one run of 13 words with a training row, as Brown et al. (arXiv 2005.14165,
  appendix C) judge contamination, with their longest N. A document with fewer than 13 words has no such run (`short`).
- exact: a document's question, or its question with one of its answers, is the whole of a text, a prompt, an answer, a
  message, a prompt with its answer, two messages that follow one another, or a conversation. One of 8 to 12 words (8 is
  that paper's shortest N) also counts where it stands inside a row; a longer one that does shares 13 words with it.

The documents are indexed and the rows pass by, so memory follows the documents, of which there are few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import Any

import numpy as np

from harness.data.files import Numbered
from harness.data.words import words

N = 13
LEAST = 8  # words that a question needs to be looked for inside a row: fewer are in many texts by chance

_CHUNK = 2**17  # words that are looked at together: a few MiB, which stay in the processor's cache
_CUT = 300  # characters of a text in an example
_Words = list[str]
_Array = Any  # numpy's: ids (int32), values and hashes (uint64), places, owners and numbers of runs (int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """What of a document a training could have seen: the question as it is asked, and the answers to it.

    `also` holds other wordings of the question, such as the question without the task's template around it.
    """

    question: str
    answers: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a document was first met: the row's own number, and what it shares with it, cut."""

    row: int
    shared: str


@dataclass(kw_only=True, slots=True)
class Hits:
    """What a search found, by the document's place in the index. A document may be in both."""

    rows: int = 0
    exact: dict[int, Hit] = field(default_factory=dict)
    ngram: dict[int, Hit] = field(default_factory=dict)


def sequences(row: Mapping[str, Any]) -> list[list[str]]:
    """The texts of a training row (any of TRL's formats), each list in the order in which the model reads them.

    A preference row gives two: its prompt with the chosen, and with the rejected answer. Tool calls are left out.
    """
    before = _texts(row.get("prompt"))
    answers = [_texts(row[name]) for name in ("completion", "chosen", "rejected") if name in row]
    whole = [_texts(row[name]) for name in ("text", "messages") if name in row]
    found = [*whole, *([*before, *answer] for answer in answers or ([[]] if before else []))]
    return [sequence for sequence in found if sequence]


def _texts(value: Any) -> list[str]:
    """A plain text, or what each message of a list says; content in parts is their texts."""
    if isinstance(value, str):
        return [value] if value else []
    found = []
    for message in value or ():
        content = message.get("content")
        if isinstance(content, list):
            content = " ".join(str(part.get("text") or "") for part in content)
        if content:
            found.append(str(content))
    return found


class Index:
    """Documents, ready to be looked for in any number of trainings. Holds a few hundred bytes per word of theirs."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = texts
        self.short: list[bool] = []  # whether a document has fewer than 13 words, its longest answer included
        self._vocabulary: dict[str, int] = {"": 0}
        self._variants: dict[str, list[int]] = {}  # questions, alone and with each answer: the documents they are of
        self._lengths: set[int] = set()  # of those, in words
        flat: list[int] = []
        starts: list[int] = []
        whole: dict[int, list[tuple[int, int]]] = {}  # length → place and document of what may stand inside a row
        for document, text in enumerate(texts):
            starts.append(len(flat))
            for at, length in self._add(document, text, flat):
                if LEAST <= length < N:
                    whole.setdefault(length, []).append((at, document))
        self._values = _random_values(len(self._vocabulary))
        ids = np.array(flat, dtype=np.int32)
        places = _places(ids, N)
        owners = np.searchsorted(np.array(starts, dtype=np.int64), places, side="right") - 1
        self.grams = _Grams(N, ids, self._values, places, owners)
        self.inside = [
            _Grams(
                length, ids, self._values, *(np.array(column, dtype=np.int64) for column in zip(*found, strict=True))
            )
            for length, found in sorted(whole.items())
        ]

    def _add(self, document: int, text: Text, flat: list[int]) -> Iterator[tuple[int, int]]:
        """Takes a document in; gives where in `flat` its questions, alone and with each answer, begin, and how long."""
        answers = [words(answer) for answer in text.answers] or [[]]
        questions = [words(question) for question in (text.question, *text.also)]
        self.short.append(max(map(len, questions)) + max(map(len, answers)) < N)
        for question in questions:
            for variant in (question, *(question + answer for answer in answers)):
                if variant:
                    self._variants.setdefault(" ".join(variant), []).append(document)
                    self._lengths.add(len(variant))
            before = question  # of further answers only those of its words that a run with the answer's can hold
            for answer in answers:
                at = len(flat)
                flat.extend(self._vocabulary.setdefault(word, len(self._vocabulary)) for word in (*before, *answer))
                if before is question or len(question) < N:
                    yield at, len(question)
                    yield at, len(question) + len(answer)
                flat.append(0)
                before = question[1 - N :]

    def search(self, rows: Iterable[Numbered]) -> Hits:
        """Looks for every document in these rows, as they are given to a trainer."""
        search = _Search(self)
        for numbered in rows:
            search.add(numbered)
        return search.finish()

    def ids(self, tokens: Sequence[str]) -> tuple[_Array, _Array]:
        """Each word's number among those of the documents (0: in none), and its value for hashing."""
        found = np.fromiter(map(self._vocabulary.get, tokens, repeat(0)), dtype=np.int32, count=len(tokens))
        return found, self._values[found]

    def same(self, turns: Sequence[_Words]) -> list[int]:
        """The documents whose question, alone or with an answer, has exactly these words."""
        if sum(map(len, turns)) not in self._lengths:  # which spares most texts the joining
            return []
        return self._variants.get(" ".join(word for turn in turns for word in turn), [])


class _Grams:
    """Runs of `n` words of the documents, by their hash. A hash that is found is compared word by word."""

    def __init__(self, n: int, ids: _Array, values: _Array, places: _Array, owners: _Array) -> None:
        self.n = n
        self._ids = ids
        hashes = _hashed(values[ids], n)[places] if len(places) else np.empty(0, dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        self._hashes, first = np.unique(hashes[order], return_index=True)
        self._bounds: _Array = np.append(first, len(order))
        self._owners = owners[order]
        self._places = places[order][first]
        bits = min(26, max(10, (16 * len(first)).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._known = np.zeros(2**bits, dtype=bool)  # rules most words out before the search proper
        self._known[self._hashes >> self._shift] = True

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, ids: _Array, values: _Array, seen: _Array) -> tuple[_Array, _Array]:
        """Place and number of each run among these words that has not been `seen`, in order; marks them seen."""
        hashes = _hashed(values, self.n)
        places = np.flatnonzero(self._known[hashes >> self._shift])
        if not len(places):
            return places, places
        grams = np.minimum(np.searchsorted(self._hashes, hashes[places]), len(self) - 1)
        fresh = (self._hashes[grams] == hashes[places]) & ~seen[grams]
        places, grams = places[fresh], grams[fresh]
        run = np.arange(self.n)
        same = (ids[places[:, None] + run] == self._ids[self._places[grams][:, None] + run]).all(axis=1)
        places, grams = places[same], grams[same]
        _, first = np.unique(grams, return_index=True)
        first.sort()
        seen[grams[first]] = True
        return places[first], grams[first]

    def owners(self, places: _Array, grams: _Array) -> tuple[_Array, _Array]:
        """The documents that these runs are of, each once, with the first place where it is met."""
        counts: Any = self._bounds[grams + 1] - self._bounds[grams]
        ends: Any = np.cumsum(counts)
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
        documents, first = np.unique(self._owners[np.repeat(self._bounds[grams], counts) + within], return_index=True)
        return documents, np.repeat(places, counts)[first]


class _Search:
    """One pass over the rows of a training."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._hits = Hits()
        tables = (index.grams, *index.inside)
        self._seen: dict[int, _Array] = {grams.n: np.zeros(len(grams), dtype=bool) for grams in tables}
        self._clear()

    def _clear(self) -> None:
        self._tokens: _Words = []
        self._starts: list[int] = []
        self._numbered: list[Numbered] = []

    def add(self, numbered: Numbered) -> None:
        """Looks at one row."""
        self._hits.rows += 1
        self._starts.append(len(self._tokens))
        self._numbered.append(numbered)
        said: dict[str, _Words] = {}
        before: list[str] = []
        for sequence in sequences(numbered.row):
            for text in sequence:
                if text not in said:
                    said[text] = words(text)
            self._whole(numbered.number, sequence, said)
            shared = next((at for at, pair in enumerate(zip(before, sequence, strict=False)) if pair[0] != pair[1]), 0)
            # Of what an earlier sequence began with too, only what a run over the border can hold is looked at again.
            self._tokens += [word for text in sequence[:shared] for word in said[text]][1 - N :]
            for text in sequence[shared:]:
                self._tokens += said[text]
            self._tokens.append("")
            before = sequence
        if len(self._tokens) >= _CHUNK:
            self._look()

    def finish(self) -> Hits:
        """What was found."""
        self._look()
        return self._hits

    def _whole(self, number: int, sequence: list[str], said: Mapping[str, _Words]) -> None:
        """Documents that are the whole of a turn, of two turns, or of all of them."""
        parts = [[text] for text in sequence] + [list(pair) for pair in pairwise(sequence)]
        if len(sequence) > 2:
            parts.append(sequence)
        for part in parts:
            for document in self._index.same([said[text] for text in part]):
                self._hits.exact.setdefault(document, Hit(number, cut(" ".join(part))))

    def _look(self) -> None:
        """Looks for runs in the rows gathered so far."""
        index = self._index
        ids, values = index.ids(self._tokens)
        for hits, grams in ((self._hits.ngram, index.grams), *((self._hits.exact, grams) for grams in index.inside)):
            documents, places = grams.owners(*grams.find(ids, values, self._seen[grams.n]))
            rows: _Array = np.searchsorted(np.array(self._starts), places, side="right") - 1
            for document, place, row in zip(documents.tolist(), places.tolist(), rows.tolist(), strict=True):
                if document not in hits:
                    said = " ".join(self._tokens[place : place + grams.n])
                    hits[document] = Hit(self._numbered[row].number, cut(said))
        self._clear()


def cut(text: str) -> str:
    """A text short enough for an example."""
    return text if len(text) <= _CUT else text[: _CUT - 1] + "…"


def _random_values(count: int) -> _Array:
    """A random 64-bit value for each word; the first is that of no word of the documents."""
    return np.random.default_rng(0).integers(0, 2**64, size=count, dtype=np.uint64)


_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word's value is lost in multiplying


def _hashed(values: _Array, n: int) -> _Array:
    """The hash of every run of `n` words: a polynomial in their values, modulo 2^64."""
    count = max(0, len(values) - n + 1)
    found: Any = np.zeros(count, dtype=np.uint64)
    for place in range(n):
        found *= _BASE
        found += values[place : place + count]
    return found


def _places(ids: _Array, n: int) -> _Array:
    """Where a run of `n` words begins that no end of a text interrupts."""
    if len(ids) < n:
        return np.empty(0, dtype=np.int64)
    ends = np.concatenate(([0], np.cumsum(ids == 0)))
    return np.flatnonzero(ends[n:] == ends[:-n]).astype(np.int64)
