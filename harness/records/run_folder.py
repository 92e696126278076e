"""The run folder: everything one trial produced, and the protocol between parent and child.

results/<suite>/<trial-id>/
  spec.json  environment.json  command.sh
  attempts/<n>/  run.json  events.jsonl  outcome.json  worker.log
  checkpoint/
  checkpoints/<step>/   weights on the way, each as checkpoint/ is; checkpoint.tmp, checkpoints.tmp: not yet whole
  scores/<task>.<backend>/  score.json  documents.jsonl  earlier.jsonl
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.records.device_log import device_events, in_order
from harness.records.events import Event, last_phase, read_events
from harness.records.outcome import Outcome, OutcomeName
from harness.records.ranks import merged

FIT, BISECT = ".fit", ".bisect"
SEARCHES = {FIT: "harness fit", BISECT: "harness bisect"}
"""What a search adds to its suite's name for a suite of its own, and the command: it chooses trials one after the
other, so that no plan has all of them, and they lie beside the suite's, never among them."""

_CLOCK_TICK_S = 0.02
"""Files carry the time of the kernel's last tick, which may lie before the moment they were written."""


def searched_by(suite: str) -> str | None:
    """The command that fills the results of this name by searching; None where a plan says what runs."""
    return next((command for end, command in SEARCHES.items() if suite.endswith(end)), None)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes the whole file or nothing: to a temporary name beside it, flushed to disk, then renamed. Text is UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content.encode() if isinstance(content, str) else content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """`write_atomic` of readable JSON."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file; None when it is missing, torn or not an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of a trial: `attempts/<number>/`.

    Where several processes train one trial, each sees the attempt as its own `rank`: the main one (0) owns
    `events.jsonl` and `outcome.json`, the others write `events.rank<k>.jsonl` and `outcome.rank<k>.json` beside them.
    """

    path: Path
    number: int
    rank: int = 0

    @property
    def events(self) -> Path:
        return self.path / self._own("events", "jsonl")

    def _own(self, name: str, suffix: str) -> str:
        return f"{name}.rank{self.rank}.{suffix}" if self.rank else f"{name}.{suffix}"

    @property
    def device_log(self) -> Path:
        """What the process that samples the device beside the worker writes; absent where there is no device."""
        return self.path / self._own("device", "jsonl")

    @property
    def log(self) -> Path:
        return self.path / "worker.log"

    @property
    def run_file(self) -> Path:
        """Which call of `harness run` made this attempt; absent where a trial was replayed alone."""
        return self.path / "run.json"

    def run(self) -> str | None:
        """The id of the run it belongs to: one for all attempts of one `harness run`."""
        value = (read_json(self.run_file) or {}).get("run")
        return value if isinstance(value, str) else None

    @property
    def outcome_file(self) -> Path:
        return self.path / self._own("outcome", "json")

    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs, when whoever ran it was killed, and where its outcome.json is damaged."""
        value = read_json(self.outcome_file)
        try:
            return Outcome.from_json(value) if value and "outcome" in value else None
        except TypeError:
            return None

    def set_damaged_aside(self) -> Path | None:
        """Where an outcome.json that cannot be read now lies, so that nothing is written over it; None without one."""
        if self.outcome() is not None or not self.outcome_file.exists():
            return None
        kept = self.path / "outcome.damaged.json"
        return self.outcome_file.replace(kept)

    def all_events(self) -> list[Event]:
        """Its events so far, and what was sampled of the device; the main process's also tell of the others' steps.

        Raises:
            ValueError: a file of events is damaged, not merely cut off.
        """
        own = list(read_events(self.events))
        others = [] if self.rank else sorted(self.path.glob("events.rank*.jsonl"))
        devices = [] if self.rank else sorted(self.path.glob("device.rank*.jsonl"))
        trained = merged(own, [list(read_events(path)) for path in others])
        return in_order(trained, device_events([self.device_log, *devices]))

    def readable_events(self) -> list[Event]:
        """Its events so far; none where the log is missing or damaged."""
        try:
            return self.all_events()
        except (OSError, ValueError):
            return []

    def ended(
        self,
        name: OutcomeName,
        cause: str,
        *,
        started: datetime,
        duration_s: float,
        summary: Mapping[str, float],
        facts: Mapping[str, Any] | None = None,
        disturbed: Sequence[str] = (),
    ) -> Outcome:
        """The outcome of an attempt that the training could not make itself; what it measured is of readable events."""
        return Outcome(
            outcome=name,
            attempt=self.number,
            started_at=started.isoformat(timespec="milliseconds"),
            ended_at=(started + timedelta(seconds=duration_s)).isoformat(timespec="milliseconds"),
            duration_s=duration_s,
            phase=last_phase(self.readable_events()),
            cause=cause,
            summary=summary,
            facts=facts or {},
            disturbed=disturbed,
            environment=RunFolder(self.path.parent.parent).environment_since(started),
        )

    def close(self, outcome: Outcome) -> None:
        """Writes outcome.json, the last act of an attempt."""
        write_json(self.outcome_file, outcome.to_json())


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One trial's folder."""

    path: Path

    @property
    def spec_file(self) -> Path:
        return self.path / "spec.json"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def command_file(self) -> Path:
        return self.path / "command.sh"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def scores(self) -> Path:
        return self.path / "scores"

    def checkpoint_at(self, step: int) -> Path:
        """Where the weights after that optimizer step lie, if it was one of those saved on the way."""
        return self.path / "checkpoints" / str(step)

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Optimizer step and folder of the weights saved on the way, first to last; those of the end are `checkpoint`.

        They are of the same attempt as `checkpoint`, and each is whole: they appear when training has ended well.
        """
        folder = self.path / "checkpoints"
        if not folder.is_dir():
            return []
        steps = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isascii() and entry.name.isdigit())
        return [(step, self.checkpoint_at(step)) for step in steps]

    def unpublished(self) -> Unpublished:
        """Where an attempt writes its weights until all of them are whole."""
        return Unpublished(self)

    def drop_checkpoint(self) -> None:
        """Deletes the checkpoint and those on the way; outcome and scores keep the hashes of their weights."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def spec(self) -> dict[str, Any] | None:
        """The resolved trial, or None when the folder holds none."""
        return read_json(self.spec_file)

    def write_environment(self, captured: Mapping[str, Any]) -> None:
        """Writes environment.json; that of earlier attempts in another environment is kept under its own hash."""
        before = read_json(self.environment_file) or {}
        if before.get("hash") and before["hash"] != captured["hash"]:
            write_json(self._environment_of(before), before)
        write_json(self.environment_file, captured)
        self._environment_of(captured).unlink(missing_ok=True)

    def _environment_of(self, captured: Mapping[str, Any]) -> Path:
        return self.path / f"environment.{str(captured['hash'])[:12]}.json"

    def environment_files(self) -> list[Path]:
        """environment.json, and those of earlier attempts in other environments."""
        return [self.environment_file, *sorted(self.path.glob("environment.*.json"))]

    def environment_since(self, moment: datetime) -> str | None:
        """The hash in environment.json; None when the file is older, of an earlier attempt in perhaps another place."""
        try:
            if self.environment_file.stat().st_mtime < moment.timestamp() - _CLOCK_TICK_S:
                return None
        except OSError:
            return None
        value = (read_json(self.environment_file) or {}).get("hash")
        return value if isinstance(value, str) else None

    def attempts(self) -> list[Attempt]:
        """Every attempt, first to last."""
        folder = self.path / "attempts"
        if not folder.is_dir():
            return []
        numbers = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isascii() and entry.name.isdigit())
        return [Attempt(folder / str(number), number) for number in numbers]

    def last_attempt(self) -> Attempt | None:
        attempts = self.attempts()
        return attempts[-1] if attempts else None

    def new_attempt(self, run: str | None = None) -> Attempt:
        """Makes the next attempt's folder, and notes the run that it belongs to."""
        last = self.last_attempt()
        number = last.number + 1 if last else 1
        path = self.path / "attempts" / str(number)
        path.mkdir(parents=True)
        attempt = Attempt(path, number)
        if run is not None:
            write_json(attempt.run_file, {"run": run})
        return attempt

    def outcome(self) -> Outcome | None:
        """The outcome that counts: the last `ok` one that nothing disturbed, else the last `ok` one, else the last."""
        outcomes = [outcome for attempt in self.attempts() if (outcome := attempt.outcome())]
        fine = [outcome for outcome in outcomes if outcome.outcome == "ok"]
        quiet = [outcome for outcome in fine if not outcome.disturbed]
        return (quiet or fine or outcomes)[-1] if outcomes else None

    def weights_hash(self) -> str | None:
        """Of the weights that the last `ok` attempt left, which need not be the attempt that counts; None without."""
        left = self._left()
        return left.weights_hash if left else None

    def step_hashes(self) -> dict[int, str]:
        """Of the weights that the same attempt saved on the way, by optimizer step; also of those dropped since."""
        left = self._left()
        return {int(step): found for step, found in left.step_hashes.items()} if left else {}

    def _left(self) -> Outcome | None:
        """The outcome of the last attempt that ended `ok` and left weights."""
        outcomes = [outcome for attempt in self.attempts() if (outcome := attempt.outcome())]
        return next((one for one in reversed(outcomes) if one.outcome == "ok" and one.weights_hash), None)


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Weights beside their places: `publish` moves them there together, so what lies there is whole and of one attempt.

    What a killed attempt left here is deleted by the next one, and by whoever records that it was killed.
    """

    folder: RunFolder

    @property
    def checkpoint(self) -> Path:
        return self.folder.path / "checkpoint.tmp"

    def checkpoint_at(self, step: int) -> Path:
        return self._on_the_way / str(step)

    @property
    def _on_the_way(self) -> Path:
        return self.folder.path / "checkpoints.tmp"

    def clear(self) -> None:
        """Deletes what lies here."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        shutil.rmtree(self._on_the_way, ignore_errors=True)

    def publish(self) -> None:
        """Puts the checkpoint, and those on the way, in the place of an earlier attempt's.

        Killed between two moves it leaves no weights on the way rather than another attempt's.

        Raises:
            OSError: they could not be moved.
        """
        self.folder.drop_checkpoint()
        self.checkpoint.rename(self.folder.checkpoint)
        if self._on_the_way.is_dir():
            self._on_the_way.rename(self.folder.path / "checkpoints")


def suite_folder(results: Path, suite: str) -> Path:
    """Where a suite's run folders lie."""
    return results / suite


def run_folders(results: Path, suite: str | None = None) -> list[RunFolder]:
    """Every run folder (a folder with a spec.json) of one suite or of all, sorted by path."""
    pattern = f"{suite}/*/spec.json" if suite else "*/*/spec.json"
    return [RunFolder(spec.parent) for spec in sorted(results.glob(pattern))]
