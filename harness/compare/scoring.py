"""How the scores came about: what was asked, by which backend, what proves them, and what a reader should know."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.compare.alike import environment, short
from harness.compare.overlaps import overlaps
from harness.records.overlap import Overlap
from harness.records.results import HowScored, Scoring, TaskScore, TrialResult

_MOST_NAMES = 4
_MOST_NOTES = 10
_LIBRARIES = ("lm_eval", "vllm", "transformers", "torch", "peft")
_CHOSEN = "scored with "
"""How a note begins that says why `backend: auto` took what it took."""
_MADE_UP = "made up by the debug backend"  # said at the top of every report

Named = Sequence[tuple[str, TaskScore]]
"""Scores with what their weights are called."""


def scoring_of(
    trials: Sequence[TrialResult], scores: Sequence[TaskScore], found: Mapping[str, Sequence[Overlap]]
) -> Scoring:
    """Everything there is to tell of the scores of these trials; nothing where there are none."""
    names = {trial.trial_id: trial.name for trial in trials if trial.outcome == "ok"}
    known = [score for score in scores if score.trial_id in names]
    named = [(_called(names[score.trial_id], score), score) for score in known]
    return Scoring(
        tasks=_tasks([score for score in known if score.step is None]),
        backends=tuple(_backends(known)),
        proofs=(*_canaries(named), *_parities(named)),
        overlaps=overlaps(trials, found),
        notes=tuple(_notes(named)),
    )


def doubts(trials: Sequence[TrialResult], scores: Sequence[TaskScore]) -> Iterable[str]:
    """Findings: weights that did not prove to have answered, and backends that disagree with transformers."""
    names = {trial.trial_id: trial.name for trial in trials if trial.outcome == "ok"}
    named = [(_called(names[score.trial_id], score), score) for score in scores if score.trial_id in names]
    failed = list(dict.fromkeys(name for name, score in named if score.canary and not _answered(score.canary)))
    if failed:
        yield (
            f"Not proven: nothing shows that the weights of {_named(failed)} are those that answered; their scores may "
            "be of other weights. See Scoring."
        )
    apart = list(dict.fromkeys(f"{score.task} of {name}" for name, score in named if _disagrees(score.parity)))
    if apart:
        yield f"Another backend answers otherwise: parity fails for {_named(apart)}. See Scoring."


def _called(name: str, score: TaskScore) -> str:
    return name if score.step is None else f"{name} at step {score.step}"


def _tasks(scores: Sequence[TaskScore]) -> tuple[HowScored, ...]:
    members = {member for score in scores for member in score.members if member != score.task}
    by_task: dict[str, list[TaskScore]] = {}
    for score in scores:
        if score.task not in members:  # its group speaks for it
            by_task.setdefault(score.task, []).append(score)
    return tuple(
        HowScored(
            task=task,
            trials=len(found),
            how={name: dict(Counter(map(aspect, found)).most_common()) for name, aspect in _HOW.items()},
        )
        for task, found in by_task.items()
    )


def _documents(score: TaskScore) -> str:
    limit = score.flags.get("limit")
    count = "unknown" if score.n_documents is None else f"{score.n_documents:,}"
    return f"the first {count}" if limit is not None else count


def _few_shot(score: TaskScore) -> str:
    asked = score.flags.get("num_fewshot")
    return "the task's own" if asked is None else str(asked)


def _template(score: TaskScore) -> str:
    if score.template_hash:
        return short(score.template_hash)
    return "applied" if score.flags.get("apply_chat_template") else "none"


def _system(score: TaskScore) -> str:
    said = score.flags.get("system_instruction")
    return "none" if not said else f"“{' '.join(str(said).split())}”"


_HOW = {
    "backend": lambda score: score.backend,
    "documents": _documents,
    "few-shot": _few_shot,
    "chat template": _template,
    "system prompt": _system,
    "task hash": lambda score: short(score.task_hash),
}


def _backends(scores: Sequence[TaskScore]) -> Iterable[str]:
    """One sentence per backend, its environment and versions, with how many scores it gave, and why it was taken."""
    found: dict[tuple[str, str, str], list[TaskScore]] = {}
    for score in scores:
        key = score.backend, environment(score.environment), _libraries(score.versions)
        found.setdefault(key, []).append(score)
    for (backend, place, libraries), own in sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        why = dict.fromkeys(note for score in own for note in score.notes if note.startswith(_CHOSEN))
        said = f"{backend}: {len(own)} score{'' if len(own) == 1 else 's'}{_served(own)}, in {place}"
        yield " ".join([f"{said}: {libraries}." if libraries else f"{said}.", *map(_sentence, why)])


def _served(scores: Sequence[TaskScore]) -> str:
    """How the backend came to the weights, where it did not simply load them: ` (45 adapter, 1 base)`."""
    ways = Counter(score.served for score in scores)
    if set(ways) <= {"loaded"}:
        return ""
    return f" ({', '.join(f'{count} {way}' for way, count in ways.most_common())})"


def _libraries(versions: Mapping[str, Any]) -> str:
    order = [*(name for name in _LIBRARIES if name in versions), *sorted(set(versions) - set(_LIBRARIES))]
    return ", ".join(f"{name} {versions[name]}" for name in order)


def _canaries(named: Named) -> Iterable[str]:
    """One sentence: how many checkpoints answered for themselves, and which did not, why."""
    checkpoints: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for name, score in named:
        if score.backend != "debug":
            checkpoints.setdefault((name, score.backend), []).append(score.canary)
    asked = {key: [one for one in found if one] for key, found in checkpoints.items() if any(found)}
    if not asked:
        return
    failed = {name: found for (name, _), found in asked.items() if not all(map(_answered, found))}
    count = f"canary {len(asked) - len(failed)} of {len(asked)}"
    if failed:
        why = "; ".join(
            f"{name}: {_why(next(one for one in found if not _answered(one)))}" for name, found in failed.items()
        )
        yield f"Not every checkpoint's weights answered for themselves: {count}. {why}."
    else:
        yield f"Every checkpoint's weights answered for themselves: {count}."
    ended = {(name, score.backend) for name, score in named if _ended_before(score)}
    if ended:
        yield f"Of {len(ended)} the engine ended before its first weights could be asked once more."
    if len(asked) < len(checkpoints):
        yield f"No canary was asked of {len(checkpoints) - len(asked)} of {len(checkpoints)} checkpoints."


def _answered(canary: Mapping[str, Any]) -> bool:
    """Whether the weights answered otherwise than their base and all others, and the base at the end as at first."""
    differs = canary.get("differs_from_base") is not False or canary.get("null") is True
    return differs and not canary.get("same_as") and canary.get("base_again") is not False and _finite(canary)


def _ended_before(score: TaskScore) -> bool:
    """Whether an engine that others share gave this score, and died or was killed before it was asked at the end."""
    return score.served != "loaded" and bool(score.canary) and score.canary.get("base_again") is None


def _finite(canary: Mapping[str, Any]) -> bool:
    found = canary.get("logprobs") or ()
    return all(isinstance(value, int | float) and math.isfinite(value) for value in found)


def _why(canary: Mapping[str, Any]) -> str:
    if not _finite(canary):
        return "its answers are no finite numbers"
    if canary.get("differs_from_base") is False and not canary.get("null"):
        return "it answers to the last bit as its base does"
    if canary.get("same_as"):
        return f"it answers to the last bit as {_named([str(name) for name in canary['same_as']])}"
    return "the engine's first weights answered otherwise at the end than at the beginning"


def _parities(named: Named) -> Iterable[str]:
    """One sentence per pair of backends, over tasks and checkpoints."""
    found: dict[tuple[str, str], list[TaskScore]] = {}
    for _, score in named:
        if score.parity:
            found.setdefault((score.backend, str(score.parity.get("backend", "transformers"))), []).append(score)
    for (backend, other), scores in found.items():
        parities = [score.parity for score in scores]
        documents = sum(_count(one.get("documents")) for one in parities)
        same = sum(_count(one.get("same_answers")) for one in parities)
        apart = [value for one in parities if (value := _number(one.get("max_logprob_difference"))) is not None]
        checked = f"{len(scores)} score{'' if len(scores) == 1 else 's'}"
        said = f"Parity of {backend} with {other} on {documents:,} documents of {checked}: "
        said += f"log-probabilities differ by up to {_small(max(apart))} nats, " if apart else ""
        said += f"the same answer on {same:,} of {documents:,}."
        others = sum(_count(one.get("other_prompts")) for one in parities)
        yield said + (f" {others:,} more were asked with another prompt." if others else "")


def _small(value: float) -> str:
    """Two digits, as they are written by hand: 3.8e-6, 0.31."""
    return re.sub(r"e-0*", "e-", f"{value:.2g}")


def _disagrees(parity: Mapping[str, Any]) -> bool:
    if not parity:
        return False
    apart, tolerance = _number(parity.get("max_logprob_difference")), _number(parity.get("tolerance"))
    far = apart is not None and tolerance is not None and not apart <= tolerance
    return far or not _count(parity.get("documents")) or bool(_count(parity.get("other_prompts")))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _number(value: Any) -> float | None:
    """A number; the store's spelling of those that are none counts as infinitely far."""
    if isinstance(value, int | float):
        return float(value)
    return math.inf if isinstance(value, str) else None


