"""A comparison on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.changes import NONE, change_said, detectable_said, figures_of, n_said
from harness.records.document_scores import Flips
from harness.records.figures import Scale, number, scale, title
from harness.records.verdict import CellComparison, Comparison, Divergence, Ruling, Verdict

_RULINGS: tuple[Ruling, ...] = ("regressed", "improved", "equivalent", "inconclusive", "insufficient", "missing")
_SHORT = {
    "peak_host_memory": "host memory",
    "peak_device_memory": "device memory",
    "energy_per_token": "energy",
    "startup_seconds": "start-up",
}
_LONGEST_ANSWER = 60  # characters of a document's answer
_NARROWEST = 12
"""Characters of a metric's name below which it is not shortened."""


def show(found: Comparison) -> None:
    """Prints it: the sides, the count of verdicts, a table per cell with what else there is to say of it."""
    from harness.cli.output import wrapped

    print(wrapped(f"A  {found.reference}", indent=3))
    print(wrapped(f"B  {found.candidate}", indent=3))
    print(wrapped(_counts(found)))
    _lines("", found.findings)
    for cell in found.cells:
        _cell(cell)
    if found.what_else or found.only_reference or found.only_candidate:
        print()
    _lines("what else changed, in all of these", found.what_else)
    _left("only in A", found.only_reference)
    _left("only in B", found.only_candidate)
    print()
    _legend()


def _counts(found: Comparison) -> str:
    from harness.cli.output import many

    figures = sum(len(cell.verdicts) for cell in found.cells)
    counted = [f"{count} {ruling}" for ruling in _RULINGS if (count := found.count(ruling))]
    refused = sum(len(cell.refused) for cell in found.cells)
    said = f"{many(len(found.cells), 'cell')}, {many(figures, 'figure')}: {', '.join(counted) or 'none judged'}"
    said = f"{said}; {refused} not compared" if refused else said
    alone = not any(cell.judged for cell in found.cells)
    return f"{said}. No figure could be compared: how trials ended is all that is told" if alone else said


def _cell(cell: CellComparison) -> None:
    from harness.cli.output import many, wrapped

    name = cell.candidate if cell.reference == cell.candidate else f"{cell.reference} → {cell.candidate}"
    runs = {n_said(verdict) for verdict in cell.verdicts.values()}
    n = f"  ({many(int(runs.pop()), 'run')} a side)" if len(runs) == 1 and not any("|" in one for one in runs) else ""
    print("\n" + wrapped(f"{name}{n}", indent=2))
    _table(list(cell.verdicts.values()), with_n=not n)
    for line in _notes(cell):
        print(wrapped(f"  {line}", indent=4 if line[0] != " " else 6))


def _table(verdicts: Sequence[Verdict], *, with_n: bool) -> None:
    from harness.cli.output import room, shortened, table

    if not verdicts:
        return
    columns = ["", "A", "B", "change of B", *(["n"] if with_n else []), "verdict", "sees"]
    rows = [_row(verdict, with_n=with_n) for verdict in verdicts]
    most = max(_NARROWEST, room(columns, rows))
    table(columns, [[shortened(row[0], most), *row[1:]] for row in rows], right=["A", "B", "n", "sees"])


def _row(verdict: Verdict, *, with_n: bool) -> list[str]:
    before, after = figures_of(verdict)
    how = scale(verdict.metric, max((abs(value) for value in (before, after) if value is not None), default=0.0))
    name = _name(verdict.metric)
    return [
        f"{name}, {how.unit}" if how.unit else name,
        _figure(before, how),
        _figure(after, how),
        change_said(verdict),
        *([n_said(verdict)] if with_n else []),
        verdict.ruling,
        detectable_said(verdict),
    ]


def _name(metric: str) -> str:
    return _SHORT.get(metric, title(metric))


def _figure(value: float | None, how: Scale) -> str:
    return NONE if value is None else number(value, how)


