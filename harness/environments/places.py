"""Where environments lie: a folder each, named by name and content, with locks and logs in hidden folders beside.

environments/
  <name>-<hash>/            bin, lib, …: a virtual environment; lock.json, without which it is none
  .building-<name>-<hash>-* one that is being built, or was when its builder died
  .gone-<name>-<hash>-*     one that is being deleted
  .locks/<name>-<hash>.*    `build`: who builds it; `use`: shared by those that run it
  .logs/<name>-<hash>.log   what uv said in the last build
  .harness/                 links to this program, for PYTHONPATH
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.records.fingerprint import cache_folder

_DIGITS = 12
_KEY = re.compile(rf"(?P<name>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)-(?P<hash>[0-9a-f]{{{_DIGITS}}})")
_HIDDEN = re.compile(rf"\.(?:building|gone)-(?P<key>.+-[0-9a-f]{{{_DIGITS}}})-[0-9a-z_]+")


def root() -> Path:
    """The folder of all environments; it need not exist."""
    return cache_folder() / "environments"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one environment lies, or would."""

    name: str
    hash: str
    """The first digits of its declaration's hash."""
    within: Path

    @classmethod
    def of(cls, name: str, spec_hash: str) -> Self:
        """The place of a declaration, by its name and hash."""
        return cls(name=name, hash=spec_hash[:_DIGITS], within=root())

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """The place of a folder's name; None for one that is no environment's."""
        found = _KEY.fullmatch(key)
        return cls(name=found["name"], hash=found["hash"], within=root()) if found else None

    @property
    def key(self) -> str:
        """`<name>-<hash>`."""
        return f"{self.name}-{self.hash}"

    @property
    def folder(self) -> Path:
        """The environment itself."""
        return self.within / self.key

    @property
    def build_lock(self) -> Path:
        """Held by whoever builds or removes it."""
        return self.within / ".locks" / f"{self.key}.build"

    @property
    def use_lock(self) -> Path:
        """Shared by whoever runs it; held alone for the moment in which it is exchanged or removed."""
        return self.within / ".locks" / f"{self.key}.use"

    @property
    def log(self) -> Path:
        """What uv said in the last build."""
        return self.within / ".logs" / f"{self.key}.log"

    def leftovers(self) -> list[Path]:
        """Folders of builds and removals of it that did not end; some of a process that is still at it."""
        if not self.within.is_dir():
            return []
        return sorted(path for path in self.within.iterdir() if owner(path) == self.key)


def all_places() -> list[Place]:
    """Every environment that has a folder, and every one with leftovers, by name and hash."""
    within = root()
    if not within.is_dir():
        return []
    keys = {owner(path) or path.name for path in within.iterdir() if path.is_dir()}
    return [place for place in map(Place.parse, sorted(keys)) if place is not None]


def owner(path: Path) -> str | None:
    """The key of the environment that a leftover belongs to; None where the path is none."""
    found = _HIDDEN.fullmatch(path.name)
    return found["key"] if found else None
