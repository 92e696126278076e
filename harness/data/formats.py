"""TRL's dataset formats: which one the columns make, and how a row of one becomes a row of another.

    language_modeling    text                       or  messages
    prompt_completion    prompt, completion         plain or lists of messages
    preference           prompt, chosen, rejected   plain or lists of messages; the prompt may be implicit, as the
                                                    beginning that chosen and rejected share

A row knows more from top to bottom; so preference rows become any other format, prompt-completion rows become
language modelling, and nothing goes the other way.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import Problem, nearest
from harness.records.suite import Format

AnyRow = dict[str, Any]

COLUMNS: Mapping[Format, tuple[str, ...]] = {
    "language_modeling": ("text", "messages"),
    "prompt_completion": ("prompt", "completion"),
    "preference": ("prompt", "chosen", "rejected"),
}
KNOWN_COLUMNS = ("text", "messages", "prompt", "completion", "chosen", "rejected")
TEMPLATE_COLUMNS = ("tools", "chat_template_kwargs")
"""Columns that conversational rows of any format may have besides, for the chat template; see `templating`."""

_ENOUGH: Mapping[Format, tuple[tuple[str, ...], ...]] = {
    "preference": (("chosen", "rejected"),),
    "prompt_completion": (("prompt", "completion"),),
    "language_modeling": (("messages",), ("text",)),
}
_BECOMES: Mapping[Format, tuple[Format, ...]] = {
    "preference": ("preference", "prompt_completion", "language_modeling"),
    "prompt_completion": ("prompt_completion", "language_modeling"),
    "language_modeling": ("language_modeling",),
}
_WHY_NOT: Mapping[Format, str] = {
    "preference": "a preference row needs a chosen and a rejected answer, which these rows do not have",
    "prompt_completion": "running text does not say where the prompt ends and the completion begins",
    "language_modeling": "",
}
_EXPECTED: Mapping[Format, str] = {
    "language_modeling": "text, or messages",
    "prompt_completion": "prompt, completion",
    "preference": "prompt, chosen, rejected (prompt may be missing where both share their beginning)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How rows are turned: from the `native` format their columns make into the `target` that a method is given."""

    native: Format
    target: Format
    columns: tuple[str, ...]


def detect(columns: Collection[str]) -> list[Format]:
    """The formats that these columns make by themselves, the one that says most first."""
    return [name for name, sets in _ENOUGH.items() if any(set(needed) <= set(columns) for needed in sets)]


def native_columns(native: Format, columns: Collection[str]) -> tuple[str, ...]:
    """The columns of a native format that are used; of text and messages, messages."""
    if native == "language_modeling":
        return ("messages",) if "messages" in columns else ("text",)
    return tuple(name for name in COLUMNS[native] if name in columns)


def choose(columns: Collection[str], asked: str, accepted: Sequence[Format]) -> Way | Problem:
    """The way from these columns to a format that is asked for (`auto`: whatever is accepted), or why there is none.

    A format that the columns make by themselves is preferred to a converted one, then the order of `accepted`.
    """
    if asked != "auto" and asked not in accepted:
        return Problem(
            what=f"data.format {asked} does not suit the method",
            why=f"it takes {' or '.join(accepted)}",
            hint="leave data.format at auto",
        )
    natives = detect(columns)
    if not natives:
        return wrong_columns(columns, accepted)
    targets = [name for name in accepted if asked in ("auto", name)]
    for target in targets:
        if target in natives:
            return Way(native=target, target=target, columns=native_columns(target, columns))
    for target in targets:
        for native in natives:
            if target in _BECOMES[native]:
                return Way(native=native, target=target, columns=native_columns(native, columns))
    found, wanted = natives[0], targets[0]
    return Problem(
        what=f"rows of format {found} cannot become {' or '.join(targets)}",
        why=f"{_WHY_NOT[wanted]}; the columns are {_listed(columns)}",
        hint=f"{wanted} has the columns {_EXPECTED[wanted]}; `data.columns` maps them to other names",
    )


