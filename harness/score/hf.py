"""The hf backend: transformers under lm-eval's own `HFLM`. Imported by the scoring child alone.

Its figures are those of `lm_eval --model hf` with the same batch size, to the last digit: the same weights in the same
dtype (lm-eval's `dtype=auto`), adapters beside their base as with `peft=`. The number of threads moves no digit of
small models; another batch size pads otherwise and moves log-probabilities by some 1e-5 nats.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from harness import models
from harness.score.encoding import Watched
from harness.score.jobs import Job, JobCheckpoint
from harness.score.opened import Opened, changes_nothing

_SMALL = 20_000_000
"""Parameters below which one CPU thread is as fast as several. Several wait for each other in every operation of a
small model: 1.0 s of CPU for two tasks became 12 s of it and 39 s of wall time on a machine with other work to do."""


def _nothing(*_: Any, **__: Any) -> None:
    """What is done already."""


class _Model(Watched, HFLM):
    """lm-eval's own transformers model, and nothing of its figures changed."""


class HfOpener:
    """Loads one checkpoint after the other; the earlier one's memory is given back first."""

    def __init__(self, job: Job) -> None:
        self._batch_size = int(job.flags["batch_size"])
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._threads = torch.get_num_threads()

    @contextmanager
    def open(self, checkpoint: JobCheckpoint) -> Iterator[Opened]:
        """The checkpoint, loaded for itself alone."""
        folder = Path(checkpoint.checkpoint)
        with self.lm(folder) as lm:
            bare = getattr(lm.model, "disable_adapter", None)  # PEFT's, of an adapter beside its base
            yield Opened(lm=lm, served="loaded", null=changes_nothing(folder), bare=bare)

    def base(self, checkpoint: JobCheckpoint) -> None:
        """None: it is asked with the adapter beside it, once that is loaded."""

    def again(self, checkpoint: JobCheckpoint) -> None:
        """None: there is one way alone."""

    def first(self) -> None:
        """None: nothing is shared."""

    def lives(self) -> bool:
        """Always: what one checkpoint raised does not concern the next."""
        return True

    def close(self) -> None:
        """Nothing is left to be given back."""

    @contextmanager
    def lm(self, checkpoint: Path) -> Iterator[Any]:
        """lm-eval's model object over the checkpoint."""
        model, tokenizer = models.open_checkpoint(checkpoint, device=self._device)
        if self._device == "cpu":
            torch.set_num_threads(1 if model.num_parameters() < _SMALL else self._threads)
        # lm-eval ties what shares weights. They were tied when they were loaded; an adapter that stands between them
        # since then (on the output layer) makes doing it again fail.
        model.tie_weights = _nothing
        lm = _Model(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=self._batch_size)
        try:
            with torch.inference_mode():
                yield lm
        finally:
            del lm, model
            gc.collect()
            if self._device == "cuda":
                torch.cuda.empty_cache()
