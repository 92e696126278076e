"""The job file: all that the scoring child is told; and the lines it tells back.

Lines on the progress pipe are JSON objects with `kind`:

    ready    lm-eval is imported
    open     folder                       a checkpoint is being loaded
    start    folder, task
    done     folder, task, metrics
    failed   folder, task, cause          the child goes on with the next
    end      nothing is left to do
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.records.run_folder import read_json, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTask:
    """A task to be scored, by the path of its YAML file."""

    name: str
    path: str
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCheckpoint:
    """A run folder whose checkpoint is scored on `tasks` (names)."""

    folder: str
    weights_hash: str | None
    tasks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One child's work. `flags` are those of `harness.records.score.Score`."""

    backend: str
    opener: str
    flags: Mapping[str, Any]
    tasks: tuple[JobTask, ...]
    checkpoints: tuple[JobCheckpoint, ...]

    def write(self, path: Path) -> None:
        """Writes the job file."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Job:
        """The job of a job file.

        Raises:
            InputError: the file is missing or no job.
        """
        value = read_json(path)
        try:
            if value is None:
                raise KeyError(str(path))
            tasks = tuple(JobTask(**task) for task in value.pop("tasks"))
            checkpoints = tuple(
                JobCheckpoint(**{**checkpoint, "tasks": tuple(checkpoint["tasks"])})
                for checkpoint in value.pop("checkpoints")
            )
            return cls(tasks=tasks, checkpoints=checkpoints, **value)
        except (KeyError, TypeError) as error:
            raise InputError.of(f"{path} is not a scoring job", why=str(error)) from error
