"""lock.json: what is in an environment, exactly. An environment without it is not finished, and is none."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from harness.environments.declaration import normalised
from harness.errors import BuildError
from harness.records.fingerprint import of_value

NAME = "lock.json"
FORMAT = 1
_STARTS_S = 60.0  # of an interpreter, on a cold disk

_ASK = "import json, platform as p; print(json.dumps([p.python_version(), p.python_implementation()]))"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """What an environment is made of."""

    name: str
    spec_hash: str
    declaration: Mapping[str, Any]
    """As it was declared, without passwords."""
    spec: Mapping[str, Any]
    """What was asked for: `Declaration.spec()`."""
    python: str
    """The exact version: 3.11.7."""
    implementation: str
    packages: Mapping[str, str]
    """Versions of all installed packages by normalised name."""
    origins: Mapping[str, Mapping[str, str]]
    """Commit or hash of those that came from no index; never their address."""
    uv: str | None
    built_at: str
    """UTC, ISO 8601."""
    seconds: float
    """What the build took."""

    @property
    def lock_hash(self) -> str:
        """sha256 (hex) of what is installed: two environments with one hash hold the same versions."""
        return of_value(
            {
                "python": self.python,
                "implementation": self.implementation,
                "platform": self.spec.get("platform"),
                "packages": dict(self.packages),
                "origins": {name: dict(origin) for name, origin in self.origins.items()},
            }
        )

    def frozen(self) -> list[str]:
        """`name==version` of every package, sorted."""
        return [f"{name}=={version}" for name, version in sorted(self.packages.items())]


def write(folder: Path, lock: Lock) -> None:
    """Writes lock.json, atomically, and onto the disk: what follows may be the folder's final name.

    Raises:
        OSError: it cannot be written.
    """
    value = {"format": FORMAT, "lock_hash": lock.lock_hash, **asdict(lock), "freeze": lock.frozen()}
    handle, name = tempfile.mkstemp(dir=folder, prefix=".lock-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(folder / NAME)


def read(folder: Path) -> Lock | None:
    """The lock of an environment; None where there is none that this version understands and that is whole."""
    try:
        value = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if value.pop("format") != FORMAT:
            return None
        told = value.pop("lock_hash")
        value.pop("freeze")
        lock = Lock(**value)
        return lock if lock.lock_hash == told else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def asked(folder: Path) -> tuple[str, str]:
    """Version and implementation of the environment's Python, by running it.

    Raises:
        BuildError: it does not run.
    """
    python = python_of(folder)
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_STARTS_S, check=True, cwd=folder
        )
        version, implementation = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise BuildError.of("the Python of the new environment does not run", why=str(error)) from error
    return str(version), str(implementation)


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def why_broken(folder: Path, lock: Lock) -> str | None:
    """Why an environment is not what its lock says; None where it is. Takes milliseconds and starts nothing."""
    if not os.access(python_of(folder), os.X_OK):
        return "its Python is gone"
    now = installed(folder)
    missing = sorted(set(lock.packages) - set(now))
    changed = sorted(name for name, version in now.items() if lock.packages.get(name) != version)
    if missing:
        return f"{_listed(missing)} missing"
    if changed:
        return f"{_listed([f'{name} {now[name]}' for name in changed])} not as locked"
    return None


def installed(folder: Path) -> dict[str, str]:
    """Versions of all packages in an environment by normalised name, as the names of their metadata folders tell.

    Wheels are installed with such a folder each, `<name>-<version>.dist-info` (PyPA, "Recording installed projects").
    """
    found: dict[str, str] = {}
    for metadata in folder.glob("lib/python*/site-packages/*.dist-info"):
        name, dash, version = metadata.name.removesuffix(".dist-info").rpartition("-")
        if dash and any(metadata.iterdir()):
            found[normalised(name)] = version
    return dict(sorted(found.items()))


def origins(folder: Path) -> dict[str, dict[str, str]]:
    """Commit of a checkout, hash of an archive, or that it was a folder, of packages from no index (PEP 610)."""
    found: dict[str, dict[str, str]] = {}
    for file in folder.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        name = normalised(file.parent.name.removesuffix(".dist-info").rpartition("-")[0])
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found[name] = _origin(told if isinstance(told, dict) else {})
    return dict(sorted(found.items()))


def _origin(told: Mapping[str, Any]) -> dict[str, str]:
    vcs, archive = told.get("vcs_info"), told.get("archive_info")
    if isinstance(vcs, dict):
        return {name: str(vcs[name]) for name in ("vcs", "commit_id") if vcs.get(name)}
    hashes = archive.get("hashes") if isinstance(archive, dict) else None
    if isinstance(hashes, dict) and hashes:
        name, value = min(hashes.items())
        return {"archive": f"{name}={value}"}
    if isinstance(archive, dict):
        return {"archive": _hash_of_file(str(told.get("url", "")))}
    return {"folder": "copied"}


def _hash_of_file(url: str) -> str:
    """uv records no hash of a wheel it was given by path; the wheel is still there just after a build."""
    import hashlib

    try:
        return "sha256=" + hashlib.sha256(Path(unquote(url.removeprefix("file://"))).read_bytes()).hexdigest()
    except OSError:
        return "without a hash"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
