"""What a method learns from, token by token: `harness data show`.

Follows TRL 1.16's own preparation of a row (SFTTrainer, DPOTrainer, ORPOTrainer); a test holds it against the labels
that those trainers really make. The first position of a sequence never carries loss: nothing precedes it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.data.convert import is_conversational
from harness.data.formats import AnyRow
from harness.errors import DataError

MAX_LENGTH = 1024  # TRL's default for all three methods

SHOWN_BY = frozenset(
    {"assistant_only_loss", "completion_only_loss", "max_length", "packing", "packing_strategy", "truncation_mode"}
)
"""Fields of TRL's configs that a preview depends on."""

_NO_LETTER = "\N{REPLACEMENT CHARACTER}"  # what a part of a letter is decoded to


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token: its id, its text, and whether the model is trained to predict it.

    A letter that takes several tokens is the text of the last of them. Texts joined are the text of the sequence.
    """

    id: int
    text: str
    carries_loss: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """What the model is fed for a row: `text`, or `chosen` and `rejected`. `cut` counts tokens beyond max_length."""

    name: str
    rendered: str
    tokens: tuple[Token, ...]
    cut: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A row and its sequences. `dropped` where TRL leaves the row out: no token that carries loss is left."""

    row: AnyRow
    sequences: tuple[Sequence, ...]
    dropped: bool

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def preview(
    prepared: Any, tokenizer: Any, method: str, n: int, train: Mapping[str, Any] | None = None
) -> list[Preview]:
    """The first `n` training rows as `method` (sft, dpo, orpo) sees them. `train` holds fields of its TRL config.

    Packing is not shown but for what it cuts: it lays the same sequences end to end.

    Raises:
        DataError: a method without a preview, messages that the tokenizer's template cannot render, or a row that
            TRL ends the training for.
    """
    fields = dict(train or {})
    ways = {"sft": _sft, "dpo": _dpo, "orpo": _orpo}
    if method not in ways:
        raise DataError.of(f"no preview for the method {method!r}", hint=f"known: {', '.join(ways)}")
    rows = [dict(row) for row in prepared.train.select(range(min(n, len(prepared.train))))]
    return [ways[method](row, tokenizer, fields) for row in rows]


def _sft(row: AnyRow, tokenizer: Any, fields: Mapping[str, Any]) -> Preview:
    assistant_only = bool(fields.get("assistant_only_loss", False))
    if assistant_only and not is_conversational(row):
        raise DataError.of(
            "assistant_only_loss needs conversational rows", hint="set data.conversational: true, or leave it out"
        )
    template = _training_template(tokenizer) if assistant_only else None
    options = {**({"chat_template": template} if template else {}), **_handed(row)}
    whole = _whole(row, tokenizer)
    ids, assistant = _encode(whole, tokenizer, options, mask=assistant_only)
    if assistant is not None and not any(assistant):
        raise DataError.of(
            f"assistant_only_loss needs rows in which the assistant speaks, and none does in {_begun(whole)}",
            why="TRL ends the training at such a row",
            hint="take these rows out, or leave assistant_only_loss out",
        )
    loss = [True] * len(ids) if assistant is None else [bool(bit) for bit in assistant]
    asked = fields.get("completion_only_loss")
    if "prompt" in row and (asked is None or asked):
        start = _shared(_encode(row["prompt"], tokenizer, options, cue=True)[0], ids)
        loss = [bit and place >= start for place, bit in enumerate(loss)]
    limit, mode = fields.get("max_length", MAX_LENGTH), str(fields.get("truncation_mode", "keep_start"))
    packing = bool(fields.get("packing"))
    if packing:  # it cuts at the end, and only by this strategy: others lay what is too long into several rows
        limit, mode = limit if fields.get("packing_strategy", "bfd") == "bfd" else None, "keep_start"
    made = _sequence("text", ids, loss, tokenizer, limit, mode)
    # TRL does not look for rows without loss where it packs.
    lost = limit is not None and not packing and not any(token.carries_loss for token in made.tokens)
    return Preview(row=row, sequences=(made,), dropped=lost)


def _dpo(row: AnyRow, tokenizer: Any, fields: Mapping[str, Any]) -> Preview:
    options = _handed(row)
    prompt = _encode(row["prompt"], tokenizer, options, cue=True)[0]
    whole = {name: _encode(_answered(row, name, tokenizer), tokenizer, options)[0] for name in ("chosen", "rejected")}
    start = min(_shared(prompt, ids) for ids in whole.values())
    limit = fields.get("max_length", MAX_LENGTH)
    mode = str(fields.get("truncation_mode", "keep_start"))
    made = tuple(
        _sequence(name, ids, [place >= start for place in range(len(ids))], tokenizer, limit, mode)
        for name, ids in whole.items()
    )
    return Preview(row=row, sequences=made, dropped=mode == "keep_start" and limit is not None and start >= limit)


def _orpo(row: AnyRow, tokenizer: Any, fields: Mapping[str, Any]) -> Preview:
    """ORPO's negative log-likelihood runs over the whole chosen sequence, prompt too; its odds over completions."""
    texts = _rendered_pair(row, tokenizer)
    prompt = tokenizer(texts["prompt"], add_special_tokens=False)["input_ids"]
    limit = fields.get("max_length", MAX_LENGTH) or 512  # ORPOTrainer's own fallback
    made = []
    for name in ("chosen", "rejected"):
        ids = tokenizer(texts["prompt"] + texts[name], add_special_tokens=False)["input_ids"]
        start = len(prompt) if ids[: len(prompt)] == prompt else len(prompt) - 1
        if tokenizer.bos_token_id is not None and ids[:1] != [tokenizer.bos_token_id]:
            ids, start = [tokenizer.bos_token_id, *ids], start + 1
        if ids[-1:] != [tokenizer.eos_token_id] or len(ids) == start:
            ids = [*ids, tokenizer.eos_token_id]
        loss = [name == "chosen" or place >= start for place in range(len(ids))]
        # Only the answer is cut; a prompt beyond the limit stays whole.
        made.append(_sequence(name, ids, loss, tokenizer, max(limit, start), "keep_start"))
    return Preview(row=row, sequences=tuple(made), dropped=False)


