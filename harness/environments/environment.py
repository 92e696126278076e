"""A built environment: its interpreter, what is in it, and using it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import lockfile, locks, own
from harness.environments.builtin import BUILT_IN
from harness.environments.declaration import Declaration, normalised
from harness.environments.lockfile import Lock
from harness.environments.places import Place, all_places
from harness.errors import BuildError, did_you_mean

_EXCHANGED_IN_S = 10.0
"""Exchanging an environment holds its lock for two renames."""

# Variables that would bring other packages into an environment, or another interpreter; and one that would keep it from
# its compiled modules, which uv leaves to the first import: with them vLLM's engine starts in 20 s of CPU, not 41 s.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "__PYVENV_LAUNCHER__", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """An environment that was ready when it was found."""

    declaration: Declaration
    place: Place
    lock: Lock

    @property
    def name(self) -> str:
        """The name it goes by."""
        return self.declaration.name

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.place.folder

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return lockfile.python_of(self.folder)

    def version(self, package: str) -> str | None:
        """The installed version of a package; None where it is not in it."""
        return self.lock.packages.get(normalised(package))

    def record(self) -> dict[str, Any]:
        """What to write beside results: name, spec_hash, lock_hash, python, packages, origins; no paths, no hosts."""
        return {
            "name": self.name,
            "spec_hash": self.lock.spec_hash,
            "lock_hash": self.lock.lock_hash,
            "python": self.lock.python,
            "packages": dict(self.lock.packages),
            "origins": {name: dict(origin) for name, origin in self.lock.origins.items()},
        }

    def variables(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """All variables for a process that runs in it: those given (this process's by default), without what would
        bring in packages from elsewhere or keep modules from being compiled once, and with what lets it find this
        program where the declaration asks for it.

        Raises:
            BuildError: the links to this program cannot be written into the cache.
        """
        base = dict(os.environ if given is None else given)
        kept = {name: value for name, value in base.items() if name not in _FOREIGN}
        kept["VIRTUAL_ENV"] = str(self.folder)
        kept["PATH"] = os.pathsep.join(part for part in (str(self.folder / "bin"), base.get("PATH")) if part)
        if self.declaration.harness:
            try:
                kept["PYTHONPATH"] = str(own.overlay())
            except OSError as error:
                raise BuildError.of(
                    f"environment {self.name!r} cannot be shown this program",
                    why=str(error),
                    hint="set XDG_CACHE_HOME to a folder that can be written",
                ) from error
        return kept

    @contextlib.contextmanager
    def in_use(self) -> Iterator[Environment]:
        """Keeps it from being removed or exchanged while it runs; any number of processes may use it at once.

        Gives the environment as it is then: it may have been built anew since it was found.

        Raises:
            BuildError: it was removed or has broken since it was found.
        """
        with locks.shared(self.place.use_lock, patience_s=_EXCHANGED_IN_S) as held:
            now = find(self.declaration) if held else None
            if now is None:
                raise BuildError.of(
                    f"environment {self.name!r} is being removed, or has been since it was found",
                    hint=f"build it again: harness env build {self.name}",
                )
            yield now


def known(wanted: str | Declaration) -> Declaration:
    """The declaration of a name, or the declaration itself.

    Raises:
        BuildError: there is no built-in environment of this name.
    """
    if isinstance(wanted, Declaration):
        return wanted
    try:
        return BUILT_IN[wanted]
    except KeyError:
        raise BuildError.of(f"there is no environment {wanted!r}", hint=did_you_mean(wanted, BUILT_IN)) from None


def cached(wanted: str) -> Environment | None:
    """A whole environment that lies in the cache by this name or `<name>-<hash>`, whatever declares it; the latest.

    For looking at: what runs in an environment asks for it by its declaration.
    """
    found = [one for place in all_places() if wanted in (place.name, place.key) and (one := _of_place(place))]
    return max(found, key=lambda one: one.lock.built_at, default=None)


def _of_place(place: Place) -> Environment | None:
    lock = lockfile.read(place.folder)
    if lock is None or lockfile.why_broken(place.folder, lock):
        return None
    try:
        declaration = Declaration.model_validate(dict(lock.declaration))
    except ValueError:  # written by a version that declared other things
        return None
    return Environment(declaration=declaration, place=place, lock=lock)


def place_of(declaration: Declaration) -> Place:
    """Where an environment lies, or would."""
    return Place.of(declaration.name, declaration.spec_hash())


def at(name: str, spec_hash: str) -> Environment | None:
    """The environment of a declaration's name and hash, where it is built and whole; for who has no declaration.

    Passwords of addresses are not in what it gives, so it cannot be built from that.
    """
    built = _of_place(Place.of(name, spec_hash))
    return built if built is not None and built.lock.spec_hash == spec_hash else None


def find(wanted: str | Declaration) -> Environment | None:
    """The environment, where it is built and whole; None where it is not. Takes milliseconds.

    Raises:
        BuildError: there is no built-in environment of this name.
    """
    declaration = known(wanted)
    place = place_of(declaration)
    lock = lockfile.read(place.folder)
    if lock is None or lock.spec_hash != declaration.spec_hash() or lockfile.why_broken(place.folder, lock):
        return None
    return Environment(declaration=declaration, place=place, lock=lock)
