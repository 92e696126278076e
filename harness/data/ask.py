"""Asks for a preview from a light parent: `harness.data.show` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError, Problem


def ask_preview(job: Mapping[str, Any]) -> dict[str, Any]:
    """What `python -m harness.data.show` prints for the job (see there).

    Raises:
        DataError: the data or the tokenizer cannot be used; the process's own problems are passed on.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="harness-preview-") as file:
        json.dump(job, file, default=str)
        file.flush()
        command = [sys.executable, "-P", "-m", "harness.data.show", str(Path(file.name))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise DataError.of("the rows cannot be shown", why=last[0]) from None
    if problems := answer.get("problems"):
        raise DataError(problems=[_problem(problem) for problem in problems])
    return answer


def _problem(told: Mapping[str, Any]) -> Problem:
    where = f"{told['where']}: " if told.get("where") else ""
    return Problem(what=f"{where}{told['what']}", why=told.get("why"), hint=told.get("hint"))
