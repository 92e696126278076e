"""The job file: all that the scoring child is told; and the lines it tells back.

Lines on the progress pipe are JSON objects with `kind`; `checkpoint` is `JobCheckpoint.key`:

    ready    lm-eval is imported
    doing    text                         what takes its time now: an engine that starts
    open     checkpoint                   it is being loaded
    start    checkpoint, task
    done     checkpoint, task, metrics
    failed   checkpoint, task, cause      the child goes on with the next
    crashed  checkpoint, task, cause      the engine died of it: the child ends, and another one goes on
    end      nothing is left to do
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.records.run_folder import read_json, write_json
from harness.score.preflight import Way


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTask:
    """A task to be scored, by the path of its YAML file."""

    name: str
    path: str
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCheckpoint:
    """The weights in `checkpoint`, to be scored on `tasks` (names); the scores go into `folder`, a run folder.

    `step` is the optimizer step of weights that are not those training ended with. `way`, `why`, `base`, `rank` and
    `modules` are those of `harness.score.preflight.Preflight`, `arguments` those of `harness.score.subjects.Subject`.
    """

    folder: str
    checkpoint: str
    weights_hash: str | None
    tasks: tuple[str, ...]
    name: str = ""
    step: int | None = None
    tokenizer_hash: str | None = None
    way: Way = "full"
    why: str | None = None
    base: Mapping[str, Any] | None = None
    rank: int = 0
    modules: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What it is called in progress lines."""
        return key_of(self.folder, self.step)


def key_of(folder: str, step: int | None) -> str:
    """What the weights of a run folder are called in progress lines: the folder, and the step if training went on."""
    return folder if step is None else f"{folder}@{step}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One child's work. `flags` are those of `harness.records.score.Score`; `root` is what data paths are relative to.

    `environment` and `notes` are recorded with every score. With `parity` (a number of documents) nothing is scored
    anew: the documents are asked again of this backend, and what differs from the scores by the backend `parity_of` is
    written into those. `overlaps` are run folders and tasks whose overlap with the training is not known yet. `out` is
    a folder that also gets the files which lm-eval's own command would write: see `harness.score.outfiles`.
    """

    backend: str
    opener: str
    flags: Mapping[str, Any]
    tasks: tuple[JobTask, ...]
    checkpoints: tuple[JobCheckpoint, ...]
    engine: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    parity: int | None = None
    parity_of: str | None = None
    overlaps: tuple[tuple[str, str], ...] = ()
    root: str | None = None
    out: str | None = None
    scratch: str | None = None

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
                JobCheckpoint(**{**one, "tasks": tuple(one["tasks"]), "modules": tuple(one.get("modules") or ())})
                for one in value.pop("checkpoints")
            )
            overlaps = tuple((folder, task) for folder, task in value.pop("overlaps", ()))
            notes = tuple(value.pop("notes", ()))
            return cls(tasks=tasks, checkpoints=checkpoints, overlaps=overlaps, notes=notes, **value)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError.of(f"{path} is not a scoring job", why=str(error)) from error
