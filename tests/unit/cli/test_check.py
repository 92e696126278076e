"""`harness baseline` and `harness check` over run folders made by hand: what is printed, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.__main__ import run
from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import RunFolder
from harness.store import Baselines
from tests.unit.compare.made import ENVIRONMENT
from tests.unit.store.made_up import OUTCOME, add_attempt, spec_of, write_folder

CELLS = {"sft": 1000.0, "dpo": 500.0}
Told = tuple[int, str, str]
Harness = Callable[..., Told]


def _outcome(cell: str, seed: int, share: float = 1.0) -> Outcome:
    speed = CELLS[cell] * share * (1 + 0.002 * seed)
    summary = {"tokens_per_second": speed, "train_seconds": 1e4 / speed, "final_loss": 0.5, "real_tokens": 1e4}
    return replace(OUTCOME, summary=summary, environment=str(ENVIRONMENT["hash"]))


def _night(results: Path, share: float) -> None:
    """One more attempt of every trial of `sft`, so much faster; `dpo` as it was but for noise."""
    for cell in CELLS:
        for seed in range(3):
            folder = RunFolder(results / "quick" / f"{cell}-id-{seed}")
            add_attempt(folder, events=[], outcome=_outcome(cell, seed, share if cell == "sft" else 1.0001))


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Harness:
    """The command line in a folder with three runs of two cells, kept as the baseline `before`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for cell in CELLS:
        for seed in range(3):
            outcome = _outcome(cell, seed)
            write_folder(tmp_path / "results", spec_of(cell, seed), events=[], outcome=outcome, environment=ENVIRONMENT)

    def call(*arguments: str) -> Told:
        code = run(list(arguments))
        told = capsys.readouterr()
        return code, told.out, told.err

    assert call("baseline", "save", "before", "quick")[0] == 0
    return call


def test_what_regressed_comes_first_then_the_counts_within_80_columns(harness: Harness, tmp_path: Path) -> None:
    _night(tmp_path / "results", 0.9)
    code, printed, said = harness("check", "--baseline", "before")
    assert code == 1
    lines = printed.splitlines()
    assert lines[0].split()[:2] == ["regressed", "metric"]
    assert lines[1].startswith("sft        tokens/s  −10.0% [")
    assert lines[-1] == "quick beside baseline before, 2 cells: 1 regressed, 3 equivalent"
    assert max(map(len, lines)) <= 80
    assert said == (
        "error: 1 regression since baseline before\n"
        "  try: if it is meant to be so: harness baseline save before quick --replace\n"
    )
    found = json.loads(harness("check", "--baseline", "before", "--json")[1])
    assert (found["exit_code"], found["counts"]["regressed"], len(found["verdicts"])) == (1, 1, 4)


def test_an_unexpected_improvement_fails_only_where_asked_and_says_how_to_accept_it(
    harness: Harness, tmp_path: Path
) -> None:
    _night(tmp_path / "results", 1.1)
    assert harness("check", "--baseline", "before", "quick")[0] == 0
    code, printed, said = harness("check", "--baseline", "before", "quick", "--fail-on-improvement")
    assert (code, printed.splitlines()[0].split()[0]) == (1, "improved")
    assert "1 unexpected improvement" in said
    assert "harness baseline save before quick --replace" in said
    assert harness("baseline", "save", "before", "quick", "--replace")[0] == 0
    code, printed, said = harness("check", "--baseline", "before", "quick")
    assert code == 1  # nothing ran since
    assert "nothing was measured since the baseline was saved" in " ".join(printed.split())
    assert said.startswith("error: nothing was measured since baseline before was saved\n")
    assert "try: measure anew: harness run SUITE --force; or --allow-missing" in said
    assert "baseline save" not in said  # it would save the same once more
    assert harness("check", "--baseline", "before", "quick", "--allow-missing")[0] == 0


def test_trials_that_are_chosen_are_checked_alone(harness: Harness, tmp_path: Path) -> None:
    _night(tmp_path / "results", 0.9)
    assert harness("check", "--baseline", "before", "--only", "dpo*")[0] == 0
    assert harness("check", "--baseline", "before", "--skip", "sft")[0] == 0
    code, printed, _ = harness("check", "--baseline", "before", "--only", "sft-s[01]")
    assert (code, "2" in printed.splitlines()[1]) == (1, True)


def test_what_cannot_be_told_fails_where_the_check_is_strict(harness: Harness, tmp_path: Path) -> None:
    _night(tmp_path / "results", 1.0001)
    asked = ("check", "--baseline", "before", "--metric", "tokens_per_second")
    assert harness(*asked, "--strict")[0] == 0
    assert harness(*asked, "--only", "*-s0")[0] == 0
    code, printed, said = harness(*asked, "--only", "*-s0", "--strict")
    assert (code, "2 figures could not be told" in said) == (3, True)
    assert "insufficient 2 figures of dpo, sft: an interval takes 2 runs a side" in " ".join(printed.split())


