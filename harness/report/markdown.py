"""The report's text, section by section; a section with nothing to say is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.results import Answer
from harness.report.charts import Chart
from harness.report.environment import environment_table
from harness.report.format import quoted, shortened, shown_path, text
from harness.report.results import baseline, results
from harness.report.tables import table

_CAUSE_CHARACTERS = 110
_RESULTS = "results"


def markdown(answer: Answer, charts: Sequence[Chart]) -> str:
    """The whole report; `charts` are those drawn, in their order."""
    sections = [
        _top(answer),
        results(answer),
        baseline(answer),
        _findings(answer),
        *(_chart(chart) for chart in charts),
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


def _chart(chart: Chart) -> str:
    return f"## {chart.title}\n\n![{chart.title}]({chart.file})\n\n{chart.caption}"


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
    more = (
        f"`harness show{_where(answer)} <trial>` tells more; `harness run{_where(answer)} --retry failed` tries again."
    )
    return f"## What failed\n\n{made}\n\n{more}"


def _excluded(answer: Answer) -> str:
    return _list("Excluded", (f"{text(item.name)}: {text(item.reason)}" for item in answer.excluded))


def _list(title: str, items: Iterable[str]) -> str:
    lines = [f"- {item}" for item in items]
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _environment(answer: Answer) -> str:
    made = environment_table(answer)
    return f"## Environment\n\n{made}" if made else ""


def _reproduce(answer: Answer) -> str:
    if not answer.cells:
        return ""
    file = shown_path(answer.suite_file)
    run = f"harness run {_word(file)}{_where(answer)}"
    commands = [f"{run} --only {quoted(cell.name)}" for cell in answer.cells]
    one = next((trial for trial in answer.trials if trial.kind == "cell"), answer.trials[0] if answer.trials else None)
    alone = (
        "\n\nEach run folder holds `command.sh`, which replays its trial alone, e.g. "
        f"`sh {_word(f'{shown_path(answer.results)}/{answer.suite}/{one.trial_id}/command.sh')}` ({text(one.name)})."
        if one
        else ""
    )
    return (
        "## Reproduce\n\nA row is trained, or shown to be finished, by (add `--force` to train it again):\n\n"
        "```sh\n" + "\n".join(commands) + "\n```" + alone
    )


def _where(answer: Answer) -> str:
    """The option that finds the run folders, where they do not lie in the usual place."""
    folder = shown_path(answer.results)
    return "" if folder == _RESULTS else f" --results {_word(folder)}"


def _word(value: str) -> str:
    plain = all(c.isalnum() or c in "/._-+=" for c in value)
    return value if plain and value else quoted(value)


def _query(answer: Answer) -> str:
    suite = answer.suite.replace("'", "''")
    query = f"harness query{_where(answer)}"
    return (
        "## Ask more\n\nEverything measured is in the store; `docs/store.md` describes its tables.\n\n"
        "```sh\n"
        f"{query} \"SELECT * FROM method_comparison WHERE suite = '{suite}' ORDER BY metric, mean DESC\"\n"
        f"{query} \"SELECT name, outcome, cause FROM trial_summary WHERE suite = '{suite}'\"\n"
        "```"
    )
