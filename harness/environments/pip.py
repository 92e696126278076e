"""pip's settings of this machine, read as pip reads them: its files, then `PIP_*`; pip itself need not be installed.

The order is pip's (its documentation, "Configuration"): global, user, site, `PIP_CONFIG_FILE`, environment; later ones
win. In files `[install]` wins over `[global]`.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_SECTIONS = ("global", "install")
_MACHINE = Path("/etc/pip.conf")
_NO_OPTIONS = ("version", "help", "config-file")


def settings(variables: Mapping[str, str] | None = None, *, prefix: Path | None = None) -> dict[str, str]:
    """What `pip install` is told besides its arguments, by option name: `index-url`, `find-links`, `no-index`, …

    `prefix` is the environment whose own pip.conf counts; this process's by default. A file that cannot be read or
    understood counts as absent.
    """
    given = os.environ if variables is None else variables
    by_section: dict[str, dict[str, str]] = {name: {} for name in _SECTIONS}
    for file in _files(given, prefix or Path(sys.prefix)):
        for section, options in _read(file).items():
            by_section[section].update(options)
    found = {name: value for section in _SECTIONS for name, value in by_section[section].items() if value}
    for key, value in given.items():
        name = _option(key.removeprefix("PIP_"))
        if key.startswith("PIP_") and value and name not in _NO_OPTIONS:
            found[name] = value
    return found


def _files(given: Mapping[str, str], prefix: Path) -> Iterator[Path]:
    """Least important first; one given by name takes the place of the user's own, and os.devnull that of all."""
    named = given.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    home = Path(given.get("HOME") or Path.home())
    if sys.platform == "darwin":
        yield Path("/Library/Application Support/pip/pip.conf")
    else:
        for folder in reversed((given.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)):
            yield Path(folder) / "pip" / "pip.conf"
        yield _MACHINE
    if not (named and Path(named).exists()):
        yield home / ".pip" / "pip.conf"
        yield from _of_user(home, given)
    yield prefix / "pip.conf"
    if named:
        yield Path(named)


def _of_user(home: Path, given: Mapping[str, str]) -> Iterator[Path]:
    config = Path(given.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    support = home / "Library" / "Application Support" / "pip"
    yield support / "pip.conf" if sys.platform == "darwin" and support.is_dir() else config


def _read(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read(file)
    return {
        section: {_option(name): value for name, value in parser.items(section)}
        for section in _SECTIONS
        if parser.has_section(section)
    }


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")
