"""A task's documents: their text, and what to say where they cannot be had. Imported by the scoring child alone."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import datasets
import huggingface_hub.constants

from harness.errors import Problem


def wrong_data(error: BaseException, task: str) -> Problem | None:
    """What to say where a task's dataset could not be had, naming it; None where something else went wrong."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        here = frame.f_globals.get("__name__", "")
        if here == "datasets.load" and frame.f_code.co_name == "load_dataset":
            given = frame.f_locals
            name = " ".join(str(given[key]) for key in ("path", "name") if given.get(key) is not None)
            return _no_dataset(task, name, given.get("revision"), error)
    return None


def _no_dataset(task: str, name: str, revision: object, error: BaseException) -> Problem:
    at = f" at {revision}" if revision else ""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    offline = huggingface_hub.constants.HF_HUB_OFFLINE
    hint = "unset HF_HUB_OFFLINE, or " if offline else "connect to the network, or "
    return Problem(
        what=f"the task {task!r} needs the dataset {name}{at}, which cannot be had here",
        why=first,
        hint=f"{hint}have it in the cache beforehand: datasets.load_dataset with this name, then scoring works offline",
    )


@contextmanager
def without_waiting(offline: bool) -> Iterator[None]:
    """With `offline`, datasets are looked for in the cache alone.

    The hub that could not be reached for one dataset is not asked for the next: each would wait for half a minute.
    """
    before = huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if offline:
        huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
