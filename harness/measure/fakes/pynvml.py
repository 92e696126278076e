"""nvidia-ml-py's module with one made-up device, for what is read of the environment: its names, types and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pynvml

_H200: Mapping[str, Any] = {
    "nvmlSystemGetDriverVersion": "575.57.08",
    "nvmlSystemGetCudaDriverVersion": 12090,
    "nvmlDeviceGetEnforcedPowerLimit": 600_000,
    "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
    "nvmlDeviceGetCurrPcieLinkGeneration": 1,
    "nvmlDeviceGetCurrPcieLinkWidth": 16,
    "nvmlDeviceGetMaxPcieLinkGeneration": 5,
    "nvmlDeviceGetMaxPcieLinkWidth": 16,
    "nvmlDeviceGetMigMode": [0, 0],
    "nvmlDeviceGetComputeMode": 3,
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetEccMode": [1, 1],
    "nvmlDeviceGetVbiosVersion": "96.00.99.00.01",
}


@dataclass
class FakePynvml:
    """Answers what `answers` says by function name, and "Not Supported" to all else that nvidia-ml-py has.

    `broken` is NVML's code for why nothing works. `links` are the states of the NVLinks. Calls of nvmlInit less those
    of nvmlShutdown are in `open`.
    """

    uuid: str = "GPU-0a1b2c3d-0000-1111-2222-333344445555"
    answers: Mapping[str, Any] = field(default_factory=lambda: dict(_H200))
    links: tuple[int, ...] = (1, 1, 0)
    broken: int = 0
    open: int = 0

    def nvmlInit(self) -> None:  # noqa: N802 — NVML's own name
        if self.broken:
            raise pynvml.NVMLError(self.broken)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return self.uuid if handle == 1 else "GPU-ffffffff-0000-1111-2222-333344445555"

    def nvmlDeviceGetNvLinkState(self, handle: int, link: int) -> int:  # noqa: N802
        if link >= len(self.links):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self.links[link]

    def nvmlDeviceGetMaxClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802
        return {1: 1980, 2: 3201}[clock]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("nvml") or not hasattr(pynvml, name):
            raise AttributeError(name)

        def answer(*arguments: Any) -> Any:
            if name not in self.answers:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return self.answers[name]

        return answer
