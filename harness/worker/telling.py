"""What libraries say while a trainer is built: refusals in the suite's own words, and warnings as notes."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import HarnessError, Problem, SuiteError
from harness.methods import Method
from harness.records.spec import Spec

_OF_THE_FUTURE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)
"""Warnings that say nothing of this training."""
_MOST_NAMED = 12


@contextmanager
def in_our_words(spec: Spec, model: Any) -> Iterator[None]:
    """Turns what TRL and PEFT raise of a trial's own settings into what is wrong, why, and what to do next.

    Raises:
        SuiteError: an error that is known here; others pass as they are.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        problem = _problem(error, spec, model)
        if problem is None:
            raise
        raise SuiteError(problems=(problem,)) from error


def _problem(error: Exception, spec: Spec, model: Any) -> Problem | None:
    said = " ".join(str(error).split())
    if type(error).__name__ == "NoMatchingPeftModuleError":
        named = ", ".join(linear_layers(model)[:_MOST_NAMED])
        why = re.sub(r" Please check [^.]*\.", "", said)
        why = re.sub(r"\{([^{}]*)\}", lambda found: ", ".join(sorted(found[1].replace("'", "").split(", "))), why)
        hint = f"its linear layers are {named}; target_modules: all-linear takes them all"
        return Problem(what="lora adapts no module of the model", why=why, hint=hint)
    asked = bool(spec.train.get("assistant_only_loss"))
    if asked and "has no assistant tokens" in said:
        what = "train.assistant_only_loss finds a row in which the assistant says nothing"
        why = "TRL ends the training at a row that would carry no loss"
        hint = "take such rows out (`harness data show` marks what carries loss), or leave it out"
        return Problem(what=what, why=why, hint=hint)
    if asked and "not training-compatible" in said:
        what = "train.assistant_only_loss needs a chat template with {% generation %}"
        why = "the model's has none, and TRL has none to put in its place"
        hint = "set train.chat_template_path to one that marks what the assistant says, or leave it out"
        return Problem(what=what, why=why, hint=hint)
    return None


def check_processes(spec: Spec, count: int) -> None:
    """Refuses what TRL does in one process alone.

    Raises:
        SuiteError: the reference is to be computed before training, in several processes.
    """
    if count > 1 and spec.train.get("precompute_ref_log_probs"):
        raise SuiteError.of(
            f"train.precompute_ref_log_probs takes one process, and here are {count}",
            why="TRL's main process leaves what it computed in a folder of its own, where the others do not find it",
            hint="leave it out where several processes train",
        )


def check_head(method: Method, trainer: Any) -> None:
    """Refuses an output layer that TRL's loss cannot read.

    Raises:
        SuiteError: PEFT trains tokens of an embedding that is the output layer too, and put its wrapper there.
    """
    head = trainer.model.get_output_embeddings()
    # TRL before its fused head, and ORPO's trainer, call the layer instead
    fused = any(hasattr(sys.modules.get(one.__module__), "add_fused_lm_head") for one in type(trainer).__mro__)
    if fused and type(head).__name__ == "TrainableTokensWrapper":
        raise SuiteError.of(
            f"{method.name} cannot train single tokens of this model (lora.trainable_token_indices)",
            why="its embedding is its output layer too, and TRL's loss reads the weights where PEFT's wrapper stands",
            hint="take a model whose output layer is not tied, or lora.modules_to_save: [embed_tokens]",
        )


def linear_layers(model: Any) -> list[str]:
    """Last names of the model's linear layers, each once; without the output layer, as PEFT's all-linear."""
    import torch

    head = model.get_output_embeddings()
    found = [name for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and one is not head]
    return list(dict.fromkeys(name.rpartition(".")[2] for name in found))


@contextmanager
def warnings_noted(note: Callable[[str], None]) -> Iterator[None]:
    """Notes what libraries warn of, once each, so that a setting that one of them passes over is told.

    Warnings of what will change in later versions are left out; all of them go to the log as ever.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            told = dict.fromkeys((one.category, str(one.message), one.filename, one.lineno) for one in caught)
    for category, message, file, line in told:
        print(warnings.formatwarning(message, category, file, line, ""), end="", file=sys.stderr)
        if not issubclass(category, _OF_THE_FUTURE) and (package := _package(file)):
            note(f"{package} warns: {' '.join(message.split())}")


def _package(file: str) -> str | None:
    """TRL or PEFT where a file is theirs: others warn of what no suite asks for."""
    # The whole path of an editable one, which lies in no such folder.
    parts = file.replace("\\", "/").rpartition("/site-packages/")[2].split("/")
    return next((name for part, name in (("peft", "PEFT"), ("trl", "TRL")) if part in parts), None)
