"""What differs between two trials: by the axis that was varied, and what else changed with it or beside it.

A lever seldom comes alone: packing turns padding-free on, Liger changes the loss, a new level may have run with other
packages. And a lever may not act at all. Pure functions over what the run folders hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.compare.showing import followed, ignored, is_under, kept, known, mapping, same, shows
from harness.records.results import TrialResult

_NOT_COMPARED = (
    *("suite", "suite_file", "question", "trial_id", "cell_id", "name", "cell_name", "levels", "seed", "start"),
    *("schema", "defaults", "predicted_memory"),
)
"""Of a spec: names, and what follows from the rest; `levels` are told as the axis, `defaults` as part of `train`."""
_MEASURE = ("warmup_steps", "device_hz")
"""Of a spec: what a suite calls `measure.…`."""
_MUST_DIFFER = ("config.seed", "config.output_dir", "config.logging_dir", "config.run_name")
_OF_THE_MOMENT = ("hash", "harness", "environment", "device.pcie.generation", "device.pcie.width")
"""Of an environment: hash, declaration and what the packages tell too, and a link that slows down while it rests."""
_ROOTS = (
    *("method", "model", "data", "train", "lora", "reference", "init", "environment"),
    *("measure", "limits", "checkpoint"),
)
_WHOLE = ("optimizer_state", "optimizer_state_elements", "patched")
"""Facts whose parts say little each."""
_FOLLOWS = ("trainable_parameters", "total_parameters", "optimizer_state_elements")
"""Counts that move with nearly every lever: shown of two trials, left out of sentences."""
_HASH = re.compile(r"\b([0-9a-f]{10})[0-9a-f]{30,}\b")
_AFTER_A_STEP = "compiled"
"""A fact of every training that made a step, and of no other."""
_NOT_ALWAYS_KNOWN = ("attention_kernels", "optimizer_options")
_MOST_NAMED = 6
_MOST_LETTERS = 48


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One trial as its run folder holds it: spec.json, what was active, environment.json; empty where it told none."""

    spec: Mapping[str, Any]
    active: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One value of two trials; None where a trial has none of that name."""

    name: str
    one: Any
    other: Any

    def __str__(self) -> str:
        return f"{self.name} {worded(self.one)} → {worded(self.other)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WhatElse:
    """Everything that differs between two trials, apart by cause.

    `axis`: levels that differ. `asked`: fields that these levels set. `acted`: where the trainer shows them. `inert`:
    fields set differently whose effect, where the trainer would show it, is the same in both. `beside`: fields of the
    spec that differ by no axis. `active`: whatever else was active differently. `environment`: of the two environments.
    """

    axis: tuple[Difference, ...] = ()
    asked: tuple[Difference, ...] = ()
    acted: tuple[Difference, ...] = ()
    inert: tuple[Difference, ...] = ()
    beside: tuple[Difference, ...] = ()
    active: tuple[Difference, ...] = ()
    environment: tuple[Difference, ...] = ()

    @property
    def besides_the_axis(self) -> tuple[Difference, ...]:
        """What else changed: all that the axis did not ask for."""
        return (*self.beside, *self.active, *self.environment)


def what_else(one: Side, other: Side) -> WhatElse:
    """What differs between two trials, the axis apart from the rest; without what must differ: seeds, names, paths."""
    levels = tuple(differences(mapping(one.spec.get("levels")), mapping(other.spec.get("levels"))))
    changed = tuple(differences(*_asked(one.spec, other.spec)))
    asked = tuple(entry for entry in changed if _by(levels, entry.name))
    facts = _between(one.active, other.active, whole=_whole(one.active, other.active))
    untold = _untold(one.active, other.active)
    active = [
        fact
        for fact in facts
        if not (is_under(fact.name, _MUST_DIFFER) or fact.name in untold or _is_of_one_record(fact))
    ]
    acted: list[Difference] = []
    inert: list[Difference] = []
    for entry in asked:
        shown = [fact for fact in active if shows(entry.name, fact.name)]
        acted += [fact for fact in shown if fact not in acted]
        heeded = kept(entry.name, entry.one, one.active) or kept(entry.name, entry.other, other.active)
        if not (shown or heeded) and (
            all(known(entry.name, side.active) for side in (one, other)) or ignored(entry, one.active, other.active)
        ):
            inert.append(entry)
    # The resolved configuration repeats what was asked for.
    repeated = [place for entry in changed for place in followed(entry.name)]
    return WhatElse(
        axis=levels,
        asked=asked,
        acted=tuple(acted),
        inert=tuple(inert),
        beside=tuple(entry for entry in changed if entry not in asked),
        active=tuple(fact for fact in active if fact not in acted and not is_under(fact.name, repeated)),
        environment=of_environments(one.environment, other.environment),
    )


def of_environments(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Where two environment.json differ, without what is of the moment; nothing where one of them is not known."""
    return tuple(entry for entry in _between(one, other) if not is_under(entry.name, _OF_THE_MOMENT))


