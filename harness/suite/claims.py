"""The `claims` of a suite: sentences with a source, and what would have to be measured for each to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.records.jsontypes import is_a
from harness.records.metrics import metric
from harness.records.suite import Claim, ClaimKind, Needs, Score, Selector
from harness.records.units import parse_duration, parse_size
from harness.suite.checked import record
from harness.suite.choose import Axes, read_selector
from harness.suite.context import Context, kind_of
from harness.suite.document import Node
from harness.suite.sections import check_metric, read_text

KEYS = ("says", "source", "compare", "where", "metric", "expect", "needs")
NEEDED = ("says", "source", "metric", "expect")

_Side = Literal["at_least", "at_most", "between"]
_SIDES: tuple[_Side, ...] = ("at_least", "at_most", "between")
EXPECTS: Mapping[str, tuple[ClaimKind, _Side]] = {
    f"{kind}_{side}": (kind, side) for kind in ("ratio", "difference", "value") for side in _SIDES
}
"""How a claim may say what it expects, beside `no_worse_than`."""
_PARSED: Mapping[str, Callable[[str], float]] = {"bytes": parse_size, "s": parse_duration}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Expected:
    kind: ClaimKind
    low: float | None
    high: float | None


def read_claims(ctx: Context, axes: Axes, node: Node, score: Score | None) -> tuple[Claim, ...]:
    """Every claim; what is wrong with one is noted, and the claim left out."""
    if not ctx.listing(node, "claims", example="claims: [{says: …, source: …, compare: …, metric: …, expect: …}]"):
        return ()
    found = [_claim(ctx, axes, item, score) for item in node.items]
    return tuple(claim for claim in found if claim is not None)


def _claim(ctx: Context, axes: Axes, node: Node, score: Score | None) -> Claim | None:
    if not ctx.mapping(node, "a claim", example="{says: …, source: …, compare: {axis: [a, b]}, metric: …, expect: …}"):
        return None
    before = len(ctx.problems.found)
    given = node.entries
    for key in given:
        if key not in KEYS:
            ctx.unknown("key in a claim:", key, KEYS, node.keys[key])
    for key in NEEDED:
        if key not in given:
            ctx.add(f"a claim needs {key!r}", node, hint=_HINTS[key])
    texts = {key: read_text(ctx, given[key], f"{key} of a claim") for key in ("says", "source") if key in given}
    name = read_text(ctx, given["metric"], "metric of a claim") if "metric" in given else ""
    if name:
        check_metric(ctx, name, given["metric"], score)
    expected = _expected(ctx, given["expect"], name) if "expect" in given else None
    sides = _compared(ctx, axes, given["compare"]) if "compare" in given else None
    if expected is not None and (expected.kind == "value") != ("compare" not in given):
        _misfit(ctx, node, expected)
    where = read_selector(ctx, axes, given["where"], "where of a claim") if "where" in given else None
    needs = _needs(ctx, given["needs"]) if "needs" in given else Needs()
    if len(ctx.problems.found) > before or expected is None or needs is None:
        return None
    said = {"metric": name, "kind": expected.kind, "low": expected.low, "high": expected.high, "where": where}
    return Claim.model_validate({**texts, **said, "needs": needs, **(sides or {"candidate": where})})


_HINTS = {
    "says": "the claim in words",
    "source": "where it is said: an address, a paper, a file",
    "metric": "e.g. metric: tokens_per_second",
    "expect": "e.g. expect: {ratio_at_least: 2.0}",
}


def _misfit(ctx: Context, node: Node, expected: _Expected) -> None:
    if expected.kind == "value":
        what, hint = "a claim about a figure itself compares nothing", "take compare out; where chooses its cells"
        ctx.add(what, node.keys["compare"], hint=hint)
    else:
        what = "a claim about a ratio or a difference needs 'compare'"
        ctx.add(what, node, hint="e.g. compare: {train.packing: [false, true]}: the reference's level, the candidate's")


def _compared(ctx: Context, axes: Axes, node: Node) -> dict[str, object] | None:
    """The two sides of `{axis: [reference, candidate]}`."""
    example = "compare: {train.packing: [false, true]}"
    if not ctx.mapping(node, "compare of a claim", example=example):
        return None
    if len(node.entries) != 1:
        what = f"a claim compares two levels of one axis or field, not of {len(node.entries)}"
        ctx.add(what, node, hint=f"write {example}; where: {{…}} holds others still")
        return None
    ((name, levels),) = node.entries.items()
    if not levels.is_list or len(levels.items) != 2:
        what = f"compare of {name} wants two levels, the reference's and the candidate's, not {_many(levels)}"
        ctx.add(what, levels, hint=f"write {example}")
        return None
    one, other = (_side(ctx, axes, name, node, level) for level in levels.items)
    if one is None or other is None:
        return None
    if one == other:
        ctx.add(f"compare of {name} names the same level twice", levels)
    return {
        "axis": name,
        "levels": tuple(_shown(level) for level in levels.items),
        "reference": one,
        "candidate": other,
    }


def _many(node: Node) -> str:
    return f"{len(node.items)}" if node.is_list else kind_of(node)


def _side(ctx: Context, axes: Axes, name: str, node: Node, level: Node) -> Selector | None:
    alone = Node({name: level}, node.place)
    alone.keys = dict(node.keys)
    return read_selector(ctx, axes, alone, "compare of a claim")


def _shown(node: Node) -> str:
    if node.is_scalar:
        return node.raw if node.value is not None else "none"
    if node.is_mapping:
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in node.entries.items())
    return " or ".join(_shown(item) for item in node.items)


def _expected(ctx: Context, node: Node, name: str) -> _Expected | None:
    """What `expect` says, as bounds: `{ratio_at_least: 2}`, `{difference_between: [a, b]}`, `{no_worse_than: 2%}`."""
    known = (*EXPECTS, "no_worse_than")
    if not ctx.mapping(node, "expect of a claim", example="expect: {ratio_at_least: 2.0}"):
        return None
    unknown = [key for key in node.entries if key not in known]
    for key in unknown:
        ctx.unknown("key in expect:", key, known, node.keys[key])
    if unknown:
        return None
    if len(node.entries) != 1:
        ctx.add(f"expect says one thing, not {len(node.entries)}", node, hint=f"one of {', '.join(known)}")
        return None
    ((key, inner),) = node.entries.items()
    if key == "no_worse_than":
        return _no_worse(ctx, inner, name)
    kind, side = EXPECTS[key]
    if side != "between":
        amount = _amount(ctx, inner, key, kind, name)
        if amount is None:
            return None
        return _Expected(
            kind=kind, low=amount if side == "at_least" else None, high=amount if side == "at_most" else None
        )
    if not inner.is_list or len(inner.items) != 2:
        ctx.add(f"{key} wants two numbers, not {_many(inner)}", inner, hint=f"write {key}: [1.5, 2.5]")
        return None
    low, high = (_amount(ctx, item, key, kind, name) for item in inner.items)
    if low is None or high is None:
        return None
    if low > high:
        ctx.add(f"{key}: the first number is the lower one", inner)
    return _Expected(kind=kind, low=low, high=high)


def _amount(ctx: Context, node: Node, key: str, kind: ClaimKind, name: str) -> float | None:
    """A number; of sizes and durations also as text with its unit."""
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind == "ratio" and value <= 0:
            ctx.add(f"{key} must be above 0, not {node.raw}", node)
            return None
        return float(value)
    known = metric(name)
    unit = known.unit if known and kind != "ratio" else ""
    if isinstance(value, str) and unit in _PARSED:
        sign = -1.0 if value.lstrip().startswith(("-", "−")) else 1.0
        try:
            return sign * _PARSED[unit](value.lstrip(" +-−"))
        except ValueError as error:
            ctx.add(f"{key}: {error}", node)
            return None
    ctx.add(f"{key} wants a number, not {is_a(node.plain())}", node, hint=f"e.g. {key}: 2.0")
    return None


def _no_worse(ctx: Context, node: Node, name: str) -> _Expected | None:
    """`2%` is a share of the reference's figure, a number an amount in the metric's unit."""
    known = metric(name)
    if known is None:
        return None  # that has been said
    if known.better == "none":
        ctx.add(f"no_worse_than: neither more nor less {name} is worse", node, hint="say which: ratio_at_most, …")
        return None
    if isinstance(node.value, str) and node.value.strip().endswith("%"):
        share = _number(node.value.strip().removesuffix("%"))
        if share is None or not 0 <= share < 100:
            ctx.add(f"no_worse_than: {node.value!r} is no share from 0% to 100%", node)
            return None
        if known.better == "higher":
            return _Expected(kind="ratio", low=1 - share / 100, high=None)
        return _Expected(kind="ratio", low=None, high=1 + share / 100)
    amount = _amount(ctx, node, "no_worse_than", "difference", name)
    if amount is None:
        return None
    if amount < 0:
        ctx.add("no_worse_than is how much worse it may be, which is not below 0", node)
        return None
    if known.better == "higher":
        return _Expected(kind="difference", low=-amount, high=None)
    return _Expected(kind="difference", low=None, high=amount)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _needs(ctx: Context, node: Node) -> Needs | None:
    found = record(ctx, Needs, node, "needs of a claim")
    if found is not None and found.device_memory is not None:
        try:
            parse_size(found.device_memory)
        except ValueError as error:
            ctx.add(f"needs.device_memory: {error}", node.entries["device_memory"])
            return None
    return found
