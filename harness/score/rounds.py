"""When a suite's checkpoints are scored: while training goes on where there is a device for it, the rest after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.environments import Declaration
from harness.measure.division import VARIABLE, Division, divide
from harness.records import suite
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder
from harness.score.backends import choose
from harness.score.beside import Beside
from harness.score.parent import ScoreReport, score
from harness.score.tally import Tally


@dataclass(kw_only=True, slots=True)
class Rounds:
    """The scoring of one run. To be made before the first trial begins: what is in use on the devices then is what they
    are to come back to.

    `wanted` is None where nothing is scored. `doing` is told what is done after training, `meanwhile` what is done
    beside it, and None when that pauses. `environment` is where vLLM is to run. `check` ends the scoring by what it
    raises.
    """

    wanted: suite.Score | None
    root: Path
    observer: Observer
    doing: Callable[[str], None]
    meanwhile: Callable[[str | None], None]
    check: Callable[[], None]
    force: bool
    environment: Declaration | None = None
    devices: Division = field(init=False)
    _tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        wanted = "follow" if self.wanted is None else self.wanted.device
        self.devices = divide(wanted)
        self._tally = Tally(observer=self.observer, doing=self.doing, check=self.check)
        if isinstance(wanted, int):
            self._tally.variables = self._variables()
            self._tally.notes = (f"scored after the training: {self.devices.why}",) if self.devices.why else ()

    @contextmanager
    def beside(self) -> Iterator[Callable[[RunFolder], None]]:
        """For the time of training; gives what is to be told of each run folder whose trial has ended.

        Raises:
            InputError: a backend that cannot be used; nothing has been trained then.
        """
        if self.wanted is None or not self._can(self.wanted):
            yield lambda folder: None
            return
        self.observer.message(f"scoring goes on beside the training, on another device ({self.devices.scoring_name})")
        after = self._tally
        with Beside(self._round, self.observer.message) as beside:

            def check() -> None:
                self.check()
                beside.check()

            self._tally = replace(after, doing=self.meanwhile, check=check, variables=self._variables())
            yield beside.ended
        self._tally = replace(self._tally, doing=after.doing, check=after.check, variables=after.variables)

    def rest(self, folders: Sequence[RunFolder]) -> ScoreReport | None:
        """Scores what is left; what came of all rounds. None where nothing is scored. Raises as `score` does."""
        return None if self.wanted is None else self._score(folders, self.wanted)

    def _can(self, wanted: suite.Score) -> bool:
        """Whether to score beside the training; says so where it could be expected and is not done."""
        why = self.devices.why
        backend, _ = choose(wanted.backend, self.environment)
        if self.devices.scoring is not None and not backend.ready():
            why = (
                f"the environment of {backend.name} is not built yet, and building it would disturb what is measured "
                "(`harness env build` builds it beforehand, `backend: hf` needs none)"
            )
        if why is not None:
            self.observer.message(f"scoring follows the training: {why}")
        return self.devices.scoring is not None and why is None

    def _variables(self) -> Mapping[str, str]:
        return {} if self.devices.scoring is None else {VARIABLE: self.devices.scoring}

    def _round(self, folders: Sequence[RunFolder]) -> None:
        assert self.wanted is not None, "nothing else is scored beside the training"
        try:
            self._score(folders, self.wanted)
        finally:
            self.meanwhile(None)

    def _score(self, folders: Sequence[RunFolder], wanted: suite.Score) -> ScoreReport:
        return score(
            folders,
            wanted,
            observer=self.observer,
            root=self.root,
            force=self.force,
            tally=self._tally,
            environment=self.environment,
        )
