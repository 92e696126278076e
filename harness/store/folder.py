"""One run folder → rows. Nothing raises over what a folder holds: it is said as a Problem, and the rest is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import Location, Problem
from harness.records import fingerprint
from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder, read_json
from harness.records.score import EARLIER
from harness.store import documents, events, plain, scores
from harness.store.rows import Rows

TRIAL, SCORES = "trial", "scores/"
_SCORE_AGAIN = "`harness score --force` scores it again"


def signatures(folder: RunFolder) -> dict[str, str]:
    """The state of each part (trial, attempts/<n>, scores/<name>) by the sizes and modification times of its files.

    It is taken before the files are read, so a file that changes meanwhile is read again the next time.
    """
    attempts = folder.attempts()
    parts = {TRIAL: _signature([folder.spec_file, *folder.environment_files()])}
    parts |= {_part(attempt): _signature([*_event_files(attempt), attempt.outcome_file]) for attempt in attempts}
    parts |= {
        SCORES + place.name: _signature([place / "score.json", place / "documents.jsonl", place / EARLIER])
        for place in scores.folders_of(folder)
    }
    return parts | {SCORES + file.name: _signature([file]) for file in scores.overlaps_of(folder)}


def _part(attempt: Attempt) -> str:
    return f"attempts/{attempt.number}"


def _event_files(attempt: Attempt) -> list[Path]:
    """The worker's events, those of the process that samples the device beside it, and of further workers."""
    return [attempt.events, attempt.path / "device.jsonl", *_further(attempt)]


def _further(attempt: Attempt) -> list[Path]:
    return sorted(attempt.path.glob("events.rank*.jsonl"))


