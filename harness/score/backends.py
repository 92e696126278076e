"""What runs the model while lm-eval asks the questions.

A backend has two halves. The parent knows its name and whether it can be used here; the child imports
`opener` ("module:attribute") and calls it with the job. What comes back is an `Opener`: it gives one lm-eval model
per checkpoint, and may share what is costly (an engine, a base model) among the checkpoints of one job.
A new backend is one module and one line in `BACKENDS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.errors import InputError, Problem, did_you_mean

SILENCE_S = 1800.0
"""Generous: progress bars write to a child's log every half minute, and loading the largest models takes minutes."""


class Opener(Protocol):
    """Lives in the child, from the first checkpoint of a job to the last."""

    def lm(self, checkpoint: Path) -> AbstractContextManager[Any]:
        """lm-eval's model object (`lm_eval.api.model.LM`) over this checkpoint's weights; closed before the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """`opener` is None for a backend that needs no child. `missing` says why it cannot be used here, or None.

    `command` starts the child; a job file and options follow it. A backend with an environment of its own names that
    environment's interpreter here. A child that shows no sign of life for `silence_s` seconds is taken to hang.
    """

    name: str
    description: str
    opener: str | None
    missing: Callable[[], str | None]
    command: tuple[str, ...] = (sys.executable, "-m", "harness.score.worker")
    silence_s: float = SILENCE_S


def _nothing() -> None:
    return None


_ALL = (
    Backend(name="hf", description="transformers", opener="harness.score.hf:HfOpener", missing=_nothing),
    Backend(
        name="debug", description="made-up scores of checkpoints that hold no model", opener=None, missing=_nothing
    ),
)

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ALL}

PREFERRED = ("vllm", "hf")
"""What `auto` takes: the first that can be used here."""


def why_not(name: str) -> str | None:
    """Why the backend cannot be used here; None when it can."""
    if name not in BACKENDS:
        return "vLLM is not set up here" if name == "vllm" else f"there is no backend {name!r}"
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


def choose(name: str) -> tuple[Backend, str | None]:
    """The backend to use, and a note for the reader when `auto` could not take the one it prefers.

    Raises:
        InputError: the backend was asked for by name and cannot be used.
    """
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
            note = f"scored with {chosen.name} ({chosen.description})"
            return chosen, f"{note}: {'; '.join(refused)}" if refused else None
        refused.append(reason)
    raise InputError.of("no scoring backend can be used", why="; ".join(refused))
