"""Scores that other run folders of the same results hold already: the same weights are asked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from harness.records.run_folder import RunFolder
from harness.score.scorefiles import folder_name, matches, read_score
from harness.score.subjects import Subject
from harness.score.tally import Item


@dataclass(slots=True)
class Elsewhere:
    """All scores by one backend below a results folder; a task's are read when it is first asked for."""

    results: Path
    backend: str
    _read: dict[str, list[tuple[RunFolder, int | None]]] = field(default_factory=dict)

    def find(self, item: Item, flags: Mapping[str, Any]) -> Item | None:
        """An item with the same weights, tokenizer, task and flags whose score is there."""
        subject = item.subject
        for folder, step in self._of(item.task.name):
            if (folder.path.resolve(), step) == (subject.folder.path.resolve(), subject.step):
                continue
            have = read_score(folder, item.task.name, self.backend, step)
            if (
                have is not None
                and matches(have, task_hash=item.task.hash, weights_hash=subject.weights, flags=flags)
                and subject.tokenizer is not None
                and have.tokenizer_hash == subject.tokenizer
                and (have.canary or {}).get("base_again") is not False
            ):
                name = str((folder.spec() or {}).get("name", folder.path.name))
                there = Subject(
                    folder=folder, name=f"{name} of {folder.path.parent.name}", checkpoint=folder.path, step=step
                )
                return Item(subject=there, task=item.task)
        return None

    def _of(self, task: str) -> list[tuple[RunFolder, int | None]]:
        if task not in self._read:
            ending = escape(folder_name(task, self.backend))
            places = [
                *self.results.glob(f"*/*/scores/{ending}/score.json"),
                *self.results.glob(f"*/*/scores/{ending}@*/score.json"),
            ]
            self._read[task] = [(RunFolder(path.parents[2]), _step(path.parent.name)) for path in sorted(places)]
        return self._read[task]


def _step(name: str) -> int | None:
    step = name.rpartition("@")[2] if "@" in name else ""
    return int(step) if step.isdigit() else None
