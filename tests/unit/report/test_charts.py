"""Charts by their structure: what they name, how many lines they draw, and that text stays text."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from xml.etree import ElementTree

import pytest

from harness.compare import answer
from harness.records.results import Answer, Curve, Timeline
from harness.report.breakdown import MOST_BARS
from harness.report.charts import BREAKDOWN, COST, LOSS, MARGINS, TIMELINE, Chart, draw
from harness.report.curves import POINTS, mean_line, thinned
from harness.report.emphasis import emphasise
from harness.report.style import COLOURS
from tests.unit.compare import made
from tests.unit.compare.made import ACC, cell, plan, result, results, whole

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def quickstart() -> Answer:
    planned, found = whole()
    return answer(found, planned)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def texts_at(svg: str) -> dict[str, float]:
    """How far below the top each text stands."""
    found = {}
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        shift = re.match(r"translate\([-\d.]+ ([-\d.]+)\)", element.get("transform", ""))
        found[element.text or ""] = float(shift[1] if shift else element.get("y", 0))
    return found


def lines(svg: str, colour: str) -> int:
    """Curves of a colour: paths that are stroked with it inside a panel, legend handles left out."""
    count = 0
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if not group.get("id", "").startswith("axes"):
            continue
        for line in group.findall(f"{SVG}g"):
            if line.get("id", "").startswith("line2d"):
                paths = line.findall(f"{SVG}path")
                count += sum(1 for path in paths if f"stroke: {colour.lower()}" in path.get("style", ""))
    return count


def test_the_charts_of_a_whole_report(quickstart: Answer) -> None:
    assert list(draw(quickstart)) == [LOSS, MARGINS, COST]


def test_one_panel_per_stage_and_method_and_one_colour_per_cell(quickstart: Answer) -> None:
    svg = draw(quickstart)[LOSS]

    said = texts(svg)
    for word in ("stage base", "sft", "dpo", "orpo", "sft-lora8", "optimizer step", "loss"):
        assert word in said
    assert said.count("optimizer step") == 4
    colours = emphasise(quickstart).colours
    assert lines(svg, colours["dpo"]) == 3  # two seeds and their mean
    assert lines(svg, colours["orpo"]) == 1  # one seed: its line is the mean


def test_only_preference_methods_have_margins(quickstart: Answer) -> None:
    said = texts(draw(quickstart)[MARGINS])

    assert {"dpo", "orpo"} < set(said)
    assert "sft" not in said
    assert "stage base" not in said


@pytest.mark.parametrize(("cells", "below"), [(3, False), (8, True)])
def test_a_legend_of_many_cells_lies_below_the_lines(cells: int, below: bool) -> None:
    planned = plan([cell(f"sft-{number}") for number in range(cells)], seeds=1)
    curves = [
        Curve(trial_id=trial.id, cell_name=trial.cell.name, seed=0, metric="loss", steps=(1, 2), values=(2.0, 1.0))
        for trial in planned.trials
    ]
    found = results([result(trial, {}) for trial in planned.trials], curves=curves)

    heights = texts_at(draw(answer(found, planned))[LOSS])

    assert all((heights[f"sft-{number}"] > heights["optimizer step"]) == below for number in range(cells))


def test_a_failed_trial_is_drawn_dashed_and_not_averaged() -> None:
    planned = plan([cell("dpo")], seeds=2)
    good, bad = planned.trials
    curves = [
        Curve(trial_id=trial.id, cell_name="dpo", seed=trial.seed, metric="loss", steps=(1, 2), values=(1.0, 2.0))
        for trial in (good, bad)
    ]
    found = results([result(good, {}), result(bad, {}, outcome="diverged")], curves=curves)

    svg = draw(answer(found, planned))[LOSS]

    assert lines(svg, COLOURS[0]) == 2
    assert svg.count("stroke-dasharray") == 1


def test_labels_of_the_cost_chart_stay_apart(quickstart: Answer) -> None:
    svg = draw(quickstart)[COST]
    boxes = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        name = element.text or ""
        if re.fullmatch(r"(sft|dpo|orpo)(-lora8)?|stage base", name):
            x, y = float(element.get("x", 0)), float(element.get("y", 0))
            shift = re.match(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
            if shift:
                x, y = float(shift[1]), float(shift[2])
            boxes.append((x, y - 8, x + 4.0 * len(name), y))

    assert len(boxes) == 2 * 7
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            across = min(one[2], other[2]) - max(one[0], other[0])
            up = min(one[3], other[3]) - max(one[1], other[1])
            assert across <= 0 or up <= 0, (one, other)


def test_the_cost_chart_names_axes_and_floor(quickstart: Answer) -> None:
    said = texts(draw(quickstart)[COST])

    assert {"arithmetic_mc acc", "train time, s", "peak host memory, MiB", "floor: 0.259"} < set(said)


def test_a_floor_near_the_cells_is_a_line() -> None:
    planned = plan([cell("floor", kind="floor"), cell("a"), cell("b")], seeds=1)
    values = {"floor": 0.50, "a": 0.52, "b": 0.55}
    found = [
        result(trial, {ACC: values[trial.cell.name], "train_seconds": 1.0 + values[trial.cell.name]})
        for trial in planned.trials
    ]

    svg = draw(answer(results(found), planned))[COST]

    assert "floor" in texts(svg)
    assert "stroke-dasharray" in svg


def test_of_many_cells_the_best_are_shown_and_the_others_grey() -> None:
    planned = plan([cell(f"dpo-{number}") for number in range(30)], seeds=2)
    chance = random.Random(1)
    found, curves = [], []
    for trial in planned.trials:
        quality = int(trial.cell.name.partition("-")[2]) / 30
        found.append(result(trial, {ACC: quality, "train_seconds": chance.uniform(1, 2)}))
        curves += made._curves(trial, 20, chance, preference=True, slow=False)
    got = answer(results(found, curves=tuple(curves)), planned)

    emphasis = emphasise(got)
    svg = draw(got)[LOSS]

    assert list(emphasis.colours) == [f"dpo-{number}" for number in range(22, 30)]
    assert emphasis.others == 22
    assert "22 other cells" in texts(svg)
    assert "dpo-29" in texts(svg)
    assert "dpo-3" not in texts(svg)


@pytest.mark.parametrize("values", [{}, {ACC: 0.5}, {"train_seconds": 3.0}, {ACC: float("nan"), "train_seconds": 1.0}])
def test_without_two_costs_there_is_no_cost_chart(values: dict[str, float]) -> None:
    planned = plan([cell("a"), cell("b")], seeds=1)
    found = results([result(trial, values) for trial in planned.trials])

    assert draw(answer(found, planned)) == {}


def test_values_that_are_not_finite_leave_gaps(quickstart: Answer) -> None:
    broken = [
        dataclasses.replace(curve, values=(float("nan"), float("inf"), *curve.values[2:]))
        for curve in quickstart.curves
    ]

    svg = draw(dataclasses.replace(quickstart, curves=broken))[LOSS]

    assert "nan" not in svg.lower().replace("dominant", "")
    assert lines(svg, COLOURS[2]) == 3


def test_charts_are_white_and_carry_no_date(quickstart: Answer) -> None:
    for svg in draw(quickstart).values():
        assert "fill: #ffffff" in svg
        assert "<dc:date>" not in svg
        assert len(svg) < 400_000


def curve(values: list[float]) -> Curve:
    steps = list(range(1, len(values) + 1))
    return Curve(trial_id="t", cell_name="c", seed=0, metric="loss", steps=steps, values=values)


@pytest.mark.parametrize("size", [1, 2, POINTS, POINTS + 1, 1000, 12_345])
def test_thinning_keeps_the_mean_and_the_ends(size: int) -> None:
    steps, values = thinned(curve([float(step) for step in range(1, size + 1)]))

    assert len(steps) == len(values) <= POINTS
    assert list(steps) == list(values)  # the value is the step, so each point stands for its neighbours
    assert steps[0] <= 1 + size / POINTS
    assert steps[-1] >= size - size / POINTS - 1


def test_the_mean_line_has_only_steps_that_all_have() -> None:
    assert mean_line([([1, 2, 3], [1.0, 2.0, 3.0]), ([2, 3, 4], [4.0, 5.0, 6.0])]) == ([2, 3], [3.0, 4.0])


@pytest.fixture(scope="module")
def on_a_device() -> Answer:
    planned, found = made.on_a_device()
    return answer(found, planned)


def test_bars_of_memory_name_their_parts_and_say_what_ran_out(on_a_device: Answer) -> None:
    said = texts(draw(on_a_device)[BREAKDOWN])

    for word in ("weights", "gradients", "optimizer", "activations", "rest of the peak", "GiB", "sft-gc_off-batch4"):
        assert word in said
    assert "reference" not in said  # no cell has one
    assert "out of memory in forward, 3 GiB more asked for" in said
    assert "34.6" in said  # the peak, which is what the parts and the rest add up to


def test_of_many_bars_the_shortest_and_the_longest_are_shown_and_that_is_said() -> None:
    """Not the first of the plan: whoever asks what holds memory asks for the ends."""
    planned = plan([cell(f"sft-{number}") for number in range(MOST_BARS + 3)], seeds=1)
    held = {trial.cell.name: abs(13.2 - number) for number, trial in enumerate(planned.trials)}
    found = results([result(trial, {"weight_memory": held[trial.cell.name] * 2.0**20}) for trial in planned.trials])

    said = texts(draw(answer(found, planned))[BREAKDOWN])

    label = ("MiB", f"of {MOST_BARS + 3} those that hold least and most are shown, not the 3 between")
    assert set(label) < set(said)  # a line each: on one they run out of the picture
    assert {"sft-0", "sft-13", "sft-26"} < set(said)
    assert "rest of the peak" not in said
    assert sum(word.startswith("sft-") for word in said) == MOST_BARS


def test_of_many_bars_that_look_the_same_one_is_shown() -> None:
    """A lever that a chart leaves out for its size in the middle is seen so, and what it does not change only once."""
    planned = plan([cell(f"sft-{number}") for number in range(MOST_BARS + 3)], seeds=1)
    held = {trial.cell.name: 2.0**20 * (1 + number % 3) for number, trial in enumerate(planned.trials)}
    found = [result(trial, {"weight_memory": held[trial.cell.name]}) for trial in planned.trials[:-1]]
    oom = result(planned.trials[-1], {}, outcome="oom")

    said = texts(draw(answer(results([*found, oom]), planned))[BREAKDOWN])

    assert f"{MOST_BARS + 3} cells: {MOST_BARS - 1} hold the same as another and are left out" in said
    assert [word for word in said if word.startswith("sft-")] == ["sft-0", "sft-1", "sft-2", f"sft-{MOST_BARS + 2}"]


def test_no_bars_where_no_part_was_measured() -> None:
    planned = plan([cell("sft"), cell("dpo")], seeds=1)
    found = results(
        [
            result(planned.trials[0], {"peak_host_memory": 5.0, "weight_memory": float("nan")}),
            result(planned.trials[1], {}, outcome="oom"),
        ]
    )

    assert BREAKDOWN not in draw(answer(found, planned))


def test_memory_over_time_has_a_line_per_cell_and_says_which_failed(on_a_device: Answer) -> None:
    svg = draw(on_a_device)[TIMELINE]

    said = texts(svg)
    assert "allocated on the device, GiB" in said
    assert "sft-gc_off-batch16 (oom)" in said
    colours = emphasise(on_a_device).colours
    assert [lines(svg, colours[name]) for name in colours] == [1] * 6


def test_memory_over_time_is_the_hosts_where_there_is_no_device() -> None:
    planned = plan([cell("sft")], seeds=2)
    timelines = [
        Timeline(trial_id=trial.id, metric="host_uss_peak", times=(0.1, 2.0, 4.0), values=(2.0**20, 2.0**21, 2.0**21))
        for trial in planned.trials
    ]
    found = results([result(trial, {}) for trial in planned.trials])

    def drawn(timelines: list[Timeline]) -> dict[Chart, str]:
        return draw(answer(dataclasses.replace(found, timelines=tuple(timelines)), planned))

    assert "unique to the worker, on the host, MiB" in texts(drawn(timelines)[TIMELINE])
    short = [dataclasses.replace(line, times=line.times[:2], values=line.values[:2]) for line in timelines]
    assert TIMELINE not in drawn(short)


def test_a_finished_seed_stands_for_its_cell_over_time() -> None:
    planned = plan([cell("sft")], seeds=2)
    timelines = [
        Timeline(trial_id=trial.id, metric="host_uss_peak", times=(0.1, 2.0, 4.0), values=(1.0, 2.0, 3.0))
        for trial in planned.trials
    ]
    trials = [result(planned.trials[0], {}, outcome="crashed"), result(planned.trials[1], {})]

    said = texts(draw(answer(results(trials, timelines=tuple(timelines)), planned))[TIMELINE])

    assert "sft" in said
    assert "sft (crashed)" not in said


def test_memory_over_time_has_no_slopes_since_a_value_is_the_most_since_the_sample_before() -> None:
    planned = plan([cell("sft")], seeds=1)
    trial = planned.trials[0]
    line = Timeline(trial_id=trial.id, metric="host_uss_peak", times=(0.1, 2.0, 19.0), values=(1.0, 5.0, 8.0))
    svg = draw(answer(results([result(trial, {})], timelines=(line,)), planned))[TIMELINE]

    (path,) = (one for one in ElementTree.fromstring(svg).iter(f"{SVG}path") if _is_curve(one))
    points = [tuple(map(float, pair)) for pair in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d", ""))]
    steps = list(itertools.pairwise(points))
    assert [(one[0] == other[0], one[1] == other[1]) for one, other in steps] == [(True, False), (False, True)] * 2
    assert steps[0][0][0] < steps[2][0][0]  # and each value begins where the sample before was


def _is_curve(path: ElementTree.Element) -> bool:
    return f"stroke: {COLOURS[0].lower()}" in path.get("style", "") and "clip-path" in path.attrib


def test_stages_over_time_are_told_apart_though_they_share_a_colour() -> None:
    planned = plan([cell("base", kind="stage"), cell("text", kind="stage"), cell("sft")], seeds=1)
    timelines = [
        Timeline(trial_id=trial.id, metric="host_uss_peak", times=(0.1, 2.0, 4.0), values=(1.0, 2.0, 3.0))
        for trial in planned.trials
    ]
    found = results([result(trial, {}) for trial in planned.trials], timelines=tuple(timelines))

    svg = draw(answer(found, planned))[TIMELINE]

    assert len(set(re.findall(r"stroke-dasharray: ([\d. ,]+)", svg))) == 2
