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
_PASSWORD_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}://[^/\s@:\"\\]+:[^/\s@\"\\]+@")
_IN_QUERY = re.compile(
    r"([?&;](?:[\w.\-]*(?:token|key|secret|passw(?:or)?d|signature|credential)[\w.\-]*|sig|auth)=)[^&\s#;\"\\]+",
    re.IGNORECASE,
)
_KEYS = re.compile(
    r"\b(hf_[A-Za-z0-9]{16,}|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|pypi-[\w\-]{16,}"
    r"|sk-[A-Za-z0-9_\-]{16,}|A[KS]IA[0-9A-Z]{16}|eyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]*"
    r"|xox[a-z]-[A-Za-z0-9\-]{16,}|AIza[\w\-]{35}|npm_[A-Za-z0-9]{30,})"
)
# A value in running text, after its name. Bare words are masked where a digit is among them: code and sentences, as in
# `password=self.password`, have the name too. What other rules have masked already begins with a bracket.
_BARE = r"(?!\[)(?=[^\s\"'\\,;&)}\]]{8})[^\s\"'\\,;&)}\]\d]*\d[^\s\"'\\,;&)}\]]*"
_IS = r"(?:\\?[\"'])?[ \t]{0,3}[:=][ \t]{0,3}"
_IS_BARE = r"(?:'|\\[\"'])?[ \t]{0,3}[:=][ \t]{0,3}"  # not after JSON's own quote: a number there has to stay one
_SECRET = r"(?:passw(?:or)?d|passphrase|api[_\-]?key|secret|(?:access|private|secret|account)[_\-]?key)s?"
# In quotes up to where they end, over what is escaped within; in escaped quotes up to the next such.
# A private key is left to its own rule, which goes down to its last line. None goes beyond the end of a text of JSON,
# and none of those inside one beyond a line of it.
_NO_KEY = r"(?!\[|-----BEGIN)"
_IN_QUOTES = (
    (r"\"", _NO_KEY + r"(?:[^\"\\\n]|\\.){8,}"),
    (r"'", _NO_KEY + r"(?:[^\"'\\\n]|\\[^n\n]){8,}"),
    (r"\\\"", _NO_KEY + r"(?:[^\"\\\n]|\\[^\"n\n]){8,}"),
    (r"\\'", _NO_KEY + r"(?:[^\"'\\\n]|\\[^\"'n\n]){8,}"),
)
_NO_NUMBER = r"(?![\d.+\-]+(?:e[+\-]?\d+)?(?![\w.~+/=\-]))"
_TOKEN = _NO_NUMBER + r"(?=[\w.\-/+=~]{16})(?=[\w.\-/+=~]*[a-z])(?=[\w.\-/+=~]*\d)[\w.\-/+=~]+"
_IN_TEXT = re.compile(
    "|".join(rf"({_SECRET}{_IS}{quote}){value}" for quote, value in _IN_QUOTES) + rf"|({_SECRET}{_IS_BARE}){_BARE}"
    rf"|(--[\w\-]{{0,40}}?(?:{_SECRET}|token)[ \t]+){_BARE}"
    rf"|(token{_IS}(?:\\?[\"'])?){_TOKEN}"  # numbers, as of `loss_per_token`, are none
    rf"|(authorization{_IS}(?:\\?[\"'])?(?:[a-z]{{1,16}}\s+)?)(?!\[){_NO_NUMBER}[\w.~+/=\-]{{8,}}"
    rf"|(\bbearer\s+){_TOKEN}"
    r"|(\bmachine\s+\S{1,255}\s+login\s+\S{1,255}\s+password\s+)[^\s\"\\]+"  # as in .netrc
    r"|(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[^\"]{0,20000}?(?=-----END [A-Z ]{0,40}PRIVATE KEY-----)",
    re.IGNORECASE,
)
# One of these is in whatever that pattern finds. Most texts, every step's event among them, have none, and to look for
# these costs a tenth of what the pattern does.
_SIGNS = (
    *("passw", "passphrase", "secret", "authorization", "bearer", "machine", "apikey", "api_key", "api-key"),
    *("ss_key", "ss-key", "sskey", "te_key", "te-key", "tekey", "nt_key", "nt-key", "ntkey", "private key"),
    *(f"token{end}" for end in " \t\"'\\=:"),
)


def names_a_secret(name: str) -> bool:
    """Whether what goes by this name is a secret: hub_token, password, api_key, …; a tokenizer's eos_token is none."""
    return _NAME.search(name) is not None and _WORDS_OF_A_TOKENIZER.match(name) is None


def holds_a_key(text: str) -> bool:
    """Whether something in the text is one by its looks: an access key (hf_…, sk-…, ghp_…), a URL with a password."""
    return _KEYS.search(text) is not None or _PASSWORD_IN_URL.search(text) is not None


def clean(text: str) -> str:
    """The text without secrets: users and passwords of URLs, keys in their queries, and what looks like one.

    Looks are those of known kinds of keys, and of values under a secret's name, as `password: …` or `MY_API_KEY=…`.
    """
    text = _IN_QUERY.sub(rf"\1{MASK}", _USER_IN_URL.sub(r"\1", text))
    text = _KEYS.sub(MASK, text)
    lowered = text.lower()
    if not any(sign in lowered for sign in _SIGNS):
        return text
    return _IN_TEXT.sub(lambda found: f"{found[found.lastindex or 0]}{MASK}", text)


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
