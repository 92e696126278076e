"""Where a trial belongs, and what is recorded of where it ran."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import environments
from harness.environments import fakes, lockfile
from harness.errors import InputError
from harness.records.spec import Spec
from harness.worker.place import refuse_elsewhere, within

OWN = Spec(
    suite="s",
    suite_file="s.yaml",
    trial_id="t",
    cell_id="c",
    name="n",
    cell_name="n",
    kind="cell",
    levels={},
    seed=0,
    method="sft",
    model={},
    data=None,
    train={},
    lora=None,
    start=None,
    warmup_steps=0,
    timeout_s=1.0,
    host_memory=None,
    retries=0,
    checkpoint="keep",
)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> environments.Environment:
    """An environment that this process seems to run in."""
    uv = fakes.install(tmp_path / "uv")
    monkeypatch.setenv("PATH", str(uv.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    declared = environments.declare("old", {"requirements": ["trl==1.15.0"]})
    found = environments.build(declared)
    monkeypatch.setattr(sys, "prefix", str(found.folder))
    return found


def told(name: str, spec_hash: str) -> Spec:
    declared: dict[str, Any] = {"name": name, "spec_hash": spec_hash, "declaration": {}}
    return dataclasses.replace(OWN, environment=declared)


def test_what_is_recorded_is_read_where_the_process_runs(built: environments.Environment) -> None:
    found = within()
    assert found is not None
    assert (found["name"], found["spec_hash"]) == ("old", built.lock.spec_hash)
    assert found["lock_hash"] == built.lock.lock_hash
    assert found["declaration"]["requirements"] == ["trl==1.15.0"]
    assert json.loads(json.dumps(found)) == found


def test_a_trial_of_another_environment_is_refused(built: environments.Environment) -> None:
    refuse_elsewhere(told("old", built.lock.spec_hash))
    refuse_elsewhere(OWN)  # the harness's own may be any, as where it is installed in one of those
    with pytest.raises(InputError, match="belongs in environment 'new'") as caught:
        refuse_elsewhere(told("new", "0" * 64))
    assert caught.value.problems[0].why == "this process runs in environment 'old'"


def test_the_harness_s_own_environment_is_no_part_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockfile, "read", lambda folder: None)
    assert within() is None
    with pytest.raises(InputError, match="belongs in environment 'new'"):
        refuse_elsewhere(told("new", "0" * 64))
