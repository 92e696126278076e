"""`python -m harness.data.show JOBS.json`: previews rows in a process of its own and prints them as JSON.

The file is a list of jobs, each with:

    data, root     the data's mapping, and the folder that paths are relative to
    method, train  sft, dpo or orpo, and fields of its TRL config
    formats        the formats that the method takes, preferred first
    template_columns  columns besides that it hands to the chat template
    tokenizer      `module:function`, called as function(model, root=…, start=…) for the tokenizer; the caller names
                   it, since this room knows nothing of models: "harness.models.load:load_tokenizer"
    model, start   the model's mapping, and the checkpoint it starts from or null; for that function
    n              rows to show

Printed is a list of one object for each: `previews`, `rows`, `eval_rows`, `format`, `conversational`, `fingerprint`,
`notes`. Where something cannot be used it is `problems`, each `{what, where, why, hint}`, and the exit code is 2.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.data.prepare import load
from harness.data.preview import preview
from harness.errors import EXIT_INPUT, HarnessError, Problem


def show(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the module prints of one job.

    Raises:
        HarnessError: the data or the tokenizer cannot be used.
    """
    root = Path(str(job.get("root") or "."))
    module, _, function = str(job["tokenizer"]).partition(":")
    tokenizer = getattr(importlib.import_module(module), function)(job.get("model"), root=root, start=job.get("start"))
    besides = job["template_columns"]
    prepared = load(job["data"], job["formats"], root=root, template_columns=besides, tokenizer=tokenizer)
    shown = preview(prepared, tokenizer, str(job["method"]), int(job.get("n", 3)), job.get("train"))
    return {
        "previews": [one.to_json() for one in shown],
        "rows": len(prepared.train),
        "eval_rows": len(prepared.eval) if prepared.eval is not None else 0,
        "format": prepared.format,
        "conversational": prepared.conversational,
        "fingerprint": prepared.fingerprint,
        "notes": list(prepared.notes),
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as a JSON object; `where` as file:line:column, or null."""
    return {**asdict(problem), "where": str(problem.where) if problem.where else None}


def main(argv: list[str]) -> int:
    """Runs the jobs of the file named in `argv`; the exit code."""
    jobs = json.loads(Path(argv[0]).read_text("utf-8"))
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print must not get between the JSON
        answers = [_answer(job) for job in jobs]
    json.dump(answers, sys.stdout, ensure_ascii=False)
    return EXIT_INPUT if any("problems" in answer for answer in answers) else 0


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return show(job)
    except HarnessError as error:
        return {"problems": [problem_json(problem) for problem in error.problems]}
    except Exception as error:  # a library's own words: the other jobs are told all the same
        problem = Problem(what="the rows cannot be shown", why=f"{type(error).__name__}: {error}")
        return {"problems": [problem_json(problem)]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
