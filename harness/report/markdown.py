"""The report's text, section by section; a section with nothing to say is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.figures import called
from harness.records.results import Answer, CellSummary
from harness.report.charts import Chart
from harness.report.environment import environment_table
from harness.report.format import column_scale, figure, heading, quoted, shortened, shown_path, text
from harness.report.tables import Align, table

_CAUSE_CHARACTERS = 110


def markdown(answer: Answer, charts: Sequence[Chart]) -> str:
    """The whole report; `charts` are those drawn, in their order."""
    sections = [
        _top(answer),
        _results(answer),
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


def _results(answer: Answer) -> str:
    scales = {name: column_scale(name, answer.cells) for name in answer.columns}
    header = ["cell", "seeds", *(heading(name, scales[name], answer.directions[name]) for name in answer.columns)]
    rows = []
    for cell in answer.cells:
        figures = []
        for name in answer.columns:
            said = figure(cell.metrics.get(name), scales[name])
            best = cell.kind == "cell" and cell.name in answer.best.get(name, ())
            figures.append(f"**{said}**" if best else said)
        rows.append([_row_name(cell), _seeds(cell), *figures])
    if not rows:
        return ""
    align: list[Align] = ["left", "left"]
    align += ["right"] * len(answer.columns)
    return ("## Results\n\n" + table(header, rows, align) + "\n\n" + _legend(answer)).rstrip()


def _row_name(cell: CellSummary) -> str:
    label = " (untrained)" if cell.kind == "floor" else ""
    return text(called(cell.kind, cell.name)) + label


def _seeds(cell: CellSummary) -> str:
    fine = cell.outcomes.get("ok", 0)
    return str(fine) if fine == len(cell.seeds) else f"{fine} of {len(cell.seeds)}"


def _legend(answer: Answer) -> str:
    lines = []
    if any(spread.sd is not None for cell in answer.cells for spread in cell.metrics.values()):
        lines.append("Mean ± sample standard deviation over seeds.")
    arrows = {answer.directions[name] for name in answer.columns} - {"none"}
    if arrows:
        lines.append(
            ", ".join(f"{'↑ more' if way == 'higher' else '↓ less'} is better" for way in sorted(arrows)) + "."
        )
    if answer.best:
        lines.append("**Bold** is the best mean of the matrix, or all that read the same.")
    return "\n".join(lines)


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
    return f"## What failed\n\n{made}\n\n`harness show <trial>` tells more; `harness run --retry failed` tries again."


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
    commands = [f"harness run {_word(file)} --only {quoted(cell.name)}" for cell in answer.cells]
    one = next((trial for trial in answer.trials if trial.kind == "cell"), answer.trials[0] if answer.trials else None)
    alone = (
        "\n\nEach run folder holds `command.sh`, which replays its trial alone, e.g. "
        f"`sh {_word(f'results/{answer.suite}/{one.trial_id}/command.sh')}` ({text(one.name)})."
        if one
        else ""
    )
    return (
        "## Reproduce\n\nA row is trained, or shown to be finished, by (add `--force` to train it again):\n\n"
        "```sh\n" + "\n".join(commands) + "\n```" + alone
    )


def _word(value: str) -> str:
    plain = all(c.isalnum() or c in "/._-+=" for c in value)
    return value if plain and value else quoted(value)


def _query(answer: Answer) -> str:
    suite = answer.suite.replace("'", "''")
    return (
        "## Ask more\n\nEverything measured is in the store; `docs/store.md` describes its tables.\n\n"
        "```sh\n"
        f"harness query \"SELECT * FROM method_comparison WHERE suite = '{suite}' ORDER BY metric, mean DESC\"\n"
        f"harness query \"SELECT name, outcome, cause FROM trial_summary WHERE suite = '{suite}'\"\n"
        "```"
    )
