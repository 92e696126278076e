"""A step summary for GitHub Actions: Markdown that a job adds to the file `$GITHUB_STEP_SUMMARY`.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions (adding a job summary): at most 1 MiB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.export.checked import Line, lines
from harness.export.given import Figures, Files, Given, figures, labels, left_out, usual
from harness.records.figures import said, title
from harness.records.metrics import Metric, metric
from harness.records.results import TrialResult

_MOST = 200
"""Rows of one table; 1 MiB holds many more, a reader does not."""
_MARKS = {"fails": "❌", "undecided": "❔", "fine": "✅"}


def files(given: Given) -> Files:
    """What failed first, then the figures of each cell."""
    parts = [f"## {_plain(given.suite)}", *_invented(given), _counts(given.trials)]
    if given.check is not None:
        parts.append(_checked(list(lines(given.check)), str(given.check.get("baseline") or "a baseline")))
    parts += [_failures(given.trials), _table(given)]
    parts += [f"- {_plain(sentence)}." for sentence in left_out(given)]
    return {"": "\n\n".join(part for part in parts if part) + "\n"}


def _invented(given: Given) -> Iterator[str]:
    debug = {key for key, content in given.environments.items() if content.get("engine") == "debug"}
    count = sum(trial.environment in debug for trial in given.trials)
    if count:
        yield f"**MADE UP, not measured:** the debug engine trained nothing in {count} of {len(given.trials)} trials."


def _counts(trials: Sequence[TrialResult]) -> str:
    counts = Counter(trial.last_outcome or trial.outcome or "not run" for trial in trials)
    ends = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda one: one[0] != "ok"))
    return f"{len(trials)} trials: {ends}."


def _checked(checked: Sequence[Line], baseline: str) -> str:
    told = Counter(line.ruling for line in checked)
    heading = f"### Against {_plain(baseline)}: " + ", ".join(f"{count} {name}" for name, count in sorted(told.items()))
    order = {"fails": 0, "undecided": 1, "fine": 2}
    shown = sorted(
        (line for line in checked if line.told != "fine" or line.ruling == "improved"), key=lambda one: order[one.told]
    )
    rows = [(_MARKS[line.told], line.cell, _what(line.what), line.ruling, line.text) for line in shown]
    return heading + "\n\n" + _rows(("", "cell", "metric", "verdict", "change"), rows) if rows else heading


def _what(name: str) -> str:
    return title(name) if metric(name) else name


def _failures(trials: Sequence[TrialResult]) -> str:
    rows = []
    for trial in trials:
        end = trial.last_outcome or trial.outcome
        if end not in (trial.expect, None):
            cause = trial.cause if end == trial.outcome else f"an earlier attempt ({trial.counted}) counts"
            if end == "ok":
                cause = f"{trial.expect} is expected"
            rows.append((trial.name, str(end), cause or ""))
    return "### Trials that did not end well\n\n" + _rows(("trial", "end", "cause"), rows) if rows else ""


def _table(given: Given) -> str:
    metrics = usual(given)
    by_cell: dict[str, dict[str, Figures]] = {name: {} for name in labels(given.trials).values()}
    for one in figures(given, metrics):
        by_cell[one.label][one.metric.name] = one
    rows = [(cell, *(_figure(found.get(one.name)) for one in metrics)) for cell, found in by_cell.items()]
    return "### Figures\n\n" + _rows(("cell", *map(_head, metrics)), rows) if rows and metrics else ""


def _head(one: Metric) -> str:
    return title(one.name) + {"higher": " ↑", "lower": " ↓", "none": ""}[one.better]


def _figure(found: Figures | None) -> str:
    if found is None:
        return "–"
    count = len(found.values)
    return said(found.metric.name, found.value) + (f" ({count} seeds)" if count > 1 else "")


def _rows(head: Sequence[str], rows: Sequence[Iterable[str]]) -> str:
    made = [head, ["---"] * len(head), *rows[:_MOST]]
    text = "\n".join("| " + " | ".join(_plain(cell) for cell in row) + " |" for row in made)
    return text if len(rows) <= _MOST else f"{text}\n\nand {len(rows) - _MOST:,} more."


def _plain(text: str) -> str:
    """Text that Markdown takes as it is, in one row of a table."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
    return " ".join(escaped.split())
