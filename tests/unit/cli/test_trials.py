from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import trials
from harness.errors import SelectionError
from harness.records.run_folder import RunFolder, write_json


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two suites with a trial of the same name, and a folder that is no trial."""
    for suite, trial, name in (
        ("one", "abcd1234", "sft-s0"),
        ("one", "abff5678", "dpo-lora8-s0"),
        ("one", "cccc0000", "dpo-full-s0"),
        ("two", "dddd0000", "sft-s0"),
    ):
        write_json(RunFolder(tmp_path / suite / trial).spec_file, {"name": name})
    (tmp_path / "one" / "rubbish").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "suite", "found"),
    [
        ("dpo-full-s0", None, "cccc0000"),
        ("cccc0000", None, "cccc0000"),
        ("abcd", None, "abcd1234"),
        ("*full*", None, "cccc0000"),
        ("sft-s0", "two", "dddd0000"),
        ("two/sft-s0", None, "dddd0000"),
    ],
)
def test_a_trial_is_found_by_name_id_start_of_id_or_glob(
    wanted: str, suite: str | None, found: str, results: Path
) -> None:
    assert trials.find(results, wanted, suite).id == found


@pytest.mark.parametrize(
    ("wanted", "suite", "said"),
    [
        ("sft-s0", None, "one/sft-s0, two/sft-s0"),
        ("dpo-*", None, "matches 2 trials"),
        ("dpo-ful-s0", None, "did you mean 'dpo-full-s0'"),
        ("anything", "tow", "did you mean 'two'"),
    ],
)
def test_what_is_not_one_trial_is_told(wanted: str, suite: str | None, said: str, results: Path) -> None:
    with pytest.raises(SelectionError) as told:
        trials.find(results, wanted, suite)
    assert said in str(told.value)


def test_trials_of_one_name_in_one_suite_are_told_by_id(results: Path) -> None:
    write_json(RunFolder(results / "two" / "eeee0000").spec_file, {"name": "sft-s0"})
    with pytest.raises(SelectionError) as told:
        trials.find(results, "sft-s0")
    assert "one/sft-s0, two/sft-s0 (dddd0000), two/sft-s0 (eeee0000)" in str(told.value)


def test_nothing_has_run_yet(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="nothing has run here yet"):
        trials.find(tmp_path, "sft-s0")
