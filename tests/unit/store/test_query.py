from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError, StoreError
from harness.store import Store
from tests.unit.store.made_up import spec_of, write_folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    results = tmp_path_factory.mktemp("results")
    made = Store(results / "harness.duckdb")
    made.ingest([write_folder(results, spec_of("dpo", seed)) for seed in (0, 1)])
    return made


def test_columns_types_and_rows(store: Store) -> None:
    found = store.query("SELECT name, seed, levels, 0.5::DOUBLE AS half FROM trials ORDER BY seed")

    assert found.columns == ("name", "seed", "levels", "half")
    assert found.types == ("VARCHAR", "BIGINT", "MAP(VARCHAR, VARCHAR)", "DOUBLE")
    assert found.rows == [("dpo-s0", 0, {"method": "dpo"}, 0.5), ("dpo-s1", 1, {"method": "dpo"}, 0.5)]


def test_no_rows_still_have_columns(store: Store) -> None:
    found = store.query("SELECT name FROM trials WHERE seed = 99")

    assert (found.columns, list(found.rows)) == (("name",), [])


def test_an_empty_statement_answers_nothing(store: Store) -> None:
    assert store.query("  ").columns == ()


@pytest.mark.parametrize(
    ("sql", "line", "column", "text"),
    [
        ("SELCT 1", 1, 1, "SELCT 1"),
        ("SELECT name,\n       nosuch\nFROM trials", 2, 8, "       nosuch"),
        ("SELECT * FROM nosuch", 1, 15, "SELECT * FROM nosuch"),
        ("SELECT " + "1 + " * 100 + "nosuch FROM trials", 1, 408, "SELECT " + "1 + " * 100 + "nosuch FROM trials"),
        ("SELECT 'a'::INTEGER", 1, 11, "SELECT 'a'::INTEGER"),
    ],
)
def test_a_wrong_statement_is_pointed_at(store: Store, sql: str, line: int, column: int, text: str) -> None:
    with pytest.raises(StoreError) as error:
        store.query(sql)

    (problem,) = error.value.problems
    assert problem.where is not None
    assert (problem.where.line, problem.where.column, problem.where.text) == (line, column, text)
    assert problem.hint is not None
    assert "trial_summary" in problem.hint
    assert "samples" in problem.hint


WRITES = [
    "INSERT INTO meta VALUES ('a', 'b')",
    "DELETE FROM trials",
    "UPDATE trials SET name = 'x'",
    "DROP TABLE samples",
    "CREATE TABLE mine (a INTEGER)",
    "CREATE VIEW mine AS SELECT 1",
    "COPY trials TO 'out.csv'",
    "EXPORT DATABASE 'out'",
    "ATTACH 'out.db'",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM 'results.csv'",
    "SET enable_external_access = true",
    "SELECT 1; DELETE FROM trials",
]


@pytest.mark.parametrize("sql", WRITES)
def test_nothing_is_written_through_a_query(
    store: Store, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = store.path.read_bytes()

    with pytest.raises(StoreError):
        store.query(sql)

    assert store.path.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_a_write_is_refused_in_words(store: Store) -> None:
    with pytest.raises(StoreError) as error:
        store.query("DELETE FROM trials")

    assert "a query can only read" in str(error.value)


@pytest.mark.parametrize("sql", ["select 1; select 2", "select 1;\n-- two\nselect 2;", "select 1; drop table trials"])
def test_several_statements_are_refused(store: Store, sql: str) -> None:
    with pytest.raises(StoreError, match="these are 2 statements") as error:
        store.query(sql)
    assert "one at a time" in str(error.value)


@pytest.mark.parametrize("sql", ["select 1;", "select 'a;b'", "-- a remark; with a semicolon\nselect 1"])
def test_one_statement_may_hold_semicolons(store: Store, sql: str) -> None:
    assert len(store.query(sql).rows) == 1


def test_a_store_in_something_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=f"no database in {tmp_path / 'file'}\n  why: it is not a folder"):
        Store(tmp_path / "file" / "harness.duckdb").query("select 1")


def test_a_rebuild_from_nowhere_makes_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(InputError, match="there is no such folder"):
        Store(nowhere / "harness.duckdb").rebuild(nowhere)
    assert not nowhere.exists()
    nowhere.write_text("")
    with pytest.raises(InputError, match="it is not a folder"):
        Store(nowhere / "harness.duckdb").rebuild(nowhere)
