"""The answer in one or two sentences, and no more sure than the figures are."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare.columns import Goal
from harness.compare.comparison import is_unmoved
from harness.compare.decision import apart
from harness.compare.judging.corrections import LEVEL
from harness.records.changes import change_said, detectable_said
from harness.records.figures import alike, called, decimals, number, said, scale, title
from harness.records.metrics import metric
from harness.records.results import CellSummary, Decision, Spread
from harness.records.verdict import CellComparison, Verdict


def headline_of(
    cells: Sequence[CellSummary],
    decision: Decision | None,
    goal: Goal,
    against: Sequence[CellComparison],
    *,
    made_up: bool,
) -> str:
    """Who leads on the goal's metric, by how much over whom and the baseline, and whether the lead is clear.

    Of what leads, and of what comes next, it says that it diverged, or was disturbed.

    Where figures are `made_up`, it says so before anything else: headlines are read alone.
    """
    if decision is None:
        said = _nothing(cells, goal)
    elif decision.winner is None or decision.value is None:
        said = _out_of_bounds(decision)
    else:
        lead = _lead(cells, decision, decision.value)
        doubts = _doubts(cells, decision, decision.value)
        wrong = [*_diverged(cells, decision), *_disturbed(cells, decision)]
        said = " ".join([lead, *wrong, *_against(decision, against), *doubts])
    if decision is not None and decision.unlike:
        said = f"{said} {decision.unlike}"
    return f"MADE UP, not measured: {said}" if made_up else said


def _nothing(cells: Sequence[CellSummary], goal: Goal) -> str:
    matrix = [cell for cell in cells if cell.kind == "cell"]
    planned = sum(len(cell.seeds) for cell in matrix)
    done = sum(cell.outcomes.get("ok", 0) for cell in matrix)
    missing = sum(cell.outcomes.get("missing", 0) for cell in matrix)
    if missing == planned:
        return f"Nothing has been measured yet: {_trials(planned)} of {_cells(len(matrix))} planned."
    if done:
        return f"No answer yet: {_trials(done)} finished, but none has {title(goal.metric)}."
    rest = f", {missing} did not run" if missing else ""
    return f"No answer: none of {_trials(planned)} finished ({planned - missing} failed{rest}); see below why."


def _out_of_bounds(decision: Decision) -> str:
    reasons = [f"{name} ({why})" for name, why in decision.out_of_bounds.items()]
    shown = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    return f"No cell keeps the bounds: {shown}."


def _lead(cells: Sequence[CellSummary], decision: Decision, value: Spread) -> str:
    name = decision.metric
    around = _around(cells, decision)
    if name.startswith("score."):
        task, _, kind = name.removeprefix("score.").rpartition(".")
        text = f"{decision.winner} scores {plus_minus(name, value)} on {task} ({'; '.join([kind, *around])})"
    elif decision.runner_up is None and not decision.out_of_bounds:
        figure = plus_minus(name, value)
        text = f"{decision.winner}: {figure if figure.endswith(title(name)) else f'{title(name)} {figure}'}"
    else:
        text = f"{decision.winner} has the {'highest' if decision.better == 'higher' else 'lowest'} {title(name)}"
        text += f"{' within the bounds' if decision.out_of_bounds else ''}: {plus_minus(name, value)}"
    if decision.runner_up is None or decision.difference is None:
        return text + "."
    second = _spread(cells, decision.runner_up, name)
    if second is not None and alike(name, value.mean, second.mean):
        others = sum(1 for cell in cells if _alike(cell, decision, value)) - 1
        more = f" and {others - 1} more" if others > 1 else ""
        return f"{text}, the same as {decision.runner_up}{more}."
    return f"{text}, {_difference(name, decision.difference, value)} {decision.runner_up}."


def _alike(cell: CellSummary, decision: Decision, value: Spread) -> bool:
    spread = cell.metrics.get(decision.metric)
    allowed = cell.kind == "cell" and cell.name not in decision.out_of_bounds
    return spread is not None and allowed and alike(decision.metric, spread.mean, value.mean)


def _difference(name: str, difference: float, value: Spread) -> str:
    if name.startswith("score."):
        size = number(abs(difference), scale(name, value.high))
        return f"+{size} over" if difference >= 0 else f"{size} below"
    second = value.mean - difference
    if second > 0:
        return f"{abs(difference) / second:.1%} {'above' if difference >= 0 else 'below'}"
    return f"{said(name, abs(difference))} {'above' if difference >= 0 else 'below'}"


def _diverged(cells: Sequence[CellSummary], decision: Decision) -> list[str]:
    """Trials that went on after their loss was no number any more count, and must not pass for good ones."""
    wrong = {cell.name: cell for cell in cells if cell.kind == "cell" and cell.diverged}
    return [
        f"{cell.name} diverged in {len(cell.diverged)} of {_trials(cell.outcomes['ok'])}: "
        "its figures are of a training that went wrong."
        for name in (decision.winner, decision.runner_up)
        if name is not None and (cell := wrong.get(name))
    ]


def _disturbed(cells: Sequence[CellSummary], decision: Decision) -> list[str]:
    """Figures of disturbed trials are in the means, and must not pass for those of a quiet machine."""
    if is_unmoved(decision.metric):
        return []
    wrong = {cell.name: cell for cell in cells if cell.kind == "cell" and cell.disturbed}
    return [
        f"{cell.name} was disturbed in {len(cell.disturbed)} of {_trials(cell.outcomes['ok'])}: "
        f"its {title(decision.metric)} is not to be trusted."
        for name in (decision.winner, decision.runner_up)
        if name is not None and (cell := wrong.get(name))
    ]


def _against(decision: Decision, against: Sequence[CellComparison]) -> list[str]:
    """The winner beside its baseline with the verdict, or that it is the baseline; nothing without such figures."""
    mine = next((one for one in against if one.candidate == decision.winner), None)
    if mine is None:
        return [f"{decision.winner} is the baseline."] if against else []
    verdict = mine.verdicts.get(decision.metric)
    if decision.metric in mine.refused:
        return [f"It cannot be compared with the baseline, {mine.reference}."]
    if verdict is None or verdict.ruling == "missing":
        return []
    if verdict.effect is None and not all(verdict.values):
        return [f"Against the baseline, {mine.reference}: no verdict, since no run of {_silent(mine, verdict)} counts."]
    of = "" if decision.metric.startswith("score.") else f"{title(decision.metric)} "
    ruling = "with too few seeds for a verdict" if verdict.ruling == "insufficient" else verdict.ruling
    said = f"Against the baseline, {mine.reference}: {of}{change_said(verdict)}, {ruling}"
    if verdict.ruling == "inconclusive":
        said += _why_open(verdict)
    return [f"{said}."]


def _why_open(verdict: Verdict) -> str:
    """What would have been seen; or, where the correction took back what was, that: a smaller change is no answer."""
    if verdict.p is not None and verdict.p_adjusted is not None and verdict.p <= LEVEL < verdict.p_adjusted:
        return " (seen, but with so many figures asked at once it may be chance)"
    if verdict.detectable is None:
        return ""
    return f" (asked for alone, only a change of {detectable_said(verdict)} or more would show reliably)"


def _silent(pair: CellComparison, verdict: Verdict) -> str:
    sides = zip((pair.candidate, pair.reference), reversed(verdict.values), strict=True)
    return " or ".join(name for name, counted in sides if not counted)


def _around(cells: Sequence[CellSummary], decision: Decision) -> list[str]:
    """The floor and the stage the winner starts from, where they were scored: what the score is to be read against."""
    text = []
    winner = next(cell for cell in cells if cell.kind == "cell" and cell.name == decision.winner)
    floors = [cell for cell in cells if cell.kind == "floor"]
    own = [cell for cell in floors if cell.config.get("model") == winner.config.get("model")] or floors
    for cell in (*own[:1], *(cell for cell in cells if cell.kind == "stage")):
        spread = cell.metrics.get(decision.metric)
        if spread is not None:
            label = "floor" if cell.kind == "floor" else called(cell.kind, cell.name)
            text.append(f"{label} {number(spread.mean, scale(decision.metric, spread.high))}")
    return text


def _doubts(cells: Sequence[CellSummary], decision: Decision, value: Spread) -> list[str]:
    sentences = []
    second = _spread(cells, decision.runner_up, decision.metric) if decision.runner_up else None
    if second is not None:
        n = f"{value.n}" if value.n == second.n else f"{value.n} and {second.n}"
        sentences.append(
            f"The ranges over {n} seeds do not overlap." if decision.clear else _unclear(decision, value, second, n)
        )
    floor = max((spread.mean for cell in cells if (spread := _floor(cell, decision))), default=None)
    if floor is not None and decision.better == "higher" and value.mean <= floor:
        sentences.append("That is no better than the untrained model.")
    matrix = [cell for cell in cells if cell.kind == "cell"]
    without = sum(1 for cell in matrix if decision.metric not in cell.metrics)
    if without:
        sentences.append(f"{without} of {_cells(len(matrix))} {'has' if without == 1 else 'have'} no such figure.")
    if decision.out_of_bounds:
        count = len(decision.out_of_bounds)
        sentences.append(f"{_cells(count)} {'is' if count == 1 else 'are'} out of bounds and not counted.")
    return sentences


def _unclear(decision: Decision, value: Spread, second: Spread, n: str) -> str:
    if min(value.n, second.n) < 2:
        who = " and ".join(
            str(name) for name, n in ((decision.winner, value.n), (decision.runner_up, second.n)) if n < 2
        )
        return f"With one seed of {who} nothing tells how much of this is chance, so the lead is not clear."
    if alike(decision.metric, value.mean, second.mean):
        return "There is no lead."
    if decision.unlike and apart(value, second):
        return f"The ranges over {n} seeds do not overlap, and yet the lead is not clear."
    return f"With {n} seeds the ranges overlap, so the lead is not clear."


def _floor(cell: CellSummary, decision: Decision) -> Spread | None:
    return cell.metrics.get(decision.metric) if cell.kind == "floor" else None


def _spread(cells: Sequence[CellSummary], name: str | None, of: str) -> Spread | None:
    return next((cell.metrics.get(of) for cell in cells if cell.kind == "cell" and cell.name == name), None)


def plus_minus(name: str, value: Spread) -> str:
    """`0.985 ± 0.007`, with its unit; the mean alone below two seeds."""
    if value.sd is None:
        return said(name, value.mean)
    how = scale(name, value.mean)
    known = metric(name)
    unit = how.unit or (known.unit if known and known.unit in ("tokens/s", "samples/s") else "")
    places = how.decimals if how.decimals is not None else decimals(value.mean / how.divisor)
    text = f"{number(value.mean, how, places=places)} ± {number(value.sd, how, places=places)}"
    return f"{text} {unit}".rstrip()


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"
