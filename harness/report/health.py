"""The health of trainings, and trials that something disturbed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records.figures import called
from harness.records.results import Answer, CellFinding
from harness.records.wording import wording
from harness.report.commands import run
from harness.report.format import text
from harness.report.tables import table

_MOST = 16  # lines of either list
_APART = 3  # cells with a finding of one kind that are told one by one
_MOST_PLACES = 3
_MOST_DISTURBED = 20


def health(answer: Answer) -> str:
    """The section, warnings first; what many cells share but for its figures is one line. Empty without findings."""
    lines = [line for level in ("warning", "info") for line in _lines(answer.health, level)]
    if not lines:
        return ""
    more = [f'- and {len(lines) - _MOST} more: `harness query "FROM findings"`'] if len(lines) > _MOST else []
    return "## Health\n\n" + "\n".join([*lines[:_MOST], *more])


def _lines(findings: Sequence[CellFinding], level: str) -> Iterator[str]:
    kinds: dict[tuple[str, str], list[CellFinding]] = {}  # of one name some say this and others that
    for finding in findings:
        if finding.level == level:
            kinds.setdefault((finding.name, wording(finding.text)), []).append(finding)
    mark = "**warning** " if level == "warning" else ""
    for found in kinds.values():
        if len(found) > _APART:
            names = [text(called(one.kind, one.cell)) for one in found]
            shown = f"{', '.join(names[:_APART])} and {_more(len(names) - _APART, 'cell')}"
            yield f"- {mark}{shown}; in the first, {_places(found[0], 1)}: {text(found[0].text)}"
            continue
        for one in found:
            yield f"- {mark}{text(called(one.kind, one.cell))}, {_places(one, _MOST_PLACES)}: {text(one.text)}"


def _places(finding: CellFinding, most: int) -> str:
    """`seed 0 at step 12 (then seed 1 at step 14)`: what is said is of the first."""
    places = [f"seed {seed}" + (f" at step {step}" if step is not None else "") for seed, step in finding.seen]
    rest = places[1:most]
    if not rest:
        return places[0]
    left = len(places) - most
    return f"{places[0]} (then {', '.join(rest)}{f' and {left} more' if left > 0 else ''})"


def _more(count: int, what: str) -> str:
    return f"{count} more {what}{'' if count == 1 else 's'}"


def disturbed(answer: Answer) -> str:
    """Trials whose figures are not to be trusted, why, and how to measure them again; empty where there are none."""
    found = [trial for trial in answer.trials if trial.outcome == "ok" and trial.disturbed]
    if not found:
        return ""
    rows = [[text(trial.name), text("; ".join(trial.disturbed))] for trial in found[:_MOST_DISTURBED]]
    more = f"\n\nAnd {len(found) - _MOST_DISTURBED} more." if len(found) > _MOST_DISTURBED else ""
    made = table(["trial", "what disturbed it"], rows, ["left", "left"])
    return f"## Disturbed\n\n{made}{more}\n\nMeasure them again:\n\n```sh\n{run(answer)} --retry disturbed\n```"
