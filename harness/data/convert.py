"""One row from its native format into the one a method is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.formats import KNOWN_COLUMNS, AnyRow, Way


class NoWay(ValueError):
    """This row cannot be turned; the message says why."""


def convert(row: Mapping[str, Any], way: Way, *, conversational: bool) -> AnyRow:
    """The row in the target format; as lists of messages where asked, or where it is so already.

    Raises:
        NoWay: plain running text where messages are asked for, or a prompt that chosen and rejected do not share.
    """
    used = _explicit({name: row[name] for name in way.columns})
    if conversational:
        used = _as_messages(used)
    if way.target == way.native:
        return used
    first, answer = used["prompt"], used["chosen" if way.native == "preference" else "completion"]
    if way.target == "prompt_completion":
        return {"prompt": first, "completion": answer}
    # Joined lists of messages are messages, joined texts are text.
    return {"messages" if isinstance(first, list) else "text": first + answer}


def is_conversational(row: Mapping[str, Any]) -> bool:
    """Whether a row's values in its format's columns are lists of messages, whatever it has besides."""
    return all(isinstance(row[name], list) for name in KNOWN_COLUMNS if name in row)


def _explicit(row: AnyRow) -> AnyRow:
    """A preference row with a prompt of its own, of the same kind as its answers."""
    if "chosen" not in row:
        return _one_kind(row)
    chosen, rejected = row["chosen"], row["rejected"]
    prompt = row.get("prompt")
    if prompt is not None and isinstance(prompt, list) == isinstance(chosen, list):
        return row
    # Either no prompt, or a plain one beside conversations, which begin with it in many published sets.
    if isinstance(prompt, str) and chosen[0]["role"] == rejected[0]["role"] == "assistant":
        return {"prompt": [_message("user", prompt)], "chosen": chosen, "rejected": rejected}
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if isinstance(chosen, str):
        shared = chosen.rfind(" ", 0, shared) if shared < len(chosen) and " " in chosen[:shared] else shared
    if shared in (0, len(chosen), len(rejected)):
        same = "are the same" if shared else "share no beginning"
        raise NoWay(f"there is no prompt column, and chosen and rejected {same}")
    return {"prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _one_kind(row: AnyRow) -> AnyRow:
    if "completion" in row and isinstance(row["prompt"], str) and isinstance(row["completion"], list):
        return {"prompt": [_message("user", row["prompt"])], "completion": row["completion"]}
    return row


def _as_messages(row: AnyRow) -> AnyRow:
    if is_conversational(row):
        return row
    if "text" in row:
        raise NoWay("running text does not say who speaks, so it cannot become messages")
    roles = {"prompt": "user"}
    return {name: [_message(roles.get(name, "assistant"), value)] for name, value in row.items()}


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
