"""Trains a trial as a worker does, and writes down what this process's data loader handed out: for test_processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder
from tests.unit.measure.trained import Batch, Loader


def train(folder: RunFolder, attempt: Attempt) -> Outcome:
    """`run_trial`, its batches kept in `batches.<rank>.json` of the run folder."""
    import transformers

    from harness.worker.trial import run_trial

    batches: list[Batch] = []
    make = transformers.Trainer.get_train_dataloader
    transformers.Trainer.get_train_dataloader = lambda trainer: Loader(make(trainer), batches)
    outcome = run_trial(folder, attempt)
    (folder.path / f"batches.{os.environ['RANK']}.json").write_text(json.dumps(batches))
    return outcome


def dies(folder: RunFolder, attempt: Attempt) -> Outcome:
    """The same, but the second process is killed in the middle of its training."""
    return _failing(folder, attempt, lambda: os._exit(9))


def runs_out(folder: RunFolder, attempt: Attempt) -> Outcome:
    """The same, but the second process asks for more memory than there is."""
    import torch

    return _failing(folder, attempt, lambda: torch.empty(2**50))


def _failing(folder: RunFolder, attempt: Attempt, fail: Callable[[], Any]) -> Outcome:
    import transformers

    step = transformers.Trainer.training_step

    def stepping(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        if attempt.rank and trainer.state.global_step == 3:
            fail()
        return step(trainer, *args, **kwargs)

    transformers.Trainer.training_step = stepping
    return train(folder, attempt)
