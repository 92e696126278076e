"""The other commands through the real command line, on a made-up run."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

COMMANDS = (
    "init",
    "validate",
    "plan",
    "run",
    "fit",
    "status",
    "list",
    "show",
    "score",
    "report",
    "history",
    "export",
    "compare",
    "check",
    "claims",
    "effects",
    "bisect",
    "baseline save",
    "query",
    "data show",
    "store rebuild",
    "schema",
    "doctor",
)


def test_help_names_every_command_and_fits_the_screen(harness: Harness) -> None:
    answer = harness("--help")
    assert answer.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command.split()[0]} " in answer.stdout
    assert "..." not in answer.stdout.split("Commands:")[1]
    assert max(map(len, answer.stdout.splitlines())) <= 80


@pytest.mark.parametrize("group", ["baseline", "data", "store", "env", "import"])
def test_no_line_of_a_groups_help_is_cut_short(group: str, harness: Harness) -> None:
    assert "..." not in harness(group, "--help").stdout.split("Commands:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, harness: Harness) -> None:
    answer = harness(*command.split(), "--help")
    assert answer.returncode == 0
    assert f"harness {command}" in answer.stdout.split("Example")[1]
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_a_mistyped_command_is_told_the_right_one(harness: Harness) -> None:
    answer = harness("validat")
    assert answer.returncode == 2
    assert "validate" in answer.stderr


def test_version(harness: Harness) -> None:
    assert harness("--version").stdout.startswith("harness 0")


def test_init_writes_a_suite_that_is_right_and_never_overwrites(tmp_path: Path, harness: Harness) -> None:
    assert harness("init", "mine.yaml").stdout == "mine.yaml\n"
    checked = harness("validate", "mine.yaml")
    assert checked.returncode == 0, checked.stderr
    (tmp_path / "mine.yaml").write_text("precious", encoding="utf-8")
    again = harness("init", "mine.yaml")
    assert again.returncode == 2
    assert "mine-2.yaml" in again.stderr
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == "precious"


def test_init_with_an_unknown_template_names_the_known_ones(harness: Harness) -> None:
    answer = harness("init", "x.yaml", "--template", "nonsense")
    assert answer.returncode == 2
    assert "nonsense" in answer.stderr
    assert "minimal" in answer.stderr


def test_schema_is_one_json_schema(harness: Harness) -> None:
    schema = json.loads(harness("schema").stdout)
    assert {"name", "question", "base"} <= set(schema["properties"])


def test_plan_shows_trials_states_and_totals(ran: Path, harness: Harness) -> None:
    answer = harness("plan", ran.name)
    assert answer.returncode == 0, answer.stderr
    assert "tiny: Which learning rate?" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "2 cells, 1 floor; 3 trials: 3 finished"
    document = json.loads(harness("plan", ran.name, "--json").stdout)
    assert [trial["state"] for trial in document["trials"]] == ["finished"] * 3


def test_plan_and_show_keep_within_the_terminal(ran: Path, harness: Harness) -> None:
    long = "Which learning rate? " + "That is what is asked here, at some length. " * 4
    ran.write_text(ran.read_text(encoding="utf-8").replace("Which learning rate?", long), encoding="utf-8")
    name = next(row["name"] for row in json.loads(harness("list", "tiny", "--json").stdout) if row["kind"] == "cell")

    planned = harness("plan", ran.name, env={"COLUMNS": "70"}).stdout
    shown = harness("show", name, env={"COLUMNS": "70"}).stdout

    title = planned.partition("\n\n")[0]
    assert " ".join(title.split()) == "tiny: " + long.strip()
    head = shown.partition("\nfiles in ")[0]
    assert max(map(len, [*title.splitlines(), *head.splitlines()])) <= 70
    assert "max_steps=" in head


def test_validate_counts_in_the_right_number(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("[1.0e-3, 2.0e-3]", "[1.0e-3]")
    suite.write_text(text, encoding="utf-8")

    assert "ok, 2 trials of 2 cells" in harness("validate", suite.name).stdout

    suite.write_text(text.replace("score: {tasks: [arithmetic_mc], backend: hf, limit: 10}\n", ""), encoding="utf-8")
    assert "ok, 1 trial of 1 cell\n" in harness("validate", suite.name).stdout


def test_plan_of_many_trials_says_how_many_it_leaves_out(suite: Path, harness: Harness) -> None:
    rates = ", ".join(f"{number}.0e-6" for number in range(1, 301))
    text = suite.read_text(encoding="utf-8").replace("[1.0e-3, 2.0e-3]", f"[{rates}]")
    suite.write_text(text, encoding="utf-8")
    short = harness("plan", suite.name).stdout
    assert "… and 101 more trials; see them with --all or --json" in short
    assert len(harness("plan", suite.name, "--all").stdout.splitlines()) > 300


def test_status_counts_what_has_run(ran: Path, harness: Harness) -> None:
    assert "tiny  3/3 trials done" in harness("status").stdout
    (one,) = json.loads(harness("status", "tiny", "--json").stdout)
    assert one["outcomes"] == {"ok": 3}
    assert one["holder"] is None
    assert one["made_up"] == 3
    assert "MADE UP: the debug engine trained nothing in 3 of them" in harness("status").stdout


def test_watching_ends_when_nothing_runs(ran: Path, harness: Harness) -> None:
    answer = harness("status", "--watch", timeout=30)
    assert answer.returncode == 0, answer.stderr
    assert "3/3 trials done" in answer.stdout
    assert harness("status", "--watch", "--json").returncode == 2


def test_status_of_an_unknown_suite_names_the_known_ones(ran: Path, harness: Harness) -> None:
    answer = harness("status", "tinny")
    assert answer.returncode == 2
    assert "did you mean 'tiny'" in answer.stderr


def test_list_names_suites_and_trials_and_what_a_suite_may_use(ran: Path, harness: Harness) -> None:
    assert "tiny" in harness("list").stdout
    trials = json.loads(harness("list", "tiny", "--json").stdout)
    assert [trial["outcome"] for trial in trials] == ["ok"] * 3
    assert "arithmetic_mc" in harness("list", "--tasks").stdout
    assert "orpo" in harness("list", "--methods").stdout
    assert "qwen2.5-0.5b" in harness("list", "--shapes").stdout
    assert "pydoc" in harness("list", "--sources").stdout
    assert harness("list", "tiny", "--tasks").returncode == 2


def test_show_tells_everything_of_one_trial(ran: Path, harness: Harness) -> None:
    trials = json.loads(harness("list", "tiny", "--json").stdout)
    trial = next(trial for trial in trials if trial["kind"] == "cell")
    shown = harness("show", trial["name"])
    assert shown.returncode == 0, shown.stderr
    for words in (
        trial["id"],
        "outcome",
        "tokens_per_second",
        "tokens/s",
        "arithmetic_mc acc",
        "attempts/1/outcome.json",
    ):
        assert words in shown.stdout
    by_id = json.loads(harness("show", trial["id"][:8], "--json").stdout)
    assert by_id["name"] == trial["name"]
    assert by_id["outcome"] == "ok"
    assert by_id["metrics"]["tokens_per_second"]["unit"] == "tokens/s"
    assert by_id["scores"][0]["task"] == "arithmetic_mc"


def test_show_of_a_glob_that_matches_several_names_them(ran: Path, harness: Harness) -> None:
    answer = harness("show", "*")
    assert answer.returncode == 2
    assert "matches 3 trials" in answer.stderr


def test_score_keeps_what_is_scored(ran: Path, harness: Harness) -> None:
    answer = harness("score", ran.name, "--json", "--quiet")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["scored"], told["reused"]) == (0, 3)


def test_score_of_a_suite_that_asks_for_none_says_so(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("score: {tasks: [arithmetic_mc], backend: hf, limit: 10}\n", "")
    suite.write_text(text, encoding="utf-8")
    answer = harness("score", suite.name)
    assert answer.returncode == 2
    assert "asks for no scores" in answer.stderr


def test_report_renders_from_what_is_there(ran: Path, harness: Harness) -> None:
    report = ran.parent / "reports/tiny/report.md"
    before = report.read_text(encoding="utf-8")
    report.unlink()
    answer = harness("report", ran.name)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "report: reports/tiny/report.md"
    assert report.read_text(encoding="utf-8") == before
    assert harness("report", ran.name, "--print").stdout == before
    assert json.loads(harness("report", ran.name, "--json").stdout)["suite"] == "tiny"


def test_query_answers_as_table_csv_and_json(ran: Path, harness: Harness) -> None:
    sql = "select name, outcome from trial_summary order by name"
    table = harness("query", sql)
    assert table.returncode == 0, table.stderr
    assert table.stdout.splitlines()[0].split() == ["name", "outcome"]
    rows = list(csv.DictReader(io.StringIO(harness("query", sql, "--csv").stdout)))
    assert [row["outcome"] for row in rows] == ["ok"] * 3
    assert json.loads(harness("query", "-", "--json", stdin=sql).stdout) == rows


def test_a_wrong_query_is_told_where(ran: Path, harness: Harness) -> None:
    answer = harness("query", "select nme from trial_summary")
    assert answer.returncode == 2
    assert "nme" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert harness("query", "  ").returncode == 2


def test_a_query_cannot_change_the_store(ran: Path, harness: Harness) -> None:
    assert harness("query", "drop view trial_summary").returncode == 2
    assert harness("query", "from trial_summary").returncode == 0


def test_store_rebuild_gives_the_same_answers(ran: Path, harness: Harness) -> None:
    sql = "from trial_summary order by name"
    before = harness("query", sql, "--csv").stdout
    (ran.parent / "results/harness.duckdb").unlink()
    rebuilt = harness("store", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "3 trials" in rebuilt.stdout
    assert harness("query", sql, "--csv").stdout == before


@pytest.mark.slow
def test_data_show_marks_the_tokens_that_carry_loss(suite: Path, harness: Harness) -> None:
    answer = harness("data", "show", suite.name, "--rows", "2")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("\nrow ") == 2
    assert "⟦" in answer.stdout
    (shown,) = json.loads(harness("data", "show", suite.name, "--rows", "1", "--json").stdout)
    assert len(shown["previews"]) == 1


@pytest.mark.slow
def test_data_show_names_the_cells_that_rows_and_problems_are_of(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8")
    levels = "train.max_length: {short: 8, long: 64}\n  train.learning_rate: [1e-3, 2e-3]\n"
    base = text.split("matrix:")[0]
    suite.write_text(f"{base}matrix:\n  {levels}", encoding="utf-8")
    answer = harness("data", "show", suite.name, "--rows", "1")
    assert answer.returncode == 0, answer.stderr
    named = [line for line in answer.stdout.splitlines() if line.startswith("  cells: ")]
    assert [line.count("short") for line in named] == [2, 0]
    assert [line.count("long") for line in named] == [0, 2]
    (suite.parent / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "anybody?"}]}\n')
    wrong = "recipe: {right: {}, wrong: {data: {path: rows.jsonl}, train.assistant_only_loss: true}}\n"
    suite.write_text(f"{base}matrix:\n  {wrong}", encoding="utf-8")
    answer = harness("data", "show", suite.name)
    assert answer.returncode == 2
    assert "wrong: assistant_only_loss needs rows in which the assistant speaks" in answer.stderr


def test_data_show_of_a_method_that_no_cell_trains_by_is_an_error(suite: Path, harness: Harness) -> None:
    answer = harness("data", "show", suite.name, "--method", "dpo")
    assert answer.returncode == 2
    assert "trains by 'dpo'" in answer.stderr
    assert "known: sft" in answer.stderr


@pytest.mark.slow
def test_doctor_tells_this_machine_in_one_screen(harness: Harness) -> None:
    answer = harness("doctor")
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) <= 24
    assert "torch" in answer.stdout
    assert json.loads(harness("doctor", "--json").stdout)["problems"] == []


def test_a_reader_that_goes_away_is_no_error(ran: Path) -> None:
    script = "import sys; from harness.__main__ import main; sys.argv[0] = 'harness'; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "query", "from range(200000)"],
        cwd=ran.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert said == b""
