"""Keeps secrets out of what a worker leaves behind, for itself and for the parent of one that was killed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.records.secrets import clean

_MARKS = (
    *("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "API_KEY", "ACCESS_KEY"),
    *("SSHPASS", "AUTH_CONFIG", "WEBHOOK"),  # sshpass's; Docker's logins; an address that lets whoever knows it write
)
_ENDS = ("_KEY", "_PASS", "_PWD", "_PAT", "_AUTH")
_SHORTEST = 8  # shorter values ("1", "true", a user's name) are words of ordinary text


def redactor(environ: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """A function that replaces the values of secret environment variables in a text by `[NAME redacted]`.

    Secret is a variable whose name contains one of `_MARKS` or ends in one of `_ENDS`. Passwords in URLs and what looks
    like a key go too, wherever they come from: an error of a library may hold one that no variable does.
    """
    known = os.environ if environ is None else environ
    secrets = {
        written: f"[{name} redacted]"
        for name, value in known.items()
        if _names_a_secret(name.upper()) and len(value) >= _SHORTEST and not _is_setting(value)
        for written in _writings(value)
    }
    longest_first = sorted(secrets, key=len, reverse=True)  # one secret may hold another

    def redact(text: str) -> str:
        for secret in longest_first:
            text = text.replace(secret, secrets[secret])
        return clean(text)

    return redact


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """A JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(name): redacted(inner, redact) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner, redact) for inner in value]
    return value


def redact_file(path: Path, redact: Callable[[str], str]) -> None:
    """Redacts a log in place, keeping the file itself: its writers may still hold it open for appending."""
    with contextlib.suppress(FileNotFoundError), path.open("r+", encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
        without = redact(text)
        if without != text:
            file.seek(0)
            file.truncate()
            file.write(without)


def _names_a_secret(name: str) -> bool:
    return name.endswith(_ENDS) or any(mark in name for mark in _MARKS)


def _writings(value: str) -> list[str]:
    """As it is, as in JSON and in Python (quotes, backslashes and accents are written otherwise), and by lines, as logs
    may hold a private key.
    """
    lines = [line for line in map(str.strip, value.splitlines()) if len(line) >= _SHORTEST]
    return [value, json.dumps(value)[1:-1], repr(value)[1:-1], *lines]


def _is_setting(value: str) -> bool:
    """TOKENIZERS_PARALLELISM and its like hold a setting; numbers and plain folders are none of the secrets either."""
    return value.lower() in {"disabled", "enabled"} or value.startswith("/")