def _notes(cell: CellComparison) -> Iterable[str]:
    yield from _ended(cell)
    reasons: dict[str, list[str]] = {}
    for verdict in cell.verdicts.values():
        if verdict.why:
            reasons.setdefault(f"{verdict.ruling}: {verdict.why}", []).append(_name(verdict.metric))
    yield from (f"{', '.join(names)} {why}" for why, names in reasons.items())
    not_so: dict[str, list[str]] = {}
    for name, why in cell.refused.items():
        not_so.setdefault(why, []).append(_name(name))
    yield from (f"not compared: {', '.join(names)}: {why}" for why, names in not_so.items())
    left_out: dict[str, list[str]] = {}
    for verdict in cell.verdicts.values():
        if verdict.left_out:
            left_out.setdefault("; ".join(verdict.left_out), []).append(_name(verdict.metric))
    yield from (f"left out: {what}, of {', '.join(names)}" for what, names in left_out.items())
    for name, flips in cell.flips.items():
        yield from _flipped(name, flips)
    yield from _diverged(cell.divergences)
    yield from cell.what_else


def _ended(cell: CellComparison) -> Iterable[str]:
    """How trials ended, unless all ended well on both sides."""
    if all(set(side) <= {"ok"} for side in cell.outcomes):
        return
    sides = [", ".join(f"{count} {name}" for name, count in sorted(side.items())) for side in cell.outcomes]
    verdict = f": {cell.ended}" if cell.ended in ("regressed", "improved") else ""
    yield f"ended: A {sides[0]}; B {sides[1]}{verdict}"


def _flipped(name: str, found: Flips) -> Iterable[str]:
    """How many documents turned, and those that are listed with both answers."""
    tied = f", seeds divided on {found.tied}" if found.tied else ""
    yield f"{_name(name)}, by {found.documents:,} documents: {found.fixed} fixed, {found.broken} broken{tied}"
    for flip in found.listed:
        right = " → ".join(f"{count} of {seeds}" for count, seeds in flip.right)
        answers = [
            f"{what} {_quoted(text)}"
            for what, text in (("expected", flip.target), ("A", flip.reference), ("B", flip.candidate))
            if text is not None
        ]
        yield f"  {flip.change} document {flip.index} (right {right}): {', '.join(answers)}"


def _quoted(text: str) -> str:
    from harness.cli.output import shortened

    return f"“{shortened(' '.join(text.split()), _LONGEST_ANSWER)}”"


def _diverged(found: Sequence[Divergence]) -> Iterable[str]:
    """Where losses of the same seed part, seeds alike told together."""
    told: dict[str, list[int]] = {}
    for one in found:
        told.setdefault(_parted(one), []).append(one.seed)
    for said, seeds in told.items():
        yield f"loss, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}: {said}"


def _parted(one: Divergence) -> str:
    if one.exact is None:
        return f"the same to the last digit, to step {one.last}"
    beyond = f"beyond the margin from step {one.beyond}" if one.beyond is not None else "never beyond the margin"
    return f"parts at step {one.exact}, {beyond} (of {one.last})"


def _left(what: str, names: Sequence[str]) -> None:
    from harness.cli.output import wrapped

    if names:
        print(wrapped(f"{what}: {', '.join(names)}", indent=2))


def _lines(heading: str, lines: Iterable[str]) -> None:
    from harness.cli.output import wrapped

    said = list(lines)
    if said and heading:
        print(heading)
    for line in said:
        print(wrapped(f"{'  ' if heading else '- '}{line}", indent=4 if heading else 2))


def _legend() -> None:
    from harness.cli.output import wrapped

    print(
        wrapped(
            "A and B: means over runs, geometric ones of speed, time and energy; of memory the most. Change of B "
            "beside A, with its 95% interval; sees: the smallest change that so many runs find 4 times in 5. Better or "
            "worse only where the interval clears the metric's margin: see docs/comparing.md."
        )
    )
