"""The trainer's own log, as it logs it: loss, gradient norm, learning rate, rewards, evaluation loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.measure.probe import Probe

# Hugging Face's speeds count start-up, evaluation and saving; ours come from the measured window.
_LEFT_OUT = ("_runtime", "_per_second", "total_flos")


class Curves(Probe):
    """Records every number of every log."""

    def logged(self, step: int, values: Mapping[str, Any]) -> None:
        kept = {name: float(value) for name, value in values.items() if _is_curve(name, value)}
        if kept:
            self.recorder.add("log", step=step, values=kept)


def _is_curve(name: str, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not name.endswith(_LEFT_OUT)
