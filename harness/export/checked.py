"""The document of `harness check --json`, as far as exports tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import InputError, Location
from harness.records.changes import effect_said
from harness.records.run_folder import read_json
from harness.records.verdict import Effect

Told = Literal["fine", "fails", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One thing that was checked: a metric of a cell, or how its trials ended. `text` says by how much, or why."""

    cell: str
    what: str
    ruling: str
    told: Told
    text: str


def read(file: Path) -> dict[str, Any]:
    """The document.

    Raises:
        InputError: it is no document of a check.
    """
    found = read_json(file)
    if found is None or not isinstance(found.get("verdicts"), list):
        why = "there is no such file" if not file.exists() else "it has no verdicts"
        raise InputError.of(
            "no document of a check",
            why=why,
            where=Location(file=file),
            hint="make one: harness check --baseline NAME SUITE --json > check.json",
        )
    return found


def lines(check: Mapping[str, Any]) -> Iterator[Line]:
    """Everything that was checked, in its order; then what is gone, was not compared, ends otherwise."""
    rules = _mapping(check.get("rules"))
    gone: Told = "undecided" if rules.get("allow_missing") else "fails"
    better: Told = "fails" if rules.get("fail_on_improvement") else "fine"
    as_told: dict[str, Told] = {"regressed": "fails", "improved": better, "equivalent": "fine", "missing": gone}
    seen = set()
    for line in _figures(check, as_told):
        seen.add((line.cell, line.what))
        yield line
    others: tuple[tuple[str, Told], ...] = (("missing", gone), ("refused", "undecided"))
    for kind, told in others:
        for one in _mappings(check.get(kind)):
            cell, what = str(one.get("cell")), str(one.get("metric") or "cell")
            if (cell, what) not in seen:
                yield Line(cell=cell, what=what, ruling=kind, told=told, text=str(one.get("why") or ""))
    for kind in ("ended", "failed"):
        yield from map(_ended, _mappings(check.get(kind)))


def _figures(check: Mapping[str, Any], as_told: Mapping[str, Told]) -> Iterator[Line]:
    for one in _mappings(check.get("verdicts")):
        ruling = str(one.get("ruling"))
        yield Line(
            cell=str(one.get("cell")),
            what=str(one.get("metric")),
            ruling=ruling,
            told=as_told.get(ruling, "undecided"),
            text=_text(one),
        )


def _ended(one: Mapping[str, Any]) -> Line:
    now, before = (_of(one.get(name)) for name in ("now", "before"))
    text = f"{now} trials end {one.get('outcome')}, {before} in the baseline"
    what = f"outcome {one.get('outcome')}"
    return Line(cell=str(one.get("cell")), what=what, ruling="regressed", told="fails", text=text)


def _text(verdict: Mapping[str, Any]) -> str:
    effect = _mapping(verdict.get("effect"))
    told = [effect.get(name) for name in ("value", "low", "high", "reference")]
    figures = [float(value) for value in told if isinstance(value, int | float)]
    parts = []
    if len(figures) == len(told) and effect.get("kind") in ("ratio", "difference"):
        value, low, high, reference = figures
        change = Effect(kind=effect["kind"], value=value, low=low, high=high, n=(0, 0), reference=reference, how="")
        parts.append(effect_said(str(verdict.get("metric")), change))
    return "; ".join([*parts, *([str(verdict["why"])] if verdict.get("why") else [])])


def _of(pair: Any) -> str:
    return " of ".join(map(str, pair)) if isinstance(pair, Sequence) and not isinstance(pair, str) else str(pair)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