def _notes(named: Named) -> Iterable[str]:
    """Each note once with whose it is, those of most scores first."""
    who: dict[str, list[tuple[str, str]]] = {}
    for name, score in named:
        for note in score.notes:
            if not note.startswith((_CHOSEN, _MADE_UP)):
                who.setdefault(note, []).append((score.task, name))
    ranked = sorted(who.items(), key=lambda entry: -len(entry[1]))
    for note, whose in ranked[:_MOST_NOTES]:
        yield f"{_whose(whose, len(named))}: {_sentence(note, capital=False)}"
    if len(ranked) > _MOST_NOTES:
        yield f"{len(ranked) - _MOST_NOTES} more notes of scores are in the store's table task_scores."


def _whose(scores: Sequence[tuple[str, str]], of: int) -> str:
    """`all 12 scores`, `mc of a-s0, a-s1`, `mc, gen of a-s0`: tasks, and whose weights."""
    if len(scores) == of and of > _MOST_NAMES:
        return f"all {of} scores"
    tasks, names = (list(dict.fromkeys(one[place] for one in scores)) for place in (0, 1))
    return f"{_named(tasks)} of {_named(names)}"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _sentence(note: str, *, capital: bool = True) -> str:
    text = note.rstrip(".") + "."
    return text[:1].upper() + text[1:] if capital else text
