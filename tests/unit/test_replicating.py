"""More replicates until all is decided: who gets how many, in which order, and what is not run again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from harness import execute, pipeline, replicating
from harness import plan as planning
from harness.compare import undecided
from harness.execute import DebugEngine
from harness.records.plan import Plan
from harness.records.progress import Silent
from harness.records.suite import Until
from tests.unit.compare import made

SUITE = """\
name: more
question: How many runs does it take?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 4, max_length: 64}
matrix:
  recipe:
    a: {train.learning_rate: 1.0e-3}
    b: {train.learning_rate: 2.0e-3}
replicates: {seeds: [0, 1]}
"""


def _names(plan: Plan) -> list[str]:
    return [trial.name for trial in plan.trials]


@pytest.fixture
def plan() -> Plan:
    return made.plan([made.cell("base", kind="stage"), made.cell("sft-a"), made.cell("sft-b")])


def test_more_seeds_come_interleaved_after_the_plans_own(plan: Plan) -> None:
    more = planning.with_more(plan, {"sft-b-id", "sft-a-id"}, [7, 9])
    assert _names(more)[len(plan.trials) :] == ["sft-a-s7", "sft-b-s7", "sft-a-s9", "sft-b-s9"]
    assert planning.with_more(more, ["sft-a-id"], [9, 7]) == more  # it has them
    with pytest.raises(KeyError):
        planning.with_more(plan, ["base-id"], [3])  # a stage has no replicates


def test_the_next_seed_is_above_all_of_the_cell_and_no_stages(plan: Plan) -> None:
    more = planning.with_more(plan, ["sft-a-id"], [7])
    assert [planning.next_seed(more, cell) for cell in ("sft-a-id", "sft-b-id")] == [8, 2]
    stage = replace(plan.trials[0], id=planning.trial_id("sft-b-id", 2))  # a stage that is this cell with seed 2
    assert planning.next_seed(replace(plan, trials=(stage, *plan.trials[1:])), "sft-b-id") == 3
    assert _names(planning.with_next(more, ["sft-a-id", "sft-b-id"], 2))[-4:] == [
        *("sft-a-s8", "sft-b-s2"),
        *("sft-a-s9", "sft-b-s3"),
    ]


def test_an_added_trial_starts_from_the_stage_its_cell_starts_from(plan: Plan) -> None:
    trials = [replace(trial, needs="base-0") if trial.cell.name == "sft-a" else trial for trial in plan.trials]
    more = planning.with_next(replace(plan, trials=tuple(trials)), ["sft-a-id", "sft-b-id"])
    assert [trial.needs for trial in more.trials[-2:]] == ["base-0", None]


def test_each_cell_gets_replicates_until_it_is_decided_or_has_had_enough(plan: Plan) -> None:
    enough = {"sft-a-id": 3, "sft-b-id": 99}

    def undecided(so_far: Plan) -> Collection[str]:
        return [cell for cell, count in enough.items() if len(planning.seeds_of(so_far, cell)) < count]

    trained: list[list[str]] = []
    done = replicating.until(plan, undecided, most=3, train=lambda more: trained.append(_names(more)))
    assert done.added == {"sft-a-id": (2,), "sft-b-id": (2, 3, 4)}
    assert done.undecided == ("sft-b-id",)
    assert done.rounds == 3
    assert [names[len(plan.trials) :] for names in trained] == [
        ["sft-a-s2", "sft-b-s2"],
        ["sft-a-s2", "sft-b-s2", "sft-b-s3"],
        ["sft-a-s2", "sft-b-s2", "sft-b-s3", "sft-b-s4"],
    ]
    assert replicating.until(plan, lambda _: (), most=3, train=lambda _: pytest.fail("nothing to train")).plan == plan


def test_what_was_added_is_stored_found_again_and_run_anew_with_a_later_night(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    file.write_text(SUITE, encoding="utf-8")
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")

    def again(*, force: bool) -> list[str]:
        """The suite, then one more replicate of its second cell; what was started for that."""
        plan, engine = pipeline.planned(file, pipeline.Choice()), DebugEngine()
        choice = pipeline.Choice(force=force)
        cell = plan.cells[1].id
        with execute.session(places.results, "more") as session:
            pipeline.carry_out(plan, choice, places, session=session, engine=DebugEngine(), observer=Silent())
            train = replicating.training(plan, places, session=session, engine=engine, observer=Silent())
            replicating.until(
                plan, lambda now: [cell] if len(planning.seeds_of(now, cell)) < 3 else [], most=1, train=train
            )
        return engine.started

    assert again(force=False) == ["sft-b-s2"]
    assert again(force=False) == []
    time.sleep(0.01)  # times are told in milliseconds
    assert again(force=True) == ["sft-b-s2"]
    status = json.loads((tmp_path / "results/more/plan.json").read_text())
    assert [trial["name"] for trial in status["trials"]] == ["sft-a-s0", "sft-b-s0", "sft-a-s1", "sft-b-s1", "sft-b-s2"]
    from harness.store import Store

    assert [trial.name for trial in Store(places.database).results("more").trials] == [
        *("sft-a-s0", "sft-a-s1"),
        *("sft-b-s0", "sft-b-s1", "sft-b-s2"),
    ]


def _open(until: str) -> str:
    """The suite with an open number of replicates, each long enough to have a throughput."""
    return SUITE.replace("{seeds: [0, 1]}", until).replace("max_steps: 4", "max_steps: 12")


def _run(file: Path, places: pipeline.Places, *, only: tuple[str, ...] = (), force: bool = False) -> list[str]:
    """What a run of the suite started."""
    engine = DebugEngine()
    choice = pipeline.Choice(only=only, force=force)
    finished = replicating.run(file, choice, places, engine=engine, observer=Silent())
    assert finished.report.exists()
    assert set(finished.outcomes) == {trial.id for trial in finished.plan.trials}
    return engine.started


def test_a_suite_gets_replicates_until_its_figure_is_known_well_enough(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    until = "{until: {metric: tokens_per_second, ci: 4%}, max: 5}"
    file.write_text(_open(until), encoding="utf-8")
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")

    started = _run(file, places)

    plan = pipeline.planned(file, pipeline.Choice(), places)
    counts = {cell.name: len(planning.seeds_of(plan, cell.id)) for cell in plan.cells}
    assert max(counts.values()) > 2  # the debug engine scatters by 10%
    assert max(counts.values()) <= 5
    assert len(started) == sum(counts.values())
    assert started[:4] == ["sft-a-s0", "sft-b-s0", "sft-a-s1", "sft-b-s1"]
    assert _run(file, places) == []  # what was added is found again, and no more is asked for
    from harness.store import Store

    open_ = undecided(Store(places.database).results("more"), plan, _until(plan))
    assert {cell.name for cell in plan.cells if cell.id in open_} == {
        cell for cell, count in counts.items() if count == 5 and _missed(places, cell)
    }


def _until(plan: Plan) -> Until:
    assert plan.suite.replicates.until is not None
    return plan.suite.replicates.until


def _missed(places: pipeline.Places, cell: str) -> bool:
    """Whether the report says that the cell's figure is not known as well as was asked."""
    report = (places.reports / "more" / "report.md").read_text(encoding="utf-8")
    return re.search(rf"tokens/s of {cell} is known to ±.*%\) was asked for", report) is not None


def test_figures_that_no_number_of_runs_tells_well_enough_are_said_to_be_so(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    until = "{until: {metric: tokens_per_second, ci: 0.001%}, max: 3}"
    file.write_text(_open(until), encoding="utf-8")
    places = pipeline.Places(results=tmp_path / "results", reports=tmp_path / "reports")

    assert _run(file, places, only=("sft-a-s0",)) == ["sft-a-s0"]  # its own seeds are not all chosen
    assert _run(file, places, only=("sft-a-*",)) == ["sft-a-s1", "sft-a-s2"]
    assert not _missed(places, "sft-b")
    assert _run(file, places) == ["sft-b-s0", "sft-b-s1", "sft-b-s2"]
    report = (places.reports / "more" / "report.md").read_text(encoding="utf-8")
    assert "tokens/s of sft-a is known to ±" in report
    again = _run(file, places, force=True)
    assert sorted(again) == sorted(f"sft-{cell}-s{seed}" for cell in "ab" for seed in range(3))
