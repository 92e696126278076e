"""The story of a comparison: two selections in words become two sides, and these a verdict on each figure of each cell.

It stands beside `pipeline`, which it takes plans from. What a selection may be: see `docs/comparing.md`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import compare as comparing
from harness import pipeline, suite
from harness.compare.comparison import same_measurements
from harness.compare.selecting import chosen
from harness.errors import InputError, Problem, SelectionError, did_you_mean, nearest
from harness.records.asked import metrics_asked, no_judged_metric
from harness.records.document_scores import DocumentProvider
from harness.records.figures import title
from harness.records.margins import parse_margin
from harness.records.metrics import Margin, metric
from harness.records.progress import Observer
from harness.records.request import Choice, Places
from harness.records.results import SuiteResults, TrialResult
from harness.records.run_folder import run_folders
from harness.records.verdict import Comparison, Selected
from harness.store import Baselines, Ingesting, Store

_SUITE_FILES = (".yaml", ".yml")
_DATABASE = ".duckdb"
_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked of a comparison. `margins` go before those of the suites; `across`: environments may differ.

    `suite` is the name or file of the suite that conditions alone are about. `flips`: how many documents of each kind
    are listed, None for all.
    """

    suite: str | None = None
    metrics: Sequence[str] = ()
    margins: Mapping[str, Margin] = field(default_factory=dict)
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    across: bool = False
    flips: int | None = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Results that a selection chooses among, what is known of single documents, and the margins of their suite."""

    results: SuiteResults
    documents: DocumentProvider | None = None
    margins: Mapping[str, Margin] = field(default_factory=dict)


Loader = Callable[[str, Places], Source]
"""What a name stands for; raises an InputError where there is nothing of that name."""


def _baseline(name: str, places: Places) -> Source:
    """A saved baseline, by its name or its file."""
    kept = Baselines(places.results / "baselines").load(name)
    return Source(results=kept.results, documents=kept.documents)


SOURCES: dict[str, Loader] = {"baseline": _baseline}
"""What a word before the first colon of a selection means, besides suites, files and folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """Where selections are looked for. `suites` are the names of those with results; `suite` is the one meant alone."""

    places: Places
    observer: Observer
    suites: Sequence[str]
    suite: str | None
    held: ExitStack  # what lives as long as the comparison

    def stored(self, name: str) -> Source:
        """What is known of a suite, as its run folders are now."""
        store = Store(self.places.database)
        Ingesting(store, self.observer).now(*run_folders(self.places.results, name))
        results = replace(store.results(name), folder=str(self.places.results))
        return Source(results=results, documents=store.documents(name))


def compare(reference: str, candidate: str, wanted: Wanted, places: Places, observer: Observer) -> Comparison:
    """The candidate beside the reference, both told as selections.

    Raises:
        SuiteError: a suite file that is wrong.
        InputError: a selection chooses nothing, or both the same; no cells belong together; nothing can be compared.
        StoreError: a database cannot be used.
    """
    with ExitStack() as held:
        look = _Look(places=places, observer=observer, suites=_suites(places), suite=wanted.suite, held=held)
        one, its = _side(reference, wanted, look)
        other, own = _side(candidate, wanted, look)
        _refuse_the_same(one, other)
        found = comparing.compare(
            one,
            other,
            metrics=metrics_asked(wanted.metrics, _present(one, other)),
            margins={**its, **own, **wanted.margins},
            across=wanted.across,
            flips=wanted.flips,
        )
    _refuse_nothing(found)
    return found


def _present(*sides: Selected) -> set[str]:
    return {name for side in sides for trial in side.trials for name in trial.metrics}


def _side(text: str, wanted: Wanted, look: _Look) -> tuple[Selected, Mapping[str, Margin]]:
    """One side, and the margins of its suite."""
    source, terms = _source(text, look)
    trials = chosen(
        source.results.trials,
        terms,
        suite=source.results.suite,
        only=wanted.only,
        skip=wanted.skip,
        suites=() if ":" in text else look.suites,
    )
    return Selected(label=text, results=source.results, trials=trials, documents=source.documents), source.margins


def margins_of(said: Sequence[str]) -> dict[str, Margin]:
    """Margins written as `metric=3%`.

    Raises:
        InputError: every one that is none.
    """
    found, problems = {}, []
    for text in said:
        name, equals, amount = (part.strip() for part in text.partition("="))
        known = metric(name)
        if not equals or not amount:
            problems.append(Problem(what=f"--margin {text!r} is no margin", hint="write metric=3% or metric=2%+64MiB"))
        elif known is None or known.better == "none":
            problems.append(no_judged_metric(name))
        else:
            try:
                found[name] = parse_margin(amount, known)
            except ValueError as error:
                problems.append(Problem(what=f"--margin {text}: {error}"))
    if problems:
        raise InputError(problems=problems)
    return found


def _source(text: str, look: _Look) -> tuple[Source, list[str]]:
    """Where a selection's trials are from, and the terms that choose among them."""
    if not text.strip():
        raise SelectionError.of("a side of the comparison is empty", hint="write a suite's name, or axis=level")
    head, colon, rest = text.partition(":")
    if colon and head in SOURCES:
        name, _, terms = rest.partition(":")
        return SOURCES[head](name, look.places), _terms(terms)
    path = Path(head)
    if path.suffix in _SUITE_FILES:
        return _of_file(path, look), _terms(rest)
    if path.suffix == _DATABASE or ("=" not in head and path.is_dir() and head not in look.suites):
        return _elsewhere(path, rest, look)
    if "=" not in head and (colon or head in look.suites):
        return _of_suite(head, look), _terms(rest)
    if look.suite is not None and Path(look.suite).suffix in _SUITE_FILES:
        return _of_file(Path(look.suite), look), _terms(text)
    return _of_suite(look.suite or _only_suite(text, look), look), _terms(text)


