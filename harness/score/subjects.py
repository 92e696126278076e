"""What there is to be scored: the weights a run folder holds, those of its end and those saved on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import models
from harness.errors import HarnessError, ModelError
from harness.records.run_folder import RunFolder
from harness.score import debug
from harness.score.jobs import key_of
from harness.score.preflight import Preflight, preflight


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Weights that can be scored. `step` is None for those that training ended with.

    `weights` is their hash; None, with `problem`, where they cannot be scored. `there` is false where they were
    dropped: scores of theirs may lie there all the same. `found` is None for what the debug engine made up, and
    without weights. `arguments` is what lm-eval's own command would be told of them, for the files it would write.
    """

    folder: RunFolder
    name: str
    checkpoint: Path
    step: int | None = None
    weights: str | None = None
    tokenizer: str | None = None
    there: bool = True
    made_up: bool = False
    found: Preflight | None = None
    problem: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What it is called in a job."""
        return key_of(str(self.folder.path.resolve()), self.step)


def subjects_of(folder: RunFolder, *, every: bool) -> list[Subject]:
    """What a trial left: nothing unless its outcome is `ok`; with `every`, what it saved on the way first."""
    outcome = folder.outcome()
    if outcome is None or outcome.outcome != "ok":
        return []
    spec = folder.spec() or {}
    name = str(spec.get("name", folder.path.name))
    if debug.is_debug(folder):
        steps = sorted(folder.step_hashes().items()) if every else []
        ends = (None, folder.weights_hash(), folder.checkpoint)
        places = [*((step, known, folder.checkpoint_at(step)) for step, known in steps), ends]
        return [
            Subject(
                folder=folder,
                name=name,
                checkpoint=place,
                step=step,
                weights=known,
                there=place.is_dir(),
                made_up=True,
            )
            for step, known, place in places
        ]
    on_the_way = sorted(folder.step_hashes().items()) if every else []
    found = [_subject(folder, name, folder.checkpoint_at(step), step, known, spec) for step, known in on_the_way]
    return [*found, _subject(folder, name, folder.checkpoint, None, folder.weights_hash(), spec)]


def subject_of(folder: RunFolder, name: str, checkpoint: Path, arguments: Mapping[str, str]) -> Subject:
    """Weights that no training of ours left: a folder of a user's, or of the hub's local copy."""
    return replace(_subject(folder, name, checkpoint, None, None, {}), arguments=arguments)


def _subject(
    folder: RunFolder, name: str, checkpoint: Path, step: int | None, known: str | None, spec: Mapping[str, object]
) -> Subject:
    called = name if step is None else f"{name} at step {step}"
    if not checkpoint.is_dir():
        return Subject(folder=folder, name=called, checkpoint=checkpoint, step=step, weights=known, there=False)
    try:
        weights = models.weights_hash(checkpoint)
        if known is not None and weights != known:
            raise ModelError.of(
                f"the weights in {checkpoint} are not those that training left",
                why=f"their hash is {weights[:12]}…, training recorded {known[:12]}…",
                hint="train it again with --force, or score the folder by itself: harness score FOLDER --tasks …",
            )
        found = preflight(checkpoint, spec)
        tokenizer = models.tokenizer_hash(checkpoint)
    except (HarnessError, OSError) as error:
        said = one_line(error)
        return Subject(folder=folder, name=called, checkpoint=checkpoint, step=step, problem=said)
    return Subject(
        folder=folder,
        name=called,
        checkpoint=checkpoint,
        step=step,
        weights=weights,
        tokenizer=tokenizer,
        found=found,
    )


def one_line(error: Exception) -> str:
    """What is wrong, why, and what to do."""
    if not isinstance(error, HarnessError):
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    parts = [(problem.what, problem.why, problem.hint) for problem in error.problems]
    return "; ".join(
        ": ".join(part for part in (what, why) if part) + (f" ({hint})" if hint else "") for what, why, hint in parts
    )


def in_order(subjects: Sequence[Subject]) -> list[Subject]:
    """Subjects of one family so that an engine changes its weights seldom: each base, its adapters, then the rest."""
    bases: dict[str, int] = {}
    for subject in subjects:
        if subject.found is not None and subject.found.way == "adapter":
            bases.setdefault(_base(subject.found), len(bases))

    def rank(subject: Subject) -> tuple[int, int]:
        found = subject.found
        assert found is not None, "only what has passed its preflight is scored"
        if found.way == "adapter":
            return bases[_base(found)], 1
        own = str(subject.checkpoint.resolve())
        return (bases[own], 0) if own in bases else (len(bases), 0)

    return sorted(subjects, key=rank)


def _base(found: Preflight) -> str:
    base = found.base or {}
    return str(base.get("path") or sorted(base.items(), key=str))
