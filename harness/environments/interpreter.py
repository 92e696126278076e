"""Which Python a trial's worker runs in, with which variables: the only place that decides it.

`told` is `environment` of a trial's spec.json: name, spec_hash and declaration of its environment; None: it is trained
in the harness's own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import lockfile
from harness.environments.environment import Environment, at
from harness.errors import BuildError

Told = Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A Python, and all variables of a process in it."""

    python: str
    variables: Mapping[str, str]


@contextlib.contextmanager
def interpreter(told: Told, suite_file: str, own: str = sys.executable) -> Iterator[Interpreter]:
    """The Python of a trial's worker. Until the block ends its environment is neither removed nor exchanged.

    `own` is the Python of the harness's own environment, `suite_file` what declares the trial's.

    Raises:
        BuildError: the environment is not built, or is being removed.
    """
    if told is None:
        yield Interpreter(python=own, variables=dict(os.environ))
        return
    with needed(told, suite_file).in_use() as used:
        yield Interpreter(python=str(used.python), variables=used.variables())


def needed(told: Mapping[str, Any], suite_file: str) -> Environment:
    """The environment of a trial.

    Raises:
        BuildError: it is not built.
    """
    found = at(str(told["name"]), str(told["spec_hash"]))
    if found is None:
        raise BuildError.of(
            f"environment {told['name']!r} is not built",
            hint=f"run the suite again, or build it: harness env build {told['name']} --file {suite_file}",
        )
    return found


def here() -> lockfile.Lock | None:
    """What the environment holds that this process runs in; None where it is none of those built here."""
    return lockfile.read(Path(sys.prefix))


def is_here(told: Told) -> bool:
    """Whether this process runs in a trial's environment; the harness's own may be any."""
    if told is None:
        return True
    lock = here()
    return lock is not None and lock.spec_hash == told["spec_hash"]
