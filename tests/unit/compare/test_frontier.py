"""Which trials fit, by which memory, and the answer in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness.compare.frontier import Frontier, Probe, judge, peak_of
from harness.records.outcome import Outcome, OutcomeName

GIB = 2**30


def _outcome(name: OutcomeName = "ok", **summary: float) -> Outcome:
    return Outcome(outcome=name, attempt=1, started_at="", ended_at="", duration_s=1.0, cause="why", summary=summary)


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"peak_host_memory": 5.0}, ("peak_host_memory", 5.0)),
        ({"peak_host_memory": 9.0, "peak_allocated": 5.0, "peak_reserved": 6.0}, ("peak_reserved", 6.0)),
        ({"peak_allocated": 5.0, "peak_reserved": 6.0, "peak_device_memory": 7.0}, ("peak_device_memory", 7.0)),
        ({"peak_allocated": 5.0, "peak_reserved": 8.0, "peak_device_memory": 7.0}, ("peak_device_memory", 8.0)),
        # trained on the host beside a device that NVML watched
        ({"peak_host_memory": 5.0, "peak_device_memory": 0.0}, ("peak_host_memory", 5.0)),
        ({"peak_host_memory": 5.0, "peak_device_memory": 3.0, "peak_allocated": 0.0}, ("peak_host_memory", 5.0)),
        ({}, (None, None)),
    ],
)
def test_the_peak_is_the_device_s_where_one_was_used(
    summary: Mapping[str, float], expected: tuple[str | None, float | None]
) -> None:
    assert peak_of(summary) == expected


@pytest.mark.parametrize(
    ("outcome", "fits"),
    [
        (_outcome(peak_host_memory=100.0), True),
        (_outcome(peak_host_memory=101.0), False),
        (_outcome("oom"), False),
        (_outcome("oom", peak_host_memory=1.0), False),
        (_outcome("crashed", peak_host_memory=1.0), None),
        (_outcome("diverged", peak_host_memory=1.0), None),
        (_outcome("timeout", peak_host_memory=101.0), None),
        (_outcome("interrupted"), None),
        (_outcome(), None),
    ],
)
def test_only_an_end_that_tells_of_memory_decides(outcome: Outcome, fits: bool | None) -> None:
    assert judge(8, "t", outcome, limit=100, predicted=50).fits is fits


@pytest.mark.parametrize(
    ("host", "fits"),
    [(None, True), (100, True), (99, False)],
)
def test_what_was_tried_before_the_host_s_limit_was_lowered_does_not_fit_above_it(host: int | None, fits: bool) -> None:
    on_device = _outcome(peak_reserved=10.0, peak_host_memory=100.0)
    probe = judge(8, "t", on_device, limit=100, predicted=50, host=host)
    assert probe.fits is fits
    assert ("limits.host_memory" in (probe.cause or "")) is not fits
    assert judge(8, "t", _outcome("crashed", peak_host_memory=100.0), 100, None, host=1).fits is None


def test_the_sentence_says_that_the_host_had_no_room() -> None:
    probe = judge(8, "t", _outcome(peak_reserved=1.0, peak_host_memory=2.0 * GIB), limit=GIB, predicted=1, host=GIB)
    found = Frontier(cell="a", alike=(), axis="x", limit=GIB, highest=8, probes=[probe], largest=None, fails=8)
    assert "does not fit in 1 GiB (2 GiB of the host, above limits.host_memory)" in found.sentence


@pytest.mark.parametrize(
    ("oom", "peak", "says"),
    [
        ({"in_use": 12 * GIB, "requested_bytes": GIB}, 11.5, "8 does not (oom at 13 GiB: it could have no more)"),
        ({"in_use": 22 * GIB, "requested_bytes": GIB}, 21.0, "8 does not (oom)"),
        (None, 12.0, "8 does not (oom at 12 GiB: it could have no more)"),
        (None, 25.0, "8 does not (oom)"),
        (None, None, "8 does not (oom)"),
    ],
)
def test_the_sentence_says_where_memory_ran_out_far_below_the_limit(
    oom: Mapping[str, int] | None, peak: float | None, says: str
) -> None:
    summary = {} if peak is None else {"peak_reserved": peak * GIB}
    ended = replace(_outcome("oom", **summary), facts={} if oom is None else {"oom": oom})
    probes = [judge(4, "t", _outcome(peak_reserved=GIB), 24 * GIB, None), judge(8, "u", ended, 24 * GIB, None)]
    found = Frontier(cell="a", alike=(), axis="x", limit=24 * GIB, highest=8, probes=probes, largest=4, fails=8)
    assert found.sentence.endswith(says)


def test_a_batch_that_was_not_full_may_be_too_large_but_never_fits() -> None:
    fine, large = _outcome(peak_reserved=1.0), _outcome(peak_reserved=3.0)
    judged = [judge(8, "t", one, limit=2, predicted=None, unfilled="few rows") for one in (fine, large)]
    assert [(one.fits, one.cause) for one in judged] == [(None, "few rows"), (False, "why")]


def test_an_unmeasured_trial_says_so() -> None:
    assert judge(8, "t", _outcome(), limit=100, predicted=None).cause == "its memory was not measured"


def test_what_was_predicted_of_a_device_stands_beside_a_device_alone() -> None:
    assert judge(8, "t", _outcome(peak_host_memory=1.0), limit=2, predicted=50).predicted is None
    assert judge(8, "t", _outcome(peak_allocated=1.0), limit=2, predicted=50).predicted == 50


def test_positions_are_those_of_a_step() -> None:
    outcome = _outcome(peak_host_memory=1.0, padded_tokens=4096.0, measured_steps=4.0, tokens_per_second=9.0)
    probe = judge(8, "t", outcome, limit=2, predicted=None)
    assert (probe.positions, probe.tokens_per_second) == (1024.0, 9.0)


def _probe(value: int, fits: bool | None, *, outcome: str = "ok", peak: float | None = None) -> Probe:
    return Probe(value=value, trial="t", outcome=outcome, fits=fits, peak=peak)


@pytest.mark.parametrize(
    ("probes", "largest", "fails", "stopped", "sentence"),
    [
        (
            [_probe(48, True, peak=23.1 * GIB), _probe(49, False, outcome="oom")],
            48,
            49,
            None,
            "sft: 48 fits in 24 GiB (23.1 GiB); 49 does not (oom)",
        ),
        (
            [_probe(48, True, peak=23.1 * GIB), _probe(49, False, peak=24.2 * GIB)],
            48,
            49,
            None,
            "sft: 48 fits in 24 GiB (23.1 GiB); 49 does not (24.2 GiB)",
        ),
        (
            [_probe(8, True, peak=22 * GIB), _probe(9, False, peak=24 * GIB + 17 * 2**20)],
            8,
            9,
            None,
            "sft: 8 fits in 24 GiB (22 GiB); 9 does not (17 MiB more)",
        ),
        (
            [_probe(64, True, peak=2 * GIB)],
            64,
            None,
            None,
            "sft: 64, the largest that may be tried, fits in 24 GiB (2 GiB)",
        ),
        (
            [_probe(1, False, peak=25 * GIB)],
            None,
            1,
            None,
            "sft: 1, the smallest that may be tried, does not fit in 24 GiB (25 GiB)",
        ),
        (
            [_probe(8, True), _probe(16, None, outcome="crashed")],
            8,
            None,
            "16 ended crashed (why)",
            "sft: not decided: 16 ended crashed (why); 8 fits",
        ),
    ],
)
def test_the_answer_in_one_line(
    probes: list[Probe], largest: int | None, fails: int | None, stopped: str | None, sentence: str
) -> None:
    found = Frontier(
        cell="sft",
        alike=(),
        axis="train.per_device_train_batch_size",
        limit=24 * GIB,
        highest=64,
        probes=probes,
        largest=largest,
        fails=fails,
        stopped=stopped,
    )
    assert found.sentence == sentence
