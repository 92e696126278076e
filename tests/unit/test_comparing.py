"""Selections as they are told, through the whole command in this process, on made-up runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import __main__
from tests.functional.test_compare import SUITE

pytestmark = pytest.mark.slow  # it makes a run up
Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("compared")
    (folder / "two.yaml").write_text(SUITE, encoding="utf-8")
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert __main__.run(["run", "two.yaml", "--engine", "debug", "--quiet"]) == 0
        yield folder
    finally:
        os.chdir(here)


@pytest.fixture
def compare(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Compare:
    """`compare(*arguments)` in a copy of the finished run; gives exit code, stdout and stderr."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        code = __main__.run(["compare", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_margin_of_the_command_line_goes_before_the_suites(compare: Compare) -> None:
    asked = ("two:method=sft", "two.yaml:method=dpo", "--metric", "tokens_per_second", "--json")

    of_suite = json.loads(compare(*asked)[1])
    strict = json.loads(compare(*asked, "--margin", "tokens_per_second=1%")[1])

    assert of_suite["margins"] == {"tokens_per_second": {"relative": 0.9, "absolute": 0.0}}
    assert strict["margins"]["tokens_per_second"]["relative"] == 0.01
    verdict = next(cell for cell in strict["cells"] if cell["candidate"] == "dpo")["verdicts"]["tokens_per_second"]
    assert verdict["ruling"] == "regressed"
    assert verdict["effect"]["n"] == [3, 3]
    assert verdict["effect"]["low"] < verdict["effect"]["value"] < verdict["effect"]["high"] < 1
    assert verdict["detectable"] > verdict["margin"] > 0


def test_a_suite_that_is_not_right_any_more_is_said_to_lend_no_margins(compare: Compare) -> None:
    Path("two.yaml").write_text(SUITE.replace("90%", "90 %%"), encoding="utf-8")

    code, out, err = compare("method=sft", "method=dpo", "--metric", "tokens_per_second", "--json")

    assert code == 0
    assert "margins of this suite are those of the metrics" in err
    assert json.loads(out)["margins"]["tokens_per_second"]["relative"] == 0.01


def test_the_same_measurements_elsewhere_are_refused_and_a_trial_that_failed_since_is_told(compare: Compare) -> None:
    shutil.copytree("results", "before")
    code, _, err = compare("before/harness.duckdb", "two")
    assert code == 2
    assert "choose the same measurements" in err
    folder = next(Path("results/two").glob("*/spec.json")).parent
    name = json.loads((folder / "spec.json").read_text(encoding="utf-8"))["cell_name"]
    outcome = next(folder.glob("attempts/*/outcome.json"))
    said = json.loads(outcome.read_text(encoding="utf-8"))
    outcome.write_text(json.dumps({**said, "outcome": "oom", "phase": "train", "summary": {}}), encoding="utf-8")

    code, out, err = compare("before", "two", "--only", name)

    assert code == 0, err
    assert "ended: A 3 ok; B 2 ok, 1 oom: regressed" in " ".join(out.split())
    assert "The very same measurement is on both sides" in out


def _end(method: str, **said: object) -> None:
    """Has all full trainings of a method end so in the results."""
    for spec in Path("results/two").glob("*/spec.json"):
        if json.loads(spec.read_text(encoding="utf-8"))["cell_name"] == method:
            outcome = next(spec.parent.glob("attempts/*/outcome.json"))
            told = json.loads(outcome.read_text(encoding="utf-8"))
            outcome.write_text(json.dumps({**told, "summary": {}, **said}), encoding="utf-8")


def test_figures_of_one_side_alone_are_no_comparison(compare: Compare) -> None:
    _end("dpo")  # ended ok, and measured nothing

    code, out, err = compare("two:sft", "two:dpo", "--json")

    assert (code, out) == (2, "")
    assert "nothing can be compared of tokens/s, peak host memory, final loss" in err
    assert "the candidate has no such figure" in err


def test_trials_that_end_badly_on_one_side_alone_are_told_although_no_figure_is_left(compare: Compare) -> None:
    _end("dpo", outcome="oom", phase="train")

    code, out, err = compare("two:sft", "two:dpo")

    assert code == 0, err
    said = " ".join(out.split())
    assert "No figure could be compared" in said
    assert "ended: A 3 ok; B 3 oom: regressed" in said


def test_a_folder_without_a_store_is_read_and_left_as_it_is(compare: Compare) -> None:
    Path("results").rename("elsewhere")
    Path("elsewhere/harness.duckdb").unlink()

    code, out, err = compare("elsewhere:method=sft", "elsewhere:two:method=dpo", "--json")

    assert code == 0, err
    assert len(json.loads(out)["cells"]) == 2
    assert not Path("elsewhere/harness.duckdb").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["meth=sft", "method=dpo"], ["no axis 'meth'", "'method'"]),
        (["method=sft", "method=dop"], ["no level 'dop'", "'dpo'"]),
        (["tow", "method=dpo"], ["matches no cell or trial", "'two'"]),
        (["tow:sft", "method=dpo"], ["no results of a suite 'tow'", "'two'"]),
        (["quarterly:sft", "method=dpo"], ["no results of a suite 'quarterly'", "known: two"]),
        (["baselin:old", "method=dpo"], ["no results of a suite 'baselin'", "did you mean 'baseline'?"]),
        (["sft", "sft"], ["choose the same measurements"]),
        (["", "sft"], ["a side of the comparison is empty"]),
        (["results:two:none", "sft"], ["matches no cell or trial of suite 'two'", "known: dpo"]),
        (["sft", "dpo", "--metric", "tokens_per_secnd"], ["unknown metric", "'tokens_per_second'"]),
        (["sft", "dpo", "--metric", "score.x.acc"], ["no trial has score.x.acc"]),
        (["sft", "dpo", "--metric", "final_loss"], ["cannot be compared", "different quantities"]),
        (["sft", "dpo", "--margin", "tokens_per_second"], ["no margin", "metric=3%"]),
        (["sft", "dpo", "--margin", "tokens=3%"], ["unknown metric 'tokens'"]),
        (["two:sft*", "two:dpo,dpo-lora8,seed=0", "--skip", "*8*", "--only", "x*"], ["'x*' matches no"]),
        (["missing.duckdb", "sft"], ["there is no missing.duckdb"]),
        (["missing.yaml", "sft"], ["missing.yaml"]),
    ],
)
def test_wrong_input_ends_with_2_and_the_nearest_names(arguments: list[str], said: list[str], compare: Compare) -> None:
    code, out, err = compare(*arguments)

    assert (code, out) == (2, "")
    for words in said:
        assert words in " ".join(err.split())
