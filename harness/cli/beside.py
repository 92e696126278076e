"""`harness show ONE OTHER`: two trials side by side, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SAID_BY_NAME = ("tokens", "tokens/s", "samples/s", "steps", "spikes", "parameters", "nats", "")
"""Units that the metric's name says already: three columns have to fit a terminal."""


def tell(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two trials, as `harness.cli.show.tell` tells each, with their metrics beside each other and what differs."""
    from dataclasses import asdict

    from harness.cli.show import without_defaults
    from harness.compare.differences import Side, what_else

    sides = [Side(spec=told["spec"], active=told["active"], environment=told["environment"]) for told in (one, other)]
    metrics = {**_figures(one), **_figures(other)}
    return {
        "one": without_defaults(one),
        "other": without_defaults(other),
        "metrics": {name: _beside(name, _figures(one).get(name), _figures(other).get(name)) for name in metrics},
        "unlike_scores": _unlike(one, other),
        "differences": asdict(what_else(*sides)),
    }


def _counting(told: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The score of each task that counts: of the weights training ended with, the latest over backends."""
    ends = [score for score in told["scores"] if score.get("step") is None]
    return {score["task"]: score for score in sorted(ends, key=lambda score: str(score.get("scored_at")))}


def _unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """Tasks on which the two were not scored alike, with what differs."""
    from harness.compare.alike import between
    from harness.records.score import Score

    sides = _counting(one), _counting(other)
    found = {}
    for task in sides[0].keys() & sides[1].keys():
        try:
            said = between(*(Score.from_json(side[task]) for side in sides))
        except TypeError:  # a damaged score.json, or one of another time
            said = "what one of them was made by is not known"
        if said:
            found[task] = said
    return dict(sorted(found.items()))


def _figures(told: Mapping[str, Any]) -> dict[str, float]:
    """Metrics and scores of one trial by name."""
    found = {name: float(entry["value"]) for name, entry in told["metrics"].items()}
    for score in _counting(told).values():
        for name, value in (score.get("metrics") or {}).items():
            if isinstance(value, int | float):
                found[f"score.{score['task']}.{name}"] = float(value)
    return found


def _beside(name: str, one: float | None, other: float | None) -> dict[str, Any]:
    from harness.records.metrics import metric

    known = metric(name)
    unit = known.unit if known else ""
    # A ratio of losses, scores or shares says little, and there is none to nothing.
    ratio = other / one if one and other is not None and unit not in ("nats", "score", "ratio") else None
    difference = other - one if one is not None and other is not None else None
    return {"one": one, "other": other, "unit": unit, "ratio": ratio, "difference": difference}


def show(both: Mapping[str, Any]) -> None:
    """Prints what `tell` told."""
    from harness.cli.output import wrapped
    from harness.cli.show import finding_line, outcome_line

    sides = {"A": both["one"], "B": both["other"]}
    for letter, told in sides.items():
        print(wrapped(f"{letter}  {told['spec'].get('suite')} / {told['name']}  {told['id']}", indent=3))
        print(wrapped(f"   {outcome_line(told)}", indent=3))
    _print_table(["", "A", "B", "change"], [_row(name, entry) for name, entry in both["metrics"].items()])
    for letter, told in sides.items():
        _print(f"health of {letter}", [finding_line(finding) for finding in told["findings"]])
        _print(f"figures of {letter} not to be trusted", told["disturbed"])
    _print("scores that were not made alike: a difference may come of that", _unlike_lines(both["unlike_scores"]))
    _print_differences(both["differences"])


def _unlike_lines(found: Mapping[str, str]) -> list[str]:
    return [f"{task}: {said}" for task, said in found.items()]


def _row(name: str, entry: Mapping[str, Any]) -> list[str]:
    from harness.cli.output import figure

    unit = entry["unit"] if entry["unit"] not in _SAID_BY_NAME else "ratio"
    return [name, *(figure(entry[side], unit) for side in ("one", "other")), _change(entry)]


def _change(entry: Mapping[str, Any]) -> str:
    from harness.cli.output import number

    if entry["difference"] is None:
        return ""
    if entry["difference"] == 0:
        return "="
    if entry["ratio"] is not None:
        return f"{entry['ratio']:.3g}×" if entry["ratio"] < 1000 else f"{entry['ratio']:,.0f}×"
    return f"{'+' if entry['difference'] > 0 else ''}{number(entry['difference'])}".replace("-", "−", 1)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from harness.cli.output import plain_table

    if rows:
        print("\n" + plain_table(columns, rows, right=columns[1:]))


def _print_differences(found: Mapping[str, Any]) -> None:
    _print("what differs by the axis", _lines([*_by_the_axis(found["axis"], found["asked"])]))
    _print("where that shows in training", _lines(found["acted"]))
    _print("asked for, but the same in training: it did not act", _lines(found["inert"]))
    _print("what else changed: configuration", _lines(found["beside"]))
    _print("what else changed: active", _lines(found["active"]))
    _print("what else changed: environment", _lines(found["environment"]))
    if not any(found.values()):
        print("\nnothing differs but what must: the seed, names and times")


def _by_the_axis(axis: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Levels that differ, then fields that an axis of another name set.

    A trial without a level still has a value: where one names none, both values are the field's.
    """
    fields = {entry["name"]: entry for entry in asked}
    for entry in axis:
        field = fields.pop(entry["name"], entry)
        yield field if None in (entry["one"], entry["other"]) else entry
    yield from fields.values()


def _lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    from harness.compare.differences import worded

    wide = max((len(entry["name"]) for entry in entries), default=0)
    return [f"{entry['name'].ljust(wide)}  {worded(entry['one'])} → {worded(entry['other'])}" for entry in entries]


def _print(title: str, lines: Sequence[str]) -> None:
    from harness.cli.output import wrapped

    if lines:
        print(f"\n{title}")
        print("\n".join(wrapped(f"  {line}", indent=6) for line in lines))