def _whole(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Facts that are one difference; so are the options of two optimizers, which have few in common."""
    return _WHOLE if one.get("optimizer") == other.get("optimizer") else (*_WHOLE, "optimizer_options")


def _untold(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """Facts that one trial alone tells, where the other does not know: none is no answer of theirs.

    A training that ended in its first step tells nothing of what shows after it, a compiled one has kernels that
    nobody saw, and some optimizers keep their options to themselves.
    """
    alone = {name for name in {*one, *other} if (one.get(name) is None) != (other.get(name) is None)}
    both_stepped = (_AFTER_A_STEP in one) == (_AFTER_A_STEP in other)
    return alone & set(_NOT_ALWAYS_KNOWN) if both_stepped else alone


def _is_of_one_record(fact: Difference) -> bool:
    """An adapter's scaling, which every adapter has and older records do not tell."""
    return fact.name.endswith(".scaling") and None in (fact.one, fact.other)


def side_of(trial: TrialResult, environments: Mapping[str, Mapping[str, Any]]) -> Side:
    """A trial of the store as a side; `environments` by hash, as `SuiteResults` has them.

    One hash stands for many trials, whose threads and variables may differ: those are the trial's own.
    """
    environment = {**environments.get(trial.environment or "", {}), **trial.surroundings}
    return Side(spec=trial.config, active=trial.active, environment=environment)


def alongside(trials: Sequence[TrialResult], environments: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Sentences for a report: what else changed between cells that differ in the level of one axis alone.

    Each axis' first level, in the order of the trials, is set beside its others; what holds in all cells compared is
    said once. Environments are not looked at here: a report says where they are mixed. Methods differ in everything
    and are left out.
    """
    found: dict[tuple[str, str, str], list[WhatElse]] = {}
    for one, other, axis in _neighbours(_first_of_each_cell(trials)):
        else_ = what_else(side_of(one, environments), side_of(other, environments))
        if not any(entry.name == "method" for entry in else_.asked):
            found.setdefault((axis, one.levels[axis], other.levels[axis]), []).append(else_)
    return tuple(sentence for change, cases in found.items() for sentence in _sentences(change, cases))


def _first_of_each_cell(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """One trial per cell of the matrix, of those that told what was active, the same seed where it can be."""
    cells: dict[str, TrialResult] = {}
    for trial in sorted(trials, key=lambda trial: trial.seed):
        if trial.kind == "cell" and trial.active and trial.outcome == "ok":
            cells.setdefault(trial.cell_id, trial)
    order = list(dict.fromkeys(trial.cell_id for trial in trials))
    return sorted(cells.values(), key=lambda trial: order.index(trial.cell_id))


def _neighbours(cells: Sequence[TrialResult]) -> Iterator[tuple[TrialResult, TrialResult, str]]:
    """Pairs that differ on one axis alone, the first with that axis' first level."""
    first: dict[str, str] = {}
    for cell in cells:
        for axis, level in cell.levels.items():
            first.setdefault(axis, level)
    for other in cells:
        for axis, level in other.levels.items():
            wanted = {**other.levels, axis: first[axis]}
            one = None if level == first[axis] else next((cell for cell in cells if dict(cell.levels) == wanted), None)
            if one is not None:
                yield one, other, axis


def _sentences(change: tuple[str, str, str], cases: Sequence[WhatElse]) -> Iterator[str]:
    axis, one, other = change
    moved = [entry for entry in _common([(*case.beside, *case.active) for case in cases]) if worth_saying(entry)]
    if moved:
        yield f"{axis} {one} → {other} changed more than itself: {listed(moved)}."
    inert = _common([case.inert for case in cases])
    if inert:
        whole = all(len(case.inert) == len(case.asked) for case in cases)
        said = "did not act" if whole else "did not act in full"
        yield f"{axis} {one} → {other} {said}: {listed(inert)} was asked for, and nothing of it shows in training."


def worth_saying(entry: Difference) -> bool:
    """Whether a sentence should name it: counts of parameters move with nearly every lever."""
    return entry.name.partition(".")[0] not in _FOLLOWS


def _common(cases: Sequence[Sequence[Difference]]) -> list[Difference]:
    """Differences that are in every case, by name; with their values where these are the same everywhere."""
    names = set.intersection(*({entry.name for entry in case} for case in cases))
    return [entry for entry in cases[0] if entry.name in names and all(entry in case for case in cases)]


def differences(one: Any, other: Any, path: str = "", *, whole: Sequence[str] = ()) -> Iterator[Difference]:
    """Where two JSON values differ, by dotted path; a mapping on one side alone or of `whole` is one difference."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and path not in whole:
        if repr(one) == repr(other):  # most often they are alike, and hundreds of fields need not be walked
            return
        for name in dict.fromkeys((*one, *other)):
            inner = f"{path}.{name}" if path else str(name)
            yield from differences(one.get(name), other.get(name), inner, whole=whole)
    elif not same(one, other):
        yield Difference(name=path, one=one, other=other)


def _between(one: Mapping[str, Any], other: Mapping[str, Any], **how: Any) -> Iterator[Difference]:
    """Differences of two records that are both there: what one trial never told is no difference."""
    return differences(one, other, **how) if one and other else iter(())


def listed(entries: Sequence[Difference], most: int = _MOST_NAMED) -> str:
    """`a 1 → 2, b x → y and 3 more`."""
    shown = ", ".join(str(entry) for entry in entries[:most])
    return shown if len(entries) <= most else f"{shown} and {len(entries) - most} more"


def worded(value: Any) -> str:
    """A value as a reader takes it in: true, none, a, b; long ones cut."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        text = ", ".join(f"{name}={worded(inner)}" for name, inner in value.items() if inner is not None) or "none"
    elif isinstance(value, list | tuple):
        text = "+".join(worded(inner) for inner in value) or "none"
    elif isinstance(value, int):
        text = f"{value:,}"
    else:
        text = f"{value:.6g}" if isinstance(value, float) else _HASH.sub(r"\1", str(value))
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def _asked(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two specs as far as they are compared. A field of `train` that one leaves out has TRL's default there."""
    named = {*mapping(one.get("train")), *mapping(other.get("train"))}

    def asked(spec: Mapping[str, Any]) -> dict[str, Any]:
        train = {**mapping(spec.get("defaults")), **mapping(spec.get("train"))}
        kept = {name: value for name, value in spec.items() if name not in _NOT_COMPARED}
        kept["measure"] = {name: kept.pop(name) for name in _MEASURE if name in kept}  # under the suite's names
        kept["environment"] = mapping(spec.get("environment")).get("name")  # what is in it, environment.json tells
        return {**kept, "train": {name: train[name] for name in sorted(named) if name in train}}

    return asked(one), asked(other)


def _by(levels: Iterable[Difference], name: str) -> bool:
    """Whether the level of some axis set this field: it is the axis' field, or the axis names sets of fields."""
    return any(is_under(name, (axis.name,)) or axis.name.partition(".")[0] not in _ROOTS for axis in levels)
