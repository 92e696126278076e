"""This program in another environment: what its child processes need there, and how they find it.

Its own requirements cannot simply be installed there: an environment with another TRL contradicts them. So the
environment gets the packages its child processes import, within the ranges this program declares, but for those that
the environment names itself. The program's code is not copied into it: environments are shared by every checkout and
installation of a user, and each has to run its own code. It is found by `PYTHONPATH`, through a folder that holds
nothing but links to this package and its metadata; the folder it is installed in would bring all its neighbours.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

import harness
from harness.environments import places
from harness.errors import InputError
from harness.records.fingerprint import of_value

DISTRIBUTION = "trl-harness"

PARENT_ONLY = frozenset({"duckdb", "matplotlib", "rich", "typer"})
"""What only the parent imports: the store, charts and the command line."""

_PARTS = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)")
_OLDEST, _FIRST_UNKNOWN = re.compile(r">=\s*3\.(\d+)"), re.compile(r"<\s*3\.(\d+)")


def needed(named: Collection[str]) -> tuple[str, ...]:
    """What child processes need, as requirements, in order; without packages whose normalised names are in `named`.

    Raises:
        InputError: the running harness was not installed, so that nobody knows.
    """
    declared = _distribution().requires or []
    wanted = [one for one in declared if "extra ==" not in one]
    return tuple(sorted(one for one in wanted if _name(one) not in {*PARENT_ONLY, *named}))


def runs_on(python: str) -> bool:
    """Whether this program runs on a version such as `3.12`; True where its metadata does not say."""
    try:
        said = _distribution().metadata["Requires-Python"] or ""
    except InputError:
        return True
    minor = int(python.split(".")[1])
    oldest, unknown = _OLDEST.search(said), _FIRST_UNKNOWN.search(said)
    return (oldest is None or minor >= int(oldest.group(1))) and (unknown is None or minor < int(unknown.group(1)))


def overlay() -> Path:
    """A folder for `PYTHONPATH` that holds this package and its metadata, as links, and nothing else.

    Raises:
        OSError: the cache cannot be written.
    """
    links = {"harness": Path(harness.__file__).resolve().parent}
    with contextlib.suppress(InputError):
        folder = getattr(_distribution(), "_path", None)  # of every distribution that is a folder; no public name
        if isinstance(folder, Path) and folder.is_dir():
            links[folder.name] = folder.resolve()
    targets = {name: str(target) for name, target in links.items()}
    place = places.root() / ".harness" / of_value(targets)[:16]
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=place.parent, prefix="."))
        for name, target in targets.items():
            (made / name).symlink_to(target)
        try:
            made.rename(place)  # over an empty folder only: where another process was first, its links are the same
        except OSError:
            if not place.is_dir():
                raise
            _drop(made)
    return place


def _drop(folder: Path) -> None:
    for link in folder.iterdir():
        link.unlink()
    folder.rmdir()


def _name(requirement: str) -> str:
    found = _PARTS.match(requirement)
    return re.sub(r"[-_.]+", "-", found.group(1) if found else requirement).lower()


def _distribution() -> metadata.Distribution:
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise InputError.of(
            f"{DISTRIBUTION} is not installed, so what it needs in another environment is not known",
            hint="install it: pip install -e . in its checkout",
        ) from None
