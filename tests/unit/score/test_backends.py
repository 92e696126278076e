"""Which backend runs, and what is said about it."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.score import BACKENDS, Backend, check_backend
from harness.score.backends import choose


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
