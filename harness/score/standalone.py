"""Models that are scored by themselves, without a suite: hub ids, folders with a model or an adapter, run folders.

Their scores lie in run folders of their own, results/scored/<id>/. Nothing was trained there: spec.json is of kind
`scored` and names no method, and the one attempt says that the weights are there. The id is of the weights, their
tokenizer and the name, so that the same model is found again, and other weights under the same path are another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import models
from harness.errors import FolderError, HarnessError, InputError, ModelError, Problem
from harness.records.events import encode
from harness.records.fingerprint import of_value
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, read_json, suite_folder, write_atomic, write_json
from harness.score.hubmodels import fetch, is_hub_id
from harness.score.preflight import Preflight, preflight

SUITE = "scored"
"""The folder of results that holds them, where a suite's name stands for others."""

_ID_LETTERS = 12
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_NOT_TRAINED = "the harness only scored these weights; it did not train them"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A model that somebody named. `said` is what was said, `folder` where its weights lie.

    `model` is what spec.json says of it; `arguments` what lm-eval's own command would be told.
    """

    said: str
    name: str
    folder: Path
    model: Mapping[str, Any]
    weights: str
    tokenizer: str
    arguments: Mapping[str, str]

    @property
    def id(self) -> str:
        """The name of its run folder."""
        return of_value([self.weights, self.tokenizer, self.name])[:_ID_LETTERS]


def look_up(said: Sequence[str], *, name: str | None, revision: str | None, say: Say) -> list[Given]:
    """The models of these names, each once: folders, run folders, else ids of the hub.

    `name` is what a single one is to be called; `revision` is the hub's, of every one.

    Raises:
        InputError: everything that is wrong with any of them.
    """
    found: list[Given] = []
    problems: list[Problem] = []
    if name is not None and len(said) > 1:
        what = "--name names one model"
        problems.append(Problem(what=what, why=f"{len(said)} are given", hint="score them one by one, or leave it out"))
    for one in dict.fromkeys(said):
        try:
            found.append(_given(one, name=name, revision=revision, say=say))
        except HarnessError as error:
            problems += error.problems
    if problems:
        raise InputError(problems=tuple(problems))
    return list({one.id: one for one in _told_apart(found)}.values())


def run_folder(given: Given, results: Path) -> RunFolder:
    """The model's run folder, made where it is missing.

    Raises:
        FolderError: it cannot be written.
    """
    folder = RunFolder(suite_folder(results, SUITE) / given.id)
    spec = _spec(given)
    try:
        if folder.spec() != json.loads(json.dumps(spec)):
            write_json(folder.spec_file, spec)
        if folder.outcome() is None:
            attempt = folder.last_attempt() or folder.new_attempt()  # one that is there was cut off right here
            write_atomic(attempt.events, encode({"t": 0.0, "kind": "note", "level": "info", "text": _NOT_TRAINED}))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            attempt.close(
                Outcome(
                    outcome="ok",
                    attempt=attempt.number,
                    started_at=now,
                    ended_at=now,
                    duration_s=0.0,
                    weights_hash=given.weights,
                )
            )
    except OSError as error:
        raise FolderError.of(f"{folder.path} cannot be written", why=str(error)) from error
    return folder


def _spec(given: Given) -> dict[str, Any]:
    """What a trial's spec.json says, as far as there is something to say."""
    return {
        "suite": SUITE,
        "trial_id": given.id,
        "cell_id": given.id,
        "name": given.name,
        "cell_name": given.name,
        "kind": "scored",
        "levels": {},
        "seed": None,
        "method": None,
        "model": dict(given.model),
        "data": None,
        "train": {},
        "lora": None,
        "checkpoint": "none",
        "schema": 1,
    }


