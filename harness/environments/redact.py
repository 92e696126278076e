"""Passwords out of what is shown and kept: of URLs in any text, and wherever a known one turns up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

MASK = "***"

_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s@]*@)+")
_QUERY = re.compile(
    r"([?&;](?:[\w.\-]*(?:token|key|secret|passw(?:or)?d|signature|credential)[\w.\-]*|sig|auth)=)[^&\s#;]+",
    re.IGNORECASE,
)
_SHORTEST = 4  # characters; shorter ones are in too many words


def without_secrets(text: str) -> str:
    """The text without users and passwords of URLs, and without keys in their queries."""
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", text))


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets that are known, and everything that stands in a URL like one, out of text."""

    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Iterable[str]) -> Redactor:
        """One that knows the passwords of all URLs in these settings."""
        found: set[str] = set()
        for setting in settings:
            for _, user in _USER.findall(setting):
                name, _, password = user.rstrip("@").partition(":")
                secret = password or name  # a token may stand alone, as the user
                found |= {secret, unquote(secret)}
        return cls(tuple(sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        text = without_secrets(text)
        for secret in self.known:
            text = text.replace(secret, MASK)
        return text
