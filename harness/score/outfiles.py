"""The files that `lm_eval --output_path DIR --log_samples` would write, by lm-eval's own writer. In the child alone.

Its command fills the gaps between its answer and those files in `simple_evaluate`, which the harness does not call: it
would load every task and describe the machine again for every checkpoint. What it fills them with is done here, from
lm-eval 0.4.13's `simple_evaluate` and `lm_eval._cli.run`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lm_eval.loggers.evaluation_tracker import EvaluationTracker
from lm_eval.loggers.utils import add_env_info, add_tokenizer_info, get_git_commit_hash

from harness.score.evaluation import BOOTSTRAP, SEED
from harness.score.jobs import Job, JobCheckpoint

_BY_TASK = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "group_subtasks")


@dataclass(kw_only=True, slots=True)
class OutFiles:
    """One checkpoint's files. lm-eval is asked task by task; its answers are put together as those of one command."""

    job: Job
    checkpoint: JobCheckpoint
    lm: Any
    _results: dict[str, Any] = field(default_factory=dict, init=False)
    _samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict, init=False)
    _template: str | None = field(default=None, init=False)
    _began: float = field(default_factory=time.time, init=False)
    _tracker: EvaluationTracker = field(init=False)

    def __post_init__(self) -> None:
        self._tracker = EvaluationTracker(output_path=self.job.out)

    def add(self, task: str, answer: Mapping[str, Any], template: str | None) -> None:
        """A task's answer, which is kept and changed from here on."""
        for key in _BY_TASK:
            self._results.setdefault(key, {}).update(answer.get(key, {}))
        config = self._results["configs"][task]
        told = config.get("metadata") or {}  # its command gives tasks the model's arguments too
        self._results["configs"][task] = {**config, "metadata": {**told, **self.checkpoint.arguments}}
        self._samples[task] = answer["samples"][task]
        self._template = template

    def write(self) -> None:
        """Writes `<out>/<model>/results_<date>.json` and `samples_<task>_<date>.jsonl`; nothing without an answer.

        Raises:
            OSError: they are not there afterwards; lm-eval itself would only log that.
        """
        if not self._samples:
            return
        turns = self.job.flags.get("fewshot_as_multiturn")
        self._tracker.general_config_tracker.log_experiment_args(
            model_source=self.job.backend,
            model_args=dict(self.checkpoint.arguments),
            system_instruction=self.job.flags.get("system_instruction"),
            chat_template=self._template,
            fewshot_as_multiturn=turns if self._template is not None else None,
        )
        results = {
            **self._results,
            "config": self._config(),
            "git_hash": get_git_commit_hash(),
            "date": self._began,
            **_machine(),
        }
        add_tokenizer_info(results, self.lm)
        self._tracker.save_results_aggregated(results=results, samples=self._samples)
        for task, samples in self._samples.items():
            self._tracker.save_results_samples(task_name=task, samples=samples)
        self._check()

    def _config(self) -> dict[str, Any]:
        lm, flags = self.lm, self.job.flags
        return {
            "model": self.job.backend,
            "model_args": dict(self.checkpoint.arguments),
            **(self._model() if hasattr(lm, "get_model_info") else {}),
            "batch_size": str(flags["batch_size"]),
            "batch_sizes": list(lm.batch_sizes.values()) if hasattr(lm, "batch_sizes") else [],
            "device": None if getattr(lm, "device", None) is None else str(lm.device),
            "use_cache": None,
            "limit": None if flags["limit"] is None else float(flags["limit"]),
            "bootstrap_iters": BOOTSTRAP,
            "gen_kwargs": {},
            "random_seed": 0,
            "numpy_seed": SEED,
            "torch_seed": SEED,
            "fewshot_seed": SEED,
        }

    def _model(self) -> dict[str, Any]:
        """What its transformers model says of itself; that one would ask the hub by the name it was given."""
        told: dict[str, Any] = self.lm.get_model_info()
        arguments = self.checkpoint.arguments
        folder = Path(self.checkpoint.checkpoint)
        commit = folder.name if folder.parent.name == "snapshots" else ""  # of the hub's local copy
        told |= {
            "model_revision": arguments.get("revision", "main"),
            "model_sha": "" if "peft" in arguments else commit,
        }
        return {**told, "peft_sha": commit} if "peft" in arguments else told

    def _check(self) -> None:
        folder = Path(str(self.job.out)) / str(self._tracker.general_config_tracker.model_name_sanitized)
        date = getattr(self._tracker, "date_id", None)
        names = [f"results_{date}.json", *(f"samples_{task}_{date}.jsonl" for task in self._samples)]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise OSError(f"lm-eval could not write {', '.join(missing)} to {folder}")


@functools.cache
def _machine() -> Mapping[str, Any]:
    """lm-eval's own description of the machine, which takes it a second or two."""
    found: dict[str, Any] = {}
    add_env_info(found)
    return found
