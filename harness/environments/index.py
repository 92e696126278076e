"""Where uv looks for packages: where pip does on this machine, unless uv itself was told otherwise.

uv ignores pip's configuration. A machine that reaches packages only through its own index, a folder of wheels or its
own certificates has told pip, hardly ever uv.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import pip
from harness.environments.redact import Redactor

_CERTIFICATES = ("SSL_CERT_FILE",)
_YES = ("1", "true", "yes", "on", "t", "y")

# What uv's own variables decide: where one of them is set, pip has no say in it.
_DECIDED_BY: Mapping[str, tuple[str, ...]] = {
    "index": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "links": ("UV_FIND_LINKS",),
    "strategy": ("UV_INDEX_STRATEGY",),
    "hosts": ("UV_INSECURE_HOST",),
    "timeout": ("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT", "HTTP_TIMEOUT"),
}
# The same in uv.toml.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "index": ("index-url", "index"),
    "extra": ("extra-index-url", "index"),
    "links": ("find-links",),
    "strategy": ("index-strategy",),
    "hosts": ("allow-insecure-host",),
    "none": ("no-index",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What uv is told: variables beyond those it inherits, and arguments."""

    variables: Mapping[str, str]
    arguments: tuple[str, ...]
    redact: Redactor
    """Knows every password among the settings."""


def settings(given: Mapping[str, str] | None = None, *, prefix: Path | None = None) -> Settings:
    """pip's settings of this machine in uv's words; uv's own variables and uv.toml win, setting by setting."""
    variables = os.environ if given is None else given
    said = pip.settings(variables, prefix=prefix)
    own = {name for name, keys in _KEYS.items() if any(key in _uv_toml(variables) for key in keys)}
    decided = own | {name for name, names in _DECIDED_BY.items() if any(variables.get(one) for one in names)}
    found = dict(_translated(said, decided, variables))
    no_index = said.get("no-index", "").lower() in _YES and not decided & {"none", "index", "extra"}
    no_index = (
        no_index or variables.get("UV_NO_INDEX", "").lower() in _YES
    )  # releases of uv know it as an argument only
    secrets = [
        value for name, value in variables.items() if name.startswith(("PIP_", "UV_")) or "proxy" in name.lower()
    ]
    return Settings(
        variables=found,
        arguments=("--no-index",) if no_index else (),
        redact=Redactor.of([*secrets, *said.values(), *found.values()]),
    )


def _translated(said: Mapping[str, str], decided: set[str], given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    index, extra, links = (said.get(name, "").split() for name in ("index-url", "extra-index-url", "find-links"))
    if index and "index" not in decided:
        yield "UV_DEFAULT_INDEX", index[-1]
    if extra and "extra" not in decided:
        yield "UV_INDEX", " ".join(extra)
    if links and "links" not in decided:
        yield "UV_FIND_LINKS", ",".join(links)
    several = ("extra" not in decided and extra) or any(given.get(name) for name in _DECIDED_BY["extra"])
    if several and "strategy" not in decided:
        # pip takes the best version of all indexes; uv by default only looks at the first index that has the name.
        yield "UV_INDEX_STRATEGY", "unsafe-best-match"
    if said.get("trusted-host") and "hosts" not in decided:
        yield "UV_INSECURE_HOST", " ".join(said["trusted-host"].split())
    yield from _connection(said, decided, given)


def _connection(said: Mapping[str, str], decided: set[str], given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if said.get("cert") and not any(given.get(name) for name in _CERTIFICATES):
        yield "SSL_CERT_FILE", str(Path(said["cert"]).expanduser())
    if said.get("client-cert") and not given.get("SSL_CLIENT_CERT"):
        yield "SSL_CLIENT_CERT", str(Path(said["client-cert"]).expanduser())
    seconds = said.get("timeout") or said.get("default-timeout") or ""
    if seconds and "timeout" not in decided:
        whole = seconds.partition(".")[0]
        if whole.isdigit() and int(whole) > 0:
            yield "UV_HTTP_TIMEOUT", whole
    proxied = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    if said.get("proxy") and not any(given.get(name) for name in proxied):
        yield "ALL_PROXY", said["proxy"]


def _uv_toml(given: Mapping[str, str]) -> set[str]:
    """Keys that uv's own configuration files set, at their top or for `uv pip`."""
    if given.get("UV_NO_CONFIG", "").lower() in _YES:
        return set()
    config = Path(given.get("XDG_CONFIG_HOME") or Path(given.get("HOME") or Path.home()) / ".config")
    named = given.get("UV_CONFIG_FILE")
    files = (
        (Path(named),) if named else (config / "uv" / "uv.toml", Path("/etc/xdg/uv/uv.toml"), Path("/etc/uv/uv.toml"))
    )
    keys: set[str] = set()
    for file in files:
        try:
            told: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        part = told.get("pip")
        keys |= {*told, *(part if isinstance(part, dict) else ())}
    return keys
