"""What a built-in data source is to the rest of the harness."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from harness.errors import DataError, did_you_mean

HELDOUT_SALT = "harness held-out rows"
"""Held-out rows are the same for every suite and seed, so that scores of different suites can be compared."""


class Row(TypedDict):
    """A preference row; every other format is made from it."""

    prompt: str
    chosen: str
    rejected: str


class Document(TypedDict):
    """A held-out row for scoring. `question` is a prompt exactly as in training; `choices[answer] == target`.

    No choice is the beginning of another, so that their likelihoods can be compared without an end mark.
    """

    question: str
    choices: list[str]
    answer: int
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option of a source: its default, and `check(value)`, which says what is wrong with a value, or None."""

    default: Any
    says: str
    check: Callable[[Any], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Rows made in place. `version` moves when the same options and seed give other rows.

    `rows(options, seed)` gives training rows in a fixed order, without any held-out one; `heldout(options)` the
    documents for scoring; `facts()` whatever else decides the rows, such as Python's version. All options are given.
    """

    name: str
    says: str
    version: int
    rows: Callable[[Mapping[str, Any], int], list[Row]]
    heldout: Callable[[Mapping[str, Any]], list[Document]]
    options: Mapping[str, Option] = field(default_factory=dict)
    facts: Callable[[], dict[str, Any]] = dict

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option's value: the given ones checked, defaults for the rest.

        Raises:
            DataError: an unknown option, or a value it does not take.
        """
        for name, value in given.items():
            if name not in self.options:
                raise DataError.of(
                    f"the source {self.name!r} has no option {name!r}", hint=did_you_mean(name, self.options)
                )
            wrong = self.options[name].check(value)
            if wrong:
                raise DataError.of(
                    f"option {name!r} of the source {self.name!r}: {wrong}", hint=self.options[name].says
                )
        return {name: given.get(name, option.default) for name, option in self.options.items()}


def digest(*parts: object) -> int:
    """A stable 64-bit number for these parts; Python's own `hash` differs between processes."""
    raw = "\x1f".join(str(part) for part in parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")


def is_heldout(key: str, share: float) -> bool:
    """Whether the row of this key is kept for scoring; for a `share` of all keys, the same ones always."""
    return digest(HELDOUT_SALT, key) < share * 2**64
