"""Which of a trial's memory samples are kept: few on disk however long it runs, and no peak lost.

Every sample tells the peaks since the one before it, so samples may grow sparse. The gap doubles after `FIRST` samples
and after every `THEN` more, which makes 256 + 128 · log2(duration ÷ 512 s) of them: about 1,200 in a day, 1,800 in a
month, and never is a gap longer than a hundredth of the trial so far (or two seconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST = 256
THEN = 128
EDGES = 32
"""So many edges of phases inside one phase are sampled for themselves (evaluations within training)."""


@dataclass(slots=True)
class Pace:
    """How long to wait for the next sample."""

    gap_s: float
    left: int = FIRST

    def seconds(self) -> float:
        """The gap as it is now."""
        return self.gap_s

    def take(self) -> float:
        """A sample is taken; returns the gap before the next."""
        self.left -= 1
        if self.left <= 0:
            self.gap_s *= 2
            self.left = THEN
        return self.gap_s


@dataclass(slots=True)
class Edges:
    """Samples at the edges of phases: the first `EDGES`, then those alone that hold a new highest peak."""

    taken: int = 0
    highest: dict[str, int] = field(default_factory=dict)

    def says(self, values: Mapping[str, int]) -> bool:
        """Whether this sample says anything that an earlier one does not."""
        higher = {
            name: value
            for name, value in values.items()
            if name.endswith("_peak") and value > self.highest.get(name, -1)
        }
        self.highest.update(higher)
        self.taken += 1
        return bool(higher) or self.taken <= EDGES
