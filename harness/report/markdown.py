"""The report's text, section by section; a section with nothing to say is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.commands import quoted, shown_path, word
from harness.records.results import Answer
from harness.report.axes import axes
from harness.report.baseline import baseline
from harness.report.charts import BREAKDOWN, QUALITY, TIMELINE, Chart
from harness.report.claims import claims
from harness.report.commands import run, where
from harness.report.environment import environment_table
from harness.report.format import shortened, text
from harness.report.health import disturbed, health
from harness.report.measured import compute, startup, steps
from harness.report.memory import memory
from harness.report.predictions import predicted
from harness.report.quality import quality
from harness.report.results import results, tried
from harness.report.scoring import scoring
from harness.report.tables import table

_CAUSE_CHARACTERS = 110
_MOST_SENTENCES = 12
_MOST_NAMES = 3
_MANY_CELLS = 12


def markdown(answer: Answer, charts: Sequence[Chart]) -> str:
    """The whole report; `charts` are those drawn, in their order."""
    by_cell = [results(answer), baseline(answer), claims(answer)]
    # A few cells are read one by one; of many, what moves them is the answer, and the cells are where to look it up.
    main = [*by_cell, axes(answer)] if len(answer.cells) <= _MANY_CELLS else [axes(answer), *by_cell]
    sections = [
        _top(answer),
        *main,
        _findings(answer),
        disturbed(answer),
        _what_else(answer),
        health(answer),
        scoring(answer),
        _quality(answer, charts),
        *(_chart(chart) for chart in charts if chart not in (QUALITY, BREAKDOWN, TIMELINE)),
        memory(answer),
        *(_bare(chart) for chart in charts if chart is BREAKDOWN),
        *(_chart(chart) for chart in charts if chart is TIMELINE),
        predicted(answer),
        compute(answer),
        steps(answer),
        startup(answer),
        _failed(answer),
        _excluded(answer),
        _environment(answer),
        _reproduce(answer),
        _query(answer),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _top(answer: Answer) -> str:
    question = f"*{text(answer.question)}*\n\n" if answer.question.strip() else ""
    return f"# {text(answer.suite)}\n\n{question}**{text(answer.headline)}**"


def _findings(answer: Answer) -> str:
    return _list("Findings", (text(finding) for finding in answer.findings))


def _what_else(answer: Answer) -> str:
    shown = [text(sentence) for sentence in answer.what_else[:_MOST_SENTENCES]]
    more = len(answer.what_else) - len(shown)
    return _list(
        "What else changed", [*shown, *([f"and {more} more; `harness show` compares two trials"] if more else [])]
    )


def _chart(chart: Chart) -> str:
    return f"## {chart.title}\n\n{_bare(chart)}"


def _bare(chart: Chart) -> str:
    """The chart without a heading, for a section that has one."""
    return f"![{chart.title}]({chart.file})\n\n{chart.caption}"


def _quality(answer: Answer, charts: Sequence[Chart]) -> str:
    tables = quality(answer)
    drawn = [_bare(chart) for chart in charts if chart is QUALITY]
    return "\n\n".join([f"## {QUALITY.title}", tables, *drawn]) if tables else ""


def _failed(answer: Answer) -> str:
    rows = [
        [
            text(trial.name),
            trial.outcome or "",
            text(trial.phase or ""),
            text(shortened(trial.cause or "no cause was recorded", _CAUSE_CHARACTERS)),
        ]
        for trial in answer.trials
        if trial.outcome not in (None, "ok")
    ]
    if not rows:
        return ""
    made = table(["trial", "outcome", "in phase", "why"], rows, ["left"] * 4)
    more = f"`harness show{where(answer)} <trial>` tells more; `{run(answer)} --retry failed` tries again."
    return f"## What failed\n\n{made}\n\n{more}"


def _excluded(answer: Answer) -> str:
    """Cells that do not run, those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for item in answer.excluded:
        by_reason.setdefault(item.reason, []).append(item.name)
    return _list("Excluded", (f"{text(_several(names))}: {text(reason)}" for reason, names in by_reason.items()))


def _several(names: Sequence[str]) -> str:
    """A few names, or how many there are and the first of them."""
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} cells, {names[0]} the first"


def _list(title: str, items: Iterable[str]) -> str:
    lines = [f"- {item}" for item in items]
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _environment(answer: Answer) -> str:
    made = environment_table(answer)
    return f"## Environment\n\n{made}" if made else ""


def _reproduce(answer: Answer) -> str:
    if not answer.cells:
        return ""
    cells = tried(answer)
    shown = cells if len(cells) <= _MANY_CELLS else cells[:_MOST_NAMES]
    commands = [f"{run(answer)} --only {quoted(cell.name)}" for cell in shown]
    if len(shown) < len(cells):
        commands.append(f"# and so on: {len(cells)} rows, each by its name in the tables")
    attempted = [trial for trial in answer.trials if trial.attempts] or answer.trials  # others have no folder yet
    one = next((trial for trial in attempted if trial.kind == "cell"), attempted[0] if attempted else None)
    alone = (
        "\n\nEach run folder holds `command.sh`, which replays its trial alone, e.g. "
        f"`sh {word(f'{shown_path(answer.results)}/{answer.suite}/{one.trial_id}/command.sh')}` ({text(one.name)})."
        if one
        else ""
    )
    return (
        "## Reproduce\n\nA row is trained, or shown to be finished, by (add `--force` to train it again):\n\n"
        "```sh\n" + "\n".join(commands) + "\n```" + alone
    )


def _query(answer: Answer) -> str:
    suite = answer.suite.replace("'", "''")
    query = f"harness query{where(answer)}"
    return (
        "## Ask more\n\nEverything measured is in the store; `docs/store.md` describes its tables.\n\n"
        "```sh\n"
        f"{query} \"SELECT * FROM method_comparison WHERE suite = '{suite}' ORDER BY metric, mean DESC\"\n"
        f"{query} \"SELECT name, outcome, cause FROM trial_summary WHERE suite = '{suite}'\"\n"
        "```"
    )
