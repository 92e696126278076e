"""Checkpoints → scores: lm-eval in a process of its own.

Nothing here imports lm_eval or torch; only the child (`harness.score.worker`) does.
"""

from harness.score.backends import BACKENDS, Backend, check_backend
from harness.score.parent import Failure, ScoreReport, score
from harness.score.taskfiles import TASKS, TaskFile, TaskInfo, check_tasks, task_metrics, wrong_tasks

__all__ = [
    "BACKENDS",
    "TASKS",
    "Backend",
    "Failure",
    "ScoreReport",
    "TaskFile",
    "TaskInfo",
    "check_backend",
    "check_tasks",
    "score",
    "task_metrics",
    "wrong_tasks",
]
