"""What memory is held for, counted on real tensors whose sizes are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure import Recorder, summarise
from harness.measure.breakdown import Breakdown, Ledger, beside, doubt, summed, weights_of
from harness.measure.device import Block
from harness.measure.fakes import FakeAllocator
from harness.measure.optimizing import state_dtypes
from harness.records.events import Event, read_events

pytestmark = pytest.mark.slow  # torch

SIZES = st.integers(1, 40)


def _trainer(model: Any, optimizer: Any, **more: Any) -> Any:
    return SimpleNamespace(model=model, model_wrapped=model, optimizer=optimizer, **more)


def _linear(inside: int, outside: int, **options: Any) -> Any:
    import torch

    return torch.nn.Linear(inside, outside, **options)


def _stepped(model: Any, make: Callable[[Any], Any]) -> Any:
    """The optimizer after one step, with the gradients still there."""
    optimizer = make([weight for weight in model.parameters() if weight.requires_grad])
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = weight.detach().clone()
    optimizer.step()
    return optimizer


def _adam(weights: Any) -> Any:
    import torch

    return torch.optim.AdamW(weights, lr=1e-3)


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(SIZES, SIZES, st.booleans()), min_size=1, max_size=5), st.sampled_from(["float32", "bfloat16"])
)
def test_bytes_are_those_of_the_tensors(layers: list[tuple[int, int, bool]], dtype: str) -> None:
    import torch

    model = torch.nn.ModuleList(_linear(a, b, bias=False, dtype=getattr(torch, dtype)) for a, b, _ in layers)
    for layer, (_, _, frozen) in zip(model, layers, strict=True):
        layer.weight.requires_grad_(not frozen)
    each = 4 if dtype == "float32" else 2
    trained = [a * b * each for a, b, frozen in layers if not frozen]
    if not trained:
        return
    found, elsewhere = summed(_trainer(model, _stepped(model, _adam)), _cpu())
    assert found == {
        "weights": sum(a * b * each for a, b, _ in layers),
        "buffers": 0,
        "reference": 0,
        "gradients": sum(trained),
        "optimizer": 2 * sum(trained) + 4 * len(trained),  # two moments, and a step counter in float32 for each weight
    }
    assert elsewhere == 0


def test_tied_weights_and_views_count_once() -> None:
    import torch

    model = torch.nn.Module()
    model.embedding = torch.nn.Embedding(10, 4)
    model.head = _linear(4, 10, bias=False)
    model.head.weight = model.embedding.weight
    model.view = torch.nn.Parameter(model.embedding.weight.detach()[2:4])  # a slice of the same storage
    assert Ledger(_cpu()).add(weights_of(model)) == 10 * 4 * 4


def test_buffers_a_reference_and_what_shares_with_the_model() -> None:
    model, other = _linear(3, 2, bias=False), _linear(5, 2, bias=False)
    model.register_buffer("kept", model.weight.detach().new_zeros(7))
    trainer = _trainer(model, _stepped(model, _adam), ref_model=other, same=model)
    found, _ = summed(trainer, _cpu())
    assert (found["weights"], found["buffers"], found["reference"]) == (24, 28, 40)


def test_a_quantised_tensor_counts_what_it_holds() -> None:
    """A subclass that wraps others, as torchao's 8-bit state does, claims the dtype and shape of what it stands for."""
    import torch

    class Quantised(torch.Tensor):
        codes: Any
        scale: Any

        @staticmethod
        def __new__(cls, codes: Any, scale: Any) -> Any:
            return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.float32, device=codes.device)

        def __init__(self, codes: Any, scale: Any) -> None:
            self.codes, self.scale = codes, scale

        def __tensor_flatten__(self) -> tuple[list[str], list[Any]]:
            return ["codes", "scale"], []

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise AssertionError(f"counting bytes computes nothing, but asked for {func}")

    state = Quantised(torch.zeros(1024, dtype=torch.uint8), torch.zeros(4))
    assert Ledger(_cpu()).add([state]) == 1024 + 16


