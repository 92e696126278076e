"""What is made of results when the runs are over: what axes do, claims, histories, and files for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import FolderError, InputError, SelectionError, did_you_mean
from harness.records.chosen import chosen
from harness.records.history import History, Past
from harness.records.metrics import METRICS, Metric, metric
from harness.records.progress import Observer
from harness.records.request import Choice, Places
from harness.records.run_folder import run_folders, write_atomic

if TYPE_CHECKING:
    from harness.records.effects import AxisEffects
    from harness.records.results import Answer
    from harness.store import Store


def suite_named(said: str) -> str:
    """The name of a suite that was given by its name or by its file.

    Raises:
        SuiteError: there is such a file, and it is wrong.
    """
    from harness import suite

    file = Path(said)
    return suite.load(file).name if file.suffix in (".yaml", ".yml") and file.is_file() else said


def history(
    name: str, said: Sequence[str], choice: Choice, places: Places, *, since: datetime | None, observer: Observer
) -> History:
    """A metric over the nights of these suites, of all where none is named, from `since` on.

    Raises:
        InputError: no such metric, suite or trial, or nothing since then.
        StoreError: the store cannot be used.
    """
    from harness.compare import history as made_of

    suites = [suite_named(one) for one in said]
    store = up_to_date(places, suites, observer)
    found = store.past(name, suites)
    known = _metric(name, found)
    kept = [one for one in chosen(found.attempts, choice) if since is None or one.at >= since]
    if not kept:
        why = f"the last attempt was at {found.attempts[-1].started_at}" if found.attempts else "nothing has run yet"
        raise InputError.of("there is no attempt to show", why=why, hint="give an earlier --since, or run a suite")
    return made_of(known, replace(found, attempts=kept))


def effects(file: Path, choice: Choice, places: Places, observer: Observer, *, metrics: Sequence[str]) -> AxisEffects:
    """What the axes of a suite do to these metrics, or to the usual ones, from what has run so far.

    Raises:
        HarnessError: the suite is wrong, or the store cannot be used.
    """
    from harness import compare, pipeline
    from harness.store import Ingesting, Store

    plan = pipeline.planned(file, choice, places)
    Ingesting(Store(places.database), observer).now(*run_folders(places.results, plan.suite.name))
    return compare.effects(Store(places.database).results(plan.suite.name), plan, metrics=metrics)


def claims(file: Path, places: Places, observer: Observer) -> tuple[Answer, ...]:
    """The answer of a suite that makes claims, from what has run so far; of one that makes none, nothing.

    Raises:
        HarnessError: the suite is wrong, or the store cannot be used.
    """
    from harness import compare, pipeline
    from harness.store import Ingesting, Store

    plan = pipeline.planned(file, Choice(), places)
    if not plan.claims:
        return ()
    Ingesting(Store(places.database), observer).now(*run_folders(places.results, plan.suite.name))
    found = Store(places.database).results(plan.suite.name)
    return (compare.answer(found, plan, places=places, devices=pipeline.devices_asked(plan)),)


def draw_history(found: History, file: Path) -> None:
    """Writes a history as SVG.

    Raises:
        InputError: it has more series than a picture can show.
        FolderError: the file cannot be written.
    """
    from harness.report.nights import draw

    _write(file, draw(found))


def _write(file: Path, content: str | bytes) -> None:
    try:
        write_atomic(file, content)
    except OSError as error:
        raise FolderError.of(f"{file} cannot be written", why=error.strerror or str(error)) from error


def append(file: Path, text: str) -> None:
    """Adds to a file that others write to as well.

    Raises:
        FolderError: it cannot be written.
    """
    try:
        with file.open("a", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        raise FolderError.of(f"{file} cannot be written", why=error.strerror or str(error)) from error


def _metric(name: str, found: Past) -> Metric:
    known = metric(name)
    if known is None:
        names = {*found.known, *METRICS}
        raise InputError.of(f"unknown metric {name!r}", hint=did_you_mean(name, names))
    if found.attempts and name not in found.known:
        raise InputError.of(f"no attempt has a figure of {name}", why=known.says, hint=did_you_mean(name, found.known))
    return known


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """An export: the files that were written, or `text` where none was named; `left_out` in sentences."""

    files: Sequence[Path]
    text: str | None
    left_out: Sequence[str]


def export(
    said: str,
    form: str,
    choice: Choice,
    places: Places,
    *,
    out: Path | None,
    metrics: Sequence[str],
    check: Path | None,
    observer: Observer,
) -> Exported:
    """A suite's results in the format of another tool. Nothing is written unless all of it can be made.

    Raises:
        InputError: no such format, suite, trial or metric, nothing to export, or a format without room for it.
        FolderError: a file cannot be written.
        StoreError: the store cannot be used.
    """
    from harness.export import FORMATS, Given, left_out, read_check

    if form not in FORMATS:
        raise InputError.of(f"unknown format {form!r}", hint=did_you_mean(form, FORMATS))
    known = FORMATS[form]
    if check is not None and not known.check:
        able = ", ".join(name for name, one in FORMATS.items() if one.check)
        raise InputError.of(f"{form} has no place for what a check said", hint=f"formats that have: {able}")
    if out is None and (known.folder or not known.text):
        raise InputError.of(
            f"{form} does not go to stdout", hint=f"name its {'folder' if known.folder else 'file'} with --out"
        )
    suite = suite_named(said)
    store = up_to_date(places, [suite], observer)
    results = store.results(suite)
    given = Given(
        suite=suite,
        trials=chosen(results.trials, choice),
        environments=results.environments,
        asked=tuple(dict.fromkeys(metrics)),
        measured_at=store.last_end(suite),
        check=read_check(check) if check else None,
    )
    made = known.make(given)
    told = [] if known.whole else left_out(given)
    if out is None:
        return Exported(files=(), text=str(made[""]), left_out=told)
    paths = {out / name if name else out: content for name, content in made.items()}
    for path, content in paths.items():
        _write(path, content)
    return Exported(files=tuple(paths), text=None, left_out=told)


def up_to_date(places: Places, suites: Sequence[str], observer: Observer) -> Store:
    """The store with what the run folders of these suites (of all where none is named) hold.

    Raises:
        SelectionError: a suite that neither the folders nor the store know.
        StoreError: the store cannot be used.
    """
    from harness.store import Ingesting, Store

    store = Store(places.database)
    folders = [folder for name in suites or (None,) for folder in run_folders(places.results, name)]
    if folders:
        Ingesting(store, observer).now(*folders)
    known = store.suites()
    for name in suites:
        if name not in known:
            hint = did_you_mean(name, known) if known else "run it first: harness run SUITE"
            raise SelectionError.of(f"no results of a suite {name!r} in {places.results}", hint=hint)
    if not known:
        hint = "run a suite first, or name the folder with --results"
        raise InputError.of(f"no results in {places.results}", hint=hint)
    return store
