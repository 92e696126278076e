"""What is installed, and its origin where that is no release: commits, changes to them, hashes; no addresses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from harness.measure.hidden import checkout, hidden, root

_GIT_SECONDS = 5.0
_AS_EVERYWHERE = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--no-renames"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--inter-hunk-context=0", "--diff-algorithm=myers"),
)
"""One change has one hash: a user's or a repository's configuration names helper programs and forms of its own, and how
far ids of objects are cut follows from how many a clone has."""


def installed(
    distributions: Iterable[metadata.Distribution] | None = None, path: Sequence[str] | None = None
) -> tuple[dict[str, str], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Versions of all distributions; the git state of those installed from a folder; the origin of other direct ones.

    By normalised name (PEP 503). A direct origin (PEP 610) is told by its commit or hash, never by its address, which
    may hold a password. Of a package that another folder of `path` (`sys.path`) hides, the state of that folder, which
    is what is imported, and the version that it hides.
    """
    versions: dict[str, str] = {}
    known: dict[str, metadata.Distribution] = {}
    folders: dict[str, Path] = {}
    origins: dict[str, dict[str, Any]] = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        name = distribution.metadata["Name"]
        if not name:
            continue
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in versions:
            continue  # an earlier folder of sys.path hides this one
        versions[key] = str(distribution.version)
        known[key] = distribution
        direct = _direct(distribution)
        folder = _editable_folder(direct) or (root(distribution) if checkout(distribution) else None)
        if folder is not None:
            folders[key] = folder
        elif origin := _origin(direct):
            origins[key] = origin
    hides = hidden(known, folders, sys.path if path is None else path)
    editable = {key: git(folder) for key, folder in folders.items() if key not in hides}
    editable |= {key: {"hides": versions[key], **git(folder)} for key, folder in hides.items()}
    return dict(sorted(versions.items())), dict(sorted(editable.items())), dict(sorted(origins.items()))


def git(folder: Path) -> dict[str, Any]:
    """Commit, whether tracked files differ from it (`dirty`), and then a hash of how (`diff`).

    Empty where there is no git, or no repository that belongs to the user. New files that git does not track do not
    show.
    """
    commit = _run_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    found: dict[str, Any] = {"commit": commit.decode().strip()}
    changes = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    found["dirty"] = None if changes is None else bool(changes.strip())
    if found["dirty"]:
        difference = _run_git(folder, "diff", "HEAD", *_AS_EVERYWHERE)
        found["diff"] = None if difference is None else hashlib.sha256(difference).hexdigest()
    return found


def _direct(distribution: metadata.Distribution) -> Mapping[str, Any]:
    """direct_url.json of PEP 610; empty for what came from an index."""
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(direct: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = direct.get(name)
    return found if isinstance(found, dict) else {}


def _editable_folder(direct: Mapping[str, Any]) -> Path | None:
    if not _part(direct, "dir_info").get("editable"):
        return None
    return Path(unquote(urlparse(str(direct.get("url", ""))).path))


def _origin(direct: Mapping[str, Any]) -> dict[str, Any]:
    """Commit of a checkout, hash of an archive; `folder` alone for one that was copied from a folder."""
    source, archive = _part(direct, "vcs_info"), _part(direct, "archive_info")
    if source:
        return {name: str(source[name]) for name in ("vcs", "commit_id") if source.get(name)}
    if "archive_info" in direct:
        hashes = _part(archive, "hashes")
        told = [f"{name}={value}" for name, value in sorted(hashes.items())]
        return {"archive": told[0] if told else str(archive.get("hash") or "without a hash")}
    return {"folder": "copied"} if "dir_info" in direct else {}


def _run_git(folder: Path, *arguments: str) -> bytes | None:
    # Variables as GIT_DIR, set where this runs inside a hook, would speak of another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "-c", "diff.relative=false", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
            check=False,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
