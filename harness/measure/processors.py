"""The processors that this process may run on.

A binding of OpenMP's threads (`OMP_PROC_BIND`, …) ties the main thread to one of them where torch is imported, and the
system then names that one alone, while the other threads have the rest. So what the process had before is kept here:
this module is imported before torch, as the others of `harness.measure` are.
"""

from __future__ import annotations

import os

_BINDINGS = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


def usable() -> frozenset[int]:
    """Their numbers."""
    bound = any(name in os.environ for name in _BINDINGS)
    return _now() | _AT_START if bound else _now()


def _now() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


_AT_START = _now()
