"""What in results was made up, by the debug engine, the debug backend or a script in place of a device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.compare.naming import named
from harness.records.results import SuiteResults, TrialResult


def made_up(results: SuiteResults, trials: Sequence[TrialResult]) -> Iterable[str]:
    """What in these results comes from the debug engine or the debug scoring, in words; empty where nothing does."""
    debug = {key for key, content in results.environments.items() if content.get("engine") == "debug"}
    names = [trial.name for trial in trials if trial.environment in debug]
    if names:
        yield f"MADE UP: the debug engine trained nothing in {named(names, len(trials))}; its figures mean nothing."
    if "debug" in results.score_backends:
        yield "MADE UP: scores of the debug backend were not computed by any model."


def made_up_devices(trials: Sequence[TrialResult]) -> Iterable[str]:
    """Trials whose device was a script: their energy, power, clocks and device memory are its inventions."""
    found = {trial.name: str(told) for trial in trials if (told := _sampling(trial).get("made_up"))}
    if found:
        scripts = ", ".join(sorted(set(found.values())))
        names = named(list(found), len(trials))
        yield f"MADE UP: the device of {names} was a script ({scripts}); its figures mean nothing."


def _sampling(trial: TrialResult) -> Mapping[str, Any]:
    told = trial.facts.get("sampling")
    return told if isinstance(told, Mapping) else {}
