"""A trial's weights on disk: those it ends with, and those of steps on the way that are to be scored.

All are written beside their places and moved there at the very end (`Unpublished`), so an attempt that fails, is killed
or finds the disk full leaves what an earlier one had put there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.records.run_folder import RunFolder


class Saving:
    """Writes the weights of one attempt; `base` says how an adapter's base is rebuilt (see `harness.models.save`).

    `weights_hash` and `step_hashes` are of what has been written so far, the latter by optimizer step.
    """

    def __init__(self, folder: RunFolder, tokenizer: Any, base: Mapping[str, Any]) -> None:
        self.weights_hash: str | None = None
        self.step_hashes: dict[str, str] = {}
        self._folder = folder
        self._places = folder.unpublished()
        self._tokenizer = tokenizer
        self._base = dict(base)

    def on_the_way(self, trainer: Any, *, main: bool) -> None:
        """Takes the place of the trainer's own checkpoints, which hold its optimizer and are no use for scoring.

        When it saves is the trainer's to say. The weights of its last step are left to `at_end`. To be called before
        `harness.measure.attach`, which keeps the time of saving out of the steps.
        """

        def save(model: Any, trial: Any) -> None:
            if trainer.state.global_step >= trainer.state.max_steps:
                return
            if main:
                self._save_step(trainer.accelerator.unwrap_model(trainer.model), trainer.state.global_step)
            trainer.accelerator.wait_for_everyone()  # else the others' next step waits for it, and is timed

        trainer._save_checkpoint = save

    def at_end(self, model: Any) -> None:
        """Writes the weights that training ended with."""
        self.weights_hash = self._write(model, self._places.checkpoint)

    def publish(self) -> None:
        """Puts all weights of the attempt in place."""
        self._places.publish()

    def _save_step(self, model: Any, step: int) -> None:
        self.step_hashes[str(step)] = self._write(model, self._places.checkpoint_at(step))

    def _write(self, model: Any, folder: Path) -> str:
        """Writes a checkpoint and waits for the disk: written behind training's back it would slow the steps after."""
        from peft import PeftModel

        from harness.models import save, weights_hash

        base = self._looked_up() if isinstance(model, PeftModel) else None
        shutil.rmtree(folder, ignore_errors=True)
        save(model, self._tokenizer, folder, base)
        for path in folder.rglob("*"):
            if path.is_file():
                _flush(path)
        return weights_hash(folder)

    def _looked_up(self) -> Mapping[str, Any]:
        """The base with its hashes, which take reading all of its weights: once for all steps."""
        from harness.models import identity, weights_hash

        if "identity" not in self._base:
            start = self._base.get("start")
            self._base["identity"] = identity(self._base["model"], Path(self._base["root"]))
            self._base["start_weights"] = weights_hash(Path(start)) if start else None
        return self._base


def _flush(path: Path) -> None:
    """Waits until the file is on disk.

    Raises:
        OSError: it cannot be, as where the disk is full.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