def test_eight_bit_state_counts_its_codes_scales_and_one_code_book() -> None:
    import bitsandbytes
    import torch

    model = torch.nn.ModuleList([_linear(64, 128, bias=False), _linear(128, 96, bias=False)])
    optimizer = _stepped(model, lambda weights: bitsandbytes.optim.AdamW8bit(weights, lr=1e-3))
    found, _ = summed(_trainer(model, optimizer), _cpu())
    each = [64 * 128, 128 * 96]
    codes, scales = sum(2 * count for count in each), sum(2 * 4 * count // 256 for count in each)
    assert found["optimizer"] == codes + scales + 2 * 256 * 4  # a signed and an unsigned book of 256 values, shared


class GaLoreProjector:
    """As galore_torch's of `proj_type: full`."""

    def __init__(self) -> None:
        import torch

        self.ortho_matrix = [torch.zeros(4, 2), torch.zeros(2, 4)]


def test_what_an_optimizer_projects_with_and_keeps_in_its_groups_counts() -> None:
    """GaLore's matrices lie in objects of its state, GrokAdamW's whole state in its groups, and transformers' layerwise
    GaLore is an optimizer for each weight.
    """
    import torch

    model = _linear(4, 4, bias=False)
    model.weight.grad = torch.zeros(4, 4)
    kept = {model.weight: {"step": 1, "projector": GaLoreProjector(), "exp_avg": torch.zeros(2, 4)}}
    groups = [{"params": [model.weight], "state": kept}]
    for optimizer in (
        SimpleNamespace(state=kept),
        SimpleNamespace(state={}, param_groups=groups),
        SimpleNamespace(state={}, optimizer_dict={model.weight: SimpleNamespace(state=kept, param_groups=[])}),
    ):
        found, _ = summed(_trainer(model, optimizer), _cpu())
        assert found["optimizer"] == 4 * (16 + 8)
        assert state_dtypes(optimizer) == {"exp_avg": ["float32"]}


def test_paged_state_counts_but_not_as_the_allocators() -> None:
    """bitsandbytes' paged state is a tensor of the host's to torch, in memory that CUDA manages."""
    import torch

    paged = torch.zeros(100, dtype=torch.uint8)
    paged.is_paged = True
    model = _linear(2, 2, bias=False)
    optimizer = SimpleNamespace(state={model.weight: {"state1": paged, "step": 1, "absmax1": torch.zeros(3)}})
    model.weight.grad = torch.zeros(2, 2)
    found, elsewhere = summed(_trainer(model, optimizer), _cpu())
    assert (found["optimizer"], elsewhere) == (112, 100)


def test_what_lies_on_another_device_is_told() -> None:
    import torch

    ledger = Ledger(torch.device("cuda:0"))
    assert ledger.add([torch.zeros(5), torch.zeros(9, device="meta")]) == 20
    assert ledger.elsewhere == 20


def test_sparse_gradients_count_indices_and_values() -> None:
    import torch

    gradient = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.ones(2, 4), (10, 4))
    assert Ledger(_cpu()).add([gradient]) == 2 * 8 + 2 * 4 * 4


def test_the_scales_beside_a_four_bit_weight_count() -> None:
    import torch

    class QuantState:
        """Named as bitsandbytes'; nested once where scales are quantised too."""

        def __init__(self, nested: Any = None) -> None:
            self.absmax, self.code, self.state2, self.shape = torch.zeros(6), torch.zeros(16), nested, (4, 4)

    weight = torch.nn.Parameter(torch.zeros(8, dtype=torch.uint8), requires_grad=False)
    weight.quant_state = QuantState(QuantState())
    model = torch.nn.Module()
    model.weight = weight
    assert Ledger(_cpu()).add(weights_of(model)) == 8 + 2 * (24 + 64)


# The probe


def _events(folder: Path, trainer: Any, steps: int, allocator: FakeAllocator | None = None) -> list[Event]:
    with Recorder(folder / "events.jsonl") as recorder:
        probe = Breakdown(recorder, allocator)
        probe.attached(trainer, None)
        for _ in range(steps):
            probe.optimizer_end()
    return list(read_events(folder / "events.jsonl"))


def test_it_is_taken_twice_and_then_no_more(tmp_path: Path) -> None:
    model = _linear(3, 2, bias=False)
    trainer = _trainer(model, SimpleNamespace(optimizer=_stepped(model, _adam)))  # as accelerate wraps it
    events = _events(tmp_path, trainer, 5)
    assert [event["kind"] for event in events] == ["breakdown"] * 2
    assert events[-1]["device"] == "cpu"
    summary = summarise(events)
    assert (summary["weight_memory"], summary["gradient_memory"], summary["optimizer_memory"]) == (24, 24, 52)
    assert "activation_memory" not in summary
    assert "reference_memory" not in summary


def test_steps_that_the_loss_scaler_skipped_do_not_count(tmp_path: Path) -> None:
    model = _linear(3, 2, bias=False)
    trainer = _trainer(model, _stepped(model, _adam), accelerator=SimpleNamespace(optimizer_step_was_skipped=True))
    assert _events(tmp_path, trainer, 3) == []


