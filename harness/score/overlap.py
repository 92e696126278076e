"""The overlap of tasks with what trials were trained on, measured where tasks are asked. For the scoring child.

`measure` writes `scores/<task>.overlap.json` into each run folder; see `harness.records.overlap` for what is in it, and
`harness.data.overlap` for what counts. Rows that several trials were trained on are read once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.overlap import Hit, Hits, Index, N, Text, cut
from harness.data.prepare import training_rows
from harness.errors import HarnessError, InputError
from harness.methods import METHODS
from harness.records.fingerprint import of_value
from harness.records.overlap import VERSION, Overlap, read_overlap
from harness.records.run_folder import RunFolder, write_json
from harness.score.jobs import Job, JobTask
from harness.score.scorefiles import overlap_file

_EXAMPLES = 5

Texts = Callable[[str], Sequence[Text]]
"""The documents of the task of this name that are scored, in their order; see `texts_of`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """One training of the chain that led to a checkpoint. `fingerprint` is what it recorded of its rows."""

    trial_id: str
    stage: str | None
    data: Mapping[str, Any]
    method: str
    root: Path
    fingerprint: str | None

    @property
    def key(self) -> str:
        """What decides its rows."""
        known = METHODS.get(self.method)
        taken = (known.formats, known.template_columns) if known else None
        return of_value([self.data, taken, str(self.root)])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Searched:
    """What was found in the rows of one training."""

    hits: Hits
    fingerprint: str
    duration_s: float


def file_of(folder: RunFolder, task: str) -> Path:
    """Where a task's overlap lies, beside its scores."""
    return overlap_file(folder, task)


def measure_job(job: Job, task: Callable[[str], Any]) -> list[str]:
    """`measure` of what a job lacks; `task` gives lm-eval's task object by name."""
    tasks = {one.name: one for one in job.tasks}
    limit = job.flags.get("limit")
    wanted = [(RunFolder(Path(folder)), tasks[name]) for folder, name in job.overlaps]
    return measure(wanted, lambda name: texts_of(task(name), limit), limit=limit)


def measure(wanted: Iterable[tuple[RunFolder, JobTask]], texts: Texts, *, limit: int | None) -> list[str]:
    """Measures what is not known yet; a folder without training (a floor) gets no file.

    `limit` is the number of documents that `texts` gives at most, for the record. Nothing is raised: what cannot be
    measured has a file that gives the reason, and is tried again the next time.

    Returns:
        What could not be measured or written, a line each.
    """
    said: list[str] = []
    missing: list[tuple[RunFolder, JobTask, list[_Training]]] = []
    for folder, task in _unique(wanted):
        try:
            chain = trainings(folder)
        except HarnessError as error:
            said += _write(folder, _unknown(task, _cause(error), limit))
            continue
        if chain and not _is_known(folder, task, chain, limit):
            missing.append((folder, task, chain))
    if not missing:
        return said
    measurement = _Measurement(_Documents(dict.fromkeys(task.name for _, task, _ in missing), texts), limit)
    for folder, task, chain in missing:
        said += _write(folder, measurement.overlap(task, chain))
    return said


class _Documents:
    """The documents of several tasks in one index; `wrong` says of which tasks they cannot be had, and why."""

    def __init__(self, tasks: Iterable[str], texts: Texts) -> None:
        self.wrong: dict[str, str] = {}
        self.places: dict[str, range] = {}
        gathered: list[Text] = []
        for name in tasks:
            try:
                found = texts(name)
            except Exception as error:  # a task's own code raises whatever it likes
                self.wrong[name] = f"the task's documents cannot be had: {_cause(error)}"
                continue
            self.places[name] = range(len(gathered), len(gathered) + len(found))
            gathered.extend(found)
        self.index = Index(gathered)


