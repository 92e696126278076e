"""Host memory of workers that loaded the training libraries themselves: another quantity than that of forked ones.

A worker of `harness run` shares its libraries' pages with the process it was forked from; one that was started alone
(command.sh, torchrun) owns them, some hundred MiB that no lever moves.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.results import TrialResult

HOST = "peak_host_memory"


def owners(name: str, trials: Sequence[TrialResult]) -> list[TrialResult]:
    """The trials whose figure holds the libraries too, where that of others does not; disturbed ones do not count."""
    counted = [trial for trial in trials if trial.outcome == "ok" and name in trial.metrics and not trial.disturbed]
    own = [trial for trial in counted if trial.facts.get("own_libraries")]
    return own if name == HOST and len(own) < len(counted) else []
