"""The section `margins`: the smallest change of a metric that matters to this suite."""

from __future__ import annotations

from harness.errors import did_you_mean
from harness.records.jsontypes import is_a
from harness.records.margins import EXAMPLES, parse_margin
from harness.records.metrics import METRICS, Margin, metric
from harness.records.suite import Score
from harness.suite.context import Context
from harness.suite.document import Node, Place
from harness.suite.sections import check_metric

EXAMPLE = "margins: {tokens_per_second: 3%, peak_host_memory: 2% + 64MiB}"


def read_margins(ctx: Context, node: Node, score: Score | None) -> dict[str, Margin]:
    """A margin by metric."""
    if not ctx.mapping(node, "margins", example=EXAMPLE):
        return {}
    found = {}
    for name, inner in node.entries.items():
        check_metric(ctx, name, node.keys[name], score)
        if metric(name) is None:
            continue
        margin = _margin(ctx, name, inner, node.keys[name])
        if margin is not None:
            found[name] = margin
    return found


def _margin(ctx: Context, name: str, node: Node, place: Place) -> Margin | None:
    known = metric(name)
    assert known is not None
    if known.better == "none":
        judged = [other for other, one in METRICS.items() if one.better != "none"]
        why = "neither more nor less of it is better, so no verdict is given on it"
        ctx.add(f"{name} has no margin", place, why=why, hint=did_you_mean(name, judged))
        return None
    given = node.plain()
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        ctx.add(f"the margin of {name} must be a share or an amount, not {is_a(given)}", node, hint=f"write {EXAMPLES}")
        return None
    try:
        return parse_margin(given, known)
    except ValueError as error:
        ctx.add(f"margins.{name}: {error}", node)
        return None