class _Measurement:
    """One round: each training's rows are read and looked through once, for all tasks."""

    def __init__(self, documents: _Documents, limit: int | None) -> None:
        self._documents = documents
        self._limit = limit
        self._searched: dict[str, _Searched | str] = {}  # by `_Training.key`; a str says why not

    def overlap(self, task: JobTask, chain: Sequence[_Training]) -> Overlap:
        """The task's overlap with these trainings, or the reason why it is not known."""
        found: list[tuple[_Training, _Searched]] = []
        reason = self._documents.wrong.get(task.name)
        for training in chain if reason is None else ():
            searched = self._search(training)
            if isinstance(searched, str):
                reason = searched
            elif training.fingerprint not in (None, searched.fingerprint):
                reason = f"the rows that {training.trial_id} was trained on are no longer what its data gives"
            else:
                found.append((training, searched))
        if reason is not None:
            return _unknown(task, reason, self._limit, _combined([training.fingerprint for training in chain]))
        return self._counted(task, found)

    def _search(self, training: _Training) -> _Searched | str:
        if training.key not in self._searched:
            self._searched[training.key] = self._look(training)
        return self._searched[training.key]

    def _look(self, training: _Training) -> _Searched | str:
        began = time.monotonic()
        method = METHODS.get(training.method)
        if method is None:
            return f"{training.trial_id} was trained by {training.method!r}, which is no method here"
        try:
            rows, fingerprint = training_rows(
                training.data, method.formats, root=training.root, template_columns=method.template_columns
            )
        except Exception as error:  # readers of files and of the hub raise whatever they like
            return f"the data of {training.trial_id} cannot be had: {_cause(error)}"
        hits = self._documents.index.search(rows)
        return _Searched(hits=hits, fingerprint=fingerprint, duration_s=time.monotonic() - began)

    def _counted(self, task: JobTask, found: Sequence[tuple[_Training, _Searched]]) -> Overlap:
        documents = self._documents.places[task.name]
        exact = {at for at in documents if any(at in searched.hits.exact for _, searched in found)}
        ngram = {at for at in documents if any(at in searched.hits.ngram for _, searched in found)}
        either = sorted(exact | ngram, key=lambda at: (at not in exact, at))
        return Overlap(
            task=task.name,
            task_hash=task.hash,
            data_fingerprint=_combined([searched.fingerprint for _, searched in found]),
            limit=self._limit,
            documents=len(documents),
            exact=len(exact),
            ngram=len(ngram),
            short=sum(self._documents.index.short[at] for at in documents),
            n=N,
            share=len(either) / len(documents) if documents else None,
            examples=tuple(self._example(at, documents, found) for at in either[:_EXAMPLES]),
            rows=sum(searched.hits.rows for _, searched in found),
            trained_on=tuple(_trained_on(training, searched) for training, searched in found),
            duration_s=round(sum({id(one): one.duration_s for _, one in found}.values()), 3),
        )

    def _example(self, at: int, documents: range, found: Sequence[tuple[_Training, _Searched]]) -> dict[str, Any]:
        trial_id, how, hit = next(
            (training.trial_id, how, hits[at])
            for how in ("exact", "ngram")
            for training, searched in found
            if at in (hits := _hits(searched, how))
        )
        return {
            "document": at - documents.start,
            "text": cut(self._documents.index.texts[at].question),
            "how": how,
            "shared": hit.shared,
            "row": hit.row,
            "trial_id": trial_id,
        }


def _unknown(task: JobTask, reason: str, limit: int | None, fingerprint: str | None = None) -> Overlap:
    return Overlap(task=task.name, task_hash=task.hash, data_fingerprint=fingerprint, limit=limit, reason=reason)


def _is_known(folder: RunFolder, task: JobTask, chain: Sequence[_Training], limit: int | None) -> bool:
    known = read_overlap(file_of(folder, task.name))
    if known is None or known.reason is not None or known.version != VERSION:
        return False
    recorded = _combined([training.fingerprint for training in chain])
    same = known.task_hash == task.hash and known.limit == limit
    return same and recorded is not None and known.data_fingerprint == recorded


def _write(folder: RunFolder, overlap: Overlap) -> list[str]:
    """Writes it; what there is to say of it."""
    said = [overlap.reason] if overlap.reason else []
    try:
        write_json(file_of(folder, overlap.task), overlap.to_json())
    except OSError as error:
        said.append(f"it cannot be written: {error}")
    return [f"overlap of {folder.path.name} with {overlap.task}: {one}" for one in said]


