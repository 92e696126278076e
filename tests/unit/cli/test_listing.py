"""What `list` tells of suites and names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.cli import listing


def _folder(results: Path, suite: str, trial: str, **spec: str) -> Path:
    file = results / suite / trial / "spec.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"name": trial, "kind": "cell", **spec}), encoding="utf-8")
    return file


def test_a_suite_whose_file_is_not_here_is_told_by_its_newest_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    old = _folder(results, "mine", "b", question="What was asked first?", suite_file="old.yaml")
    os.utime(old, (1, 1))
    _folder(results, "mine", "a", question="What is asked now?", suite_file="elsewhere/mine.yaml")
    _folder(results, "older", "a")

    listing.list_(results=results, as_json=True)

    assert json.loads(capsys.readouterr().out) == [
        {"suite": "mine", "file": "elsewhere/mine.yaml", "trials": 2, "ok": 0}
        | {"disturbed": 0, "question": "What is asked now?"},
        {"suite": "older", "file": None, "trials": 1, "ok": 0, "disturbed": 0, "question": ""},
    ]


def test_parameters_are_grouped_for_people_and_plain_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    listing.list_(shapes=True)
    shown = capsys.readouterr().out
    listing.list_(shapes=True, as_json=True)
    rows = json.loads(capsys.readouterr().out)

    largest = max(row["parameters"] for row in rows)
    assert f"{largest:,}" in shown
    assert str(largest) not in shown


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        ("120", ["name", "id", "kind", "seed", "outcome", "attempts", "loss", "tokens/s"]),
        ("80", ["name", "id", "outcome", "attempts", "loss", "tokens/s"]),
        ("40", ["name", "id", "outcome", "tokens/s"]),
    ],
)
def test_a_narrow_terminal_shows_names_whole_and_fewer_columns(
    columns: str, heads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "name": "sft-padding-free-full-s0",
        "id": "0123456789ab",
        "kind": "cell",
        "seed": 0,
        "outcome": "ok",
        "attempts": 1,
        "loss": 0.4321,
        "tokens_per_second": 12345.6,
    }
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert listing.narrowed([row])[0] == heads
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert len(listing.narrowed([row])[0]) == len(row), "a pipe has room for everything"
