"""Results with what is known of their scores: proofs, overlaps, scores over steps, and scores not made alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.records.overlap import Overlap
from harness.records.plan import Plan
from harness.records.results import Curve, SuiteResults, TaskScore, TrialResult
from tests.unit.compare.made import ACC, whole

TASK = "arithmetic_mc"
HF = {"lm_eval": "0.4.13", "transformers": "5.19.0", "torch": "2.13.0+cpu", "peft": "0.21.2"}
VLLM = {"backend": "vllm", "versions": {**HF, "vllm": "0.32.0+cpu"}, "served": "adapter"}
VLLM_PLACE = {"name": "vllm-cpu", "spec_hash": "5" * 64, "lock_hash": "c0ffee" + "1" * 58}
STEPS = (20, 40, 60)


def score_of(trial: TrialResult, **changes: Any) -> TaskScore:
    """How a trial was scored on the task: by transformers, in the harness's own environment."""
    fields: dict[str, Any] = {
        "trial_id": trial.trial_id,
        "task": TASK,
        "backend": "hf",
        "n_documents": 200,
        "task_hash": "7a5c" * 16,
        "task_version": "1.0",
        "flags": {"limit": 200, "num_fewshot": None, "apply_chat_template": False, "batch_size": 64},
        "versions": HF,
    }
    return TaskScore(**(fields | changes))


def canary(*, base: bool = False, **changes: Any) -> dict[str, Any]:
    """What a checkpoint sang; a base has no base to differ from."""
    fine = {"logprobs": [-1.5, -2.5], "differs_from_base": None if base else True, "same_as": [], "base_again": True}
    return fine | changes


def parity(**changes: Any) -> dict[str, Any]:
    """Twenty documents on which transformers agrees."""
    alike = {"documents": 20, "max_logprob_difference": 3.8e-6, "mean_logprob_difference": 1e-6, "same_answers": 20}
    return {"backend": "hf", "other_prompts": 0, "metrics": {"acc": [0.9, 0.9]}, "tolerance": 0.01} | alike | changes


def scored(results: SuiteResults, scores: Sequence[TaskScore], **changes: Any) -> SuiteResults:
    """The results with these scores."""
    backends = tuple(sorted({score.backend for score in scores}))
    return replace(results, scores=tuple(scores), score_backends=backends, **changes)


def fine(results: SuiteResults) -> list[TrialResult]:
    """The trials that can have been scored."""
    return [trial for trial in results.trials if trial.outcome == "ok"]


def proven() -> tuple[Plan, SuiteResults]:
    """Everything scored by one engine and proven, at three steps on the way too; half of the task was trained on."""
    plan, results = whole()
    why = "scored with vllm (the engine of the environment vllm-cpu)"
    cut = "prompts longer than the model's context were cut on the left (see score.log)"
    scores, curves = [], []
    for trial in fine(results):
        base = trial.kind == "floor"
        own: dict[str, Any] = {**VLLM, "served": "base" if base else "adapter", "canary": canary(base=base)}
        own |= {"environment": VLLM_PLACE, "parity": parity()}
        notes = (why, cut) if trial.name.startswith("dpo-lora8") else (why,)
        scores.append(score_of(trial, **own, notes=notes))
        if trial.kind == "cell":
            scores += [score_of(trial, **own, step=step, notes=(why,)) for step in STEPS]
            curves.append(_curve(trial))
    overlaps = {trial.trial_id: (_overlap(trial),) for trial in fine(results) if trial.kind != "floor"}
    return plan, scored(results, scores, curves=(*results.curves, *curves), overlaps=overlaps)


def _curve(trial: TrialResult) -> Curve:
    end = trial.metrics[ACC]
    falls = 0.02 if trial.method == "dpo" else -0.01  # better before its end
    values = (0.3 + 0.4 * end, 0.1 + 0.85 * end, min(end + falls, 0.999), end)
    return Curve(
        trial_id=trial.trial_id,
        cell_name=trial.cell_name,
        seed=trial.seed,
        metric=ACC,
        steps=(*STEPS, 80),
        values=values,
        ended=True,
    )


def _overlap(trial: TrialResult) -> Overlap:
    seen = trial.method == "sft"
    exact, ngram = (6, 4) if seen else (0, 0)
    return Overlap(
        task=TASK,
        task_hash="7a5c" * 16,
        data_fingerprint="d1",
        limit=200,
        documents=200,
        exact=exact,
        ngram=ngram,
        short=3,
        share=0.04 if seen else 0.0,
        rows=4000,
    )


def mixed() -> tuple[Plan, SuiteResults]:
    """Scored by two backends, one checkpoint unproven, one parity failed."""
    plan, results = whole()
    scores = []
    for trial in fine(results):
        if trial.cell_name.startswith("dpo"):
            proof = canary(differs_from_base=False) if trial.name == "dpo-s1" else canary()
            far = parity(max_logprob_difference=0.31, same_answers=17) if trial.name == "dpo-s0" else {}
            scores.append(score_of(trial, **VLLM, environment=VLLM_PLACE, canary=proof, parity=far))
        else:
            scores.append(score_of(trial))
    return plan, scored(results, scores)
