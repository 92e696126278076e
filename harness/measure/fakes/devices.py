"""A CUDA device with known truth: its memory, and how long it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.measure.device import Block
from harness.measure.fakes.clock import FakeClock


@dataclass
class FakeAllocator:
    """torch.cuda's memory figures as told; `up` says whether CUDA is initialised, `broken` that the device is lost.

    `take` and `give` move `allocated` and with it the peaks. `reserved` grows in blocks of `block` bytes and never
    shrinks, as a caching allocator's does. `used` are its blocks, None where it cannot tell them, and `cublas` is the
    size of a workspace.
    """

    device: str
    up: bool = True
    allocated: int = 0
    peak: int = 0
    reserved: int = 0
    block: int = 1
    broken: bool = False
    reads: int = 0
    used: Sequence[Block] | None = ()
    cublas: int | None = None
    on_reset: Callable[[], None] = lambda: None
    on_read: Callable[[], None] = lambda: None

    def take(self, count: int) -> None:
        """Allocates so many bytes."""
        self.allocated += count
        self.peak = max(self.peak, self.allocated)
        self.reserved = max(self.reserved, -(-self.allocated // self.block) * self.block)

    def give(self, count: int) -> None:
        """Frees so many bytes."""
        self.allocated -= count

    def ready(self) -> bool:
        return self.up

    def uuid(self) -> str:
        return self.device

    def figures(self) -> dict[str, int]:
        if self.broken:
            raise RuntimeError("CUDA error: unspecified launch failure")
        self.reads += 1
        self.on_read()
        return {
            "device_allocated": self.allocated,
            "device_allocated_peak": self.peak,
            "device_reserved": self.reserved,
            "device_reserved_peak": self.reserved,
        }

    def reset_peaks(self) -> None:
        self.peak = self.allocated
        self.on_reset()

    def blocks(self) -> Sequence[Block]:
        if self.used is None:
            raise RuntimeError("cudaMallocAsync does not yet support snapshot")
        return self.used

    def workspace(self) -> int | None:
        return self.cublas


@dataclass
class FakeMark:
    """A moment in a `FakeQueue`, as a CUDA event is one in a stream."""

    queue: FakeQueue
    at: float

    def query(self) -> bool:
        if self.queue.broken:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return self.queue.clock() >= self.at

    def elapsed_time(self, end: FakeMark) -> float:
        if self.queue.broken_marks:
            raise RuntimeError("CUDA error: invalid resource handle")
        if not (self.query() and end.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (end.at - self.at) * 1000


@dataclass
class FakeQueue:
    """A device that works off what is launched, in order, while the host goes on.

    `broken`: it is lost; `broken_marks`: it tells that marks have passed, and not when.
    """

    clock: FakeClock
    free_at: float = 0.0
    up: bool = True
    broken: bool = False
    broken_marks: bool = False

    def launch(self, seconds: float) -> None:
        """Queues so much work."""
        self.free_at = max(self.free_at, self.clock()) + seconds

    def wait(self) -> None:
        """Lets the host wait until all is done."""
        self.clock.now = max(self.clock.now, self.free_at)

    def ready(self) -> bool:
        return self.up

    def mark(self) -> FakeMark:
        return FakeMark(self, max(self.free_at, self.clock()))
