"""A task of lm-eval as far as its documents go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class FakeTask:
    """As much of an lm-eval task as its documents' text needs."""

    def __init__(self, docs: Sequence[Any], *, text: Any, target: Any, choices: Any = None) -> None:
        self._docs, self._text, self._target, self._choices = docs, text, target, choices

    def doc_iterator(self, *, rank: int, world_size: int, limit: int | None) -> Any:
        return enumerate(self._docs[:limit])

    def get_config(self, name: str) -> Any:
        return self._choices if name == "doc_to_choice" else None

    def doc_to_text(self, doc: Any) -> Any:
        return self._text(doc)

    def doc_to_target(self, doc: Any) -> Any:
        return self._target(doc)

    def doc_to_choice(self, doc: Any) -> Any:
        return self._choices(doc)


DOC = {"q": "Who was first?", "hint": "Who", "choices": ["Ann", "Bob"], "answer": 1}
