"""Keeps secrets out of what is recorded: by the name a value goes by, by its place in a URL, by how keys look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "[redacted]"

_NAME = re.compile(
    r"(^|[_\-.])(token|api_?key|secret|passw(or)?d|passphrase|credentials?|authorization|(access|private|secret)_?key)s?$",
    re.IGNORECASE,
)
_WORDS_OF_A_TOKENIZER = re.compile(r"^(eos|bos|pad|unk|sep|cls|mask|image|video|audio|begin|end)_token$")
# Neither goes beyond a quote or a backslash: what stands around a URL, in a line of JSON say, is no part of it.
_USER_IN_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,31}://)([^/\s@\"\\]*@)+")
_IN_QUERY = re.compile(
    r"([?&;](?:[\w.\-]*(?:token|key|secret|passw(?:or)?d|signature|credential)[\w.\-]*|sig|auth)=)[^&\s#;\"\\]+",
    re.IGNORECASE,
)
_KEYS = re.compile(
    r"\b(hf_[A-Za-z0-9]{16,}|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|pypi-[\w\-]{16,}"
    r"|sk-[A-Za-z0-9_\-]{16,}|AKIA[0-9A-Z]{16}|eyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]*)"
)


def names_a_secret(name: str) -> bool:
    """Whether what goes by this name is a secret: hub_token, password, api_key, …; a tokenizer's eos_token is none."""
    return _NAME.search(name) is not None and _WORDS_OF_A_TOKENIZER.match(name) is None


def holds_a_key(text: str) -> bool:
    """Whether something in the text looks like an access key by itself: hf_…, sk-…, ghp_…."""
    return _KEYS.search(text) is not None


def clean(text: str) -> str:
    """The text without users and passwords of URLs, without keys in their queries, and without what looks like one."""
    text = _USER_IN_URL.sub(r"\1", text)
    return _KEYS.sub(MASK, _IN_QUERY.sub(rf"\1{MASK}", text))


def plain(value: Any, *, by_name: bool = True) -> Any:
    """The value as JSON knows it, texts cleaned, and masked what a mapping holds under a secret's name.

    Without `by_name` names are no matter: for mappings whose keys are no options, but packages, say.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {str(key): _entry(str(key), inner, by_name) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, by_name=by_name) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(inner, by_name=by_name) for inner in value), key=str)
    return clean(str(value))


def _entry(name: str, value: Any, by_name: bool) -> Any:
    hidden = by_name and names_a_secret(name) and not (value is None or isinstance(value, bool | int | float))
    return MASK if hidden else plain(value, by_name=by_name)
