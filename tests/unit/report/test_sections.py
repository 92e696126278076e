"""Sections that are there only where their figures are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compare import answer
from harness.records.plan import Excluded
from harness.records.results import Answer, Finding
from harness.report.markdown import markdown
from harness.report.tables import WIDEST, width
from tests.unit.compare.made import GIB, cell, on_a_device, plan, result, results, suite
from tests.unit.report.made_reports import section

MEASURED = ("## Memory", "## Predicted and measured memory", "## Compute", "## Steps", "## Start-up")
TOLD = ("## Health", "## Disturbed", "## What else changed")


def said_of(*metrics: dict[str, float], **changes: Any) -> str:
    """The report on cells with these metrics."""
    made = plan([cell(f"sft-{number}") for number in range(len(metrics))], seeds=1)
    found = [result(trial, given_, **changes) for trial, given_ in zip(made.trials, metrics, strict=True)]
    return markdown(answer(results(found), made), ())


def columns(text: str, title: str) -> list[str]:
    """Headings of every table of a section."""
    rows = [line for line in section(text, title).splitlines() if line.startswith("| cell")]
    return [heading.strip() for row in rows for heading in row.strip("|").split("|")[1:]]


def test_nothing_is_shown_of_what_was_not_measured() -> None:
    text = said_of({"tokens_per_second": 5.0, "peak_host_memory": GIB, "train_seconds": 3.0})

    assert not [title for title in (*MEASURED, *TOLD) if title in text]


def test_a_column_is_there_where_one_cell_has_it_and_the_others_have_a_dash() -> None:
    text = said_of({"weight_memory": GIB, "mfu": 0.41, "mean_power": 300.0}, {"weight_memory": 2 * GIB})

    assert columns(text, "Memory") == ["weights"]
    assert columns(text, "Compute and energy") == ["MFU", "power, W"]
    assert "sft-1" not in section(text, "Compute and energy")  # it has none of these
    assert "41.0%" in section(text, "Compute and energy")


def test_without_energy_it_is_called_compute() -> None:
    text = said_of({"model_flops_per_second": 3e9})

    assert columns(text, "Compute") == ["model FLOPs, GFLOP/s"]


def test_a_rate_per_device_is_shown_where_it_says_more() -> None:
    one = {"mfu": 0.4, "tokens_per_second": 100.0, "tokens_per_second_per_device": 100.0}

    assert columns(said_of(one), "Compute") == ["MFU"]
    assert columns(said_of(one | {"tokens_per_second": 200.0}), "Compute") == ["MFU", "tokens/s per device"]


def test_steps_are_in_the_unit_that_shows_the_shortest() -> None:
    quick = {"step_seconds_p50": 0.0213, "step_seconds_p99": 0.05, "data_share": 0.5}
    slow = {"step_seconds_p50": 2.5, "step_seconds_p99": 3.5}

    both = section(said_of(quick, slow), "Steps")
    assert "in ms" in both
    assert "21.3" in both
    assert "2,500" in both
    assert "50.0%" in both
    assert "steps in s," in section(said_of(slow), "Steps")


def test_a_share_of_waiting_says_nothing_of_the_unit_and_makes_no_column_of_its_own() -> None:
    slow = section(said_of({"step_seconds_p50": 2.5, "data_share": 0.004}), "Steps")
    assert "steps in s," in slow
    assert "data wait" in slow
    assert "data wait" not in section(said_of({"data_share": 0.0}, {"step_seconds_p50": 2.5}), "Steps")


def test_the_hosts_peak_stands_for_the_devices_where_there_is_none() -> None:
    text = said_of({"weight_memory": GIB, "peak_host_memory": 3 * GIB}, facts={"peak_phase": "save"})

    assert columns(text, "Memory") == ["weights", "host's peak", "peak in"]
    device = said_of({"weight_memory": GIB, "peak_host_memory": 3 * GIB, "peak_allocated": 2 * GIB})
    assert columns(device, "Memory") == ["weights", "peak"]


def test_a_kind_that_many_cells_share_counts_each_once_and_keeps_other_things_apart() -> None:
    broken = [
        Finding(name="not_finite", step=step, level="warning", text=f"{name} became nan")
        for name, step in (("entropy", 2), ("eval_loss", 12))
    ]
    text = section(said_of(*[{}] * 4, findings=tuple(broken)), "Health")

    assert text.strip().splitlines() == [
        "- **warning** sft-0, sft-1, sft-2 and 1 more cell; in the first, seed 0 at step 2: entropy became nan",
        "- **warning** sft-0, sft-1, sft-2 and 1 more cell; in the first, seed 0 at step 12: eval_loss became nan",
    ]


def predicted_of(*trials: tuple[dict[str, float], str]) -> str:
    made = plan([cell(f"sft-{number}") for number in range(len(trials))], seeds=1)
    config = {"predicted_memory": {"weights": GIB, "reference": 0, "peak": 8 * GIB}}
    found = [
        result(trial, metrics, outcome=outcome, config=config)
        for trial, (metrics, outcome) in zip(made.trials, trials, strict=True)
    ]
    return markdown(answer(results(found), made), ())


def test_predictions_are_shown_of_the_parts_that_were_measured() -> None:
    text = predicted_of(({"weight_memory": 1.25 * GIB, "peak_host_memory": GIB}, "ok"), ({}, "oom"))

    assert columns(text, "Predicted and measured memory") == ["weights"]
    rows = section(text, "Predicted and measured memory").splitlines()
    assert [row.split("|")[2].strip() for row in rows if row.startswith("| sft")] == ["1,024 (−20%)", "1,024 (oom)"]


def test_a_bound_far_above_what_batches_take_is_marked() -> None:
    made = plan([cell("sft"), cell("free")], seeds=1)
    parts = {"weights": GIB, "peak": 8 * GIB}
    measured = {"weight_memory": 1.0 * GIB, "peak_allocated": 4.0 * GIB}
    found = [
        result(trial, measured, config={"predicted_memory": {**parts, **more}})
        for trial, more in zip(made.trials, ({}, {"loose": 1}), strict=True)
    ]

    text = section(markdown(answer(results(found), made), ()), "Predicted and measured memory")

    lines = [[part.strip() for part in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| ")]
    assert lines[-2:] == [["sft", "1,024 (0%)", "8,192 (+100%)"], ["free", "1,024 (0%)", "≤ 8,192 (+100%)"]]
    assert "≤ marks a bound" in text


@pytest.mark.parametrize(("phase", "told"), [("eval", "8,192 (+100%, eval)"), ("backward", "8,192 (+100%)")])
def test_a_peak_outside_of_training_steps_is_told_beside_its_error(phase: str, told: str) -> None:
    made = plan([cell("sft")], seeds=1)
    facts = {"peak_phases": {"peak_host_memory": "save", "peak_allocated": phase}}
    config = {"predicted_memory": {"peak": 8 * GIB}}
    found = [result(made.trials[0], {"peak_allocated": 4.0 * GIB}, config=config, facts=facts)]

    text = section(markdown(answer(results(found), made), ()), "Predicted and measured memory")

    assert f"| {told} |" in text
    assert ("which alone is predicted" in text) == (phase == "eval")


def test_a_mark_that_no_row_has_is_not_explained() -> None:
    made = plan([cell("free")], seeds=1)
    config = {"predicted_memory": {"weights": GIB, "peak": 8 * GIB, "loose": 1}}
    found = [result(made.trials[0], {"weight_memory": 1.0 * GIB, "peak_host_memory": GIB}, config=config)]

    text = section(markdown(answer(results(found), made), ()), "Predicted and measured memory")

    assert "| free | 1,024 (0%) |" in text
    assert "≤" not in text


def test_of_many_cells_what_was_predicted_exactly_is_a_sentence() -> None:
    exact = {"weight_memory": float(GIB), "reference_memory": 0.0, "peak_allocated": 4.0 * GIB}
    text = section(predicted_of(*[(exact, "ok")] * 9), "Predicted and measured memory")

    assert "As predicted, to a tenth of a per cent, in every cell: weights, reference." in text
    assert "1,024" not in text
    assert text.count("8,192 (+100%)") == 9
    wrong = {**exact, "weight_memory": 0.99 * GIB}
    text = section(predicted_of(*[(exact, "ok")] * 8, (wrong, "ok")), "Predicted and measured memory")
    assert "1,024 (+1.0%)" in text


def test_what_the_formulas_give_for_the_batch_that_came_stands_below() -> None:
    made = plan([cell("sft")], seeds=1)
    parts = {"weights": GIB, "peak": 8 * GIB}
    own = {"method": "sft", "model": {"shape": "tiny"}, "lora": None, "train": {"max_length": 64}}
    facts = {"largest_batch": {"rows": 8, "length": 21}}
    found = [
        result(made.trials[0], {"peak_allocated": 4.0 * GIB}, config={**own, "predicted_memory": parts}, facts=facts)
    ]

    text = section(markdown(answer(results(found), made), ()), "Predicted and measured memory")

    assert "| sft  | 8,192 (+100%) |" in text
    assert "largest batch" in text
    (row,) = [line for line in text.splitlines() if "8 × 21" in line]
    assert "(−9" in row  # a tiny model does not fill 4 GiB
    assert "the formulas' own" in text


def test_where_everything_ran_out_of_memory_all_that_was_predicted_is_shown() -> None:
    text = predicted_of(({}, "oom"))

    assert columns(text, "Predicted and measured memory") == ["weights", "reference", "peak"]
    assert "8,192 (oom)" in text


def test_a_finding_that_many_cells_share_is_one_line() -> None:
    cells = [cell(f"sft-{number}") for number in range(5)]
    made = plan(cells, seeds=1)
    shared = Finding(name="gradient_norm", step=7, level="info", text="below 0.1")
    own = Finding(name="loss_spike", step=3, level="warning", text="jumped | *high*")
    found = [
        result(trial, {}, findings=(shared, own) if trial.cell.name == "sft-1" else (shared,)) for trial in made.trials
    ]

    lines = section(markdown(answer(results(found), made), ()), "Health").strip().splitlines()

    assert lines == [
        "- **warning** sft-1, seed 0 at step 3: jumped \\| \\*high\\*",
        "- sft-0, sft-1, sft-2 and 2 more cells; in the first, seed 0 at step 7: below 0.1",
    ]


def test_findings_of_one_name_that_say_another_thing_are_lines_of_their_own() -> None:
    made = plan([cell(f"sft-{number}") for number in range(6)], seeds=1)
    texts = [f"loss became {'nan' if number % 2 else 'inf'}" for number in range(5)]
    texts.append("loss 12.5 is above the limit of 10")
    found = [
        result(trial, {}, findings=(Finding(name="diverged", step=number, level="warning", text=said),))
        for number, (trial, said) in enumerate(zip(made.trials, texts, strict=True))
    ]

    lines = section(markdown(answer(results(found), made), ()), "Health").strip().splitlines()

    assert lines == [
        "- **warning** sft-0, sft-1, sft-2 and 2 more cells; in the first, seed 0 at step 0: loss became inf",
        "- **warning** sft-5, seed 0 at step 5: loss 12.5 is above the limit of 10",
    ]


def test_a_cell_that_diverged_and_trained_on_is_marked_in_its_rows() -> None:
    made = plan([cell("sft-a"), cell("sft-b")], of=suite(seeds=2))
    wrong = (Finding(name="diverged", step=3, level="warning", text="loss became nan"),)
    found = [
        result(trial, {"train_seconds": 9.0}, findings=wrong if trial.name == "sft-b-s1" else ())
        for trial in made.trials
    ]

    rows = section(markdown(answer(results(found), made), ()), "Results")

    assert "| sft-a " in rows
    assert "| sft-a §" not in rows
    assert "| sft-b § |" in rows
    assert "§ diverged, and trained on to its end; see Findings." in rows


def test_of_many_findings_the_first_are_told_and_the_rest_counted() -> None:
    made = plan([cell("sft")], seeds=1)
    findings = [Finding(name=f"kind{number}", step=None, level="info", text="x") for number in range(40)]
    found = [result(made.trials[0], {}, findings=tuple(findings))]

    lines = section(markdown(answer(results(found), made), ()), "Health").strip().splitlines()

    assert len(lines) == 17
    assert lines[-1] == '- and 24 more: `harness query "FROM findings"`'


def test_many_disturbed_trials_are_counted_and_one_command_repeats_them() -> None:
    text = said_of(*[{"tokens_per_second": 1.0}] * 25, disturbed=("throttled", "shared"))

    told = section(text, "Disturbed")
    assert told.count("throttled; shared") == 20
    assert "And 5 more." in told
    assert "harness run suites/quick.yaml --retry disturbed" in told
    assert "| sft-24 † |" in text


def test_sentences_on_what_else_changed_are_not_too_many() -> None:
    made, found = on_a_device()
    whole = dataclasses.replace(answer(found, made), what_else=tuple(f"axis{n} changed" for n in range(30)))

    lines = section(markdown(whole, ()), "What else changed").strip().splitlines()

    assert len(lines) == 13
    assert lines[-1].startswith("- and 18 more")


METRICS = st.dictionaries(
    st.sampled_from(
        [
            *("weight_memory", "gradient_memory", "optimizer_memory", "activation_memory", "reference_memory"),
            *("peak_allocated", "peak_host_memory", "peak_device_memory", "mfu", "hfu", "energy_per_token"),
            *("mean_power", "mean_sm_clock", "step_seconds_p50", "step_seconds_p99", "data_share"),
            *("import_seconds", "first_step_seconds", "tokens_per_second", "tokens_per_second_per_device"),
        ]
    ),
    st.floats(min_value=0, max_value=1e13),
)
OUTCOMES = st.sampled_from(["ok", "ok", "oom", "crashed", None])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(METRICS, OUTCOMES, st.booleans()), min_size=1, max_size=5))
def test_any_mixture_makes_tables_that_fit_without_empty_columns(
    given_: list[tuple[dict[str, float], str | None, bool]],
) -> None:
    made = plan([cell(f"sft-lora8-batch{number}") for number in range(len(given_))], seeds=1)
    found = [
        result(trial, metrics, outcome=outcome, disturbed=("x",) if odd else (), config={"predicted_memory": metrics})
        for trial, (metrics, outcome, odd) in zip(made.trials, given_, strict=True)
    ]
    whole: Answer = answer(results(found), made)

    text = markdown(whole, ())

    for title in ("Memory", "Compute", "Compute and energy", "Steps", "Start-up"):
        rows = [line for line in section(text, title).splitlines() if line.startswith("|")]
        assert all(width(line) <= WIDEST for line in rows)
        for table in _tables(rows):
            for column in zip(*table, strict=True):
                assert set(column[2:]) != {"—"}, (title, column)
                assert "" not in column


def _tables(rows: list[str]) -> list[list[list[str]]]:
    found: list[list[list[str]]] = []
    for row in rows:
        cells = [part.strip() for part in row.strip("|").split("|")]
        if cells[0] == "cell":
            found.append([])
        found[-1].append(cells)
    return found


def test_cells_that_nobody_has_tried_take_no_row() -> None:
    made = plan([cell("tried"), cell("waiting"), cell("failing")], seeds=1)
    tried = [trial for trial in made.trials if "waiting" not in trial.name]
    found = [result(tried[0], {"tokens_per_second": 5.0}), result(tried[1], {}, outcome="crashed")]
    text = markdown(answer(results(found), made), ())

    rows = section(text, "Results")
    assert "| tried" in rows
    assert "| failing" in rows
    assert "| waiting" not in rows
    assert "1 more cell has not run yet." in rows
    assert "--only waiting" not in section(text, "Reproduce")


def test_many_cells_excluded_for_one_reason_are_one_line() -> None:
    excluded = [Excluded(name=f"dpo-{number}", levels={}, reason="TRL packs no pairs") for number in range(5)]
    one = [Excluded(name="orpo-1", levels={}, reason="another")]
    made = plan([cell("sft")], seeds=1, excluded=[*excluded, *one])
    text = section(markdown(answer(results([]), made), ()), "Excluded")

    assert "- 5 cells, dpo-0 the first: TRL packs no pairs" in text
    assert "- orpo-1: another" in text
    assert "dpo-1" not in text


@pytest.mark.parametrize(("levels", "first"), [(3, "Results"), (7, "What each axis does")])
def test_of_many_cells_what_moves_them_comes_before_them(levels: int, first: str) -> None:
    cells = [
        cell(f"sft-{lever}-{size}", levels={"lever": lever, "size": size})
        for lever in ("off", "on")
        for size in [f"b{number}" for number in range(levels)]
    ]
    made = plan(cells, seeds=2)
    found = [
        result(trial, {"tokens_per_second": 100.0 * (2 if "-on-" in trial.name else 1) + trial.seed})
        for trial in made.trials
    ]
    text = markdown(answer(results(found), made), ())

    assert next(line for line in text.splitlines() if line.startswith("## ")) == f"## {first}"
    assert ("# and so on: 14 rows" in text) == (levels == 7)
    assert text.count("--only 'sft-") + text.count("--only sft-") == (3 if levels == 7 else 6)
