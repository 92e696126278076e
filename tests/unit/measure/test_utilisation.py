"""FLOPs and use of the peak from events, and the forwards they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import Recorder, summarise
from harness.measure.forwards import Forward
from harness.records.events import Event, read_events


def _step(number: int, model: int | None, hardware: int | None, *, wall: float = 0.5, measured: bool = True) -> Event:
    flops = {"model_flops": model, "hardware_flops": hardware}
    known = {name: value for name, value in flops.items() if value is not None}
    return {"kind": "step", "step": number, "measured": measured, "wall_s": wall, "t": float(number), **known}


def _compute(peak: float | None) -> Event:
    return {"kind": "compute", "t": 0.0, "values": {"peak_flops_per_second": peak}}


def test_use_of_the_peak_is_a_ratio_of_sums_over_the_window() -> None:
    events = [_compute(1000.0), _step(1, 900, 900, measured=False), _step(2, 100, 150), _step(3, 300, 350, wall=1.5)]
    found = summarise(events)
    assert (found["model_flops"], found["hardware_flops"]) == (400, 500)
    assert found["model_flops_per_second"] == 200
    assert (found["mfu"], found["hfu"]) == (0.2, 0.25)


def test_without_a_peak_there_is_no_use_of_it() -> None:
    for events in ([_compute(None), _step(1, 100, 150)], [_step(1, 100, 150)]):
        found = summarise(events)
        assert found["model_flops"] == 100
        assert not {"mfu", "hfu"} & set(found)


def test_a_step_without_its_part_leaves_no_sum() -> None:
    found = summarise([_compute(1000.0), _step(1, 100, 150), _step(2, 100, None)])
    assert found["model_flops"] == 200
    assert "hardware_flops" not in found
    assert (found["mfu"], found["hfu"]) == (0.2, 0.3)  # of the steps that have both


def test_a_step_of_unknown_time_is_in_no_use_of_the_peak() -> None:
    back = {name: value for name, value in _step(3, 10**6, 10**6).items() if name != "wall_s"}  # the clock went back
    found = summarise([_compute(1000.0), _step(2, 100, 150), back])
    assert found["model_flops"] == 100 + 10**6
    assert (found["mfu"], found["hfu"]) == (0.2, 0.3)


def test_a_step_without_tokens_counts_with_its_time() -> None:
    found = summarise([_compute(1000.0), _step(1, 100, 150), _step(2, 0, 50)])
    assert (found["model_flops"], found["hardware_flops"]) == (100, 200)
    assert (found["mfu"], found["hfu"]) == (0.1, 0.2)


def test_steps_without_tokens_have_no_use_of_the_peak() -> None:
    assert not {"mfu", "hfu", "model_flops_per_second"} & set(summarise([_compute(1000.0), _step(1, 0, 0)]))


def test_several_processes_have_as_many_peaks() -> None:
    active = {"kind": "active", "t": 0.0, "values": {"world_size": 4}}
    assert summarise([active, _compute(1000.0), _step(1, 100, 150)])["mfu"] == 100 / 0.5 / 4000


@pytest.mark.slow
@pytest.mark.parametrize(("peak", "findings"), [(1e9, []), (1e5, ["mfu_above_peak", "hfu_above_peak"])])
def test_a_fake_trainers_truth_is_found(
    peak: float, findings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known tokens on a known model in known seconds, on a device whose ceiling was measured."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from harness.measure import attach, ceiling
    from harness.measure.fakes import FakeClock, FakeMethod, FakeStep, FakeTrainer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key, measured = ceiling.cpu_key(torch.get_num_threads()), {"float32": {"flops_per_second": peak}}
    ceiling.keep({"schema": 1, "key": key, "gemm": measured, "measured_at": "2026-01-02"})
    config = Qwen2Config(
        vocab_size=50, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, attn_implementation="eager", tie_word_embeddings=False,
    )  # fmt: skip
    clock = FakeClock()
    steps = [FakeStep(real=12 + at, padded=30, loss=5, train_s=2.0, reference=at == 3) for at in range(6)]
    trainer = FakeTrainer(steps=steps, sleep=clock.sleep, eval_every=2, eval_s=9.0)
    trainer.model = Qwen2ForCausalLM(config)
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        attach(trainer, recorder, FakeMethod(), 1)
        with recorder.phase("train"):
            trainer.train()
    events = list(read_events(tmp_path / "events.jsonl"))
    found = summarise(events)
    layers, head = 2 * (16 * 16 + 2 * 16 * 8 + 16 * 16 + 3 * 16 * 20), 16 * 50
    asked = sum(6 * layers * real + 6 * head * 5 + 12 * 2 * 16 * real**2 for real in range(13, 18))
    done = (6 * 5 + 2) * (30 * (layers + head) + 2 * 2 * 16 * 30**2)  # one more forward, that no loss asked for
    assert found["model_flops"] == pytest.approx(asked, rel=1e-9)
    assert found["hardware_flops"] == pytest.approx(done, rel=1e-9)
    assert found["mfu"] == pytest.approx(asked / 10.0 / peak, rel=0.01)
    assert found["hfu"] == pytest.approx(done / 10.0 / peak, rel=0.01)
    assert [event["name"] for event in events if event["kind"] == "finding"] == findings
    (told,) = [event["values"] for event in events if event["kind"] == "compute"]
    assert told["peak_source"] == "measured: harness doctor --ceiling, 2026-01-02"


def test_no_steps_no_figures() -> None:
    assert not {"model_flops", "mfu"} & set(summarise([_compute(1000.0)]))


@pytest.mark.parametrize(("model", "hardware", "names"), [(400, 400, []), (400, 600, ["hfu_above_peak"])])
def test_more_than_the_peak_is_a_finding(model: int, hardware: int, names: list[str], tmp_path: Path) -> None:
    from harness.measure.compute import _Window
    from harness.measure.matmul import Peak

    window = _Window()
    window.add(_step(1, 10**9, 10**9, measured=False))
    window.add(_step(2, model, hardware))
    with Recorder(tmp_path / "events.jsonl") as recorder:
        window.judge(recorder, Peak(device="made up", dtype="bfloat16", flops_per_second=1000.0, source="datasheet: x"))
    findings = [event for event in read_events(tmp_path / "events.jsonl") if event["kind"] == "finding"]
    assert [finding["name"] for finding in findings] == names
    assert all(finding["level"] == "warning" and finding["step"] == 2 for finding in findings)
    assert all("120%" in finding["text"] for finding in findings)


def _forward(rows: int, length: int, padded_to: int | None = None, fused: bool = True) -> Forward:
    return Forward(kind="policy", rows=rows, length=length, padded_to=padded_to, fused=fused, tensors={})


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_masked_rows_are_their_real_lengths(lengths: list[int]) -> None:
    counted = _forward(len(lengths), 60).read({"mask": lengths, "loss": [5]})
    asked, done = counted.asked((None, 16)), counted.done((None, 16), dense=True)
    assert (asked.positions, asked.heads) == (sum(lengths), 5)
    assert asked.pairs == {None: sum(n * n for n in lengths), 16: sum(n * min(n, 16) for n in lengths)}
    assert (done.positions, done.heads) == (60 * len(lengths), 59 * len(lengths))
    assert done.pairs == dict.fromkeys((None, 16), 3600 * len(lengths))
    assert counted.done((None, 16), dense=False).pairs == asked.pairs


@given(st.lists(st.integers(2, 30), min_size=1, max_size=8), st.sampled_from([None, 8, 32]))
def test_documents_of_a_padding_free_row_attend_within_themselves(lengths: list[int], multiple: int | None) -> None:
    total = sum(lengths)
    padding = -total % multiple if multiple else 0
    ends = [0]
    for length in [*lengths, *[1] * padding]:
        ends.append(ends[-1] + length)
    places = [place for length in [*lengths, *[1] * padding] for place in range(length)]
    for told in ({"boundaries": ends}, {"places": places}):
        numbers: dict[str, Sequence[int]] = {**told, "loss": [1]}
        counted = _forward(1, total + padding, multiple).read(numbers)
        assert counted.lengths == lengths
        assert counted.asked((None,)).positions == total
        assert counted.done((None,), dense=True).pairs == {None: (total + padding) ** 2}


def test_rows_without_any_mask_are_whole() -> None:
    assert _forward(3, 7).read({"loss": [1]}).lengths == [7, 7, 7]


def test_logits_are_made_where_the_head_makes_them() -> None:
    numbers: dict[str, Sequence[int]] = {"mask": [4, 6], "loss": [3]}
    assert _forward(2, 6, fused=False).read(numbers).done((None,), dense=True).heads == 12
    assert _forward(2, 6).read(numbers).done((None,), dense=True).heads == 10  # all but each row's last
    assert _forward(2, 6).read({**numbers, "labelled": [4]}).done((None,), dense=True).heads == 4


class _Late:
    """Numbers on their way from a device."""

    def __init__(self, numbers: list[int]) -> None:
        self.arrived, self.waited = False, False
        self._numbers = numbers

    def ready(self) -> bool:
        return self.arrived

    def read(self) -> list[int]:
        self.waited = not self.arrived
        return self._numbers


@pytest.mark.slow
def test_nothing_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's event is held back until its numbers have come; the end of a phase waits for them."""
    import torch

    import harness.measure.forwards as forwards
    from harness.measure.compute import Compute, _costs
    from harness.measure.flops import Attention, Decoder, Layer, Product
    from harness.methods import METHODS

    sent: list[_Late] = []

    def send(tensors: Sequence[Any]) -> _Late:
        sent.append(_Late([number for tensor in tensors for number in forwards._numbers(tensor)]))
        return sent[-1]

    monkeypatch.setattr(forwards, "_send", send)
    layer = Layer((Product("mlp", 6, True, True),), Attention(4, 4, True, True, True))
    decoder = Decoder("made up", (layer,), Product("head", 10, True, True))
    path = tmp_path / "events.jsonl"
    ids = torch.ones(2, 5, dtype=torch.long)
    batch = {"input_ids": ids, "attention_mask": ids, "labels": ids}
    with Recorder(path) as recorder:
        probe = Compute(recorder)
        probe._plan = _costs(decoder, decoder, None, True, fused=True, compact=True)
        probe._method, probe._grad_enabled = METHODS["sft"], torch.is_grad_enabled
        for number in (1, 2):
            probe.batch_begin(batch)
            probe._policy_forward(None, (), {**batch, "fused_lm_head": True})
            probe.batch_end(None)
            event: Event = {"kind": "step", "step": number, "measured": True, "wall_s": 0.1}
            probe.step_end(event)
            recorder.add_event(event)
            recorder.flush(whole=False)
        assert len(sent) == 1  # the second step's numbers wait for the first's
        assert list(read_events(path)) == []
        sent[0].arrived = True
        recorder.flush(whole=False)
        assert [event["step"] for event in read_events(path)] == [1]
        assert not sent[0].waited
        probe.phase_end("train")
        recorder.flush()
        assert sent[1].waited
    found = list(read_events(path))
    asked = 3 * (2 * 6 * 10 + 2 * 10 * 8) + 3 * 16 * 50
    assert [event["model_flops"] for event in found] == [asked, asked]
    assert all(event["hardware_flops"] == asked + 2 * 10 * 8 + 8 * 50 for event in found)
