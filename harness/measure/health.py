"""The health of a training, read from its curves: what an expert would point at, with the step where it began.

Pure and light: events in, findings out. The rules are robust ones (medians, not means) because logged losses are noisy
and a batch is not a trend; each threshold is a constant here and is explained in `docs/measuring.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from statistics import mean, median
from typing import Any, Literal

from harness.measure.divergence import FINDING as DIVERGED
from harness.measure.noise import SIGMA, Point, mad, of_neighbours
from harness.measure.spikes import spikes
from harness.records.events import Event
from harness.records.results import Finding

FEWEST = 10
"""Logged values below which nothing is said of a trend."""
GRADIENTS = (0.1, 10.0)
GRADIENT_ALARM = 100.0
FLAT = 0.01
"""A loss has to fall, and a reward margin to grow, by this share of itself."""
TELLING = 0.1
"""That a loss did not fall is said only where a fall by this share would show in its noise."""
BLOWN, BLOWN_SIGMAS = 2.0, 3.0
"""A loss that ends at so many times its first logged value, and so many deviations above it, has risen, however early
it did: a first log that is merely a lucky batch lies within those."""
RISE = 0.05
"""An evaluation loss has to rise by this share above its lowest."""
WAVERING = 8
"""Evaluations from which their own noise can be told from a bend: of fewer, second differences are mostly the bend."""
CHANCE = 0.55
"""Accuracy of rewards up to which a preference training has learned nothing to speak of; chance is 0.5."""
LEARNED = 0.65
"""Accuracy of one that has learned: chance is told only of accuracies two standard errors below it."""
_MOST_SPIKES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What the checks look at: finite values by name, where the first other one was, and how the steps went."""

    finite: Mapping[str, Sequence[Point]]
    broken: Mapping[str, Point]
    warmup: int  # the last step of it
    steps: Sequence[Event] = ()
    diverged: float = math.inf  # the step of that finding, which was made while it ran
    half: bool = False  # fp16 with loss scaling, where infinite gradient norms are in order

    def of(self, name: str) -> Sequence[Point]:
        """The finite values of one curve, in order."""
        return self.finite.get(name, ())


def findings(events: Iterable[Event]) -> list[Finding]:
    """What the curves of one attempt show; empty for a healthy training and for one too short to tell."""
    training = read(events)
    return [finding for check in CHECKS for finding in check(training)]


def read(events: Iterable[Event]) -> Training:
    """The curves of an attempt's events."""
    curves = _Curves()
    for event in events:
        curves.add(event)
    return Training(
        finite=curves.finite,
        broken=curves.broken,
        warmup=_warmup(curves.steps),
        steps=curves.steps,
        diverged=curves.diverged,
        half=curves.half,
    )


def _warmup(steps: Sequence[Event]) -> int:
    """The last step before the measured window; a step after it that one of several processes lacks is no warm-up."""
    before = takewhile(lambda step: not step.get("measured", True), steps)
    return max((int(step["step"]) for step in before), default=0)


@dataclass(slots=True)
class _Curves:
    finite: dict[str, list[Point]] = field(default_factory=dict)
    broken: dict[str, Point] = field(default_factory=dict)
    steps: list[Event] = field(default_factory=list)
    diverged: float = math.inf
    half: bool = False

    def add(self, event: Event) -> None:
        kind = event.get("kind")
        if kind == "log":
            self._log(event)
        elif kind == "step":
            self.steps.append(event)
        elif kind == "finding":
            if event.get("name") == DIVERGED:
                self.diverged = min(self.diverged, float(event.get("step") or 0))
        elif kind == "active":
            self.half = self.half or event.get("values", {}).get("mixed_precision") == "fp16"

    def _log(self, event: Event) -> None:
        step = int(event.get("step") or 0)
        for name, said in event.get("values", {}).items():
            value = _figure(said)
            if value is None:
                continue
            if math.isfinite(value):
                self.finite.setdefault(name, []).append(Point(step, value))
            else:
                self.broken.setdefault(name, Point(step, value))


