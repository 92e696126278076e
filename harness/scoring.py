"""The story of scores without training: models scored by themselves, and results that lm-eval wrote elsewhere.

It stands beside `fitting`: both keep what they find in suites of their own. Scoring a suite's trials is `pipeline`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import score
from harness.records.progress import Observer
from harness.records.request import Places
from harness.records.suite import Score as ScoreSection


def score_models(
    said: Sequence[str],
    wanted: ScoreSection,
    places: Places,
    observer: Observer,
    *,
    name: str | None = None,
    revision: str | None = None,
    out: Path | None = None,
    force: bool = False,
) -> score.Alone:
    """Scores models by themselves and stores the scores; paths are relative to the current folder.

    Raises:
        InputError: all that is wrong with what was asked; nothing was scored.
        HarnessError: as `run`.
    """
    from harness import execute
    from harness.store import Ingesting, Store

    root = Path.cwd()
    given = score.prepare(said, wanted, root=root, name=name, revision=revision, out=out, say=observer.message)
    with execute.session(places.results, score.SCORED) as session:
        told = score.score_alone(
            given,
            wanted,
            results=places.results,
            observer=observer,
            root=root,
            force=force,
            out=out,
            doing=session.doing,
            check=session.check,
        )
        Ingesting(Store(places.database), observer).now(*told.folders)
    return told


def import_lm_eval(path: Path, places: Places, observer: Observer, *, name: str | None = None) -> score.Imported:
    """Takes results that lm-eval wrote elsewhere into the results, as run folders, and stores them.

    Raises:
        InputError: there are none that can be read.
        HarnessError: as `run`.
    """
    from harness import execute
    from harness.store import Ingesting, Store

    runs, problems = score.look_for(path)
    with execute.session(places.results, score.IMPORTED) as session:
        told = score.take_in(runs, problems, places.results, name=name, doing=session.doing, check=session.check)
        Ingesting(Store(places.database), observer).now(*told.folders)
    return told
