"""The trials of a matrix → the effect of every level on every metric, and which axes change each other's effects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.compare.axes.design import Design, Levels, Point, Term
from harness.compare.axes.exact import Cells, beside, by_cell, exact_effect, exact_interplay
from harness.compare.axes.fitted import Change, Fitted, Tested, fitted
from harness.compare.axes.words import sentences_of
from harness.compare.comparison import runs_of
from harness.compare.judging import adjusted, corrected, ruled
from harness.compare.judging.effects import CONFIDENCE, LEAST, quantile
from harness.compare.libraries import owners
from harness.records.effects import AxisEffect, AxisEffects, Interplay
from harness.records.figures import title
from harness.records.metrics import OF_A_METHOD, Margin, Metric, metric
from harness.records.results import TrialResult
from harness.records.verdict import Effect, Verdict

FOUND_BELOW = 0.05
"""Adjusted p of an F test below which two axes are said to interact."""


def axis_effects(
    trials: Sequence[TrialResult],
    axes: Mapping[str, Sequence[str]],
    metrics: Sequence[str],
    *,
    margins: Mapping[str, Margin] | None = None,
    unlike: Sequence[str] = (),
) -> AxisEffects:
    """What each level does to each metric, all other axes alike.

    `axes` has the levels of each axis, the reference first. Cells that set more than the axes are left out. `unlike`:
    metrics that were not taken alike. Verdicts and F tests are each corrected for how many there are (Benjamini &
    Hochberg); an interaction counts where its test says so and it is larger than the metric's margin.
    """
    matrix = [trial for trial in trials if trial.kind == "cell" and trial.levels.keys() == axes.keys()]
    left_out = [*_others(trials, axes), *_failed(matrix)]
    several = sorted({str(trial.method) for trial in matrix if trial.outcome == "ok"})
    taken: list[_Taken] = []
    for name in metrics:
        known = metric(name)
        if known is None or known.better == "none":
            continue
        points, gone = _points(name, matrix)
        left_out += gone
        if name in OF_A_METHOD and len(several) > 1:
            left_out.append(f"{title(name)}: cells train by {' and '.join(several)}, and each has a loss of its own")
        elif name in unlike:
            left_out.append(f"{title(name)}: it was not scored alike in all cells")
        elif points:
            taken += _take(known, points, axes, (margins or {}).get(name, known.margin), left_out)
    interplays = _corrected([one for each in taken for one in each.interplays()])
    effects = _judged([effect for each in taken for effect in each.effects(interplays)])
    shown = {axis: _seen(levels, axis, matrix) for axis, levels in axes.items()}
    kept = {axis: levels for axis, levels in shown.items() if len(levels) > 1}
    return AxisEffects(
        axes=kept,
        metrics=tuple(each.metric.name for each in taken),
        effects=effects,
        interplays=interplays,
        sentences=tuple(sentences_of(kept, effects, interplays)),
        behind={each.metric.name: words for each in taken if (words := each.behind())},
        left_out=tuple(dict.fromkeys(left_out)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Taken:
    """One metric's runs, as they are fitted (`fit`) or, where they hardly vary, set beside each other (`cells`)."""

    metric: Metric
    margin: Margin
    points: Sequence[Point]
    design: Design
    fit: Fitted | None = None
    cells: Cells | None = None

    @property
    def on_logs(self) -> bool:
        return self.metric.judged != "difference"

    def behind(self) -> str:
        if self.fit is None:
            return "the range over runs and cells; the most over runs counts"
        if self.fit.error is None:
            return ""
        free = self.fit.error.degrees
        which = ", on these documents alone" if self.metric.name.startswith("score.") else ""
        return f"{self.fit.error.words}{which} ({free} {'degree' if free == 1 else 'degrees'} of freedom)"

    def interplays(self) -> Iterator[Interplay]:
        """Each pair of axes; not yet corrected. Without a test, two changes that are each known to within the margin
        must differ by more than twice as much.
        """
        if self.fit is not None:
            tested: Sequence[Tested] = self.fit.tested
        else:
            fewest = LEAST if self.metric.varies else 1
            tested = [exact_interplay(self.design, self.cells or {}, pair, fewest) for pair in self.design.pairs()]
        for one in tested:
            yield Interplay(
                axes=(one.pair[0], one.pair[1]),
                metric=self.metric.name,
                found=not one.why
                and (one.spread > self._bound() if self.cells is None else one.least > 2 * self._bound()),
                spread=None if one.why else self._said(one.spread),
                bound=None if one.bound is None else self._said(one.bound),
                f=one.f,
                degrees=one.degrees,
                p=one.p,
                why=one.why,
            )

    def _bound(self) -> float:
        """The metric's margin on the scale that is fitted."""
        values = [point.y for point in self.points]
        if not self.on_logs:
            return self.margin.of(math.fsum(values) / len(values))
        if self.cells is not None:
            logs = [math.log(value) for value in values if value > 0]
            middle = math.exp(math.fsum(logs) / len(logs)) if logs else 1.0
        else:
            middle = math.exp(math.fsum(values) / len(values))
        return math.log1p(self.margin.of(middle) / middle)

    def _said(self, value: float) -> float:
        return math.expm1(value) if self.on_logs else value

    def effects(self, interplays: Sequence[Interplay]) -> Iterator[AxisEffect]:
        """Each level over all that was tried, then at each level of what changes its effect."""
        found = [one.axes for one in interplays if one.found and one.metric == self.metric.name]
        for axis, levels in self.design.axes.items():
            partners = [pair[1] if pair[0] == axis else pair[0] for pair in found if axis in pair]
            for level in levels[1:]:
                yield self._effect(axis, level, {}, found)
                for partner in partners:
                    for there in self.design.axes[partner]:
                        yield self._effect(axis, level, {partner: there}, found)

    def _effect(self, axis: str, level: str, at: Levels, found: Sequence[Term]) -> AxisEffect:
        reference = self.design.axes[axis][0]
        if self.fit is not None:
            told = self.fit.change(axis, level, found, self.fit.model(found), at)
            verdict = self._verdict(told if isinstance(told, str) else self._interval(axis, level, at, told))
        else:
            verdict = self._exact(axis, level, at, self.cells or {})
        return AxisEffect(
            axis=axis,
            reference=reference,
            level=level,
            metric=self.metric.name,
            verdict=verdict,
            at=dict(at),
            cells=self._cells(axis, (reference, level), at),
        )

    def _cells(self, axis: str, levels: Sequence[str], at: Levels) -> int:
        return len({tuple(point.levels.values()) for level in levels for point in self._of(axis, level, at)})

    def _of(self, axis: str, level: str, at: Levels) -> list[Point]:
        return [
            point
            for point in self.points
            if point.levels[axis] == level and all(point.levels[name] == one for name, one in at.items())
        ]

    def _interval(self, axis: str, level: str, at: Levels, told: Change) -> Effect:
        before, after = self._of(axis, self.design.axes[axis][0], at), self._of(axis, level, at)
        half = quantile((1 + CONFIDENCE) / 2, told.degrees) * told.error if told.error else 0.0
        middle = math.fsum(point.y for point in before) / len(before)
        value, low, high = told.value, told.value - half, told.value + half
        if self.on_logs:
            value, low, high, middle = (math.exp(one) for one in (value, low, high, middle))
        return Effect(
            kind="ratio" if self.on_logs else "difference",
            value=value,
            low=low,
            high=high,
            n=(len(before), len(after)),
            reference=middle,
            how=f"least squares{' on logs' if self.on_logs else ''}",
            error=told.error,
            degrees=float(told.degrees),
        )

    def _exact(self, axis: str, level: str, at: Levels, cells: Cells) -> Verdict:
        """Of the mean over pairs of cells, which is what it is between each two of them: where these differ, their
        range tells of other axes and not of chance, and one that saves and one that costs are no change on average.
        """
        pairs = list(beside(self.design, cells, axis, level, at))
        verdict = self._verdict(exact_effect(pairs) if pairs else f"no two cells differ in {axis} alone")
        if not pairs:
            return verdict
        if self.metric.varies and any(len(runs) < LEAST for pair in pairs for runs in pair):
            return replace(verdict, ruling="inconclusive", why=f"runs vary, and it takes {LEAST} of each cell")
        first, *others = (self._verdict(exact_effect([one])) for one in pairs)
        if all(one.ruling == first.ruling for one in others):
            why = verdict.why or first.why
            return replace(verdict, ruling=first.ruling, why=why if first.ruling == "inconclusive" else "")
        return replace(verdict, ruling="inconclusive", why="not the same between each two cells")

    def _verdict(self, effect: Effect | str) -> Verdict:
        if isinstance(effect, str):
            return Verdict(metric=self.metric.name, ruling="insufficient", better=self.metric.better, why=effect)
        return ruled(self.metric.name, effect, self.margin, self.metric.better)


