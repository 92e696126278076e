"""Asks for a preview from a light parent: `harness.data.show` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.preview import SHOWN_BY
from harness.errors import DataError, Problem

_TOKENIZER = "harness.models.load:load_tokenizer"  # by name: the child imports it


def ask_previews(
    configs: Iterable[Mapping[str, Any]], *, formats: Mapping[str, Sequence[str]], root: Path, rows: int
) -> list[dict[str, Any]]:
    """Rows as methods see them: one entry for each combination of data, method, model and arguments among `configs`.

    `configs` are those of trained cells; `formats` holds each method's by name; `root` is the suite file's folder;
    `rows` is how many rows of each.

    Raises:
        DataError: the rows of some combination cannot be shown.
    """
    jobs: dict[str, dict[str, Any]] = {}
    for config in configs:
        shown = {name: value for name, value in config["train"].items() if name in SHOWN_BY}
        job = {**{name: config[name] for name in ("data", "method", "model")}, "train": shown}
        jobs.setdefault(json.dumps(job, sort_keys=True, default=str), job)
    common = {"root": root, "n": rows, "tokenizer": _TOKENIZER}
    return [{**job, **ask_preview({**job, **common, "formats": formats[job["method"]]})} for job in jobs.values()]


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
