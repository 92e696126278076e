"""The story of a bisection without training: what is tried, in which order, beside what, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.bisecting import BLOCK, Bisection, Wanted, bisect
from harness.errors import HarnessError, InputError, TrialsFailed
from harness.execute import Behaviour, DebugEngine
from harness.records.progress import Silent
from harness.records.request import Choice, Places

SUITE = """\
name: which
question: Which release?
environments:
  like: {requirements: [torch==2.13.0, trl>=1, six==1.16.0], overrides: [numpy<3], python: "3.12", harness: true}
base:
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10, per_device_train_batch_size: 8, max_length: 32}
  measure: {warmup_steps: 1}
matrix:
  method: [sft, dpo]
margins: {tokens_per_second: 45%}
"""
RELEASES = ("1.1", "1.2", "1.3", "1.4", "1.5")
"""Between the good 1.0 and the bad 2.0."""


def find(
    folder: Path,
    pretend: Mapping[str, Behaviour | list[Behaviour]],
    *,
    suite: str = SUITE,
    only: tuple[str, ...] = ("sft",),
    **wanted: Any,
) -> tuple[Bisection, DebugEngine]:
    """Bisects the `sft` cell, or other ones, and gives what came of it with the engine that made the trials up."""
    file = folder / "which.yaml"
    file.write_text(suite, encoding="utf-8")
    engine = DebugEngine(script=pretend)
    asked = Wanted(
        **{"package": "trl", "good": "1.0", "bad": "2.0", "versions": RELEASES, "replicates": 5, "confirm": 0, **wanted}
    )
    places = Places(results=folder / "results")
    return bisect(file, Choice(only=only), asked, places, engine=engine, observer=Silent()), engine


def slow_from(first: str) -> dict[str, Behaviour]:
    every = (*RELEASES, "2.0")
    return {f"*@{version}-*": "slower" for version in every[every.index(first) :]}


def tried(found: Bisection) -> list[tuple[str, str]]:
    return [(one.version, one.found) for one in found.tries]


def specs(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(file.read_text("utf-8")) for file in (folder / "results" / "which.bisect").glob("*/spec.json")]
    return {spec["name"]: spec for spec in found}


def test_it_finds_the_release_and_goes_the_same_way_again(tmp_path: Path) -> None:
    found, engine = find(tmp_path, slow_from("1.4"))
    assert tried(found) == [("2.0", "bad"), ("1.3", "good"), ("1.4", "bad")]
    assert found.first_bad == "1.4"
    assert found.decided
    assert found.made_up
    assert found.sentence == "trl 1.4 is the first release in which tokens_per_second regressed (1.3 was good)"
    effect = found.tries[0].verdicts["sft"].effect
    assert effect is not None
    assert effect.value == pytest.approx(0.5, rel=0.25)
    assert engine.started[:4] == ["sft@1.0-s0", "sft@2.0-s0", "sft@1.0-s1", "sft@2.0-s1"], "both sides take turns"
    assert engine.started[10:12] == [f"sft@1.0-s{BLOCK}", f"sft@1.3-s{BLOCK}"], "and each try has runs of its own"
    _check_environments(specs(tmp_path))
    again, idle = find(tmp_path, slow_from("1.4"))
    assert idle.started == [], "what has run is not run again"
    assert (again.tries, again.narrowed) == (found.tries, found.narrowed)


def _check_environments(found: Mapping[str, Mapping[str, Any]]) -> None:
    """They differ in the package alone."""
    told = {name.partition("-s")[0]: spec["environment"] for name, spec in found.items()}
    assert {one["name"] for one in told.values()} == {"trl-1.0", "trl-1.3", "trl-1.4", "trl-2.0"}
    requirements = {name: one["declaration"]["requirements"] for name, one in told.items()}
    assert requirements["sft@1.3"][0] == "trl==1.3"
    (pins,) = {tuple(lines[1:]) for lines in requirements.values()}
    assert any(line.startswith("transformers==") for line in pins)
    assert not any(line.startswith("trl") for line in pins)
    assert not any("+" in line for line in pins), "a local version is a build, not a release"


def test_the_suite_s_own_environment_is_what_the_others_are_made_like(tmp_path: Path) -> None:
    suite = SUITE.replace("base:\n", "base:\n  environment: like\n")
    suite += "stages: {start: {method: sft}}\ninclude: [{method: sft, init: {stage: start}, name: from-stage}]\n"
    file = tmp_path / "which.yaml"
    file.write_text(suite, encoding="utf-8")
    asked = Wanted(package="trl", good="1.0", bad="2.0", versions=(), confirm=0, replicates=2)
    places, engine = Places(results=tmp_path / "results"), DebugEngine()
    bisect(file, Choice(only=("from-stage",)), asked, places, engine=engine, observer=Silent())
    told = {name: spec["environment"] for name, spec in specs(tmp_path).items()}
    own = told["from-stage@1.0-s0"]["declaration"]
    assert own["requirements"] == ["trl==1.0", "torch==2.13.0", "six==1.16.0"]
    assert (own["overrides"], own["python"]) == (["numpy<3"], "3.12")
    stages = [name for name in engine.started if name.startswith("stage")]
    assert [told[name]["name"] for name in stages] == ["like"], "both sides start from one training of the stage"


def test_where_nothing_regressed_there_is_nothing_to_find(tmp_path: Path) -> None:
    found, _ = find(tmp_path, {})
    assert tried(found) == [("2.0", "good")]
    assert found.decided
    assert found.suspects == ()
    assert found.sentence == "tokens_per_second did not regress from trl 1.0 to 2.0"


def test_a_release_that_does_not_train_is_gone_around_and_costs_one_trial(tmp_path: Path) -> None:
    found, engine = find(tmp_path, {"*@1.1-*": "crash", "*@2.0-*": "slower"}, versions=("1.1",))
    assert tried(found) == [("2.0", "bad"), ("1.1", "unusable")]
    assert found.tries[1].why == f"sft@1.1-s{BLOCK} ended crashed: RuntimeError: made-up crash"
    assert {name for name in engine.started if "@1.1" in name} == {f"sft@1.1-s{BLOCK}"}
    assert not found.decided
    assert found.sentence.startswith("the first release of trl in which tokens_per_second regressed is one of 1.1, 2.0")


def test_what_trials_do_not_tell_gets_more_of_them_and_is_said_then(tmp_path: Path) -> None:
    narrow = SUITE.replace("45%", "0.01%")
    found, engine = find(tmp_path, {}, suite=narrow, confirm=2, replicates=2)
    assert tried(found) == [("2.0", "inconclusive")]
    assert found.tries[0].replicates == 4
    assert len(engine.started) == 8
    assert not found.decided
    assert "is not known" in found.sentence


def test_a_good_release_that_does_not_train_ends_it(tmp_path: Path) -> None:
    with pytest.raises(TrialsFailed, match=r"sft@1.0-s0 ended oom") as told:
        find(tmp_path, {"*@1.0-*": "oom"})
    (problem,) = told.value.problems
    assert problem.hint is not None
    assert f"--results {tmp_path}/results tells more" in problem.hint


def test_it_says_first_what_the_plan_warns_of(tmp_path: Path) -> None:
    file, observer = tmp_path / "which.yaml", Silent()
    file.write_text(SUITE.replace("max_steps: 10", "max_steps: 1"), encoding="utf-8")
    asked = Wanted(package="trl", good="1.0", bad="2.0", versions=(), replicates=1, confirm=0)
    places = Places(results=tmp_path / "results")
    bisect(file, Choice(only=("sft",)), asked, places, engine=DebugEngine(), observer=observer)
    kind, problems = observer.told[0]
    assert kind == "warned"
    assert any("nothing is left to measure" in problem.what for problem in problems)


def test_an_end_that_is_expected_speaks_against_no_release(tmp_path: Path) -> None:
    suite = SUITE.replace("method: [sft, dpo]", "recipe: {sft: {method: sft}, dpo: {method: dpo, limits.expect: oom}}")
    found, _ = find(tmp_path, {"dpo@*": "oom", **slow_from("2.0")}, suite=suite, only=(), versions=())
    assert tried(found) == [("2.0", "bad")]
    assert set(found.tries[0].verdicts) == {"sft"}


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"metric": "tokens_per_secnd"}, "unknown metric"),
        ({"metric": "steps_measured"}, "unknown metric"),
        ({"versions": ("1.1", "1.1")}, "named twice"),
        ({"versions": ("--pre",)}, "is no version"),
        ({"bad": "1.0"}, "named twice"),
        ({"suite": SUITE.replace("method: [sft, dpo]", "method: [sft]\n  environment: [null, like]")}, "varies its"),
    ],
)
def test_what_cannot_be_bisected_is_refused(tmp_path: Path, wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        find(tmp_path, {}, **wanted)
    assert isinstance(caught.value, HarnessError)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "results" / "which.bisect").exists()
