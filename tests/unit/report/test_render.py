"""The report against golden files, and what holds for any report.

`HARNESS_GOLDEN=write pytest tests/unit/report` writes the golden files anew; look at their diff before committing it.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.compare import answer
from harness.records.plan import Excluded, PlannedClaim
from harness.records.request import Places
from harness.records.results import Answer
from harness.records.suite import Claim, Decide, Needs, Selector
from harness.report import render
from harness.report.tables import WIDEST
from tests.unit.compare.made import ACC, ENVIRONMENT, cell, on_a_device, plan, result, results, suite, whole
from tests.unit.compare.made_scores import mixed, proven

GOLDEN = Path(__file__).parent / "golden"


def like_the_quickstart() -> Answer:
    made, found = whole()
    return answer(found, made)


def with_a_baseline() -> Answer:
    """The same with a baseline, in a folder of results of its own, one trial run again and failed."""
    made, found = whole()
    chosen = tuple(one.id for one in made.cells if one.name == "sft")
    said = made.suite.model_copy(update={"baseline": Selector(levels={"recipe": ("sft",)})})
    trials = tuple(
        dataclasses.replace(trial, attempts=2, counted=1, last_outcome="oom") if trial.name == "dpo-s0" else trial
        for trial in found.trials
    )
    return answer(
        dataclasses.replace(found, trials=trials),
        dataclasses.replace(made, suite=said, baseline=chosen),
        places=Places(results=Path("some where/results")),
    )


def several_baselines() -> Answer:
    """Two baseline cells, one of which lacks a seed."""
    made, found = whole()
    cells = [dataclasses.replace(one, levels=_two_axes(one.name)) for one in made.cells]
    made = plan(cells)
    chosen = tuple(one.id for one in cells if one.name in ("orpo", "orpo-lora8"))
    said = made.suite.model_copy(update={"baseline": Selector(levels={"recipe": ("orpo",)})})
    return answer(found, dataclasses.replace(made, suite=said, baseline=chosen))


def _two_axes(name: str) -> dict[str, str]:
    recipe, _, weights = name.partition("-")
    return {"recipe": recipe, "weights": weights or "full"}


def nothing_ran() -> Answer:
    return answer(results([], environments={}, score_backends=()), plan([cell("dpo"), cell("orpo")]))


def all_failed() -> Answer:
    made = plan([cell("dpo")], seeds=2)
    cause = "RuntimeError: " + "a very long story, told by a library that knows no end, " * 5
    return answer(
        results(
            [result(trial, {}, outcome="crashed", phase="model", cause=cause, attempts=2) for trial in made.trials]
        ),
        made,
    )


def one_cell() -> Answer:
    made = plan([cell("sft")], of=suite(tasks=(), seeds=1), seeds=1)
    metrics = {"tokens_per_second": 12345.6, "final_loss": 0.00001234, "peak_device_memory": 21.5 * 2**30}
    return answer(results([result(made.trials[0], metrics | {"train_seconds": 4321.0})], score_backends=()), made)


def a_memory_suite() -> Answer:
    made, found = on_a_device()
    chosen = tuple(one.id for one in made.cells if one.name == "sft-gc_on-batch1")
    said = made.suite.model_copy(update={"baseline": Selector(levels={"gc": ("on",), "batch": ("1",)}), "score": None})
    return answer(found, dataclasses.replace(made, suite=said, baseline=chosen))


def mixed_and_odd() -> Answer:
    """Two environments, bounds, names that Markdown and shells would take for something else."""
    decide = Decide(maximise="tokens_per_second", keep={"peak_host_memory": "<= 1 GiB"})
    cells = [cell("dpo-a|b"), cell("dpo-it's"), cell("dpo-<c>*")]
    excluded = [Excluded(name="dpo-x", levels={}, reason="excluded by `exclude[0]`\nof the suite")]
    made = plan(cells, of=suite(decide=decide), excluded=excluded)
    made = dataclasses.replace(made, suite=made.suite.model_copy(update={"question": "Which of [these] is *fast*?"}))
    found = []
    for number, trial in enumerate(made.trials):
        metrics = {"tokens_per_second": 1000.0 + 10 * number, "peak_host_memory": (0.8 + 0.1 * number) * 2**30}
        changes = {"environment": "e2" if number == 0 else "e1", "notes": ("8-bit AdamW | was `asked` for",)}
        found.append(result(trial, metrics | {ACC: 0.5 - number / 100, "final_loss": -0.5}, **changes))
    other: dict[str, Any] = {**ENVIRONMENT, "hash": "e2", "device": {"name": "H200", "count": 2, "driver": "575.1"}}
    other["editable"] = {"trl-harness": {"commit": "0123456789abcdef", "dirty": True}}
    return answer(results(found, environments={"e1": ENVIRONMENT, "e2": other}), made)


def proven_scores() -> Answer:
    """One engine, canaries and parity, steps on the way, an overlap."""
    made, found = proven()
    return answer(found, made)


def unlike_scores() -> Answer:
    """Two backends in one column, beside a baseline."""
    made, found = mixed()
    chosen = tuple(one.id for one in made.cells if one.name == "sft")
    said = made.suite.model_copy(update={"baseline": Selector(levels={"recipe": ("sft",)})})
    return answer(found, dataclasses.replace(made, suite=said, baseline=chosen))


def with_claims() -> Answer:
    """One confirmed, one refuted, one that this machine cannot test, and one that is short of runs."""
    made = plan([cell("sft"), cell("sft-packed")], of=suite(tasks=(), seeds=3), seeds=3)
    rates = {"sft": 1000.0, "sft-packed": 2300.0}
    found = [
        result(trial, {"tokens_per_second": rates[trial.cell.name] * (1 + 0.002 * trial.seed), "train_seconds": 3.0})
        for trial in made.trials
    ]
    said: dict[str, Any] = {"metric": "tokens_per_second", "kind": "ratio", "axis": "recipe"}
    pairs = (("sft-id", "sft-packed-id"),)
    claims = (
        Claim(says="Packing doubles throughput", source="https://example.org/a", low=2.0, **said),
        Claim(says="Packing | quadruples it", source="a paper, p. 3", low=4.0, high=5.0, **said),
        Claim(says="It does so on a GPU", source="a talk", low=2.0, needs=Needs(device="cuda"), **said),
        Claim(says="Memory stays", source="a file", high=1.02, **{**said, "metric": "peak_device_memory"}),
    )
    planned = tuple(PlannedClaim(claim=one, pairs=pairs, alone=("sft-x",) if one.low == 4 else ()) for one in claims)
    return answer(results(found, score_backends=()), dataclasses.replace(made, claims=planned))


def two_axes() -> Answer:
    """Three runs of each cell but for one that failed; what one axis does to speed depends on the other."""
    chosen = [(gc, rank) for gc in ("off", "on") for rank in ("full", "r8")]
    cells = [cell(f"sft-{gc}-{rank}", levels={"gc": gc, "lora": rank}) for gc, rank in chosen]
    made = plan(cells, of=suite(tasks=(), seeds=3), seeds=3)
    found = []
    for trial in made.trials:
        on, small = trial.cell.levels["gc"] == "on", trial.cell.levels["lora"] == "r8"
        rate = 1000.0 * (0.7 if on and small else 0.97 if on else 1) * (1.1 if small else 1) * (1 + 0.001 * trial.seed)
        metrics = {
            "tokens_per_second": rate,
            "peak_device_memory": 8.0 * 2**30 * (0.62 if on else 1),
            "final_loss": 2.0,
        }
        if trial.name == "sft-on-r8-s2":
            found.append(result(trial, {}, outcome="crashed", phase="train", cause="made up"))
        else:
            found.append(result(trial, metrics))
    return answer(results(found, score_backends=()), made)


def one_run_a_cell() -> Answer:
    """The same without replicates: what interacts cannot be told from chance."""
    whole = two_axes()
    cells = [cell(one.name, levels=one.levels) for one in whole.cells]
    made = plan(cells, of=suite(tasks=(), seeds=1), seeds=1)
    return answer(results([one for one in whole.trials if one.seed == 0], score_backends=()), made)


ANSWERS: dict[str, Callable[[], Answer]] = {
    made.__name__: made
    for made in (
        like_the_quickstart,
        with_a_baseline,
        several_baselines,
        nothing_ran,
        all_failed,
        one_cell,
        a_memory_suite,
        mixed_and_odd,
        proven_scores,
        unlike_scores,
        with_claims,
        two_axes,
        one_run_a_cell,
    )
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_report_is_the_golden_one(name: str, tmp_path: Path) -> None:
    text = render(ANSWERS[name](), tmp_path).read_text(encoding="utf-8")

    golden = GOLDEN / f"{name}.md"
    if os.environ.get("HARNESS_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ANSWERS)
def test_every_picture_lies_beside_and_no_other(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "quick"

    report = render(ANSWERS[name](), folder)

    assert report == folder / "report.md"
    pictures = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", report.read_text(encoding="utf-8")))
    assert {path.name for path in folder.iterdir()} == {"report.md"} | pictures


@pytest.mark.parametrize("name", ANSWERS)
def test_tables_are_aligned_in_the_source_and_whole(name: str, tmp_path: Path) -> None:
    lines = render(ANSWERS[name](), tmp_path).read_text(encoding="utf-8").splitlines()

    tables: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    for table in tables:
        assert len({len(line) for line in table}) <= 1
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) <= 1
    # Prose wraps wherever it is read; what a pager cannot wrap well is tables of figures.
    figures = [line for table in tables for line in table if table[0].startswith("| cell ")]
    assert max(map(len, figures)) <= WIDEST
    assert max(len(line) for table in tables for line in table or [""]) <= 200


def test_rows_of_the_baseline_are_marked_and_not_set_beside_themselves(tmp_path: Path) -> None:
    text = render(with_a_baseline(), tmp_path).read_text(encoding="utf-8")

    results_, _, rest = text.partition("## Against the baseline")
    assert "| sft (baseline) " in results_
    assert "sft-lora8 (baseline)" not in results_
    table = rest.partition("##")[0]
    assert "| dpo-lora8 " in table
    assert "| sft " not in table


def test_without_a_baseline_nothing_is_said_of_one(tmp_path: Path) -> None:
    assert "baseline" not in render(like_the_quickstart(), tmp_path).read_text(encoding="utf-8")


def test_commands_name_the_folder_of_results_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    text = render(with_a_baseline(), tmp_path).read_text(encoding="utf-8")

    assert "harness run suites/quick.yaml --results 'some where/results' --only 'dpo'" in text
    assert "harness query --results 'some where/results' \"SELECT" in text
    assert "`harness show --results 'some where/results' <trial>`" in text
    assert "sh 'some where/results/quick/" in text
    assert "--results" not in render(like_the_quickstart(), tmp_path).read_text(encoding="utf-8")


def test_a_second_rendering_replaces_the_first(tmp_path: Path) -> None:
    first = render(like_the_quickstart(), tmp_path).read_text(encoding="utf-8")
    assert (tmp_path / "loss.svg").exists()

    second = render(nothing_ran(), tmp_path).read_text(encoding="utf-8")

    assert first != second
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_the_same_answer_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        render(like_the_quickstart(), tmp_path / folder)

    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["cost.svg", "loss.svg", "report.md", "reward-margins.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_folder_that_cannot_be_written_keeps_the_old_report(tmp_path: Path) -> None:
    render(nothing_ran(), tmp_path)
    before = (tmp_path / "report.md").read_bytes()
    (tmp_path / "loss.svg").mkdir()

    with pytest.raises(OSError, match=r"loss\.svg"):
        render(like_the_quickstart(), tmp_path)

    assert (tmp_path / "report.md").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_folder_that_replays_a_trial_is_one_that_is_there(tmp_path: Path) -> None:
    """A trial that was never attempted has no folder, so no command can be run in it."""
    made, found = whole()
    first = next(trial for trial in found.trials if trial.kind == "cell")
    waiting = dataclasses.replace(first, outcome=None, attempts=0, metrics={})
    trials = tuple(waiting if trial is first else trial for trial in found.trials)
    shown = answer(dataclasses.replace(found, trials=trials), made)
    said = render(shown, tmp_path).read_text(encoding="utf-8")
    (line,) = [line for line in said.splitlines() if "replays its trial alone" in line]
    assert f"({first.name})" not in line
