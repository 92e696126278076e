"""Where a trial's weights lie: those of the end, those on the way, and those that are not whole yet."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import RunFolder


def _attempt(run: RunFolder, name: OutcomeName = "ok", *, weights: str | None = "w", **steps: str) -> None:
    attempt = run.new_attempt()
    hashes = {step.removeprefix("at"): found for step, found in steps.items()}
    attempt.close(
        Outcome(
            outcome=name,
            attempt=attempt.number,
            started_at="",
            ended_at="",
            duration_s=1.0,
            weights_hash=weights,
            step_hashes=hashes,
        )
    )


def _write(folder: Path, text: str = "") -> None:
    folder.mkdir(parents=True)
    (folder / "weights").write_text(text)


def test_without_any_there_are_none(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert (run.checkpoints(), run.step_hashes(), run.weights_hash()) == ([], {}, None)
    run.drop_checkpoint()
    run.unpublished().clear()


@given(steps=st.sets(st.integers(1, 3000), max_size=8))
def test_steps_are_in_their_order_and_nothing_else_counts(tmp_path_factory: object, steps: set[int]) -> None:
    run = RunFolder(tmp_path_factory.mktemp("run"))  # type: ignore[attr-defined]
    for step in steps:
        _write(run.unpublished().checkpoint_at(step))
    _write(run.unpublished().checkpoint)
    assert run.checkpoints() == []
    run.unpublished().publish()
    (run.path / "checkpoints").mkdir(exist_ok=True)
    (run.path / "checkpoints" / ".DS_Store").touch()
    (run.path / "checkpoints" / "note").mkdir()
    assert run.checkpoints() == [(step, run.path / "checkpoints" / str(step)) for step in sorted(steps)]


def test_what_is_published_takes_the_place_of_all_there_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for word, steps in (("first", (1, 2)), ("second", (2, 3)), ("third", ())):
        places = run.unpublished()
        _write(places.checkpoint, word)
        for step in steps:
            _write(places.checkpoint_at(step), word)
        places.publish()
        assert (run.checkpoint / "weights").read_text() == word
        assert [(step, (folder / "weights").read_text()) for step, folder in run.checkpoints()] == [
            (step, word) for step in steps
        ]
    run.drop_checkpoint()
    assert (run.checkpoint.exists(), run.checkpoints()) == (False, [])


def test_what_is_not_whole_is_deleted_and_the_rest_stays(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    _write(run.checkpoint_at(4))
    _write(run.checkpoint)
    _write(run.unpublished().checkpoint_at(5))
    _write(run.unpublished().checkpoint)
    run.unpublished().clear()
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoint", "checkpoints"]
    assert run.checkpoints() == [(4, run.checkpoint_at(4))]


def test_hashes_are_of_the_attempt_that_left_the_weights(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    _attempt(run, weights="a", at5="a5", at10="a10")
    _attempt(run, "crashed", weights=None, at5="b5")
    assert (run.weights_hash(), run.step_hashes()) == ("a", {5: "a5", 10: "a10"})
    _attempt(run, weights="c")
    assert (run.weights_hash(), run.step_hashes()) == ("c", {})
