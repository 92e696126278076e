"""Names that people read and globs match: `dpo-lora8-packing`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from harness.plan.canonical import canonical
from harness.plan.draft import Draft
from harness.records.suite import Axis, Suite

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=-]+")
_LONGEST = 100
_FULL_NULLS = {"lora": "no-lora", "init": "no-init", "environment": "own-environment"}

Token = tuple[str, str]
"""What a level adds to a name: in short (may be empty), and in full."""


def slug(text: str) -> str:
    """The text with only characters that shells and globs leave alone."""
    return _UNSAFE.sub("-", text).strip("-.=")[:_LONGEST] or "x"


def level_tokens(suite: Suite) -> dict[str, dict[str, Token]]:
    """Axis name → level name → token. Levels of one axis never share a short form."""
    labels = _labels([axis.field for axis in suite.matrix if axis.field])
    return {axis.name: _tokens_of_axis(axis, labels) for axis in suite.matrix}


def _tokens_of_axis(axis: Axis, labels: Mapping[str, str]) -> dict[str, Token]:
    path = axis.field
    if path is None or axis.named:
        return {level.name: (slug(level.name), slug(level.name)) for level in axis.levels}
    tokens = {level.name: token(path, level.sets[path], labels[path]) for level in axis.levels}
    shared = {short for short, count in Counter(short for short, _ in tokens.values()).items() if count > 1}
    return {name: (full if short in shared else short, full) for name, (short, full) in tokens.items()}


def _labels(paths: Sequence[str]) -> dict[str, str]:
    """Field path → its last part, or its last two where several paths end alike."""
    last = Counter(path.rsplit(".", 1)[-1] for path in paths)
    return {
        path: path.rsplit(".", 1)[-1] if last[path.rsplit(".", 1)[-1]] == 1 else "_".join(path.split(".")[-2:])
        for path in paths
    }


def token(path: str, value: Any, label: str | None = None) -> Token:
    """What setting a field to a value adds to a name: on is the field's name, off is nothing, else field and value."""
    label = slug(label or path.rsplit(".", 1)[-1])
    if value is None:
        return "", _FULL_NULLS.get(path, f"{label}-null")
    if value is False:
        return "", f"no-{label}"
    if value is True:
        return label, label
    said = _whole(path, value) or _pair(label, value)
    return said, said


def _whole(path: str, value: Any) -> str | None:
    """Whole fields are called by what they are, without the field's name."""
    if path in {"method", "checkpoint", "reference", "environment"}:
        return slug(str(value))
    if not isinstance(value, Mapping):
        return None
    if path == "model":
        return model_label(value)
    if path == "data":
        return slug(str(value.get("source") or _last(value.get("hub")) or PurePosixPath(str(value.get("path"))).stem))
    if path == "init":
        return slug(f"from-{value.get('stage')}")
    if path == "lora":
        rest = [_pair(key, inner) for key, inner in value.items() if key != "r"]
        return "-".join([f"lora{value.get('r', '')}", *rest])
    return None


def model_label(model: Mapping[str, Any]) -> str:
    """A model in a word: its shape, or the last part of its hub id or path."""
    return slug(str(model.get("shape") or _last(model.get("hub")) or _last(model.get("path"))))


def _last(path: Any) -> str | None:
    return PurePosixPath(str(path)).name if path else None


def _pair(label: str, value: Any) -> str:
    if value is True:
        return label
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = _compact(value)
        return f"{label}-{number}" if label[-1:].isdigit() and number[0] != "-" else f"{label}{number}"
    if isinstance(value, str):
        return f"{label}-{slug(value)}"
    if isinstance(value, list):
        return f"{label}-{'+'.join(slug(_scalar(inner)) for inner in value)}"
    return f"{label}-{slug(_scalar(value))}"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _compact(number: float) -> str:
    """5e-06 as 5e-6, 1.0 as 1."""
    text = (
        str(int(number)) if isinstance(number, float) and number.is_integer() and abs(number) < 1e16 else repr(number)
    )
    return re.sub(r"e([+-]?)0*(\d)", lambda found: f"e{found[1].replace('+', '')}{found[2]}", text)


def candidates(draft: Draft) -> tuple[str, ...]:
    """The possible names of a cell, the shortest first; its method leads where no axis is about the method."""
    method = slug(str(draft.config["method"] or "cell"))  # it has one, unless something is wrong
    lead = "" if draft.says_method else method
    short = "-".join(part for part in [lead, *(token[0] for token in draft.tokens)] if part)
    full = "-".join(part for part in [lead, *(token[1] for token in draft.tokens)] if part)
    return short or method, full or method


def give_names(drafts: Sequence[Draft]) -> None:
    """Sets `name` of every draft: the shortest candidate nobody else has, else with the start of its id.

    Ids must be set. All who share a name give it up together, so that names do not depend on the order.
    """
    choice = [0] * len(drafts)
    while True:
        names = [draft.names[at] for draft, at in zip(drafts, choice, strict=True)]
        count = Counter(names)
        movable = [i for i, draft in enumerate(drafts) if count[names[i]] > 1 and choice[i] + 1 < len(draft.names)]
        if not movable:
            break
        for i in movable:
            choice[i] += 1
    for draft, name in zip(drafts, names, strict=True):
        draft.name = name if count[name] == 1 and len(name) <= _LONGEST else f"{name[:_LONGEST]}-{draft.id[:6]}"
    _separate(drafts)


def _separate(drafts: Sequence[Draft]) -> None:
    """The last resort, for a suite that spells out a name with another cell's id in it."""
    taken = Counter(draft.name for draft in drafts)
    for draft in drafts:
        if taken[draft.name] > 1:
            draft.name = f"{draft.name}-{draft.id}"
