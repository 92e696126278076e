"""The debug engine: made-up attempts inside this process, without training, without another process."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.execute.engine import Exit
from harness.execute.made_up import NOTE, MadeUp
from harness.measure.summarise import summarise
from harness.records.events import Event, encode, read_events
from harness.records.fingerprint import of_value
from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import Attempt, RunFolder, write_json
from harness.records.spec import Spec

if TYPE_CHECKING:
    from harness.environments import Declaration

Behaviour = Literal["ok", "slow", "slower", "disturbed", "crash", "refuse", "die", "oom", "diverge", "hang"]
"""`slower` has made-up steps of twice the time; `disturbed` ends ok and says that it was; `crash` ends with an error
that the worker records, `refuse` with one that every attempt would end with; `die` as if killed, without an outcome;
`hang` until stopped."""

_HANG_S = 0.01


@dataclass(slots=True)
class DebugEngine:
    """Makes up attempts. Everything it writes is the same for the same spec, and says that it is made up.

    `script` chooses behaviours by glob of the trial's name; a list of them is per attempt, its last one repeats.
    `step_s` is how long a step really takes in a `slow` trial.
    """

    script: Mapping[str, Behaviour | Sequence[Behaviour]] = field(default_factory=dict)
    step_s: float = 0.05
    started: list[str] = field(default_factory=list)  # trial names, in the order they were started
    devices: str | None = None  # what it was restricted to

    def prepare(self, declarations: Iterable[Declaration], tell: Callable[[str], None]) -> None:
        """Nothing is trained, so no environment is needed."""

    def obstacle(self, spec: Spec) -> str | None:
        return None

    def warm(self, spec: Spec) -> None:
        pass

    def restrict(self, devices: str) -> None:
        self.devices = devices

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> DebugHandle:
        self.started.append(spec.name)
        return DebugHandle(
            spec=spec, folder=folder, attempt=attempt, behaviour=self._behaviour(spec, attempt), step_s=self.step_s
        )

    def close(self) -> None:
        pass

    def _behaviour(self, spec: Spec, attempt: Attempt) -> Behaviour:
        for glob, chosen in self.script.items():
            if fnmatchcase(spec.name, glob):
                return chosen if isinstance(chosen, str) else chosen[min(attempt.number, len(chosen)) - 1]
        return "ok"


@dataclass(kw_only=True, slots=True)
class DebugHandle:
    """A made-up attempt; it goes on only while somebody waits for it."""

    spec: Spec
    folder: RunFolder
    attempt: Attempt
    behaviour: Behaviour
    step_s: float
    _began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _work: Iterator[float] | None = None
    _end: Exit | None = None
    _stopped: bool = False
    _saved: list[int] = field(default_factory=list)  # optimizer steps

    @property
    def pid(self) -> int | None:
        return None

    @property
    def begun(self) -> bool:
        return True

    def wait(self, timeout_s: float) -> Exit | None:
        deadline = time.monotonic() + timeout_s
        self._work = self._work or self._attempt()
        while self._end is None and time.monotonic() < deadline:
            if self._stopped:
                self._close("interrupted", "stopped by SIGTERM", phase="train")
                self._end = Exit(code=0)
                break
            pause = next(self._work, None)
            if pause is None:
                self._end = self._end or Exit(code=0)
            elif pause > 0:
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        return self._end

    def stop(self) -> None:
        self._stopped = True

    def kill(self) -> None:
        self._end = self._end or Exit(signal=9)

    def _attempt(self) -> Iterator[float]:
        """Does the work in small pieces, yielding the seconds to let pass before the next."""
        made_up = MadeUp(self.spec, slowness=2.0 if self.behaviour == "slower" else 1.0)
        self._write(made_up.start())
        write_json(self.folder.environment_file, _environment(self.spec))
        yield 0.0
        if self.spec.method is not None:
            yield from self._train(made_up)
            if self._end is not None:
                return
        left = self.folder.unpublished()
        self._save(made_up, left.checkpoint)
        left.publish()
        self._close("ok", None, phase=None)

    def _save(self, made_up: MadeUp, checkpoint: Path, step: int | None = None) -> None:
        self._write([made_up.phase("save", "start")])
        at = {} if step is None else {"step": step}
        write_json(checkpoint / "debug.json", {"made_up": True, "trial_id": self.spec.trial_id, **at})
        self._write([made_up.phase("save", "end", 0.05)])

    def _train(self, made_up: MadeUp) -> Iterator[float]:
        self._write([made_up.phase("train", "start")])
        breaks_at = made_up.steps // 2 + 1
        for number in range(1, made_up.steps + 1):
            if number == breaks_at and self.behaviour not in ("ok", "slow", "slower", "disturbed"):
                yield from self._break(made_up, number)
                return
            self._write(made_up.step(number))
            if made_up.saves_at(number):
                self._save(made_up, self.folder.unpublished().checkpoint_at(number), number)
                self._saved.append(number)
            yield self.step_s if self.behaviour == "slow" else 0.0
        self._write([made_up.phase("train", "end")])

    def _break(self, made_up: MadeUp, number: int) -> Iterator[float]:
        match self.behaviour:
            case "hang":
                while True:
                    yield _HANG_S
            case "die":
                self.attempt.log.write_text("made up: about to be killed\n", encoding="utf-8")
                self._end = Exit(signal=9)
            case "crash":
                self.attempt.log.write_text("RuntimeError: made-up crash\n", encoding="utf-8")
                self._close("crashed", "RuntimeError: made-up crash", phase="train")
                self._end = Exit(code=0)
            case "refuse":
                self._close("crashed", "ValueError: made-up refusal", phase="train")
                self._end = Exit(code=0)
            case "oom":
                self._close("oom", "made up: 1.00 GiB asked for, 0.50 GiB free", phase="train")
                self._end = Exit(code=0)
            case "diverge":
                self._write(made_up.step(number, loss=float("nan")))
                self._close("diverged", f"made up: the loss is NaN at step {number}", phase="train")
                self._end = Exit(code=0)

    def _write(self, events: Iterator[Event] | Sequence[Event]) -> None:
        with self.attempt.events.open("a", encoding="utf-8") as handle:
            handle.writelines(encode(event) for event in events)

    def _close(self, name: OutcomeName, cause: str | None, *, phase: str | None) -> None:
        events = list(read_events(self.attempt.events))
        self.attempt.close(
            Outcome(
                outcome=name,
                attempt=self.attempt.number,
                started_at=self._began.isoformat(timespec="milliseconds"),
                ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                duration_s=float(events[-1]["t"]) if events else 0.0,
                phase=phase,
                cause=cause,
                certain=self.behaviour == "refuse",
                summary=summarise(events),
                disturbed=("made up: another process was on the device",) if self.behaviour == "disturbed" else (),
                weights_hash=of_value(["debug", self.spec.trial_id]) if name == "ok" else None,
                step_hashes={str(at): of_value(["debug", self.spec.trial_id, at]) for at in self._saved}
                if name == "ok"
                else {},
                data_fingerprint=of_value(["debug", self.spec.data]),
                environment=str(_environment(self.spec)["hash"]),
            )
        )


def _environment(spec: Spec) -> dict[str, object]:
    """environment.json as `harness.measure.environment` lays it out, plain about no training stack being involved.

    The trial's environment is told as it is declared; it has no lock, since it was not used.
    """
    decides: dict[str, object] = {
        "packages": {},
        "editable": {},
        "python": platform.python_version(),
        "device": None,
        "engine": "debug",
    }
    own = dict(spec.environment) if spec.environment is not None else {}
    if own:
        decides["environment"] = own["spec_hash"]
    return {
        "hash": of_value(decides),
        **decides,
        **({"environment": own} if own else {}),
        "note": NOTE,
        "implementation": platform.python_implementation(),
        "platform": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "cpu": {"model": "made up", "count": None, "usable": None},
        "memory_bytes": None,
        "container": None,
        "torch": None,
        "variables": {},
    }