def wrong_columns(columns: Collection[str], accepted: Sequence[Format]) -> Problem:
    """The problem of columns that make no format: what is there, what is expected, which mapping may help."""
    expected = "; ".join(f"{name}: {_EXPECTED[name]}" for name in accepted)
    wanted = [name for format_name in accepted for name in COLUMNS[format_name] if name not in columns]
    guesses: dict[str, str] = {}  # of two columns that one name may stand for, the first
    for theirs in columns:
        if ours := _guess(theirs, wanted):
            guesses.setdefault(ours, theirs)
    mapping = ", ".join(f"{ours}: {theirs}" for ours, theirs in guesses.items())
    return Problem(
        what=f"the columns {_listed(columns)} make no format that the method takes",
        why=f"expected {expected}",
        hint=f"map them: data.columns: {{{mapping}}}"
        if mapping
        else "map them: data.columns: {expected name: your name}",
    )


_SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(("question", "instruction", "input", "query", "problem"), "prompt"),
    **dict.fromkeys(("answer", "response", "output", "target", "reply", "solution"), "completion"),
    **dict.fromkeys(("content", "document", "body"), "text"),
    **dict.fromkeys(("conversations", "conversation", "dialogue", "chat"), "messages"),
    **dict.fromkeys(("accepted", "preferred", "winner", "good"), "chosen"),
    **dict.fromkeys(("refused", "dispreferred", "loser", "bad"), "rejected"),
}


def _guess(theirs: str, wanted: Sequence[str]) -> str | None:
    ours = _SYNONYMS.get(theirs.lower()) or next(iter(nearest(theirs.lower(), wanted, most=1)), None)
    return ours if ours in wanted else None


def _listed(columns: Collection[str]) -> str:
    return ", ".join(repr(name) for name in columns) or "(none)"


def way_notes(way: Way) -> list[str]:
    """What a reader of the result should know of this way."""
    if way.native == way.target:
        return []
    how = {
        ("preference", "prompt_completion"): "the chosen answer is the completion, rejected ones are left out",
        ("preference", "language_modeling"): "prompt and chosen answer are joined, rejected ones are left out",
        ("prompt_completion", "language_modeling"): "prompt and completion are joined",
    }[(way.native, way.target)]
    return [f"rows of format {way.native} were turned into {way.target}: {how}"]


def row_problem(row: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """What is wrong with a row's own values, or None: every column is text, or every column is a list of messages."""
    wrong = wrong_value(row, columns)
    return None if wrong is None else wrong[1]


def wrong_value(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str | None, str] | None:
    """What `row_problem` says, after the column whose value it is about; None for one about several."""
    kinds = set()
    for name in columns:
        value = row.get(name)
        if value is None:
            return name, f"no value for {name!r}"
        if has_half_character(value):
            return name, f"{name!r} holds half a character (a lone surrogate escape), which no tokenizer takes"
        if isinstance(value, str):
            kinds.add("text")
        elif isinstance(value, list):
            wrong = _messages_problem(value)
            if wrong:
                return name, f"{name!r}: {wrong}"
            kinds.add("messages")
        else:
            return name, f"{name!r} is {type(value).__name__}, expected text or a list of messages"
    if kinds == {"text", "messages"} and not isinstance(row.get("prompt"), str):
        return None, "some columns are text and others lists of messages"
    if "messages" in columns and kinds == {"text"}:
        return "messages", "'messages' is text, expected a list of messages"
    if "text" in columns and "messages" in kinds:
        return "text", "'text' is a list of messages, expected text"
    return None


def has_half_character(value: Any) -> bool:
    """Whether a text in the value has half of a character; JSON's escapes can say that, UTF-8 cannot."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def has_too_long_integer(value: Any) -> bool:
    """Whether an integer in the value has more than 64 bits, which datasets cannot write."""
    if isinstance(value, Mapping):
        return any(map(has_too_long_integer, value.values()))
    if isinstance(value, list):
        return any(map(has_too_long_integer, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def is_plain_message(message: Any) -> bool:
    """Whether a message is a role and a text and nothing else."""
    return (
        isinstance(message, Mapping)
        and message.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in message.values())
    )


def _messages_problem(messages: Sequence[Any]) -> str | None:
    if not messages:
        return "an empty list of messages"
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            return f"message {place} has no role"
        if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            return f"message {place} has no text as content"
        if has_too_long_integer(message):
            return f"message {place} holds an integer of more than 64 bits, which no dataset takes"
    return None