def test_new_bad_ends_are_told_before_all_else(harness: Harness, tmp_path: Path) -> None:
    _night(tmp_path / "results", 1.0001)
    ends: tuple[tuple[OutcomeName, str, int], ...] = (("crashed", "failed", 5), ("oom", "regressed", 1))
    for outcome, said, code in ends:
        folder = RunFolder(tmp_path / "results" / "quick" / "sft-id-2")
        add_attempt(folder, events=[], outcome=replace(OUTCOME, outcome=outcome, summary={}))
        found = harness("check", "--baseline", "before")
        assert found[0] == code, found
        assert found[1].startswith(f"{said}  sft: 1 of 3 {outcome} (seed 2), 0 of 3 in the baseline\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--baseline befor quick", 4, "did you mean 'before'?"),
        ("--baseline elsewhere.harness-baseline quick", 4, "there is no baseline file"),
        ("--baseline before quik", 2, "did you mean 'quick'?"),
        ("--baseline before --metric token_per_second", 2, "did you mean 'tokens_per_second'"),
        ("--baseline before --metric score.arithmetic_mc.acc", 2, "no trial has score.arithmetic_mc.acc"),
        ("--baseline before --metric energy", 2, "no trial has energy"),
        ("--baseline before --metric real_tokens", 2, "real_tokens cannot be judged"),
        ("--baseline before --only orpo-*", 2, "'orpo-*' matches no trial"),
        ("--baseline before none.yaml", 2, "none.yaml"),
        ("--baseline before quick --confirm 1", 2, "--confirm needs the file of suite 'quick'"),
        ("quick", 2, "--baseline"),
    ],
)
def test_wrong_input_is_told(harness: Harness, arguments: str, code: int, said: str) -> None:
    found = harness("check", *arguments.split())
    assert found[:2] == (code, "")
    assert said in found[2]


def test_figures_of_a_baseline_are_those_of_verdicts_below_where_they_do_not_fit_beside(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Baselines(tmp_path / "results" / "baselines")
    kept = shelf.load("before").results
    hot = tuple(replace(one, disturbed=("throttled",) if one.seed == 2 else ()) for one in kept.trials)
    shelf.save("hot", replace(kept, trials=hot))
    assert "sft   3 ok (1 disturbed)  1,001 tokens/s       0.500" in harness("baseline", "show", "hot")[1]
    monkeypatch.setenv("COLUMNS", "40")
    assert "\n\ncell  final loss\n" in harness("baseline", "show", "hot")[1]


def test_a_damaged_baseline_a_missing_store_and_another_machine(harness: Harness, tmp_path: Path) -> None:
    shelf = Baselines(tmp_path / "results" / "baselines")
    kept = shelf.load("before").results
    gpu = {key: {**content, "device": {"name": "NVIDIA H100"}} for key, content in kept.environments.items()}
    shelf.save("h100", replace(kept, environments=gpu))
    _night(tmp_path / "results", 0.9)
    code, _, said = harness("check", "--baseline", "h100", "quick")
    assert (code, "its trials ran on NVIDIA H100, these on Some CPU, 2 usable" in said) == (4, True)
    code, printed, _ = harness("check", "--baseline", "h100", "quick", "--across")
    assert (code, "not compared" in printed) == (0, True)  # speed is the device's; the loss is the same

    file = shelf.file("before")
    file.write_bytes(file.read_bytes()[:-100])
    code, _, said = harness("check", "--baseline", "before", "quick")
    assert (code, "is damaged" in said) == (2, True)
    assert "damaged" in harness("baseline", "list")[1]

    (tmp_path / "results" / "harness.duckdb").unlink()
    shutil.rmtree(tmp_path / "results" / "quick")
    code, _, said = harness("check", "--baseline", "h100", "quick")
    assert (code, "there is no database" in said) == (2, True)


def test_baselines_are_kept_moved_and_compared_with(harness: Harness, tmp_path: Path) -> None:
    code, _, said = harness("baseline", "save", "before", "quick")
    assert (code, "there is a baseline 'before' already" in said) == (2, True)
    rows = json.loads(harness("baseline", "list", "--json")[1])
    assert [(row["name"], row["suite"], row["trials"]) for row in rows] == [("before", "quick", 6)]
    assert "sft   3 ok  1,002 tokens/s" in harness("baseline", "show", "before")[1]
    assert len(json.loads(harness("baseline", "show", "before", "--json")[1])["trials"]) == 6

    assert harness("baseline", "export", "before", "kept.harness-baseline")[0] == 0
    assert harness("baseline", "import", "kept.harness-baseline", "--name", "again")[0] == 0
    assert harness("baseline", "remove", "before")[0] == 0
    assert "before" not in harness("baseline", "list")[1]
    _night(tmp_path / "results", 0.9)
    for name in ("again", "kept.harness-baseline"):
        assert harness("check", "--baseline", name, "quick")[0] == 1
    code, printed, _ = harness("compare", "baseline:again", "quick")
    assert (code, "A  baseline:again" in printed, "regressed" in printed) == (0, True, True)


def test_a_poor_baseline_is_told_when_it_is_saved(harness: Harness, tmp_path: Path) -> None:
    for file in ("orpo", "kto"):
        ended = replace(OUTCOME, outcome="oom", summary={}) if file == "kto" else OUTCOME
        write_folder(tmp_path / "results", spec_of(file), events=[], outcome=ended, environment=ENVIRONMENT)
    write_folder(tmp_path / "results", spec_of("simpo"), events=[], outcome=None)
    code, printed, said = harness("baseline", "save", "poor", "quick")
    assert (code, "4 cells, 8 trials" in printed) == (0, True)
    told = " ".join(said.split())
    for part in ("1 of 9 trials have not ended", "Fewer than two undisturbed runs: orpo", "kto-s0 (oom)"):
        assert part in told
    code, _, said = harness("baseline", "save", "none", "quick", "--only", "simpo*")
    assert (code, "no trial of suite 'quick' has ended" in said) == (2, True)
