"""Results files of lm-eval, of this version and others, and the samples files beside them. lm-eval is not imported.

`lm_eval --output_path DIR` writes `results_<date>.json` and `samples_<task>_<date>.jsonl`; early versions of 0.4 wrote
`results.json` and `<model>_<task>.jsonl`, or `samples_<task>_<date>.json`, both of them one JSON list. Files lie in
whatever folders somebody has moved them to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import Location, Problem

_BESIDE = ("configs", "config", "versions")
"""A results file has one of these at least."""
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One results file. `digest` names its content, `samples` the file of each task that has one."""

    file: Path
    content: Mapping[str, Any]
    digest: str
    date: str | None
    samples: Mapping[str, Path]


@dataclass(kw_only=True, slots=True)
class Samples:
    """The samples of a file, one by one. `lost` counts what could not be read, once all have been."""

    file: Path
    lost: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Every sample that can be read.

        Raises:
            OSError: the file cannot be read.
        """
        self.lost = 0
        with self.file.open("rb") as lines:
            first = lines.read(64).lstrip()[:1]
            lines.seek(0)
            entries = [lines.read()] if first == b"[" else lines
            for entry in entries:
                yield from self._of(entry)

    def _of(self, entry: bytes) -> Iterator[Mapping[str, Any]]:
        if not entry.strip():
            return
        try:
            value = json.loads(entry)
        except (ValueError, RecursionError):
            self.lost += 1
            return
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield one
            else:
                self.lost += 1


def find(path: Path) -> tuple[list[Run], list[Problem]]:
    """Every results file at or below a path, in the order of their names; and what is wrong with others.

    JSON that is not lm-eval's is passed over, unless it is called `results…`.
    """
    runs: list[Run] = []
    problems: list[Problem] = []
    for file in [path] if path.is_file() else sorted(path.rglob("*.json")):
        if not file.is_file() or file.name.startswith("samples_"):
            continue
        found = _read(file, meant=path.is_file() or file.name.startswith("results"))
        if isinstance(found, Run):
            runs.append(found)
        elif found is not None:
            problems.append(found)
    if path.is_dir():
        problems += _unclaimed(path, runs)
    return runs, problems


def _read(file: Path, *, meant: bool) -> Run | Problem | None:
    where = Location(file=file)
    try:
        raw = file.read_bytes()
        content = json.loads(raw)
    except OSError as error:
        return Problem(what=f"{file.name} cannot be read", where=where, why=str(error))
    except (ValueError, RecursionError) as error:
        why = f"it is damaged or cut off: {error}"
        return Problem(what=f"{file.name} is no JSON", where=where, why=why) if meant else None
    if not _is_results(content):
        why = "it has no mapping `results` of tasks to metrics beside `configs`, `config` or `versions`"
        return Problem(what=f"{file.name} is none of lm-eval's results", where=where, why=why) if meant else None
    date = _date(file)
    digest = hashlib.sha256(raw).hexdigest()
    return Run(file=file, content=content, digest=digest, date=date, samples=_samples(file, content, date))


def _is_results(content: Any) -> bool:
    if not isinstance(content, dict) or not any(isinstance(content.get(key), dict) for key in _BESIDE):
        return False
    results = content.get("results")
    return isinstance(results, dict) and bool(results) and all(isinstance(entry, dict) for entry in results.values())


def _date(file: Path) -> str | None:
    """`2026-11-22T20-48-27.107631` of `results_2026-11-22T20-48-27.107631.json`."""
    last = file.stem.rpartition("_")[2]
    return last if "_" in file.stem and last[:1].isdigit() and "T" in last else None


def _samples(file: Path, content: Mapping[str, Any], date: str | None) -> dict[str, Path]:
    beside = {entry.name: entry for entry in file.parent.iterdir() if entry.suffix in (".json", ".jsonl")}
    found: dict[str, Path] = {}
    for task in content["results"]:
        if date is not None:
            names = [f"samples_{task}_{date}{ending}" for ending in (".jsonl", ".json")]
        else:
            names = [name for name in beside if name.endswith(f"_{task}.jsonl")]
        there = [beside[name] for name in names if name in beside]
        if len(there) == 1 or (there and date is not None):
            found[task] = there[0]
    return found


def _unclaimed(path: Path, runs: list[Run]) -> list[Problem]:
    claimed = {file for run in runs for file in run.samples.values()}
    lost = [file for file in sorted(path.rglob("samples_*.json*")) if file.is_file() and file not in claimed]
    if not lost:
        return []
    named = ", ".join(file.name for file in lost[:_MOST_NAMED])
    more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
    what = f"{len(lost)} samples file{'s' * (len(lost) > 1)} without the results file of the same date: {named}{more}"
    return [Problem(what=what, where=Location(file=lost[0].parent), why="metrics and settings are in results files")]
