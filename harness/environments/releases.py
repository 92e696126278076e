"""The releases of a package that this machine's index has, as pip sees them, and environments that differ in one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from harness.environments import own
from harness.environments.declaration import Declaration, name_of, normalised
from harness.errors import InputError, did_you_mean

_AVAILABLE = re.compile(r"^Available versions: (.*)$", re.MULTILINE)
_NUMBERED = re.compile(r"\d+(\.\d+)*")
"""Versions of which numbers alone tell which is the later."""
_VERSION = re.compile(r"\d[A-Za-z0-9.!+_-]*")
_SECONDS = 120.0
_BY_HAND = "or name the releases yourself: --versions 1.14.0,1.15.0"


def releases(package: str, *, command: Sequence[str] = (sys.executable, "-m", "pip")) -> tuple[str, ...]:
    """Its releases for this Python, the oldest first, without those that are not final; pip knows the index.

    Raises:
        InputError: there is no pip, no index, or no such package.
    """
    asked = [*command, "index", "versions", package, "--disable-pip-version-check"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError.of(f"the releases of {package} cannot be listed", why=str(error), hint=_BY_HAND) from error
    found = _AVAILABLE.search(done.stdout)
    if done.returncode != 0 or found is None:
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        why = said[-1].strip() if said else f"pip ended with {done.returncode}"
        raise InputError.of(f"the releases of {package} cannot be listed", why=why, hint=_BY_HAND)
    return tuple(reversed([version.strip() for version in found.group(1).split(",")]))


def between(known: Sequence[str], good: str, bad: str) -> tuple[str, ...]:
    """The releases from the good one to the bad one, both included.

    Raises:
        InputError: one of them is none of the known ones, or the bad one comes first.
    """
    for end, version in (("good", good), ("bad", bad)):
        if version not in known:
            raise InputError.of(
                f"--{end} {version} is no release that the index has", hint=did_you_mean(version, known)
            )
    if known.index(good) >= known.index(bad):
        raise _turned_round(good, bad)
    return tuple(known[known.index(good) : known.index(bad) + 1])


def listed(good: str, bad: str, versions: Sequence[str]) -> tuple[str, ...]:
    """The same of releases that somebody lists, oldest first; the ends may be among them.

    Raises:
        InputError: one is no version, or is there twice, or the good end is a later one than the bad end.
    """
    inner = [version for version in versions if version not in (good, bad)]
    every = (good, *inner, bad)
    for version in every:
        if not _VERSION.fullmatch(version):
            raise InputError.of(f"{version!r} is no version", hint="write versions as 1.15.0")
        if every.count(version) > 1:
            raise InputError.of(f"{version} is named twice", hint="each release once, the oldest first")
    if _NUMBERED.fullmatch(good) and _NUMBERED.fullmatch(bad) and _numbers(good) > _numbers(bad):
        raise _turned_round(good, bad)
    return every


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _turned_round(good: str, bad: str) -> InputError:
    what = f"--good {good} is not before --bad {bad}"
    return InputError.of(what, hint="the good release is the older one, the bad one the newer")


def with_release(package: str, version: str, like: Declaration | None = None) -> Declaration:
    """An environment with this release: `like` it otherwise, or with the training stack as the harness has it here.

    All others are pinned where they are known, so that two such environments differ in the one package, and in what it
    brings.

    Raises:
        InputError: the running harness was not installed, so that nobody knows what it needs.
    """
    name = normalised(package)
    others = like.requirements if like is not None else _as_here()
    kept = [one for one in others if name_of(one) != name]
    return Declaration(
        name=re.sub(r"[^a-z0-9._-]+", ".", f"{name}-{version}".lower()),
        about=f"to find the first bad release of {name}",
        requirements=(f"{name}=={version}", *kept),
        overrides=like.overrides if like is not None else (),
        python=like.python if like is not None else None,
        harness=True,
        needs=like.needs if like is not None else None,
    )


def _as_here() -> list[str]:
    """What the harness's child processes need, in the versions that are installed here."""
    found = []
    for requirement in own.needed(()):
        try:
            version = metadata.version(name_of(requirement))
        except metadata.PackageNotFoundError:  # for another platform
            continue
        found.append(f"{name_of(requirement)}=={version.partition('+')[0]}")  # 2.13.0+cpu is a build of 2.13.0
    return found
