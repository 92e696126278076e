"""What the axes of a matrix do: the effect of each level on each metric, and where one changes what another does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # verdicts know of results, and an answer's results hold effects
    from harness.records.verdict import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisEffect:
    """What a level of an axis does to a metric, beside the axis' reference level, all other axes alike.

    `verdict` holds the effect with its interval; where it has none, `why` says what cannot be told. `at`: the level of
    another axis that it holds at; empty: it is the mean over all that were tried. `cells`: how many have either level.
    """

    axis: str
    reference: str
    level: str
    metric: str
    verdict: Verdict
    at: Mapping[str, str] = field(default_factory=dict)
    cells: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Interplay:
    """Whether what one axis does to a metric depends on the level of another.

    `spread` is the largest difference there was between what a level does here and there, and `bound` how large it may
    be (95%, over all such differences at once; of what does not vary, `spread` itself): as shares for ratios, else in
    the metric's unit. `f`, `degrees`, `p`, `p_adjusted`: of the F test; None where there is no test, and where nothing
    could be told at all, which `why` explains, the others too.
    """

    axes: tuple[str, str]
    metric: str
    found: bool
    spread: float | None = None
    bound: float | None = None
    f: float | None = None
    degrees: tuple[int, int] | None = None
    p: float | None = None
    p_adjusted: float | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisEffects:
    """The effects of a whole matrix.

    `axes`: the levels of each axis that were measured, the reference first. `sentences`: what each change does, for
    readers. `behind`: by metric, in words, what its intervals are made from. `left_out`: sentences. `made_up`:
    sentences on what was not measured but invented.
    """

    axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    effects: Sequence[AxisEffect] = ()
    interplays: Sequence[Interplay] = ()
    sentences: Sequence[str] = ()
    behind: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    made_up: Sequence[str] = ()

    def of(self, axis: str, level: str, metric: str) -> AxisEffect | None:
        """The effect of a level over all that was tried; None where there is no such entry."""
        for effect in self.effects:
            if (effect.axis, effect.level, effect.metric) == (axis, level, metric) and not effect.at:
                return effect
        return None
