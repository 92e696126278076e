"""Counts that the device still owes: read once it has computed them, so that no step waits for its own figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.recorder import Recorder
from harness.records.events import Event

_HOLDER = "counts"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Numbers on their way to the host: `ready` never waits, `read` waits where it must."""

    ready: Callable[[], bool]
    read: Callable[[], list[int]]


class Owed:
    """Completes events with counts, each a plain number or a tensor of one element.

    A count on the host is read when the recorder is about to write its event. For counts on a device the copies of all
    steps since the last time are sent off then, and their events held back until the copies have arrived: usually by
    the next writing, a second later. Nothing waits for the device but after `hurry`, which is for moments when it is
    waited for anyway.
    """

    def __init__(self, recorder: Recorder, send: Callable[[Sequence[Any]], Transfer] | None = None) -> None:
        self._recorder = recorder
        self._send = send or send_from_device
        self._new: list[tuple[Event, Mapping[str, Any]]] = []
        self._sent: list[Event] = []
        self._names: list[tuple[Event, str]] = []
        self._transfer: Transfer | None = None
        self._hurried = False
        recorder.before_flush.append(self._settle)

    def add(self, event: Event, counts: Mapping[str, Any]) -> None:
        """Owes `event` these counts by name."""
        self._new.append((event, counts))
        if any(on_device(value) for value in counts.values()):
            self._recorder.hold(event, _HOLDER)

    def hurry(self) -> None:
        """The next writing waits for the device and completes everything."""
        self._hurried = True

    def _settle(self) -> None:
        if not self._arrived():
            return
        self._depart()
        self._arrived()
        self._hurried = False

    def _arrived(self) -> bool:
        """Completes the events whose counts have come; False while they are on their way."""
        if self._transfer is not None:
            if not (self._hurried or self._transfer.ready()):
                return False
            for (event, name), value in zip(self._names, self._transfer.read(), strict=True):
                event[name] = value
        for event in self._sent:
            self._recorder.release(event, _HOLDER)
        self._names, self._sent, self._transfer = [], [], None
        return True

    def _depart(self) -> None:
        new, self._new = self._new, []
        lying: list[Any] = []
        for event, counts in new:
            for name, value in counts.items():
                if on_device(value):
                    self._names.append((event, name))
                    lying.append(value)
                else:
                    event[name] = int(value)
        if lying:
            self._sent = [event for event, _ in new]
            self._transfer = self._send(lying)


def on_device(value: Any) -> bool:
    """Whether this is a tensor that does not lie on the host."""
    return not isinstance(value, int) and value.device.type != "cpu"


def send_from_device(values: Sequence[Any]) -> Transfer:
    """Copies tensors of a CUDA device to pinned host memory, one after the other, behind what it has still to do."""
    import torch

    device = values[0].device
    lying = torch.cat([value.reshape(-1).to(device, torch.long, non_blocking=True) for value in values])
    host = torch.empty(lying.numel(), dtype=torch.long, pin_memory=True)
    host.copy_(lying, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(device))

    def read() -> list[int]:
        done.synchronize()
        numbers: list[int] = host.tolist()
        return numbers

    return Transfer(ready=done.query, read=read)