def _terms(text: str) -> list[str]:
    return [term.strip() for term in text.split(",") if term.strip()]


def _suites(places: Places) -> list[str]:
    """Names of suites with results, stored or not."""
    folders = {folder.path.parent.name for folder in run_folders(places.results)}
    return sorted({*folders, *Store(places.database).suites()})


def _only_suite(text: str, look: _Look) -> str:
    """The suite that is meant where none is named."""
    names = look.suites
    if len(names) == 1:
        return names[0]
    if not names:
        what = f"{text!r} chooses nothing: no results in {look.places.results}"
        raise SelectionError.of(what, hint="run a suite first: harness run SUITE")
    if "=" in text or any(mark in text for mark in "*?["):
        why = f"there are {len(names)} suites with results: {', '.join(names[:_MOST_NAMED])}"
        raise SelectionError.of(f"{text!r} may be of several suites", why=why, hint=f"--suite NAME, or NAME:{text}")
    raise SelectionError.of(
        f"no results of a suite {text!r} in {look.places.results}",
        hint=f"{did_you_mean(text, names)}; for a cell write SUITE:{text}",
    )


def _of_suite(name: str, look: _Look) -> Source:
    """A suite by its name."""
    if name not in look.suites:
        meant = [*look.suites, *nearest(name, SOURCES)]  # these are no suites: named only where one is nearly written
        hint = did_you_mean(name, meant) if look.suites else "run it first: harness run SUITE"
        raise SelectionError.of(f"no results of a suite {name!r} in {look.places.results}", hint=hint)
    found = look.stored(name)
    return replace(found, margins=suite.margins_stored(found.results, look.observer))


def _of_file(file: Path, look: _Look) -> Source:
    """A suite as its file is now: trials that never ran are there too, those of an earlier state are not."""
    plan = pipeline.planned(file, Choice())
    found = look.stored(plan.suite.name)
    results = replace(found.results, trials=comparing.measured(found.results, plan))
    return replace(found, results=results, margins=plan.suite.margins)


def _elsewhere(path: Path, rest: str, look: _Look) -> tuple[Source, list[str]]:
    """A suite of another store or folder of results, which is read and never written to."""
    if path.is_dir():
        database = path / "harness.duckdb"
        if database.exists():
            return _stored(database, path, rest)
        store = Store(Path(look.held.enter_context(tempfile.TemporaryDirectory())) / "harness.duckdb")
        store.ingest(run_folders(path))
        return _stored(store.path, path, rest)
    if not path.exists():
        raise InputError.of(f"there is no {path}", hint="name a harness.duckdb, or a folder of results")
    return _stored(path, path, rest)


def _stored(database: Path, shown: Path, rest: str) -> tuple[Source, list[str]]:
    """What follows the colon names a suite, and then terms; terms alone are of the only suite."""
    store = Store(database)
    names = store.suites()
    head, _, terms = rest.partition(":")
    if len(names) == 1 and ":" not in rest and head not in names:
        head, terms = names[0], rest
    if head in names:
        return Source(results=store.results(head), documents=store.documents(head)), _terms(terms)
    if not names:
        raise SelectionError.of(f"no results in {shown}")
    if not head:
        raise SelectionError.of(
            f"{shown} holds {len(names)} suites", why=", ".join(names), hint=f"name one: {shown}:{names[0]}"
        )
    raise SelectionError.of(f"no results of a suite {head!r} in {shown}", hint=did_you_mean(head, names))


def _refuse_the_same(one: Selected, other: Selected) -> None:
    same = same_measurements(one.trials, other.trials)
    if same and len(same) == min(_ended(one.trials), _ended(other.trials)):
        raise SelectionError.of(
            f"{one.label!r} and {other.label!r} choose the same measurements",
            why=f"{len(same)} trials are on both sides, {same[0]} the first of them",
            hint="choose two sides: two levels of an axis (recipe=sft recipe=dpo), two suites, or another store",
        )


def _ended(trials: Sequence[TrialResult]) -> int:
    return sum(trial.outcome is not None for trial in trials)


def _refuse_nothing(found: Comparison) -> None:
    """A comparison of nothing is an error, with every reason."""
    if not found.cells:
        raise SelectionError.of(
            f"no cell of {found.reference!r} belongs to one of {found.candidate!r}",
            why=f"the reference has {_names(found.only_reference)}; the candidate has {_names(found.only_candidate)}",
            hint="cells belong together by id, by the levels both sides share, or by name; or choose one cell a side",
        )
    if any(cell.tells for cell in found.cells):
        return
    reasons = dict.fromkeys(why for cell in found.cells for why in cell.refused.values())
    problems = [Problem(what=f"this cannot be compared: {why}") for why in list(reasons)[:_MOST_NAMED]]
    raise InputError(problems=problems + _absent(found))


def _absent(found: Comparison) -> list[Problem]:
    """Figures that one side alone has, by the side that lacks them; all of them where neither has any."""
    hint = "see `harness list SUITE` for how its trials ended"
    lacking: dict[str, dict[str, None]] = {}
    for cell in found.cells:
        for name, verdict in cell.verdicts.items():
            lacking.setdefault(verdict.why, {})[title(name)] = None
    if not lacking and not any(cell.refused for cell in found.cells):
        why = "no trial of either side that ended well has such a figure"
        return [Problem(what="there is nothing to compare", why=why, hint=hint)]
    return [
        Problem(what=f"nothing can be compared of {_names(list(names))}", why=why, hint=hint)
        for why, names in lacking.items()
    ]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"
