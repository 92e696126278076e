"""Trials in environments of their own, with real worker processes: a fake uv, and a rehearsal in place of training."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import environments
from harness.environments import Declaration, fakes
from harness.errors import HeldError
from harness.execute import LocalEngine
from harness.records.progress import Live, Silent
from harness.records.spec import Spec

Bench = Any  # tests/unit/execute/conftest.py

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a uv whose environments see this one's packages."""
    fakes.install(tmp_path / "uv", pip=("beside",))
    monkeypatch.setenv("PATH", f"{tmp_path / 'uv'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def declared(name: str, version: str = "1.15.0") -> Declaration:
    return environments.declare(name, {"requirements": [f"trl=={version}"], "harness": True})


def within(bench: Bench, name: str, declaration: Declaration) -> Spec:
    """Puts a trial of the bench into an environment."""
    told = {"name": declaration.name, "spec_hash": declaration.spec_hash(), "declaration": declaration.shown()}
    spec: Spec = replace(bench.specs[f"t-{name}"], environment=told)
    bench.specs[spec.trial_id] = spec
    return spec


def local(preload: str = "none") -> LocalEngine:
    return LocalEngine(preload=preload, train="harness.worker.rehearsal:train")


@dataclass
class Looking(Silent):
    """Notes which environment the worker of each trial runs in, and where it finds this program."""

    seen: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    def live(self, state: Live) -> None:
        if state.step is None or state.trial.name in self.seen:
            return
        for process in psutil.Process().children(recursive=True):
            if str(state.trial.id) in " ".join(str(file.path) for file in process.open_files()):
                told = process.environ()
                self.seen[state.trial.name] = told.get("VIRTUAL_ENV"), told.get("PYTHONPATH")


def test_each_trial_runs_in_its_own_environment(bench: Bench) -> None:
    for name in ("own", "old", "new", "old-again"):
        bench.trial(name, train={"steps": 6, "step_s": 0.05})
    old, new = declared("old"), declared("new", "1.17.0")
    for name, declaration in (("old", old), ("new", new), ("old-again", old)):
        within(bench, name, declaration)
    engine, told = local(), list[str]()
    engine.prepare([old, new], told.append)
    observer = Looking()
    outcomes = bench.run(engine, observer=observer)
    assert {outcome.outcome for outcome in outcomes.values()} == {"ok"}
    folders = {name: str(environments.place_of(one).folder) for name, one in (("old", old), ("new", new))}
    inside = {name: environment for name, (environment, _) in observer.seen.items()}
    assert inside == {**folders, "old-again": folders["old"], "own": os.environ.get("VIRTUAL_ENV")}
    assert ".harness" in str(observer.seen["old"][1]), "this program alone is shown to it, not its neighbours"
    assert "old: building with Python" in "\n".join(told)


def test_an_environment_in_use_is_not_removed(bench: Bench) -> None:
    bench.trial("a")
    old = declared("old")
    spec = within(bench, "a", old)
    engine = local()
    engine.prepare([old], lambda line: None)
    engine.warm(spec)
    try:
        found = environments.removable(["old"])
        gone, kept = environments.remove(found)
        assert gone == []
        assert isinstance(kept[0], HeldError)
    finally:
        engine.close()
    gone, _ = environments.remove(environments.removable(["old"]))
    assert [one.place.name for one in gone] == ["old"]


def test_a_trial_whose_environment_cannot_be_built_is_skipped_and_others_run(bench: Bench, tmp_path: Path) -> None:
    fakes.install(tmp_path / "uv", pip=("unsolvable", "beside"))
    bench.trial("a")
    bench.trial("b")
    old = declared("old")
    within(bench, "b", old)
    engine, told = local(), list[str]()
    engine.prepare([old], told.append)
    outcomes = bench.run(engine)
    assert outcomes["a"].outcome == "ok"
    assert outcomes["b"].outcome == "skipped"
    cause = str(outcomes["b"].cause)
    assert cause.startswith("environment 'old' could not be built · the requirements cannot be met · ")
    assert "\n" not in cause
    assert any("could not be built" in line for line in told)
    again = local()
    again.prepare([old], told.append)
    assert bench.run(again)["b"].outcome == "ok", "it is tried again with the next run"


def test_an_environment_that_is_gone_says_how_it_comes_back(bench: Bench) -> None:
    bench.trial("a")
    within(bench, "a", declared("old"))
    assert bench.run(local())["a"].cause == "environment 'old' is not built"


def test_a_stack_that_cannot_be_imported_ends_the_trials_of_that_environment_alone(bench: Bench) -> None:
    """In the harness's own environment it ends the run; in one of the suite's it is a result of that environment."""
    bench.trial("a", retries=3)
    bench.trial("b")
    old = declared("old")
    for name in ("a", "b"):
        within(bench, name, old)
    engine = local(preload="no_such_stack")
    engine.prepare([old], lambda line: None)
    outcomes = bench.run(engine)
    said = "the training stack of environment 'old' cannot be imported: "
    assert (outcomes["a"].outcome, outcomes["a"].attempt, outcomes["a"].killed) == ("crashed", 1, False)
    assert str(outcomes["a"].cause).startswith(said)
    assert "No module named 'no_such_stack'" in str(outcomes["a"].cause)
    assert outcomes["b"].outcome == "skipped"
    assert str(outcomes["b"].cause).startswith(said)


def test_a_trial_is_replayed_in_its_environment_whoever_asks(bench: Bench) -> None:
    bench.trial("a", train={"behaviour": ["ok", "hang"]})
    old = declared("old")
    within(bench, "a", old)
    engine = local()
    engine.prepare([old], lambda line: None)
    bench.run(engine)
    folder, place = bench.folder("a"), environments.place_of(old)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "VIRTUAL_ENV": "elsewhere"}
    command = [sys.executable, "-P", "-m", "harness.worker", str(folder.path), "--train=harness.worker.rehearsal:train"]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as alone:
        deadline = time.monotonic() + 20
        while not (folder.path / "attempts" / "2" / "events.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert psutil.Process(alone.pid).environ()["VIRTUAL_ENV"] == str(place.folder)
        alone.send_signal(signal.SIGTERM)
        assert "attempt 2: interrupted" in (alone.stdout.read() if alone.stdout else "")
    shutil.rmtree(place.folder)
    gone = subprocess.run([str(folder.command_file)], env=variables, capture_output=True, text=True, check=False)
    assert gone.returncode == 2
    assert "environment 'old' is not built" in gone.stderr
    assert "harness env build old --file bench.yaml" in gone.stderr
