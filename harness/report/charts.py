"""The charts of a report: what there is to draw, and each as SVG text. matplotlib is imported only when drawing."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.figures import title
from harness.records.results import Answer
from harness.report import breakdown, cost, curves, quality, timeline
from harness.report.emphasis import Emphasis, emphasise


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One picture beside report.md."""

    file: str
    title: str
    caption: str


LOSS = Chart(
    file="loss.svg",
    title="Training loss",
    caption="Mean over seeds; thin lines are single seeds, dashed ones trials that failed. One panel per method: "
    "their losses\nare different quantities.",
)
EVAL_LOSS = Chart(
    file="eval-loss.svg",
    title="Evaluation loss",
    caption="Mean over seeds; thin lines are single seeds, dashed ones trials that failed.",
)
MARGINS = Chart(
    file="reward-margins.svg",
    title="Reward margins",
    caption="Reward of the chosen minus that of the rejected answer, mean over seeds; thin lines are single seeds. "
    "Each method\nhas its own reward, so levels compare within a panel only.",
)
COST = Chart(
    file="cost.svg",
    title="Goal against cost",
    caption="Mean over seeds; bars span the lowest and the highest seed. Train time is the row's own: what a stage "
    "took before\ncomes on top.",
)
BREAKDOWN = Chart(
    file="memory.svg",
    title="What memory is held for",
    caption="Means over seeds. A bar ends at the peak of torch's allocator on the device, and its rest is what none of "
    "the\nparts explains; where no such peak was measured it ends at the sum of the parts, which is none: activations "
    "are not\nin it.",
)
TIMELINE = Chart(
    file="memory-over-time.svg",
    title="Memory over time",
    caption="The most between one sample and the next, of the first seed of each cell; dashed where the trial failed.",
)
QUALITY = Chart(
    file="quality.svg",
    title="Quality over steps",
    caption="Mean over seeds; thin lines are single seeds. The last point of each is that of the end.",
)
CHARTS = (LOSS, EVAL_LOSS, MARGINS, QUALITY, COST, BREAKDOWN, TIMELINE)
_CURVES = {LOSS: ("loss", "loss"), EVAL_LOSS: ("eval_loss", "evaluation loss"), MARGINS: ("rewards/margins", "margin")}


def draw(answer: Answer) -> dict[Chart, str]:
    """Every chart there is data for, as SVG, in the report's order. The same answer gives the same bytes."""
    emphasis = emphasise(answer)
    drawn: dict[Chart, str] = {}
    for chart, (metric, label) in _CURVES.items():
        svg = curves.draw(answer, emphasis, metric, label)
        if svg is not None:
            drawn[chart] = svg
    svg = quality.draw(answer, emphasis)
    if svg is not None:
        drawn[QUALITY] = svg
    svg = _cost(answer, emphasis)
    if svg is not None:
        drawn[COST] = svg
    of_memory = {BREAKDOWN: breakdown.draw(answer, emphasis), TIMELINE: timeline.draw(answer, emphasis)}
    return drawn | {chart: svg for chart, svg in of_memory.items() if svg is not None}


def _cost(answer: Answer, emphasis: Emphasis) -> str | None:
    quality = answer.decision.metric if answer.decision else next(iter(answer.columns), None)
    return cost.draw(answer, emphasis, quality, title(quality)) if quality else None
