"""Stand-ins that ship with the product: a uv that does as it is told, without a network."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("uv.py")


def install(folder: Path, *, venv: Sequence[str] = ("ok",), pip: Sequence[str] = ("ok",)) -> Path:
    """Puts a `uv` into the folder that behaves so, call by call; the last word counts for all further calls.

    Words are those of `fakes/uv.py`: ok, beside, network, certificate, refused, unsolvable, full, broken, hang, slow,
    orphan, killed. Gives the program's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(
        json.dumps({"venv": list(venv), "pip": list(pip), "site": _packages()}), encoding="utf-8"
    )
    (folder / "calls.jsonl").unlink(missing_ok=True)
    program = folder / "uv"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{_SCRIPT}" "{folder}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def _packages() -> list[str]:
    """The folders that hold this process's packages."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def calls(folder: Path) -> list[dict[str, Any]]:
    """Every call of the `uv` in the folder but for its version: kind, arguments, files that they name, variables."""
    try:
        lines = (folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]
