"""Whose processes are on a device: the worker's own, or somebody else's.

Inside a container NVML may name processes by the host's numbers, which nobody in the container knows, or name none at
all. So the worker's own are told in one of two ways:

- by number: a listed process is the worker, or one that the worker started;
- by appearance, where none of the numbers is known although the worker uses the device: of the processes that came
  after the trial began, the first that has not left is the worker's, every other one is not.

Where the list is empty although the worker uses the device, it is blind for the worker: whoever it names later is
somebody else, and as long as it names nobody nothing is said of others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_GENERATIONS = 32


@dataclass
class Others:
    """Tells the others of one device apart. `before` are the processes listed before the trial began."""

    worker: int
    before: Collection[int] = ()
    proc: Path = Path("/proc")
    _ours: int | None = None
    _hidden: bool = False
    _seen: list[int] = field(default_factory=list)

    def of(self, listed: Mapping[int, int | None], *, in_use: bool) -> dict[str, float] | None:
        """`others` (how many) and `others_memory` (bytes, of those that tell); None where the list is blind.

        `in_use`: whether the worker is known to use the device, so that one of the listed must be its own.
        """
        new = [pid for pid in listed if pid not in self.before and pid not in self._seen]
        self._seen += new
        own = {pid for pid in listed if self._is_own(pid)}
        if not own:
            if in_use and not listed:
                self._hidden = self._ours is None
                return None
            own = self._by_appearance(listed, in_use)
        found = {pid: size for pid, size in listed.items() if pid not in own}
        return {"others": len(found), "others_memory": sum(size or 0 for size in found.values())}

    def _by_appearance(self, listed: Mapping[int, int | None], in_use: bool) -> set[int]:
        if not in_use:
            # The worker may just be coming up: only who was there before is somebody else for sure.
            return {pid for pid in listed if pid not in self.before}
        if self._ours not in listed and not self._hidden:  # the worker does not leave before its samples end
            came = [pid for pid in self._seen if pid in listed]
            self._ours = came[0] if came else self._ours
        return {self._ours} if self._ours is not None else set()

    def _is_own(self, pid: int) -> bool:
        """Whether the process is the worker or descends from it."""
        for _ in range(_GENERATIONS):
            if pid == self.worker:
                return True
            parent = _parent(self.proc, pid)
            if parent is None or parent <= 1:
                return False
            pid = parent
        return False


def _parent(proc: Path, pid: int) -> int | None:
    try:
        # The name, in brackets, may hold anything; what follows it does not.
        return int((proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
