"""Rows as trainers get them: chosen, split and hashed by content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.data import Prepared, load
from harness.errors import DataError
from harness.records.suite import Format

SFT: tuple[Format, ...] = ("prompt_completion", "language_modeling")
DPO: tuple[Format, ...] = ("preference",)
PAIRS = [{"prompt": f"{n}+1=", "chosen": str(n + 1), "rejected": str(n)} for n in range(200)]
Write = Callable[..., Path]


def _load(data: dict[str, Any], root: Path, formats: tuple[Format, ...] = SFT) -> Prepared:
    return load(data, formats, root=root)


def _prompts(rows: Any) -> list[str]:
    return list(rows["prompt"])


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_every_kind_of_file_gives_the_same_rows(write: Write, tmp_path: Path, name: str) -> None:
    write(name, PAIRS)
    write("other.jsonl", PAIRS)
    prepared = _load({"path": name}, tmp_path, DPO)
    assert prepared.train.to_list() == PAIRS
    assert prepared.fingerprint == _load({"path": "other.jsonl"}, tmp_path, DPO).fingerprint
    assert (prepared.rows, prepared.format, prepared.conversational, prepared.eval) == (200, "preference", False, None)


def test_preference_rows_train_sft_and_it_is_said(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", [{**row, "id": "x"} for row in PAIRS])
    prepared = _load({"path": "rows.jsonl"}, tmp_path)
    assert prepared.train[0] == {"prompt": "0+1=", "completion": "1"}
    assert "chosen answer is the completion" in prepared.notes[0]
    assert prepared.notes[1] == "columns that were not used: id"


def test_the_same_rows_are_kept_back_in_every_format(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS)
    data = {"path": "rows.jsonl", "eval_fraction": 0.2}
    sft, dpo = _load(data, tmp_path), _load(data, tmp_path, DPO)
    assert _prompts(sft.eval) == _prompts(dpo.eval)
    assert len(sft.train) + len(sft.eval) == 200
    assert 20 <= len(sft.eval) <= 60
    assert not set(_prompts(sft.train)) & set(_prompts(sft.eval))


def test_a_row_stays_on_its_side_when_others_are_added(write: Write, tmp_path: Path) -> None:
    write("few.jsonl", PAIRS[:100])
    write("many.jsonl", PAIRS)
    few, many = (_load({"path": f"{name}.jsonl", "eval_fraction": 0.2}, tmp_path) for name in ("few", "many"))
    assert set(_prompts(few.eval)) <= set(_prompts(many.eval))
    assert set(_prompts(few.train)) <= set(_prompts(many.train))


def test_equal_rows_never_stand_on_both_sides(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS[:50] * 3)
    prepared = _load({"path": "rows.jsonl", "eval_fraction": 0.3}, tmp_path)
    assert not set(_prompts(prepared.train)) & set(_prompts(prepared.eval))


def test_the_seed_draws_the_split_and_the_choice(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS)
    data = {"path": "rows.jsonl", "eval_fraction": 0.2, "rows": 50}
    one, same, other = (_load({**data, "seed": seed}, tmp_path) for seed in (1, 1, 2))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.rows == other.rows == 50


def test_chosen_rows_keep_their_order(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS)
    prompts = _prompts(_load({"path": "rows.jsonl", "rows": 30}, tmp_path).train)
    order = [row["prompt"] for row in PAIRS]
    assert len(prompts) == 30
    assert prompts == sorted(prompts, key=order.index)
    assert prompts != order[:30]


def test_fewer_rows_than_asked_for_is_said(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS)
    assert "asks for 500 rows; there are 200" in _load({"path": "rows.jsonl", "rows": 500}, tmp_path).notes[-1]


def test_no_row_for_evaluation_is_said_and_none_for_training_is_refused(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS[:1])
    few = _load({"path": "rows.jsonl", "eval_fraction": 0.0001}, tmp_path)
    assert few.eval is None
    assert "no row fell into evaluation" in few.notes[-1]
    with pytest.raises(DataError, match="no row is left for training"):
        _load({"path": "rows.jsonl", "eval_fraction": 0.9999}, tmp_path)


def test_the_fingerprint_moves_with_any_change(write: Write, tmp_path: Path) -> None:
    seen = set()
    for n, rows in enumerate((PAIRS, PAIRS[::-1], PAIRS[:-1], [*PAIRS[:-1], {**PAIRS[-1], "chosen": "x"}])):
        write(f"{n}.jsonl", rows)
        seen.add(_load({"path": f"{n}.jsonl"}, tmp_path).fingerprint)
    assert len(seen) == 4


def test_the_fingerprint_tells_evaluation_from_training(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", PAIRS)
    plain, split = (_load({"path": "rows.jsonl", "eval_fraction": f}, tmp_path).fingerprint for f in (0.0, 0.2))
    assert plain != split


@pytest.mark.parametrize("source", ["arithmetic", "pydoc"])
@pytest.mark.parametrize(
    ("formats", "columns"), [(SFT, {"prompt", "completion"}), (DPO, {"prompt", "chosen", "rejected"})]
)
def test_sources_come_in_every_format(
    tmp_path: Path, source: str, formats: tuple[Format, ...], columns: set[str]
) -> None:
    prepared = _load({"source": source, "rows": 10, "conversational": True}, tmp_path, formats)
    assert set(prepared.train.column_names) == columns
    assert prepared.conversational
    assert prepared.train[0]["prompt"][0]["role"] == "user"
    assert prepared.notes == ()


def test_bad_rows_are_named_with_their_lines(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", [{"text": "a"}, {"text": 3}])
    with pytest.raises(DataError, match=r"rows\.jsonl:2:1: error: 'text' is int"):
        _load({"path": "rows.jsonl"}, tmp_path)
    write("rows.jsonl", [{"text": "a"}])
    with pytest.raises(DataError, match="who speaks"):
        _load({"path": "rows.jsonl", "conversational": True}, tmp_path)


def test_text_and_messages_do_not_mix(write: Write, tmp_path: Path) -> None:
    turn = [{"role": "user", "content": "a"}]
    write("rows.jsonl", [{"prompt": "a", "completion": "b"}, {"prompt": turn, "completion": turn}])
    with pytest.raises(DataError, match="conversational: true"):
        _load({"path": "rows.jsonl"}, tmp_path)
    mixed = _load({"path": "rows.jsonl", "conversational": True}, tmp_path)
    assert mixed.conversational


def test_messages_need_a_chat_template(tmp_path: Path) -> None:
    class Plain:
        chat_template = None

    with pytest.raises(DataError, match="no chat template"):
        load({"source": "arithmetic", "conversational": True, "rows": 5}, SFT, root=tmp_path, tokenizer=Plain())


@pytest.mark.usefixtures("without_network")
def test_the_hub_out_of_reach_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be had from the hub") as caught:
        _load({"hub": "nobody/nothing-at-all"}, tmp_path)
    assert "cannot be reached" in (caught.value.problems[0].why or "")


def test_a_hub_dataset_is_mapped_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def fake(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, kwargs))
        return datasets.Dataset.from_list([{"q": "a", "a": "b"}])

    monkeypatch.setattr(datasets, "load_dataset", fake)
    columns = {"prompt": "q", "completion": "a"}
    data = {"hub": "a/b", "revision": "abc", "config": "main", "split": "test", "columns": columns}
    assert _load(data, tmp_path).train.to_list() == [{"prompt": "a", "completion": "b"}]
    assert asked == [(("a/b", "main"), {"split": "test", "revision": "abc"})]
    with pytest.raises(DataError, match="'q', 'a'"):
        _load({"hub": "a/b"}, tmp_path)