def _signature(files: list[Path]) -> str:
    said = []
    for path in files:
        try:
            status = path.stat()
            said.append(f"{status.st_size}:{status.st_mtime_ns}")
        except OSError:
            said.append("-")
    return " ".join(said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Reads the parts of one folder into `rows`. `name` is the folder relative to the database's own."""

    folder: RunFolder
    name: str
    suite: str
    trial_id: str
    spec: Mapping[str, Any]
    rows: Rows
    problems: list[Problem] = field(default_factory=list)

    def read(self, part: str) -> None:
        """The rows of one part: trial, attempts/<n>, or scores/<name>."""
        if part == TRIAL:
            self._trial()
            self._environments()
        elif part.startswith(SCORES):
            path = self.folder.scores / part.removeprefix(SCORES)
            self._overlap(path) if part.endswith(scores.OVERLAP) else self._score(path)
        else:
            number = int(part.rpartition("/")[2])
            self._attempt(Attempt(self.folder.path / "attempts" / str(number), number))

    def _trial(self) -> None:
        spec = self.spec
        init = spec.get("init")
        self.rows.add(
            "trials",
            self.suite,
            self.trial_id,
            *(plain.text(spec.get(key)) for key in ("name", "cell_id", "cell_name", "kind", "method")),
            plain.pairs(spec.get("levels"), plain.text),
            plain.integer(spec.get("seed")),
            plain.text(init.get("trial_id")) if isinstance(init, Mapping) else None,
            plain.text(spec.get("suite_file")),
            plain.text(spec.get("question")),
            self.name,
            plain.json_text(spec),
        )

    def _environments(self) -> None:
        for path in self.folder.environment_files():
            content = read_json(path)
            if content is not None:
                key = content.get("hash") or fingerprint.of_value(content)  # as outcome.json names it
                self.rows.add("environment_files", self.suite, self.trial_id, str(key), plain.json_text(content))
            elif path.exists():
                self._problem(path, f"{path.name} cannot be read")

    def _attempt(self, attempt: Attempt) -> None:
        key = (self.suite, self.trial_id, attempt.number)
        outcome = self._outcome(attempt, say=True)
        found, device = self._events(attempt.events, _further(attempt)), self._events(attempt.path / "device.jsonl")
        self.rows.add(
            "attempts",
            *key,
            *_outcome_row(outcome),
            plain.json_text(found.active) if found.active else None,
            plain.json_text(outcome.facts) if outcome and plain.mapping(outcome.facts) else None,
            _texts(outcome.disturbed) if outcome else None,
            plain.json_text(found.breakdown) if found.breakdown else None,
            plain.json_text(found.compute) if found.compute else None,
            plain.text(attempt.run()),
        )
        for metric, value in (outcome.summary if outcome else {}).items():
            if (figure := plain.figure(value)) is not None:
                self.rows.add("metrics", *key, plain.text(metric), figure)
        for name, start, end in found.phases:
            seconds = end - start if start is not None and end is not None else None
            self.rows.add("phases", *key, plain.text(name), start, end, seconds)
        for t, level, text in (*found.notes, *device.notes):
            self.rows.add("notes", *key, t, plain.text(level), plain.text(text))
        for name, step, level, text in (*found.findings, *device.findings):
            self.rows.add("findings", *key, plain.text(name), step, plain.text(level), plain.text(text))
        timed = [(metric, name, column) for (name, metric), column in (*found.timed.items(), *device.timed.items())]
        self.rows.add_samples(*key, [*((name, None, column) for name, column in found.columns.items()), *timed])

    def _events(self, path: Path, others: Sequence[Path] = ()) -> events.Events:
        try:
            found = events.read(path, others)
        except OSError as error:
            self._problem(path, f"{path.name} cannot be read", why=str(error))
            return events.Events()
        if found.unreadable:
            self._problem(
                path,
                f"{found.unreadable} of its lines are no events",
                line=found.first_unreadable,
                why="the file is damaged, not merely cut off: only its last line may be incomplete",
                hint="what could be read is stored; run the trial again with --force to replace it",
            )
        return found

    def _outcome(self, attempt: Attempt, *, say: bool = False) -> Outcome | None:
        if not attempt.outcome_file.exists():
            return None
        try:
            outcome = attempt.outcome()
        except (TypeError, OSError):
            outcome = None
        if outcome is not None and isinstance(outcome.summary, Mapping):
            return outcome
        if say:
            self._problem(attempt.outcome_file, "outcome.json cannot be read", why="it is damaged or lacks fields")
        return None

    def _score(self, path: Path) -> None:
        score = scores.score_of(path)
        if score is None:
            self._problem(path / "score.json", "score.json cannot be read", hint=_SCORE_AGAIN)
            return
        file = path / "documents.jsonl"
        try:
            found = documents.read(file.read_bytes())
        except OSError as error:
            self._problem(file, "documents.jsonl cannot be read", why=str(error), hint=_SCORE_AGAIN)
            found = documents.read(b"")
        self.rows.add_score(scores.rows_of(self.suite, self.trial_id, path.name, score, found), found)
        for row in scores.earlier_rows(path):
            self.rows.add("earlier_scores", self.suite, self.trial_id, *row, path.name)
        if found.unreadable:
            what = f"{found.unreadable} of its lines are no documents"
            self._problem(file, what, line=found.first_unreadable, hint=_SCORE_AGAIN)

    def _overlap(self, path: Path) -> None:
        row = scores.overlap_row(path)
        if row is None:
            self._problem(path, f"{path.name} cannot be read", hint=_SCORE_AGAIN)
        else:
            self.rows.add("data_overlaps", self.suite, self.trial_id, *row)

    def _problem(
        self, path: Path, what: str, *, line: int | None = None, why: str | None = None, hint: str | None = None
    ) -> None:
        self.problems.append(Problem(what=what, where=Location(file=path, line=line), why=why, hint=hint))


def _outcome_row(outcome: Outcome | None) -> tuple[Any, ...]:
    if outcome is None:
        return (None,) * 10
    texts = (outcome.outcome, outcome.phase, outcome.cause, outcome.started_at, outcome.ended_at)
    return (
        *map(plain.text, texts),
        plain.figure(outcome.duration_s),
        *map(plain.text, (outcome.environment, outcome.weights_hash)),
        plain.pairs(outcome.step_hashes, plain.text),
        plain.text(outcome.data_fingerprint),
    )


def _texts(value: Any) -> list[str | None]:
    return [plain.text(entry) for entry in value] if isinstance(value, list | tuple) else []
