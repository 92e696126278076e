"""A step summary, CSV and Parquet; and where files go."""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import pandas
import pytest
from pyarrow import parquet

from harness.errors import InputError
from harness.export import FORMATS, read_check
from tests.unit.export.made import CHECK, ENVIRONMENT, export, figures, given, trial


def test_a_summary_tells_what_failed_and_each_cells_figures() -> None:
    failed = trial("orpo", 0, {}, outcome="oom", last_outcome="oom", cause="1 GiB | asked <b>")
    text = export("github-summary", given(*given().trials, failed, check=CHECK))

    assert text.startswith("## nightly\n\n5 trials: 4 ok, 1 oom.\n")
    assert "### Against h100: 1 equivalent, 1 improved, 1 insufficient, 1 missing, 1 refused, 2 regressed" in text
    assert r"| ❌ | sft | tokens/s | regressed | −10.0% \[−11.0, −9.0\] |" in text
    assert text.index("❌") < text.index("❔") < text.index("✅")
    assert r"| orpo-s0 | oom | 1 GiB \| asked \<b\> |" in text
    assert "| dpo | 100 tokens/s (2 seeds) | 9.95 ms (2 seeds) | 1 GiB (2 seeds) | 0.900 (2 seeds) |" in text
    assert "| orpo | – | – | – | – |" in text
    assert "left out: 1 that did not end well (orpo-s0)." in text
    assert "MADE UP" not in text


def test_a_summary_of_the_debug_engine_says_so_first() -> None:
    text = export("github-summary", given(environments={"e1": {**ENVIRONMENT, "engine": "debug"}}))
    assert text.startswith(
        "## nightly\n\n**MADE UP, not measured:** the debug engine trained nothing in 4 of 4 trials."
    )


def test_csv_and_parquet_hold_the_same_and_every_trial(tmp_path: Path) -> None:
    failed = trial("orpo", 0, {}, outcome="oom", last_outcome="oom", cause="a,\nb")
    what = given(*given().trials, failed)
    files = {name: tmp_path / f"figures.{name}" for name in ("csv", "parquet")}
    for name, file in files.items():
        (content,) = FORMATS[name].make(what).values()
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    with duckdb.connect() as connection:
        query = "SELECT cell, count(value), min(value), any_value(outcome) FROM '{}' GROUP BY cell ORDER BY cell"
        asked = {name: connection.execute(query.format(file)).fetchall() for name, file in files.items()}
    frames = pandas.read_csv(files["csv"]), pandas.read_parquet(files["parquet"])

    assert asked["csv"] == asked["parquet"]
    assert asked["csv"][1] == ("orpo", 0, None, "oom")
    assert asked["csv"][0][:2] == ("dpo", 2 * len(figures(1)))
    assert list(frames[0].columns) == list(frames[1].columns)
    assert frames[0]["value"].dropna().tolist() == frames[1]["value"].dropna().tolist()
    assert frames[1].loc[frames[1]["cell"] == "orpo", "cause"].item() == "a,\nb"


def test_parquet_has_types_even_of_columns_without_a_value() -> None:
    (content,) = FORMATS["parquet"].make(given()).values()
    assert isinstance(content, bytes)

    schema = parquet.read_schema(io.BytesIO(content))

    assert str(schema.field("stderr").type) == "double"
    assert str(schema.field("disturbed").type) == "string"
    assert str(schema.field("seed").type) == "int64"


def test_chosen_metrics_alone() -> None:
    text = export("csv", given(asked=("tokens_per_second",)))

    assert len(text.splitlines()) == 1 + 4


@pytest.mark.parametrize("content", [None, "{}", "[1]", "{", '{"verdicts": 3}'])
def test_what_is_no_document_of_a_check(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "check.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match="no document of a check"):
        read_check(file)
