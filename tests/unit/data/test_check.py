"""Bad data is told before anything runs: what, where, why, what next."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data import check, identity
from harness.data.lines import fields, of_key
from harness.errors import DataError, Problem
from harness.records.suite import Format

SFT: tuple[Format, ...] = ("prompt_completion", "language_modeling")
DPO: tuple[Format, ...] = ("preference",)
ROWS = [{"prompt": f"{n}+1=", "completion": str(n + 1)} for n in range(20)]
Write = Callable[..., Path]


def _one(data: dict[str, Any], root: Path, formats: tuple[Format, ...] = SFT) -> Problem:
    problems = check(data, root, formats)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_a_good_file_has_no_problems(write: Write, tmp_path: Path, name: str) -> None:
    write(name, ROWS)
    assert check({"path": name}, tmp_path, SFT) == []


def test_missing_empty_folder_and_unknown_ending(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "rows.json").write_text("[]")
    assert "does not exist" in _one({"path": "none.jsonl"}, tmp_path).what
    assert "is empty" in _one({"path": "empty.jsonl"}, tmp_path).what
    assert "is a folder" in _one({"path": "folder.jsonl"}, tmp_path).what
    problem = _one({"path": "rows.json"}, tmp_path)
    assert "not in '.json'" in problem.what
    assert "jq" in (problem.hint or "")


@pytest.mark.parametrize(
    ("name", "content", "line", "column", "said"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": "b', 2, 10, "the last line is cut off"),
        ("a.jsonl", b'{"text": "a"}\n{"text": }\n{"text": "c"}\n', 2, 10, "not JSON: Expecting value"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', 2, 11, "not UTF-8: byte 0xe9 at offset 10"),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "\xc3\xa9\xe9"}\n', 1, 12, "not UTF-8: byte 0xe9 at offset 15"),
        ("a.jsonl", b'[{"text": "a"}]\n', 1, 1, "expected a JSON object, not list"),
        ("a.jsonl", b'{"text": "a"}\n  3\n', 2, 3, "expected a JSON object, not int"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', 2, 1, "no value for 'text'"),
        ("a.jsonl", b'{"text": "a"}\n\n{"id": 3, "text": null}\n', 3, 11, "no value for 'text'"),
        ("a.jsonl", b'{"text": "a"}\n{"id": "text", "text": 3}\n', 2, 16, "'text' is int, expected text"),
        ("a.jsonl", b'{"messages": [{"role": "user"}]}\n', 1, 2, "'messages': message 0 has no text"),
        ("a.jsonl", b'{"id": "text", "text": "\\ud83d"}\n', 1, 16, "'text' holds half a character"),
        ("a.csv", b'text\n"a', 2, 1, "cut off"),
        ("a.csv", b'id,text\n1,b\n2,"a\nb\n3,c\n', 3, 3, "cut off"),
        ("a.csv", b"prompt,completion\na,b\nc\n", 3, 2, "1 fields, the header has 2"),
        ("a.csv", b'prompt,completion\na,b\n"c,\n",d,e\n', 4, 5, "3 fields, the header has 2"),
        ("a.csv", b'id,text\n1,"a"b\n', 2, 3, "not CSV"),
        ("a.csv", b"text\nb\xe9\n", 2, 2, "not UTF-8"),
        ("a.csv", b"text,text\na,b\n", 1, 6, "named twice"),
        ("a.csv", b'id,messages\n"1\n",hello\n', 3, 3, "'messages' is text"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, name: str, content: bytes, line: int, column: int, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    problem = _one({"path": name}, tmp_path)
    assert said in problem.what
    assert problem.where is not None
    assert (problem.where.file, problem.where.line, problem.where.column) == (tmp_path / name, line, column)
    assert problem.where.text == content.decode("utf-8-sig", "replace").split("\n")[line - 1]


@pytest.mark.parametrize(
    ("content", "encoding"), [('{"text": "é"}\n'.encode("utf-16"), "utf-16"), (b'{"text": "\xe9"}\n', "latin1")]
)
def test_a_file_in_another_encoding_is_converted_from_that(tmp_path: Path, content: bytes, encoding: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    first = check({"path": "a.jsonl"}, tmp_path, ("language_modeling",))[0]
    assert first.hint == f"convert it: iconv -f {encoding} -t utf-8 a.jsonl"


def test_a_mapped_column_is_found_by_the_name_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": 1, "body": "a"}\n{"prompt": 1, "body": null}\n')
    problem = _one({"path": "a.jsonl", "columns": {"text": "body"}}, tmp_path)
    assert problem.what == "no value for 'text'"
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (2, 15)


def test_a_row_of_parquet_is_told_by_its_number(write: Write, tmp_path: Path) -> None:
    write("rows.parquet", [*ROWS, {"prompt": "1", "completion": None}])
    problem = _one({"path": "rows.parquet"}, tmp_path)
    assert problem.what == "row 21: no value for 'completion'"
    assert problem.where is not None
    assert problem.where.line is None


@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["text", 'te"xt', "id", "é{"]), st.text(), min_size=1), max_size=4)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
def test_a_key_stands_where_it_is_said_to(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="\n")
    for number, row in enumerate(rows, start=1):
        for key in row:
            where = of_key(file, number, key)
            assert where.text is not None
            assert where.column is not None
            assert where.text[where.column - 1 :].startswith(json.dumps(key, ensure_ascii=False) + ":")


@given(values=st.lists(st.text(alphabet='ab,"\n é', min_size=1), min_size=1, max_size=5))
def test_fields_of_csv_start_where_csv_reads_them(values: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(values)
    lines = written.getvalue().split("\n")
    starts = fields(line + "\n" for line in lines[:-1])
    assert len(starts) == len(values)
    for (line, at), value in zip(starts, values, strict=True):
        rest = "\n".join([lines[line][at:], *lines[line + 1 :]])
        assert next(csv.reader(io.StringIO(rest, newline="")))[0] == value


def test_a_cut_off_parquet_file(write: Write, tmp_path: Path) -> None:
    file = write("rows.parquet", ROWS)
    file.write_bytes(file.read_bytes()[:-20])
    assert "not a whole parquet file" in _one({"path": "rows.parquet"}, tmp_path).what


def test_many_bad_rows_are_told_a_few_at_a_time(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", [{"text": None}] * 100)
    assert len(check({"path": "rows.jsonl"}, tmp_path, SFT)) == 5


def test_wrong_columns_say_what_is_there_and_what_is_expected(write: Write, tmp_path: Path) -> None:
    write("rows.csv", [{"question": "a", "response": "b"}])
    said = _one({"path": "rows.csv"}, tmp_path).render()
    assert "'question', 'response'" in said
    assert "prompt_completion: prompt, completion" in said
    assert "data.columns: {prompt: question, completion: response}" in said


def test_mapped_columns_are_taken(write: Write, tmp_path: Path) -> None:
    write("rows.csv", [{"question": "a", "response": "b"}])
    mapping = {"prompt": "question", "completion": "response"}
    assert check({"path": "rows.csv", "columns": mapping}, tmp_path, SFT) == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prompt": "questoin"}, "did you mean 'question'"),
        ({"promt": "question"}, "did you mean 'prompt'"),
    ],
)
def test_a_wrong_mapping_names_the_nearest(write: Write, tmp_path: Path, columns: dict[str, str], said: str) -> None:
    write("rows.csv", [{"question": "a", "response": "b"}])
    assert said in _one({"path": "rows.csv", "columns": columns}, tmp_path).render()


def test_a_format_that_the_method_does_not_take(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", ROWS)
    assert "rejected" in _one({"path": "rows.jsonl"}, tmp_path, DPO).render()
    assert "it takes preference" in _one({"source": "pydoc", "format": "language_modeling"}, tmp_path, DPO).render()


def test_sources_and_hub_ids(tmp_path: Path) -> None:
    assert check({"source": "pydoc"}, tmp_path, SFT) == []
    assert check({"source": "arithmetic", "options": {"digits": 3}}, tmp_path, DPO) == []
    assert "unknown data source" in _one({"source": "pidoc"}, tmp_path).what
    assert "from 2 to 4" in _one({"source": "arithmetic", "options": {"digits": 9}}, tmp_path).what
    assert check({"hub": "trl-lib/ultrafeedback_binarized"}, tmp_path, DPO) == []
    assert "not the id" in _one({"hub": "a/b/c"}, tmp_path).what


def test_a_large_file_is_looked_at_at_both_ends(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["harness.data.check"], "WHOLE", 100)  # the name is the function's too
    file = write("rows.jsonl", ROWS)
    assert check({"path": "rows.jsonl"}, tmp_path, SFT) == []
    file.write_bytes(file.read_bytes()[:-5])
    problem = _one({"path": "rows.jsonl"}, tmp_path)
    assert problem.what == "the last line is cut off"
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (20, 35)
    assert problem.where.text == '{"prompt": "19+1=", "completion": "'


def test_the_last_line_of_a_large_file_may_be_long(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["harness.data.check"], "WHOLE", 100)
    write("rows.jsonl", [*ROWS, {"prompt": "x" * 200_000, "completion": "y"}])
    assert check({"path": "rows.jsonl"}, tmp_path, SFT) == []


@given(content=st.binary(max_size=200), ending=st.sampled_from([".jsonl", ".csv", ".parquet"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_no_bytes_make_it_raise(tmp_path: Path, content: bytes, ending: str) -> None:
    file = tmp_path / f"rows{ending}"
    file.write_bytes(content)
    problems = check({"path": file.name}, tmp_path, SFT)
    assert all(problem.where is not None and problem.where.file == file for problem in problems)
    assert problems or b"text" in content or b"messages" in content


class TestIdentity:
    """What moves the identity of data."""

    def test_a_file_is_its_content(self, write: Write, tmp_path: Path) -> None:
        write("a.jsonl", ROWS)
        write("b.jsonl", ROWS)
        assert identity({"path": "a.jsonl"}, tmp_path) == identity({"path": "b.jsonl"}, tmp_path)
        write("b.jsonl", ROWS[1:])
        assert identity({"path": "a.jsonl"}, tmp_path) != identity({"path": "b.jsonl"}, tmp_path)

    def test_what_is_left_out_is_the_default(self, tmp_path: Path) -> None:
        spelled = {"source": "arithmetic", "options": {}, "format": "auto", "conversational": False, "rows": None}
        assert identity({**spelled, "eval_fraction": 0.0, "seed": 0}, tmp_path) == identity(
            {"source": "arithmetic"}, tmp_path
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 1},
            {"rows": 5},
            {"eval_fraction": 0.1},
            {"conversational": True},
            {"format": "language_modeling"},
            {"options": {"digits": 3}},
            {"source": "pydoc"},
        ],
    )
    def test_every_setting_counts(self, tmp_path: Path, change: dict[str, Any]) -> None:
        assert identity({"source": "arithmetic", **change}, tmp_path) != identity({"source": "arithmetic"}, tmp_path)

    def test_pydoc_is_of_a_python_version(self, tmp_path: Path) -> None:
        import platform

        assert identity({"source": "pydoc"}, tmp_path)["python"] == platform.python_version()

    def test_hub_data_is_its_revision(self, tmp_path: Path) -> None:
        one, two = (identity({"hub": "a/b", "revision": revision}, tmp_path) for revision in ("1", "2"))
        assert one != two

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="does not exist"):
            identity({"path": "none.jsonl"}, tmp_path)
