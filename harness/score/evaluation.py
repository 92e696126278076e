"""lm-eval's tasks asked of one model, and its answer as our records. Imported by the scoring child alone.

`lm_eval.evaluate` is called rather than `simple_evaluate`: it takes the tasks already loaded, and leaves out the
description of the machine that `simple_evaluate` collects by subprocesses on every call. What `simple_evaluate`
does before it (seeds, few-shot counts) is done here, so that a task asked of the tenth model gets what lm-eval's own
command line would ask in a process of its own. No cache of lm-eval's is used: they key on arguments, not on weights.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from harness.errors import InputError
from harness.score.answers import Evaluated, evaluated, prompts_of
from harness.score.encoding import notes_on_prompts
from harness.score.jobs import JobTask
from harness.score.taskdata import without_waiting, wrong_data
from harness.score.tasktemplate import chosen, hash_of

SEED = 1234
"""lm-eval's own default, for its few-shot examples and the numbers a task may draw."""

BOOTSTRAP = 100_000
"""Resamples of lm-eval's own command, for the standard errors of metrics that are no means."""

Hear = Callable[[str, dict[str, Any], str | None], None]
"""Gets a task's name, lm-eval's answer, and the chat template that was applied."""


class Evaluator:
    """Loads each task once, and asks it of any number of models. `flags` are those of `scorefiles.flags_of`."""

    def __init__(self, tasks: Sequence[JobTask], flags: Mapping[str, Any]) -> None:
        self._paths = {task.name: task.path for task in tasks}
        self._flags = flags
        self._manager = TaskManager(include_defaults=False)
        self._loaded: dict[str, tuple[Any, _Chance]] = {}
        self._failed: dict[str, InputError] = {}
        self._offline = False

    def evaluate(self, lm: Any, name: str, indexes: Sequence[int] | None = None, hear: Hear | None = None) -> Evaluated:
        """The task's metrics and documents for this model; only the documents at `indexes` where they are given.

        Those get the same prompts as among all: few-shot examples are drawn for each document in turn. `hear` is given
        lm-eval's answer whole, with the standard errors of its own command, and the text of the chat template.

        Raises:
            InputError: the task's documents cannot be had.
            ModelError: a chat template is asked for that the model has not.
            Exception: whatever the task's or the model's own code raises.
        """
        task = self.task(name)
        _, chance = self._loaded[name]
        chance.restore()
        task.set_fewshot_seed(seed=SEED)  # every checkpoint sees the same examples
        wanted = None if indexes is None else sorted(set(indexes))
        template, system = self._flags["apply_chat_template"], self._flags.get("system_instruction")
        with _Heard() as heard, _rendered(lm, template) as (text, said), _only(task, wanted):
            answer = evaluate(
                lm=lm,
                task_dict={"tasks": {name: task}, "groups": {}, "group_map": {}},
                limit=self._flags["limit"] if wanted is None else None,
                samples=None if wanted is None else {name: wanted},
                bootstrap_iters=0 if hear is None else BOOTSTRAP,
                cache_requests=False,
                log_samples=True,
                system_instruction=system,
                apply_chat_template=template,
                fewshot_as_multiturn=self._flags.get("fewshot_as_multiturn", False),
                confirm_run_unsafe_code=self._flags.get("confirm_run_unsafe_code", False),
            )
        prompts = notes_on_prompts(lm, prompts_of(answer["samples"][name]))
        notes = [*self.notes(task), *said, *heard.notes(), *prompts]
        found = evaluated(answer, name, notes, hash_of(text, system))
        if hear is not None:
            hear(name, answer, text)
        return found

    def task(self, name: str) -> Any:
        """lm-eval's task object, loaded when first asked for, with the number of examples that was asked for.

        Raises:
            InputError: its documents cannot be had; tried once in a job.
            Exception: whatever the task's own code raises.
        """
        if name in self._failed:
            raise self._failed[name]
        if name not in self._loaded:
            _seed()
            task = self._load(name)
            own, asked = task.get_config("num_fewshot"), self._flags["num_fewshot"]
            if own is None or (asked is not None and own != 0):
                task.set_config(key="num_fewshot", value=asked or 0)
            self._loaded[name] = task, _Chance()
        return self._loaded[name][0]

    def notes(self, task: Any) -> list[str]:
        """What of the flags the task does not follow. lm-eval lets a task that says 0 examples have its way."""
        used, asked = task.get_config("num_fewshot"), self._flags["num_fewshot"]
        if asked is None or asked == used:
            return []
        return [f"the task fixes num_fewshot at {used}; {asked} was asked for"]

    def _load(self, name: str) -> Any:
        try:
            with without_waiting(self._offline):
                tasks = self._manager.load([self._paths[name]])["tasks"]
        except Exception as error:
            problem = wrong_data(error, name)
            if problem is None:
                raise
            self._offline = self._offline or isinstance(error, ConnectionError)
            self._failed[name] = InputError(problems=(problem,))
            raise self._failed[name] from error
        if list(tasks) != [name]:
            raise ValueError(f"{self._paths[name]} holds {sorted(tasks)}, not the task {name!r}")
        return tasks[name]