def test_gradients_that_are_gone_and_a_state_that_is_hidden_are_said_once_and_absent(tmp_path: Path) -> None:
    events = _events(tmp_path, _trainer(_linear(3, 2), SimpleNamespace()), 3)
    notes = [event["text"] for event in events if event["kind"] == "note"]
    assert len(notes) == 2
    assert "gradients is not measured" in notes[0]
    assert "optimizer's state is not measured" in notes[1]
    assert not {"gradient_memory", "optimizer_memory"} & set(summarise(events))
    assert summarise(events)["weight_memory"] == 32


def test_an_optimizer_without_state_holds_nothing(tmp_path: Path) -> None:
    import torch

    model = _linear(3, 2)
    trainer = _trainer(model, _stepped(model, lambda weights: torch.optim.SGD(weights, lr=0.1)))
    assert summarise(_events(tmp_path, trainer, 2))["optimizer_memory"] == 0


def test_a_tensor_that_cannot_be_read_is_a_note_and_no_crash(tmp_path: Path) -> None:
    class Odd:
        is_sparse = False
        grad = None

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"no {name}")

    model = SimpleNamespace(parameters=lambda: iter([Odd()]), buffers=lambda: iter(()))
    (note,) = _events(tmp_path, _trainer(model, SimpleNamespace(state={})), 3)
    assert "breakdown of memory is not measured: RuntimeError" in note["text"]


@pytest.mark.parametrize(
    ("unexplained", "says"), [(290, None), (-290, None), (400, "4.0% of the device's memory"), (-400, "not there")]
)
def test_parts_that_do_not_add_up_are_said(unexplained: int, says: str | None) -> None:
    told = doubt({"unexplained": unexplained * 2**20, "allocated": 10_000 * 2**20})
    assert (told is None) if says is None else (says in str(told))


def test_workspaces_that_are_not_told_are_not_worth_a_note() -> None:
    parts = {"unexplained": 100 * 2**20, "allocated": 400 * 2**20}
    assert doubt(parts) is None
    assert "25.0%" in str(doubt({**parts, "workspace": 64 * 2**20}))


def test_blocks_tell_workspaces_and_what_is_rounded_up() -> None:
    """A tensor as large as a workspace is told from one by its address."""
    import torch

    tensor = torch.zeros(1024, dtype=torch.uint8)
    ledger = Ledger(_cpu())
    ledger.add([tensor])
    blocks = [Block(tensor.data_ptr(), 1024, 1024), Block(1, 1536, 1024), Block(2, 1024, 1024), Block(3, 512, 24)]
    assert beside(ledger, blocks, 1024) == {"rounding": 512 + 488, "workspace": 2048}
    assert beside(ledger, blocks, None) == {"rounding": 512 + 488}


@pytest.mark.parametrize("told", [True, False])
def test_what_the_devices_allocator_holds_beside_the_tensors_is_told(tmp_path: Path, told: bool) -> None:
    model = _linear(3, 2, bias=False)
    trainer = _trainer(_Moved(model), _stepped(model, _adam))
    held = 24 + 24 + 52
    blocks = [Block(1, 512, held), Block(2, 64, 64), Block(3, 64, 64), Block(4, 512, 10)]
    allocator = FakeAllocator("one", allocated=1152, used=blocks if told else None, cublas=64)
    (taken,) = (event for event in _events(tmp_path, trainer, 1, allocator) if event["kind"] == "breakdown")
    values = taken["values"]
    assert values["elsewhere"] == held  # the tensors of this test lie on the host
    beside_them = {"rounding": 412 + 502, "workspace": 128} if told else {}
    assert {name: values[name] for name in ("rounding", "workspace") if name in values} == beside_them
    assert values["unexplained"] == 1152 - sum(beside_them.values())
    notes = [event["text"] for event in read_events(tmp_path / "events.jsonl") if event["kind"] == "note"]
    assert told != any("workspaces are not measured: RuntimeError" in note for note in notes)


class _Moved:
    """The model, told to lie on a CUDA device by the first of its weights that is asked."""

    def __init__(self, model: Any) -> None:
        self._model, self._asked = model, False

    def parameters(self) -> Any:
        if self._asked:
            return self._model.parameters()
        self._asked = True
        return iter([SimpleNamespace(device=SimpleNamespace(type="cuda"))])

    def buffers(self) -> Any:
        return self._model.buffers()


def test_on_the_host_there_is_nothing_to_add_up_to() -> None:
    assert doubt({"weights": 5}) is None


@pytest.mark.parametrize(("unexplained", "told"), [(128 * 2**20, False), (128 * 2**20 + 1, True)])
def test_what_workspaces_may_be_is_no_doubt_where_they_are_not_told(unexplained: int, told: bool) -> None:
    assert (doubt({"unexplained": unexplained, "allocated": 2**30}) is not None) is told