def trainings(folder: RunFolder) -> list[_Training]:
    """What led to a folder's checkpoint, the first stage first; empty for a model that was not trained here.

    Raises:
        InputError: the run folder of a stage is gone.
    """
    found: list[_Training] = []
    seen: set[Path] = set()
    here, stage, spec = folder, None, folder.spec()
    while spec is not None and here.path not in seen:
        seen.add(here.path)
        if spec.get("method") and spec.get("data"):
            found.append(_training(here, spec, stage))
        init = spec.get("init") or {}
        if not init.get("trial_id"):
            break
        here, stage = RunFolder(here.path.parent / str(init["trial_id"])), init.get("stage")
        spec = here.spec()
        if spec is None:
            raise InputError.of(
                f"what the stage {stage!r} was trained on is not known", why=f"there is no spec.json in {here.path}"
            )
    return found[::-1]


def _training(folder: RunFolder, spec: Mapping[str, Any], stage: str | None) -> _Training:
    outcomes = [outcome for attempt in folder.attempts() if (outcome := attempt.outcome()) and outcome.outcome == "ok"]
    recorded = [outcome.data_fingerprint for outcome in outcomes if outcome.data_fingerprint]
    return _Training(
        trial_id=str(spec.get("trial_id", folder.path.name)),
        stage=stage,
        data=spec["data"],
        method=str(spec["method"]),
        root=Path(str(spec.get("suite_file", ""))).parent,
        fingerprint=recorded[-1] if recorded else None,
    )


def texts_of(task: Any, limit: int | None) -> list[Text]:
    """The documents of an lm-eval task (`lm_eval.api.task.Task`, 0.4.13) that are scored, as a training may hold them.

    A task's template stands around what its data set asks; the longest of the document's own texts that is part of the
    prompt is therefore looked for by itself as well.
    """
    return [_text_of(task, doc) for _, doc in task.doc_iterator(rank=0, world_size=1, limit=limit)]


def _text_of(task: Any, doc: Any) -> Text:
    asked, target = task.doc_to_text(doc), task.doc_to_target(doc)
    choices = _choices(task, doc)
    if not isinstance(asked, str):  # the choices are the contexts, and the target goes on after each
        return Text(question=choices[0] if choices else "", answers=_answers(target), also=tuple(choices[1:]))
    return Text(question=asked, answers=choices or _answers(target), also=_inner(doc, asked))


def _choices(task: Any, doc: Any) -> tuple[str, ...]:
    return () if task.get_config("doc_to_choice") is None else tuple(map(str, task.doc_to_choice(doc)))


def _answers(target: Any) -> tuple[str, ...]:
    return tuple(map(str, target)) if isinstance(target, list | tuple) else (str(target),)


def _inner(doc: Any, asked: str) -> tuple[str, ...]:
    values = doc.values() if isinstance(doc, Mapping) else ()
    inside = [value for value in values if isinstance(value, str) and len(value.split()) > 1 and value in asked]
    longest = max(inside, key=len, default=asked)
    return () if longest == asked else (longest,)


def _unique(wanted: Iterable[tuple[RunFolder, JobTask]]) -> list[tuple[RunFolder, JobTask]]:
    """Each pair once: several checkpoints of a trial have the same training behind them."""
    return list({(folder.path, task.name): (folder, task) for folder, task in wanted}.values())


def _combined(fingerprints: Sequence[str | None]) -> str | None:
    """One fingerprint for a chain: the training's own where it is one; None where one is not known."""
    if None in fingerprints:
        return None
    return fingerprints[0] if len(fingerprints) == 1 else of_value(list(fingerprints))


def _trained_on(training: _Training, searched: _Searched) -> dict[str, Any]:
    return {
        "trial_id": training.trial_id,
        "stage": training.stage,
        "rows": searched.hits.rows,
        "fingerprint": searched.fingerprint,
    }


def _hits(searched: _Searched, how: str) -> dict[int, Hit]:
    return searched.hits.exact if how == "exact" else searched.hits.ngram


def _cause(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, HarnessError) and error.problems:
        problem = error.problems[0]
        return ": ".join(str(part) for part in (problem.where, problem.what, problem.why) if part)
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