def _take(
    known: Metric, points: Sequence[Point], axes: Mapping[str, Sequence[str]], margin: Margin, left_out: list[str]
) -> list[_Taken]:
    """The metric made ready, or nothing, with the reason in `left_out`."""
    seen = {axis: _seen(levels, axis, points) for axis, levels in axes.items()}
    varied = {axis: levels for axis, levels in seen.items() if len(levels) > 1}
    if not varied:
        return []
    if known.judged == "most":
        design = Design(axes=varied)
        return [_Taken(metric=known, margin=margin, points=points, design=design, cells=by_cell(design, points))]
    if known.judged == "ratio":
        if min(point.y for point in points) <= 0:
            left_out.append(f"{title(known.name)}: a ratio takes figures above 0")
            return []
        points = [replace(point, y=math.log(point.y)) for point in points]
    design = Design(axes=varied, seeds=_shared_seeds(points) if known.judged == "difference" else ())
    return [_Taken(metric=known, margin=margin, points=points, design=design, fit=fitted(design, points))]


def _shared_seeds(points: Sequence[Point]) -> tuple[int, ...]:
    """The seeds where every one of them is in several cells: what a seed brings to all cells is no error then."""
    cells = Counter(point.seed for point in points)
    return tuple(sorted(cells)) if len(cells) > 1 and min(cells.values()) > 1 else ()