def _given(said: str, *, name: str | None, revision: str | None, say: Say) -> Given:
    path = Path(said).expanduser()
    if path.is_dir():
        if revision is not None:
            raise ModelError.of(f"{said} is a folder and has no revisions", hint="leave --revision out")
        folder, called = _weights_in(path)
        model: dict[str, Any] = {"path": str(folder.resolve())}
    else:
        folder, called = _fetched(said, path, revision, say), said if revision is None else f"{said}@{revision}"
        model = {"hub": said, "revision": folder.name}
    _whole(folder)
    weights = models.weights_hash(folder)
    found = preflight(folder)
    if found.base is not None and "hub" in found.base:
        fetch(str(found.base["hub"]), found.base.get("revision"), say)  # before an engine starts and finds it missing
    return Given(
        said=said,
        name=name or called,
        folder=folder,
        model=model,
        weights=weights,
        tokenizer=models.tokenizer_hash(folder),
        arguments=_arguments(said, revision, found),
    )


def _fetched(said: str, path: Path, revision: str | None, say: Say) -> Path:
    if path.exists():
        hint = "give the folder it lies in, as save_pretrained wrote it"
        raise ModelError.of(f"{said} is a file, no model", why="a model is a folder or an id of the hub", hint=hint)
    if not is_hub_id(said):
        hint = "give a folder as save_pretrained writes it, a run folder, or an id of the hub: owner/name"
        raise ModelError.of(f"there is no model {said!r}", why=f"{path} does not exist", hint=hint)
    try:
        return fetch(said, revision, say)
    except ModelError as error:
        here = f"there is no folder {said!r} here, and "
        problems = [replace(one, what=here + one.what) if said in one.what else one for one in error.problems]
        raise ModelError(problems=tuple(problems)) from error


def _weights_in(path: Path) -> tuple[Path, str]:
    """The folder of the weights, and what they are called: those of a run folder as their trial is."""
    path = path.resolve()
    if (path / "spec.json").is_file() and not (path / "config.json").is_file():
        if not (path / "checkpoint").is_dir():
            raise ModelError.of(
                f"the run folder {path} holds no checkpoint",
                why="its training has not ended well, or the checkpoint was dropped",
                hint="train it again with `checkpoint: keep`",
            )
        path = path / "checkpoint"
    step = path.name if path.parent.name == "checkpoints" else None
    trial = path.parent.parent if step else path.parent if path.name == "checkpoint" else None
    spec = read_json(trial / "spec.json") if trial else None
    if trial is None or spec is None:
        return path, path.name
    name = f"{trial.parent.name}/{spec.get('name', trial.name)}"
    return path, f"{name} at step {step}" if step else name


def _whole(folder: Path) -> None:
    """Weights in several files, by their index.

    Raises:
        ModelError: some of them are missing.
    """
    for index in _INDEXES:
        parts = (read_json(folder / index) or {}).get("weight_map")
        names = sorted({str(name) for name in parts.values()}) if isinstance(parts, dict) else []
        missing = [name for name in names if not (folder / name).is_file()]
        if missing and not (len(missing) == len(names) and models.weight_files(folder)):  # an index of the other format
            raise ModelError.of(
                f"the model in {folder} is not whole",
                why=f"{len(missing)} of {len(names)} files of weights are missing, the first {missing[0]}",
                hint="copy or download the rest",
            )


def _arguments(said: str, revision: str | None, found: Preflight) -> dict[str, str]:
    own = {"revision": revision} if revision else {}
    if found.base is None:
        return {"pretrained": said, **own}
    base = found.base.get("path") or found.base.get("hub") or f"shape:{found.base.get('shape')}"
    return {"pretrained": str(base), "peft": said, **own}


def _told_apart(found: Sequence[Given]) -> list[Given]:
    """Different weights by different names: those of the same name are called as they were given."""
    names: dict[str, set[str]] = {}
    for one in found:
        names.setdefault(one.name, set()).add(one.weights + one.tokenizer)
    return [replace(one, name=one.said) if len(names[one.name]) > 1 else one for one in found]