def _figure(value: Any) -> float | None:
    """A logged number, also one written as "NaN"; None for what is none."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _spikes(training: Training) -> Iterator[Finding]:
    found = spikes(training.of("loss"))
    for spike in found[:_MOST_SPIKES]:
        text = f"the loss jumped to {spike.value:.4g}, from a median of {spike.before:.4g} in the logs before"
        yield _finding("loss_spike", spike.step, "warning", text)
    if len(found) > _MOST_SPIKES:
        rest = found[_MOST_SPIKES:]
        highest = max(spike.value for spike in rest)
        yield _finding("loss_spike", rest[0].step, "warning", f"{len(rest)} more spikes, up to {highest:.4g}")


def _not_finite(training: Training) -> Iterator[Finding]:
    for name, point in training.broken.items():
        if (name == "grad_norm" and training.half) or point.step >= training.diverged:
            continue  # what follows from a divergence is no finding of its own
        yield _finding("not_finite", point.step, "warning", f"{name} became {point.value}")


def _loss(training: Training) -> Iterator[Finding]:
    """Nothing to learn from, nothing trained, or a loss that does not fall: the first of these that holds."""
    points = training.of("loss")
    values = [point.value for point in points]
    if values and not any(values[:FEWEST]):
        yield _finding(
            "loss_zero", points[0].step, "warning", "the loss is 0 from the start: perhaps every label is masked"
        )
    elif len(values) >= FEWEST and len(set(values)) == 1:
        text = f"the loss is exactly {values[0]:.4g} in all {len(values)} logs: nothing was trained"
        yield _finding("loss_constant", points[0].step, "warning", text)
    elif not _without_rate(training):
        yield from _falling(points)


def _falling(points: Sequence[Point]) -> Iterator[Finding]:
    if (risen := _risen(points)) is not None:
        step, text = risen
        yield _finding("loss_rose", step, "warning", text)
    elif (compared := _ends(points)) is not None:
        first, last, noise, began = compared
        if last > first - FLAT * abs(first) and first - last + noise < TELLING * abs(first):
            how = f"fell by less than {FLAT:.0%}" if last < first else "did not fall"
            text = f"the loss {how}: {_medians(first, last)}, give or take {noise:.2g}"
            yield _finding("loss_not_falling", began, "info", text)


def _risen(points: Sequence[Point]) -> tuple[int, str] | None:
    """Step and text where a loss rose from its beginning to its end."""
    compared = _ends(points)
    if compared is None:
        return None
    first, last, noise, began = compared
    begun = points[0].value
    if last > first + max(noise, FLAT * abs(first)):
        return began, f"the loss rose: {_medians(first, last)}"
    if 0 < BLOWN * begun < last and math.log(last) - math.log(begun) > _scatter(points, began):
        # One that blew up within the first steps stands as high in the first fifth as in the last, or higher.
        step = next(point.step for point in points if point.value > BLOWN * begun)
        return step, f"the loss rose: median {last:.4g} in the last fifth of the logs, {begun:.4g} in the first log"
    return None


def _medians(first: float, last: float) -> str:
    return f"median {last:.4g} in the last fifth of the logs, {first:.4g} in the first"


def _scatter(points: Sequence[Point], began: int) -> float:
    """How far the logarithm of a loss from the step `began` on may lie from their median by chance."""
    return (
        BLOWN_SIGMAS
        * SIGMA
        * mad([math.log(point.value) for point in points if point.step >= began and point.value > 0])
    )


def _ends(points: Sequence[Point]) -> tuple[float, float, float, int] | None:
    """Median of the first fifth and of the last, twice the standard error of their difference, the last one's step."""
    if len(points) < FEWEST:
        return None
    wide = max(3, len(points) // 5)
    first, last = ([point.value for point in part] for part in (points[:wide], points[-wide:]))
    # The standard error of a median of normal values is √(π/2) that of their mean. A few may lie close by chance.
    apart = of_neighbours([point.value for point in points])
    deviation = max(SIGMA * math.hypot(mad(first), mad(last)), math.sqrt(2) * apart)
    return median(first), median(last), 2 * math.sqrt(math.pi / 2 / wide) * deviation, points[-wide].step


def _without_rate(training: Training) -> bool:
    rates = training.of("learning_rate")
    return len(rates) > 1 and not any(point.value for point in rates)


def _rate(training: Training) -> Iterator[Finding]:
    if _without_rate(training):
        rates = training.of("learning_rate")
        text = f"the learning rate is 0 in all {len(rates)} logs: nothing was trained"
        yield _finding("learning_rate_zero", rates[0].step, "warning", text)


def _gradients(training: Training) -> Iterator[Finding]:
    points = [point for point in training.of("grad_norm") if point.step > training.warmup]
    low, high = GRADIENTS
    alarming = [point for point in points if point.value > GRADIENT_ALARM]
    large = [point for point in points if high < point.value <= GRADIENT_ALARM]
    small = [point for point in points if point.value < low]
    if alarming:
        text = _outside(f"above {GRADIENT_ALARM:g}", alarming, points, max(alarming, key=_value))
        yield _finding("gradient_norm", alarming[0].step, "warning", text)
    if large:
        text = _outside(f"between {high:g} and {GRADIENT_ALARM:g}", large, points, max(large, key=_value))
        yield _finding("gradient_norm", large[0].step, "info", text)
    if small:
        text = _outside(f"below {low:g}", small, points, min(small, key=_value))
        yield _finding("gradient_norm", small[0].step, "info", text)


def _outside(where: str, some: Sequence[Point], points: Sequence[Point], worst: Point) -> str:
    often = f"in {len(some)} of {len(points)} logs after warm-up"
    return f"the gradient norm is {where} {often}; {worst.value:.4g} at step {worst.step}"


def _value(point: Point) -> float:
    return point.value


def _evaluation(training: Training) -> Iterator[Finding]:
    """The evaluation loss leaves its lowest point for good while the training loss keeps falling."""
    evals, losses = training.of("eval_loss"), training.of("loss")
    if len(evals) < 3 or len(losses) < 2:
        return
    best = min(range(len(evals)), key=lambda place: evals[place].value)
    lowest, after = evals[best].value, [point.value for point in evals[best + 1 :]]
    if len(after) < 2 or after[-1] <= lowest + RISE * abs(lowest) or after[-1] < after[0]:
        return
    # the lowest of several is low by luck, and one high evaluation is no rise: the last two have to stand out of noise
    if mean(after[-2:]) <= lowest + max(RISE * abs(lowest), 4 * _wavering([point.value for point in evals])):
        return
    if _risen(losses) is not None:
        return  # the training itself went wrong: it knows less of the rows that it trains on, too
    before = sum(point.step <= evals[best].step for point in losses)
    wide = max(1, (len(losses) - before) // 3)
    first = max(0, before - wide)  # the logs next to the lowest evaluation: those before it, where there are as many
    then, late = ([point.value for point in part] for part in (losses[first : first + wide], losses[-wide:]))
    if len(losses) > before and median(late) < median(then) - FLAT * abs(median(then)):
        text = (
            f"the evaluation loss rose from {lowest:.4g} to {after[-1]:.4g} "
            f"while the training loss fell from {median(then):.4g} to {median(late):.4g}"
        )
        yield _finding("overfitting", evals[best].step, "warning", text)


def _wavering(values: Sequence[float]) -> float:
    """The standard deviation of noise about a curve, robustly, from second differences; 0 where they are too few."""
    if len(values) < WAVERING:
        return 0.0
    bends = [abs(one - 2 * two + three) for one, two, three in zip(values, values[1:], values[2:], strict=False)]
    return SIGMA * median(bends) / math.sqrt(6)


def _rewards(training: Training) -> Iterator[Finding]:
    if _without_rate(training):  # a policy that is still its reference ties every pair: no answer wins, none loses
        return
    margins, accuracies = training.of("rewards/margins"), training.of("rewards/accuracies")
    compared = _ends(margins)
    if compared is not None and not _grew(*compared[:3]):
        first, last, noise, began = compared
        how = f" by more than chance would have it, {noise:.4g}" if last > first + FLAT * abs(first) else ""
        text = f"the reward margin does not grow{how}: {_medians(first, last)}"
        nothing = max(abs(first), abs(last - first)) <= noise  # it began at nothing, and what came of it is not known
        yield _finding("reward_margin", began, "info" if nothing else "warning", text)
    if (broken := training.broken.get("rewards/margins")) is not None:  # no comparison with a NaN comes out true
        accuracies = [point for point in accuracies if point.step < broken.step]
    if len(accuracies) >= FEWEST:
        late = accuracies[-(len(accuracies) // 3) :]
        share = mean(point.value for point in late)  # exact: neither rounding nor an overflow of nonsense decides
        if share <= min(CHANCE, LEARNED - 2 * _error(accuracies, len(late))):
            text = f"the chosen answer wins in {share:.0%} of the pairs of the last third of the logs; chance is 50%"
            yield _finding("reward_accuracy", late[0].step, "warning", text)


def _error(points: Sequence[Point], count: int) -> float:
    """Standard error of a mean of so many of them, by the distances of neighbours: a trend hardly counts in it."""
    apart = math.hypot(*(after.value - before.value for before, after in pairwise(points)))
    return apart / math.sqrt(2 * (len(points) - 1) * count)


def _grew(first: float, last: float, noise: float) -> bool:
    """By a hundredth of itself; and out of the noise, for margins that begin at nothing as DPO's do."""
    return last > first + FLAT * abs(first) and (last - first > noise or abs(first) > noise)


def _finding(name: str, step: int, level: Literal["info", "warning"], text: str) -> Finding:
    return Finding(name=name, step=step, level=level, text=text)


CHECKS: tuple[Callable[[Training], Iterator[Finding]], ...] = (
    _not_finite,
    _loss,
    _spikes,
    _rate,
    _gradients,
    _evaluation,
    _rewards,
)
"""Every check, the gravest first. A new one is a function and an entry here."""