def _seen(levels: Sequence[str], axis: str, measured: Sequence[TrialResult] | Sequence[Point]) -> tuple[str, ...]:
    there = {one.levels[axis] for one in measured if isinstance(one, Point) or one.outcome == "ok"}
    return tuple(level for level in levels if level in there)


def _points(name: str, matrix: Sequence[TrialResult]) -> tuple[list[Point], list[str]]:
    """The runs that count, and what is said of those that do not."""
    points, disturbed, odd = [], 0, 0
    alone = owners(name, matrix)
    for trial in matrix:
        if trial in alone:
            continue
        for run in runs_of([trial], name):
            if not math.isfinite(run.value):
                odd += 1
            elif run.disturbed:
                disturbed += 1
            else:
                points.append(Point(levels=trial.levels, seed=trial.seed, y=run.value))
    gone = [(odd, "not a finite number"), (disturbed, "disturbed"), (len(alone), "of workers with their own libraries")]
    return points, [f"{title(name)}: {_runs(count)} {why}" for count, why in gone if count]


def _runs(count: int) -> str:
    return f"{count} {'run is' if count == 1 else 'runs are'}"


def _others(trials: Sequence[TrialResult], axes: Mapping[str, Sequence[str]]) -> list[str]:
    names = list(
        dict.fromkeys(
            trial.cell_name for trial in trials if trial.kind == "cell" and trial.levels.keys() != axes.keys()
        )
    )
    if not names:
        return []
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [f"{shown}: set more than the axes, or not all of them"]


def _failed(matrix: Sequence[TrialResult]) -> list[str]:
    outcomes = Counter(trial.outcome or "not run" for trial in matrix if trial.outcome != "ok")
    if not outcomes or not any(trial.outcome == "ok" for trial in matrix):
        return []
    return [f"{', '.join(f'{count} {name}' for name, count in outcomes.most_common())}: trials without figures"]


def _corrected(interplays: Sequence[Interplay]) -> tuple[Interplay, ...]:
    """Those with a test are found only where it says so, corrected for how many there are."""
    ps = iter(adjusted([one.p for one in interplays if one.p is not None]))
    made = []
    for one in interplays:
        if one.p is None:
            made.append(one)
        else:
            p = next(ps)
            made.append(replace(one, p_adjusted=p, found=one.found and p <= FOUND_BELOW))
    return tuple(made)


def _judged(effects: Sequence[AxisEffect]) -> tuple[AxisEffect, ...]:
    verdicts = corrected([effect.verdict for effect in effects])
    return tuple(replace(effect, verdict=verdict) for effect, verdict in zip(effects, verdicts, strict=True))
