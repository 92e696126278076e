"""Real text: questions about Python's standard library, its docstrings as answers.

About 3,000 rows whose lengths have a long tail (median near 140 characters, one in a hundred above 1,800), which is
what padding and packing meet in practice. A rejected answer is the docstring of another object of the same kind. The
rows depend on the Python version; it is part of the source's identity.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.data import docstrings
from harness.data.source import Document, Option, Row, Source, digest, is_heldout
from harness.errors import DataError
from harness.records.fingerprint import cache_folder, of_value
from harness.records.run_folder import write_atomic

HELDOUT_SHARE = 0.1
CHOICES = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented object: its dotted name, its kind (class, function, method, property), its docstring."""

    name: str
    kind: str
    text: str

    @property
    def question(self) -> str:
        """The prompt. Ends in a newline, so that no token can join it to the answer."""
        return f"What is `{self.name}`?\n" if self.kind in ("class", "property") else f"What does `{self.name}` do?\n"

    @property
    def brief(self) -> str:
        """The first sentence of the answer, on one line, at most 160 characters."""
        paragraph = " ".join(self.text.split("\n\n", 1)[0].split())
        return re.split(r"(?<=[.!?]) ", paragraph, maxsplit=1)[0][:160].strip()


@cache
def entries() -> tuple[Entry, ...]:
    """Every documented public object, one per docstring, sorted by name. Kept in the user's cache per Python.

    Raises:
        DataError: a fresh interpreter cannot be started.
    """
    script = Path(docstrings.__file__)
    key = of_value([script.read_text("utf-8"), sys.version, sys.platform, str(Path(sys.base_prefix).resolve())])
    kept = cache_folder() / "pydoc" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return tuple(Entry(*found) for found in json.loads(kept.read_bytes()))
    made = subprocess.run(
        [sys.executable, "-I", "-S", str(script)], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    if made.returncode:
        raise DataError.of(
            "the standard library's docstrings cannot be collected",
            why=made.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2],
            hint=f"run it by hand: {sys.executable} -I -S {script}",
        )
    with contextlib.suppress(OSError):  # a cache that cannot be written costs half a second, nothing else
        write_atomic(kept, made.stdout.decode("ascii"))
    return tuple(Entry(*found) for found in json.loads(made.stdout))


def rows(options: Mapping[str, Any], seed: int) -> list[Row]:
    """Training rows sorted by name; `seed` draws the rejected answers, which are never held-out ones."""
    limit = options["max_chars"]
    kept = [entry for entry in entries() if not _heldout(entry) and (limit is None or len(entry.text) <= limit)]
    by_kind = _by_kind(kept)
    made: list[Row] = []
    for entry in kept:
        others = [other for other in by_kind[entry.kind] if other is not entry]
        others = others or [other for other in kept if other is not entry]
        if others:
            other = others[digest("pydoc", seed, entry.name) % len(others)]
            made.append({"prompt": entry.question, "chosen": entry.text, "rejected": other.text})
    return made


def heldout(options: Mapping[str, Any]) -> list[Document]:
    """Held-out objects: which of four first sentences, all of unseen objects of that kind, answers the question?"""
    kept = [entry for entry in entries() if _heldout(entry)]
    by_kind = _by_kind(kept)
    made: list[Document] = []
    for entry in kept:
        others = sorted(by_kind[entry.kind], key=lambda other: digest("pydoc choice", entry.name, other.name))
        briefs = [entry.brief]
        for other in others:
            if len(briefs) < CHOICES and not _clashes(other.brief, briefs):
                briefs.append(other.brief)
        if len(briefs) == CHOICES:
            place = digest("pydoc place", entry.name) % CHOICES
            choices = [*briefs[1 : place + 1], briefs[0], *briefs[place + 1 :]]
            made.append({"question": entry.question, "choices": choices, "answer": place, "target": entry.brief})
    return made


def _clashes(text: str, others: list[str]) -> bool:
    return any(text.startswith(other) or other.startswith(text) for other in others)


def _heldout(entry: Entry) -> bool:
    return is_heldout(f"pydoc {entry.text}", HELDOUT_SHARE)


def _by_kind(some: list[Entry]) -> dict[str, list[Entry]]:
    grouped: dict[str, list[Entry]] = {}
    for entry in some:
        grouped.setdefault(entry.kind, []).append(entry)
    return grouped


def facts() -> dict[str, Any]:
    """The Python whose docstrings these are."""
    return {"python": ".".join(str(n) for n in sys.version_info[:3]), "platform": sys.platform}


def _check_max_chars(value: Any) -> str | None:
    least = docstrings.MIN_LENGTH
    fine = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least)
    return None if fine else f"expected a whole number of at least {least} or null, not {value!r}"


PYDOC = Source(
    name="pydoc",
    says="real text: questions about Python's standard library, docstrings as answers, long-tailed lengths",
    version=1,
    rows=rows,
    heldout=heldout,
    facts=facts,
    options={
        "max_chars": Option(
            default=None,
            says="leave out docstrings longer than so many characters (at least 40); null keeps all",
            check=_check_max_chars,
        ),
    },
)