def _rendered_pair(row: AnyRow, tokenizer: Any) -> dict[str, str]:
    if not is_conversational(row):
        return {name: str(row[name]) for name in ("prompt", "chosen", "rejected")}
    cue = row["prompt"][-1]["role"] in ("user", "tool")
    how = {"add_generation_prompt": True} if cue else {"continue_final_message": True}
    options = _handed(row)
    prompt = str(_render(row["prompt"], tokenizer, tokenize=False, **how, **options))
    whole = {
        name: str(_render(row["prompt"] + row[name], tokenizer, tokenize=False, **options))
        for name in ("chosen", "rejected")
    }
    for text in whole.values():
        prompt = prompt[: _shared(prompt, text)]
    return {"prompt": prompt, **{name: text[len(prompt) :] for name, text in whole.items()}}


def _handed(row: AnyRow) -> dict[str, Any]:
    """What the chat template is given with the row's messages."""
    return {"tools": row.get("tools"), **row.get("chat_template_kwargs", {})}


def _whole(row: AnyRow, tokenizer: Any) -> Any:
    """The whole sequence of an SFT row: messages, or text with the end token that TRL adds."""
    if "messages" in row:
        return row["messages"]
    return _answered(row, "completion", tokenizer) if "prompt" in row else _ended(row["text"], tokenizer)


def _answered(row: AnyRow, name: str, tokenizer: Any) -> Any:
    return row["prompt"] + (_ended(row[name], tokenizer) if isinstance(row[name], str) else row[name])


def _ended(text: str, tokenizer: Any) -> str:
    end = tokenizer.eos_token or ""
    return text if text.endswith(end) else text + end


def _encode(
    value: Any, tokenizer: Any, options: Mapping[str, Any], *, mask: bool = False, cue: bool = False
) -> tuple[list[int], list[int] | None]:
    """Token ids, and which of them the assistant says (None unless `mask`). `cue`: with the assistant's turn opened.

    `options` are for the chat template.
    """
    if isinstance(value, str):
        return list(tokenizer(value)["input_ids"]), None
    made = _render(
        value,
        tokenizer,
        tokenize=True,
        return_dict=True,
        add_generation_prompt=cue,
        return_assistant_tokens_mask=mask,
        **options,
    )
    return list(made["input_ids"]), list(made["assistant_masks"]) if mask else None


def _render(messages: Any, tokenizer: Any, **options: Any) -> Any:
    if not getattr(tokenizer, "chat_template", None):
        raise DataError.of(
            "these rows are conversational, and the model's tokenizer has no chat template",
            hint="use a model with a chat template, or rows of plain text",
        )
    try:
        return tokenizer.apply_chat_template(messages, **options)
    except Exception as error:  # templates raise whatever they like
        raise DataError.of("the chat template cannot render these messages", why=str(error)) from error


def _training_template(tokenizer: Any) -> str | None:
    """None where the tokenizer's own template marks what the assistant says; else the one TRL trains with instead."""
    if "{% generation" in str(tokenizer.chat_template) or "{%- generation" in str(tokenizer.chat_template):
        return None
    from trl.chat_template_utils import get_training_chat_template

    try:
        return str(get_training_chat_template(tokenizer))
    except ValueError as error:
        raise DataError.of(
            "assistant_only_loss needs a chat template with {% generation %}, and TRL has none for this model",
            why=str(error),
        ) from error


def _begun(messages: Any) -> str:
    """The beginning of a row of messages, to know it by."""
    return repr(textwrap.shorten(str(messages[0].get("content") or ""), 60, placeholder=" …"))


def _shared(one: Any, other: Any) -> int:
    """How many leading elements two sequences have in common."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _sequence(name: str, ids: list[int], loss: list[bool], tokenizer: Any, limit: int | None, mode: str) -> Sequence:
    cut = max(0, len(ids) - limit) if limit is not None else 0
    kept = slice(cut, None) if mode == "keep_end" else slice(None, len(ids) - cut)
    ids, loss = ids[kept], loss[kept]
    tokens = tuple(
        Token(id=number, text=text, carries_loss=bit and place > 0)
        for place, (number, text, bit) in enumerate(zip(ids, _texts(ids, tokenizer), loss, strict=True))
    )
    return Sequence(name=name, rendered=tokenizer.decode(ids), tokens=tokens, cut=cut)


def _texts(ids: list[int], tokenizer: Any) -> list[str]:
    """What each token adds to the text.

    A token alone may be part of a letter, or begin with a space that only stands where something is before it. So each
    is decoded behind the last one whose text was whole.
    """
    texts = []
    first = shown = 0
    for end in range(1, len(ids) + 1):
        before = tokenizer.decode(ids[first:shown], clean_up_tokenization_spaces=False)
        now = tokenizer.decode(ids[first:end], clean_up_tokenization_spaces=False)
        whole = end == len(ids) or not now.endswith(_NO_LETTER)
        texts.append(now[len(before) :] if whole else "")
        if whole:
            first, shown = shown, end
    return texts
