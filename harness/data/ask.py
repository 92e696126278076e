"""Asks for a preview from a light parent: `harness.data.show` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.preview import SHOWN_BY
from harness.errors import DataError, Problem

_TOKENIZER = "harness.models.load:load_tokenizer"  # by name: the child imports it


def ask_previews(
    configs: Mapping[str, Mapping[str, Any]],
    *,
    takes: Mapping[str, Mapping[str, Sequence[str]]],
    root: Path,
    rows: int,
) -> list[dict[str, Any]]:
    """Rows as methods see them: one entry for each combination of data, method, model and arguments among `configs`.

    `configs` are those of trained cells by name, and each entry names its `cells`; `takes` holds each method's
    `formats` and `template_columns`, by its name; `root` is the suite file's folder; `rows` is how many rows of each.

    Raises:
        DataError: the rows of some combination cannot be shown.
    """
    jobs: dict[str, dict[str, Any]] = {}
    for name, config in configs.items():
        shown = {field: value for field, value in config["train"].items() if field in SHOWN_BY}
        job = {**{field: config[field] for field in ("data", "method", "model")}, "train": shown}
        jobs.setdefault(json.dumps(job, sort_keys=True, default=str), {**job, "cells": []})["cells"].append(name)
    common = {"root": root, "n": rows, "tokenizer": _TOKENIZER}
    asked = [{**job, **common, **takes[job["method"]]} for job in jobs.values()]
    return [{**job, **answer} for job, answer in zip(jobs.values(), _answers(asked), strict=True)]


def _answers(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What `python -m harness.data.show` prints for the jobs (see there), all of them in one process."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="harness-preview-") as file:
        json.dump(jobs, file, default=str)
        file.flush()
        command = [sys.executable, "-P", "-m", "harness.data.show", str(Path(file.name))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise DataError.of("the rows cannot be shown", why=last[0]) from None
    problems = [
        _problem(told, job["cells"][0] if len(jobs) > 1 else "")
        for job, answer in zip(jobs, answers, strict=True)
        for told in answer.get("problems", ())
    ]
    if problems:
        raise DataError(problems=list(dict.fromkeys(problems)))
    return answers


def _problem(told: Mapping[str, Any], cell: str) -> Problem:
    where = f"{told['where']}: " if told.get("where") else f"{cell}: " if cell else ""
    return Problem(what=f"{where}{told['what']}", why=told.get("why"), hint=told.get("hint"))
