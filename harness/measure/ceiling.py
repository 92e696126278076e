"""Measures what a device does at most: matrix products of several sizes and dtypes, and copies.

`python -m harness.measure.ceiling [SECONDS]` measures every device here, keeps the results in the user's cache by
device, and prints them as JSON. It is a process of its own, so that whoever asks stays light and CUDA ends with it.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.measure import alone, peaks
from harness.measure.nvml import bare
from harness.records.run_folder import read_json, write_json

SCHEMA = 1
SECONDS = 8.0
"""How long one device is measured, about; a busy machine takes longer, leaving out what does not fit in twice that."""
RUNS = 3
"""Runs of each product; the best counts, each a mean over many products without a pause."""
CUDA_SIZES = (4096, 8192, 16384)
CPU_SIZES = (512, 1024, 2048)
CUDA_COPY = 2**30
CPU_COPY = 2**28
"""Bytes of one copy."""
ABOVE_DATASHEET = 1.10
"""A device does no more than its datasheet says, but for clocks a little above those that it is told for."""


def folder() -> Path:
    """Where ceilings are kept: a fact of the machine, not of any results."""
    root = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(root) if Path(root).is_absolute() else Path.home() / ".cache") / "trl-harness" / "ceilings"


def kept(key: str) -> dict[str, Any] | None:
    """The ceiling that was measured on the device of that key; None where none was, or an older harness kept it."""
    try:
        found = read_json(_file(key))
    except OSError:
        return None
    return found if found and found.get("schema") == SCHEMA and found.get("key") == key else None


def keep(ceiling: Mapping[str, Any]) -> Path:
    """Keeps a ceiling in place of the one before.

    Raises:
        OSError: the cache folder cannot be written.
    """
    file = _file(str(ceiling["key"]))
    write_json(file, ceiling)
    return file


def flops_per_second(ceiling: Mapping[str, Any] | None, dtype: str) -> float | None:
    """The measured ceiling of products in that dtype."""
    found = ((ceiling or {}).get("gemm") or {}).get(dtype) or {}
    value = found.get("flops_per_second")
    return float(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def _file(key: str) -> Path:
    return folder() / (re.sub(r"[^A-Za-z0-9.]+", "-", key).strip("-") + ".json")


def cuda_key(properties: Any) -> str:
    """What tells a CUDA device from others: its UUID, and its name (a MIG slice may have its whole device's UUID)."""
    return f"{properties.name} {bare(str(getattr(properties, 'uuid', '')))}"


def cpu_key(threads: int) -> str:
    """What tells a processor from others, as far as products are concerned."""
    return f"{processor()} {threads} threads"


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return "cpu"


@dataclass(frozen=True, slots=True)
class Clock:
    """Times work on a device: `timed(work)` is its seconds, all of it waited for."""

    timed: Callable[[Callable[[], None]], float]

    @classmethod
    def wall(cls) -> Clock:
        """For the CPU."""

        def timed(work: Callable[[], None]) -> float:
            began = time.perf_counter()
            work()
            return time.perf_counter() - began

        return cls(timed)

    @classmethod
    def cuda(cls) -> Clock:
        """By CUDA events, which leave out what launching costs."""
        import torch

        def timed(work: Callable[[], None]) -> float:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1000

        return cls(timed)

    def watched(self, watch: alone.Watch | None) -> Clock:
        """The same, with a look at who else is there after each time that was taken."""
        if watch is None:
            return self

        def timed(work: Callable[[], None]) -> float:
            seconds = self.timed(work)
            watch.look()
            return seconds

        return Clock(timed)


def sustained(work: Callable[[], None], clock: Clock, seconds: float) -> float:
    """Seconds of one call of `work` at its best: the least mean over runs that fill `seconds`, after a warm-up.

    Not a number where a run took no time at all, or none that can be: then the clock is not to be trusted.
    """

    def many(count: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(count):
                work()

        return run

    once = min(clock.timed(work) for _ in range(2))
    count = max(1, min(10_000, int(seconds / RUNS / max(1e-7, once))))
    means = [clock.timed(many(count)) / count for _ in range(RUNS)]
    return min(means) if all(0 < mean < math.inf for mean in means) else math.nan


def measure(device: str, seconds: float = SECONDS) -> dict[str, Any]:
    """The ceiling of `cpu` or `cuda:<n>`: FLOP/s by dtype and bytes/s by kind of copy. Imports torch.

    A dtype that the device has no product for is left out. Where `disturbed` says what made the figures too low, or
    `impossible` why they cannot be true, they are not to be kept.
    """
    import torch

    began = time.perf_counter()
    cuda = device != "cpu"
    watch: alone.Watch | None = alone.Cores()
    if cuda:
        watches = alone.on_gpus()
        watch = alone.over(watches, str(getattr(torch.cuda.get_device_properties(device), "uuid", "")))
        torch.cuda.set_device(device)
    clock = (Clock.cuda() if cuda else Clock.wall()).watched(watch)
    found = {
        "schema": SCHEMA,
        **_identity(device),
        "torch": str(torch.__version__),
        "gemm": _products(device, clock, seconds * 0.75),
        "copy": _copies(device, clock, seconds * 0.25),
        "seconds": round(time.perf_counter() - began, 2),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    doubts = {"disturbed": watch.reasons() if watch else [], "impossible": impossible(found)}
    return {**found, **{name: reasons for name, reasons in doubts.items() if reasons}}


def impossible(ceiling: Mapping[str, Any]) -> list[str]:
    """Why the figures of a ceiling cannot be true, each that cannot; empty where all can."""
    products = {dtype: each["flops_per_second"] for dtype, each in ceiling["gemm"].items()}
    timeless = [name for name, rate in [*products.items(), *ceiling["copy"].items()] if not math.isfinite(rate)]
    found = [f"{name} took no time that can be: the clock is wrong" for name in timeless]
    for dtype, rate in products.items():
        peak = peaks.peak(str(ceiling["name"]), dtype)
        if peak is not None and ABOVE_DATASHEET * peak < rate < math.inf:
            told = f"{dtype} at {rate / 1e12:,.0f} TFLOP/s, {rate / peak - 1:.0%} above the datasheet's"
            found.append(f"{told} {peak / 1e12:,.0f}: the clock, or the count, is wrong")
    return found


def _identity(device: str) -> dict[str, Any]:
    import torch

    if device == "cpu":
        threads = torch.get_num_threads()
        return {"device": device, "name": processor(), "key": cpu_key(threads), "threads": threads}
    properties = torch.cuda.get_device_properties(device)
    return {"device": device, "name": str(properties.name), "key": cuda_key(properties)}


def _products(device: str, clock: Clock, seconds: float) -> dict[str, dict[str, float]]:
    import torch

    sizes = CPU_SIZES if device == "cpu" else CUDA_SIZES
    kinds = {peaks.BFLOAT16: torch.bfloat16, peaks.FLOAT16: torch.float16, peaks.FLOAT32: torch.float32}
    if device != "cpu" and torch.cuda.get_device_capability(device) >= (8, 0):
        kinds[peaks.TF32] = torch.float32
    share, late = seconds / (len(kinds) * len(sizes)), time.perf_counter() + 2 * seconds
    found: dict[str, dict[str, float]] = {}
    for name, dtype in kinds.items():
        torch.backends.cuda.matmul.fp32_precision = "tf32" if name == peaks.TF32 else "ieee"
        for size in sizes:
            try:
                rate = _product(device, dtype, size, clock, share)
            except RuntimeError as error:
                if not _cannot(error):
                    raise
                break
            if rate > found.get(name, {}).get("flops_per_second", 0):
                found[name] = {"flops_per_second": rate, "size": size}
            if 2 * size**3 / rate > share or time.perf_counter() > late:  # the next takes eight times as long
                break
    return found


def _product(device: str, dtype: Any, size: int, clock: Clock, seconds: float) -> float:
    """FLOP/s of square products of random numbers: zeros draw less power and run faster than any training."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
    into = torch.empty(size, size, device=device, dtype=dtype)

    def work() -> None:
        torch.mm(left, right, out=into)

    return _rate(2 * size**3, sustained(work, clock, seconds))


def _rate(amount: float, seconds: float) -> float:
    """Infinite where the time cannot be."""
    return amount / seconds if seconds > 0 else math.inf


def _cannot(error: RuntimeError) -> bool:
    """Whether the device has no room for it, or no such product."""
    said = str(error)
    return type(error).__name__ == "OutOfMemoryError" or any(
        sign in said for sign in ("can't allocate memory", "not implemented", "NOT_SUPPORTED", "out of memory")
    )


def _copies(device: str, clock: Clock, seconds: float) -> dict[str, float]:
    """Bytes per second: on the device what is read and written, between host and device what crosses."""
    found: dict[str, float] = {}
    kinds = list(_copy_kinds(device))
    for name, moved, copy in kinds:
        try:
            found[name] = _rate(moved, sustained(copy(), clock, seconds / len(kinds)))
        except RuntimeError as error:
            if not _cannot(error):
                raise
    return found


def _copy_kinds(device: str) -> Iterator[tuple[str, int, Callable[[], Callable[[], None]]]]:
    import torch

    def pair(from_: str, to: str, size: int, pinned: bool) -> Callable[[], Callable[[], None]]:
        def make() -> Callable[[], None]:
            here = torch.ones(size, dtype=torch.uint8, device=from_, pin_memory=pinned and from_ == "cpu")
            there = torch.ones(size, dtype=torch.uint8, device=to, pin_memory=pinned and to == "cpu")

            def work() -> None:
                there.copy_(here, non_blocking=pinned)

            return work

        return make

    if device == "cpu":
        yield "on_device", 2 * CPU_COPY, pair("cpu", "cpu", CPU_COPY, False)
        return
    yield "on_device", 2 * CUDA_COPY, pair(device, device, CUDA_COPY, False)
    for pinned in (True, False):
        how = "pinned" if pinned else "pageable"
        yield f"host_to_device_{how}", CPU_COPY, pair("cpu", device, CPU_COPY, pinned)
        yield f"device_to_host_{how}", CPU_COPY, pair(device, "cpu", CPU_COPY, pinned)


def main(arguments: list[str]) -> int:
    """Measures, keeps what can be, and prints; the parent reads the last line of stdout."""
    import torch

    seconds = float(arguments[0]) if arguments else SECONDS
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
    found = []
    for device in devices:
        ceiling = measure(device, seconds)
        found.append({**ceiling, **_kept(ceiling)})
    print(json.dumps(found))
    return 0


def _kept(ceiling: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps a ceiling unless something speaks against it: where, or why not."""
    if "disturbed" in ceiling or "impossible" in ceiling:
        return {"kept_in": None}
    try:
        return {"kept_in": str(keep(ceiling))}
    except OSError as error:
        return {"kept_in": None, "not_kept": str(error)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
