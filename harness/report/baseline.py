"""The other cells beside the baseline: what changed, how sure that is, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.amounts import times
from harness.records.changes import change_said, detectable_said, margin_said, margins_said, n_said
from harness.records.metrics import is_most, varies
from harness.records.results import Answer
from harness.records.verdict import CellComparison, Verdict
from harness.report.format import NONE, short_title, text
from harness.report.names import UNLIKE, marks
from harness.report.results import tried
from harness.report.tables import Column, tables

_FOUND = ("improved", "regressed")
_MOST_NAMES = 4
_ALIKE = 0.05
"""Share by which batches of other seeds may hold more or less text, and times still be of the same work."""


def baseline(answer: Answer) -> str:
    """The section; empty where nothing can be compared."""
    shown = {cell.name for cell in tried(answer)}
    rows = [row for row in answer.against if row.candidate in shown]
    compared = [name for name in answer.columns if any(name in row.verdicts or name in row.refused for row in rows)]
    if not compared:
        return ""
    marked = {cell.name: marks(cell) for cell in answer.cells if cell.kind == "cell"}
    names = [text(row.candidate) + marked.get(row.candidate, "") for row in rows]
    first = Column(heading="cell", cells=names, align="left")
    columns = [Column(heading="seeds", cells=[" vs ".join(map(str, _seeds(row))) for row in rows], align="left")]
    if len({row.reference for row in rows}) > 1:
        columns.insert(0, Column(heading="against", cells=[text(row.reference) for row in rows], align="left"))
    columns += [
        Column(heading=short_title(name), cells=[_said(row, name) for row in rows], align="left") for name in compared
    ]
    return f"## Against the baseline\n\n{tables(first, columns)}\n\n{_legend(answer, rows, compared)}"


def _seeds(row: CellComparison) -> tuple[int, int]:
    """Finished trials of the cell, and of the baseline cell."""
    before, after = (outcomes.get("ok", 0) for outcomes in row.outcomes)
    return after, before


def _said(row: CellComparison, name: str) -> str:
    """`**−10.2% [−11.0, −9.4] regressed**`; runs that were counted only where they are not the row's seeds."""
    if name in row.refused:
        return f"not compared {UNLIKE}"
    verdict = row.verdicts.get(name)
    if verdict is None or verdict.ruling == "missing":
        return NONE
    n = _counted(verdict)
    own = f" ({n[0]} vs {n[1]})" if n != _seeds(row) else ""
    said = f"{change_said(verdict)} {verdict.ruling}{own}"
    return f"**{said}**" if verdict.ruling in _FOUND else said


def _counted(verdict: Verdict) -> tuple[int, int]:
    before, _, after = n_said(verdict).partition("|")
    return int(after or before), int(before)


def _legend(answer: Answer, rows: Sequence[CellComparison], compared: Sequence[str]) -> str:
    names = list(dict.fromkeys(row.reference for row in rows))
    whose = f"{text(names[0])}, the baseline" if len(names) == 1 else "the baseline cell that differs least"
    lines = [
        f"Changes beside {whose}, with their 95% intervals. Seeds are the cell's and the baseline's.",
        "Improved or regressed where the interval clears the margin, corrected for how many are asked at once; "
        "equivalent where it lies within; else inconclusive.",
        *_most(rows, compared),
        *_few(rows, compared),
        *_sees(rows, compared),
        *_unlike_work(answer, rows, compared),
        *_left_out(rows),
        *_refused(rows),
    ]
    return "\n".join(lines)


def _most(rows: Sequence[CellComparison], compared: Sequence[str]) -> Iterable[str]:
    """How memory is judged, which is by another rule: the most over seeds, and no interval of a test."""
    names = [name for name in compared if is_most(name)]
    wide = " and seeds of one side lie no further apart than that" if any(map(varies, names)) else ""
    margins = margins_said(row.verdicts[name] for name in names for row in rows if name in row.verdicts)
    if margins:
        yield (
            "Of memory the most over seeds counts, and in brackets is the range of what was seen: equivalent where "
            f"the most changed by no more than the margin ({margins}){wide}, improved or regressed where the ranges "
            "lie further apart than seeds of one side do; else inconclusive."
        )


def _few(rows: Sequence[CellComparison], compared: Sequence[str]) -> Iterable[str]:
    rulings = {row.verdicts[name].ruling for row in rows for name in compared if name in row.verdicts}
    if "insufficient" in rulings:
        yield "Insufficient: too few seeds for an interval, which takes two a side; disturbed ones do not count."


def _sees(rows: Sequence[CellComparison], compared: Sequence[str]) -> Iterable[str]:
    """By metric the smallest change that would be found, of the best and of the worst known cell, and the margin."""
    told = []
    for name in compared:
        verdicts = [row.verdicts[name] for row in rows if name in row.verdicts]
        known = sorted((one for one in verdicts if one.detectable is not None), key=lambda one: one.detectable or 0.0)
        if known:
            ends = dict.fromkeys((detectable_said(known[0]), detectable_said(known[-1])))
            told.append(f"{short_title(name)} {' to '.join(ends)} (margin {margin_said(known[0])})")
    if told:
        yield f"So many seeds would find a change, 4 times in 5 where it is asked for alone, from: {'; '.join(told)}."


def _unlike_work(answer: Answer, rows: Sequence[CellComparison], compared: Sequence[str]) -> Iterable[str]:
    """That times are of unlike amounts of text: a packed cell takes longer for as many steps, and less for as much."""
    tokens = {cell.name: cell.metrics["real_tokens"].mean for cell in answer.cells if "real_tokens" in cell.metrics}
    beside = [(row.candidate, tokens.get(row.candidate, 0.0), tokens.get(row.reference, 0.0)) for row in rows]
    unlike = [f"{text(name)} {times(one / other)}" for name, one, other in beside if one and other and _far(one, other)]
    if unlike and "train_seconds" in compared:
        more = f" and {len(unlike) - _MOST_NAMES} more" if len(unlike) > _MOST_NAMES else ""
        yield (
            "Train time is that of unlike amounts of text; real tokens of the measured window beside the baseline's: "
            f"{', '.join(unlike[:_MOST_NAMES])}{more}."
        )


def _far(one: float, other: float) -> bool:
    return abs(one / other - 1) > _ALIKE


def _left_out(rows: Sequence[CellComparison]) -> Iterable[str]:
    """Runs that were not counted, each once."""
    found: dict[str, None] = {}
    for row in rows:
        for verdict in row.verdicts.values():
            for said in verdict.left_out:
                whose = said.replace("of the reference", f"of {row.reference}")
                found[whose.replace("of the candidate", f"of {row.candidate}")] = None
    if found:
        names = list(found)
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"Left out: {text('; '.join(names[:_MOST_NAMES]))}{more}."


def _refused(rows: Sequence[CellComparison]) -> Iterable[str]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for name, why in row.refused.items():
            found.setdefault(why, []).append(f"{short_title(name)} of {row.candidate}")
    for why, names in list(found.items())[:_MOST_NAMES]:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"{UNLIKE} {text(', '.join(names[:_MOST_NAMES]))}{more}: {text(why)}."
    if len(found) > _MOST_NAMES:
        yield f"{UNLIKE} The others for like reasons: `harness compare` tells them."
