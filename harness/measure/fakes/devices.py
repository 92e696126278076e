"""A CUDA allocator with known truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class FakeAllocator:
    """torch.cuda's memory figures as told; `up` says whether CUDA is initialised."""

    device: str
    up: bool = True
    allocated: int = 0
    peak: int = 0
    reserved: int = 0
    on_reset: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        return self.up

    def uuid(self) -> str:
        return self.device

    def figures(self) -> dict[str, int]:
        return {
            "device_allocated": self.allocated,
            "device_allocated_peak": self.peak,
            "device_reserved_peak": self.reserved,
        }

    def reset_peaks(self) -> None:
        self.peak = self.allocated
        self.on_reset()