class _Chance:
    """Where the generators of random numbers stood once a task was loaded: a task may draw while it is asked, too."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._torch = torch.get_rng_state()

    def restore(self) -> None:
        """Sets them so again."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)


class _Heard(logging.Handler):
    """Hears what lm-eval only logs: a prompt longer than the model's context, a system prompt that was left out."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._cut = 0
        self._without_system = 0

    def __enter__(self) -> _Heard:
        logging.getLogger("lm_eval").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("lm_eval").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage().lower()
        self._cut += "truncat" in said
        self._without_system += "removing the system role" in said

    def notes(self) -> list[str]:
        """What to say in the score: nothing when everything was asked as it should be."""
        notes = []
        if self._cut:
            notes.append("prompts longer than the model's context were cut on the left (see score.log)")
        if self._without_system:
            notes.append(
                "the chat template takes no system prompt: lm-eval left it out, and the task's description too"
            )
        return notes


@contextmanager
def _rendered(lm: Any, asked: bool | str) -> Iterator[tuple[str | None, list[str]]]:
    """The model rendering with the chat template that is asked for: its text (None: no template), and notes.

    lm-eval 0.4.13 takes a template's name, but renders with the tokenizer's default all the same.

    Raises:
        ModelError: there is no such template.
    """
    if asked is False:
        yield None, []
        return
    tokenizer = getattr(lm, "tokenizer", None)
    templates = getattr(tokenizer, "chat_template", None)
    text = chosen(templates, asked)
    places = [(tokenizer, "chat_template")]
    if hasattr(lm, "hf_chat_template"):
        places.append((lm, "hf_chat_template"))  # of lm-eval's vLLM model, which took it from the engine's base
    before = [getattr(*place) for place in places]
    for place in places:
        setattr(*place, text)
    try:
        named = isinstance(templates, Mapping) and asked not in (True, "default")
        yield text, [f"the chat template {asked!r} was applied; lm-eval itself would render with `default`"] * named
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(*place, value)


@contextmanager
def _only(task: Any, indexes: Sequence[int] | None) -> Iterator[None]:
    """The task asking the documents at `indexes` (ascending) alone, each as it is asked among all.

    lm-eval's own `samples` builds prompts for those documents only, so that the generator of few-shot examples stands
    elsewhere than it would. Requests are numbered as `samples` has them: 0, 1, … among the chosen.
    """
    if indexes is None:
        yield
        return
    if not indexes:
        raise ValueError("no documents are asked for")
    places = {index: place for place, index in enumerate(indexes)}
    whole = task.build_all_requests

    def build(*, limit: int | None, samples: list[int] | None, **others: Any) -> None:
        whole(limit=indexes[-1] + 1, samples=None, **others)
        kept = [request for request in task.instances if request.doc_id in places]
        for request in kept:
            request.doc_id = places[request.doc_id]
        task._instances = kept

    task.build_all_requests = build
    try:
        yield
    finally:
        del task.build_all_requests


def _seed() -> None:
    random.seed(0)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
