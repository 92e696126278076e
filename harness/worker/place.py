"""The environment that this process runs in, and the one that a trial belongs in."""

from __future__ import annotations

import os
import sys
from typing import Any

from harness import environments
from harness.errors import InputError
from harness.records.run_folder import RunFolder
from harness.records.spec import Spec


def within() -> dict[str, Any] | None:
    """What is recorded of the environment that was built for its trials; None where this is the harness's own."""
    lock = environments.here()
    if lock is None:
        return None
    told = {"name": lock.name, "spec_hash": lock.spec_hash, "lock_hash": lock.lock_hash}
    return {**told, "declaration": dict(lock.declaration)}


def refuse_elsewhere(spec: Spec) -> None:
    """Raises InputError where the trial belongs in another environment than this process's."""
    if environments.is_here(spec.environment):
        return
    named = spec.environment["name"] if spec.environment else None
    lock = environments.here()
    raise InputError.of(
        f"this trial belongs in environment {named!r}",
        why=f"this process runs in {f'environment {lock.name!r}' if lock else 'another one'}",
        hint="its command.sh trains it there",
    )


def go_there(folder: RunFolder, arguments: list[str]) -> None:
    """Becomes the same program in the trial's environment, where this process runs in another one.

    Raises:
        BuildError: the environment is not built.
    """
    value = folder.spec() or {}
    told = value.get("environment")
    if environments.is_here(told):
        return
    with environments.interpreter(told, str(value.get("suite_file"))) as inside:
        if inside.variables["VIRTUAL_ENV"] == os.environ.get("VIRTUAL_ENV"):  # it was to be there already
            refuse_elsewhere(Spec.from_json(value))
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(inside.python, [inside.python, "-P", "-m", "harness.worker", *arguments], dict(inside.variables))
