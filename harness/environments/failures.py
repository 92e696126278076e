"""Why uv failed, in words a user can act on."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from harness.environments.uv import Finished
from harness.errors import BuildError, Problem
from harness.records.units import format_duration

_QUOTED = 12  # lines of uv's output that an error repeats


class Kind(Enum):
    """What stopped uv."""

    FULL = "the disk is full"
    OFFLINE = "uv is set to work offline"
    CERTIFICATE = "the index's certificate is not trusted"
    REFUSED = "the index refused to answer"
    NETWORK = "the network, or the index, cannot be reached"
    PYTHON = "no such Python"
    UNSOLVABLE = "the requirements cannot be met"
    KILLED = "uv was killed"
    LATE = "uv did not end in time"
    OTHER = "uv failed"


# The first that matches: a refused certificate is also a request that failed, a full disk shows in many ways.
_SIGNS: Sequence[tuple[Kind, str]] = (
    (Kind.FULL, r"no space left on device|os error 28\b|disk quota exceeded|os error 122\b"),
    (Kind.OFFLINE, r"network connectivity is disabled|network was disabled|--offline"),
    (
        Kind.CERTIFICATE,
        r"invalid peer certificate|unknown ?issuer|certificate verify failed|unable to get local issuer",
    ),
    (Kind.REFUSED, r"\b(401 unauthorized|403 forbidden|407 proxy)|authentication (failed|required)"),
    (
        Kind.NETWORK,
        r"error sending request|client error \(connect\)|dns error|connection (refused|reset|closed|aborted)"
        r"|timed? ?out|network is unreachable|host is unreachable|name resolution|error decoding response body"
        r"|unexpected eof|incomplete message|broken pipe|request failed after|\b(429|500|502|503|504)\b.{0,40}(error|"
        r"too many|bad gateway|unavailable|time-?out)|failed to (download|fetch).*after \d+ retr",
    ),
    (Kind.PYTHON, r"no interpreter found|no download found|python interpreter not found|failed to inspect python"),
    (
        Kind.UNSOLVABLE,
        r"no solution found|not found in the (package registry|cache|provided)|no version of|unsatisfiable",
    ),
)

_HINTS = {
    Kind.FULL: "free some space, for the environments and for uv's cache (`harness env remove --stale`, "
    "`uv cache prune`), or set XDG_CACHE_HOME and UV_CACHE_DIR to a larger disk",
    Kind.OFFLINE: "unset UV_OFFLINE, or build it once with a network: what uv has in its cache it need not fetch again",
    Kind.CERTIFICATE: "name the file of your certificates: SSL_CERT_FILE=…, or pip's `cert`",
    Kind.REFUSED: "check the user and password of the index in pip's settings, UV_DEFAULT_INDEX or ~/.netrc",
    Kind.NETWORK: "build it again when the network is back; another index is set by index-url of pip",
    Kind.PYTHON: "install that Python, declare one that is here, or let uv fetch it: `uv python install VERSION`",
    Kind.UNSOLVABLE: "see which requirement rules the others out; `overrides` in the declaration replace or drop one",
    Kind.KILLED: "most likely the machine ran out of memory; build it again with less running beside",
    Kind.LATE: "see the log for what it waited for, and build it again",
    Kind.OTHER: "see the log",
}


def kind_of(done: Finished) -> Kind:
    """What stopped uv, by how it ended and what it said."""
    if done.timed_out:
        return Kind.LATE
    text = "\n".join(done.lines)
    for kind, sign in _SIGNS:
        if re.search(sign, text, re.IGNORECASE):
            return Kind.OFFLINE if kind is Kind.UNSOLVABLE and _offline() else kind
    return Kind.KILLED if done.code in (-9, 137) else Kind.OTHER


def _offline() -> bool:
    """uv set to work offline says no more than that it knows of no such version."""
    return os.environ.get("UV_OFFLINE", "").lower() in ("1", "true", "yes", "on", "t", "y")


def error(name: str, done: Finished, *, log: Path, tries: int, timeout_s: float) -> BuildError:
    """The error of a build, with the end of what uv said and where all of it is."""
    kind = kind_of(done)
    cause = kind.value
    if kind is Kind.LATE:
        cause = f"{cause} ({format_duration(timeout_s)})"
    if tries > 1:
        cause = f"{cause}, tried {tries} times"
    said, hint = _end_of(done.lines), _HINTS[kind]
    if kind is Kind.NETWORK and any("cpython-" in line for line in said):
        hint = _HINTS[Kind.PYTHON]
    why = "\n".join([cause, *(f"       | {line}" for line in said), f"       all that uv said is in {log}"])
    return BuildError(problems=(Problem(what=f"environment {name!r} could not be built", why=why, hint=hint),))


def _end_of(lines: Sequence[str]) -> Sequence[str]:
    """From uv's own error on, else the end."""
    full = [line for line in lines if line.strip()]
    starts = [number for number, line in enumerate(full) if line.startswith("error:") or line.lstrip().startswith("×")]
    return (full[starts[-1] :] if starts else full[-_QUOTED:])[:_QUOTED]
