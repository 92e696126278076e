"""Checkpoints → scores: lm-eval in a process of its own.

Nothing here imports lm_eval or torch; only the child (`harness.score.worker`) does.
"""

from harness.score.alone import Alone, ModelScores, prepare, score_alone
from harness.score.backends import BACKENDS, Backend, check_backend, environment_of
from harness.score.imported import SUITE as IMPORTED
from harness.score.imported import Imported, look_for, take_in
from harness.score.parent import Failure, ScoreReport, score
from harness.score.rounds import Rounds
from harness.score.standalone import SUITE as SCORED
from harness.score.taskfiles import TASKS, TaskFile, TaskInfo, check_tasks, task_metrics, wrong_tasks

__all__ = [
    "BACKENDS",
    "IMPORTED",
    "SCORED",
    "TASKS",
    "Alone",
    "Backend",
    "Failure",
    "Imported",
    "ModelScores",
    "Rounds",
    "ScoreReport",
    "TaskFile",
    "TaskInfo",
    "check_backend",
    "check_tasks",
    "environment_of",
    "look_for",
    "prepare",
    "score",
    "score_alone",
    "take_in",
    "task_metrics",
    "wrong_tasks",
]
