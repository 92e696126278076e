"""Data as a trainer takes it: rows read, turned, chosen, split and hashed. For the child: imports datasets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.check import MOST, mapped_way, of_row, renamed
from harness.data.convert import NoWay, convert, is_conversational
from harness.data.files import Numbered, columns_of, read_rows
from harness.data.formats import AnyRow, Way, choose, row_problem, way_notes
from harness.data.identity import data_file
from harness.data.source import digest
from harness.data.sources import source_of
from harness.data.templating import handed, present, wrong_handed
from harness.errors import DataError, Location, Problem
from harness.records.hub import hub_problem
from harness.records.suite import Format


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Rows ready for TRL. `train` and `eval` are `datasets.Dataset`; `eval` is None where nothing is kept back.

    `fingerprint` is a sha256 (hex) over the rows used, in order, and which of them are for evaluation; `rows` their
    number; `notes` what a reader of the result should know.
    """

    train: Any
    eval: Any
    fingerprint: str
    rows: int
    format: Format
    conversational: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Raw:
    """Rows under their expected names, before anything is done to them.

    `others` are the data's columns that are none of its format's, `taken` those of them that go to the chat template.
    """

    rows: list[Numbered]
    way: Way
    file: Path | None
    notes: list[str]
    others: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


def load(
    data: Mapping[str, Any],
    formats: Sequence[Format],
    *,
    root: Path,
    template_columns: Sequence[str] = (),
    tokenizer: Any = None,
) -> Prepared:
    """The rows of `data` (a SourceData, PathData or HubData as a mapping) for a method that takes `formats`.

    Conversational rows keep the `template_columns` that the method hands to the chat template, where one of them has
    a value.

    Rows that are chosen (`rows`) or kept for evaluation (`eval_fraction`) are so by the hash of their content and
    `seed`: the same ones in every format, and a row stays where it is when others are added. With a `tokenizer` it is
    checked that it can render messages.

    Raises:
        DataError: the data cannot be had, or not in a format that the method takes; names file and line.
    """
    from harness.data.dataset import dataset

    raw = _read(data, formats, root, template_columns)
    rows = _chosen(raw.rows, data.get("rows"), int(data.get("seed", 0)))
    turned = _turn(rows, raw, conversational=bool(data.get("conversational", False)))
    conversational = is_conversational(turned[0])
    if conversational and tokenizer is not None and not getattr(tokenizer, "chat_template", None):
        raise DataError.of(
            "these rows are conversational, and the model's tokenizer has no chat template",
            hint="use a model with a chat template, or rows of plain text",
        )
    training, evaluation = _split(data, raw, rows, turned)
    train, held = [numbered.row for numbered in training], [numbered.row for numbered in evaluation]
    unused = [name for name in raw.others if not (conversational and name in raw.taken)]
    notes = [*raw.notes, *([f"columns that were not used: {', '.join(unused)}"] if unused else [])]
    return Prepared(
        train=dataset(train),
        eval=dataset(held) if held else None,
        fingerprint=fingerprint(train, held),
        rows=len(turned),
        format=raw.way.target,
        conversational=conversational,
        notes=(*notes, *_split_notes(data, train, held)),
    )


def training_rows(
    data: Mapping[str, Any], formats: Sequence[Format], *, root: Path, template_columns: Sequence[str] = ()
) -> tuple[list[Numbered], str]:
    """The rows that `load` gives a trainer to train on, with their numbers in the data, and its fingerprint of them.

    Raises:
        DataError: see `load`.
    """
    raw = _read(data, formats, root, template_columns)
    rows = _chosen(raw.rows, data.get("rows"), int(data.get("seed", 0)))
    turned = _turn(rows, raw, conversational=bool(data.get("conversational", False)))
    training, evaluation = _split(data, raw, rows, turned)
    return training, fingerprint([numbered.row for numbered in training], [numbered.row for numbered in evaluation])


def fingerprint(train: Sequence[AnyRow], evaluation: Sequence[AnyRow]) -> str:
    """sha256 (hex) over rows in order, training and evaluation apart."""
    total = hashlib.sha256()
    for mark, rows in ((b"train", train), (b"eval", evaluation)):
        total.update(mark)
        for row in rows:
            total.update(_canonical(row).encode("utf-8", "surrogatepass") + b"\n")
    return total.hexdigest()


def _read(data: Mapping[str, Any], formats: Sequence[Format], root: Path, besides: Sequence[str]) -> _Raw:
    if "source" in data:
        return _from_source(data, formats)
    if "hub" in data:
        return _from_hub(data, formats, besides)
    file = data_file(data, root)
    rows = list(read_rows(file))
    if not rows:
        raise DataError(problems=(Problem(what="the data file holds no rows", where=Location(file=file)),))
    return _mapped(data, rows, columns_of(file), formats, file, besides)


def _from_source(data: Mapping[str, Any], formats: Sequence[Format]) -> _Raw:
    source = source_of(str(data["source"]))
    made = source.rows(source.resolve(data.get("options") or {}), int(data.get("seed", 0)))
    way = choose(("prompt", "chosen", "rejected"), str(data.get("format", "auto")), formats)
    if isinstance(way, Problem):
        raise DataError(problems=(way,))
    if not made:
        raise DataError.of(f"the source {source.name!r} makes no rows with these options")
    # A source has all formats alike: which one it is asked for is no conversion that a reader must know of.
    return _Raw([Numbered(number, dict(row)) for number, row in enumerate(made, start=1)], way, None, [])


def _from_hub(data: Mapping[str, Any], formats: Sequence[Format], besides: Sequence[str]) -> _Raw:
    from datasets import load_dataset

    name, revision = str(data["hub"]), data.get("revision")
    try:
        loaded = load_dataset(name, data.get("config"), split=data.get("split", "train"), revision=revision)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise DataError(problems=(hub_problem(error, kind="dataset", name=name, revision=revision),)) from error
    rows = [Numbered(number, dict(row)) for number, row in enumerate(loaded, start=1)]
    if not rows:
        raise DataError.of(f"the dataset {name!r} holds no rows in the split {data.get('split', 'train')!r}")
    return _mapped(data, rows, list(loaded.column_names), formats, None, besides)


def _mapped(
    data: Mapping[str, Any],
    rows: list[Numbered],
    columns: list[str],
    formats: Sequence[Format],
    file: Path | None,
    besides: Sequence[str],
) -> _Raw:
    way = mapped_way(data, columns, formats)
    if isinstance(way, Problem):
        where = Location(file=file) if file else None
        raise DataError(problems=(Problem(what=way.what, where=where, why=way.why, hint=way.hint),))
    mapping = data.get("columns") or {}
    named = [Numbered(numbered.number, renamed(numbered.row, mapping)) for numbered in rows]
    there = present(numbered.row for numbered in named)  # the first row, which names the columns, may lack them
    others = sorted({*renamed(dict.fromkeys(columns), mapping), *there} - set(way.columns))
    taken = tuple(name for name in there if name in besides)
    return _Raw(named, way, file, way_notes(way), tuple(others), taken)


def _chosen(rows: list[Numbered], limit: int | None, seed: int) -> list[Numbered]:
    """At most `limit` rows, drawn by the hash of their content and `seed`, in their own order."""
    if limit is None or limit >= len(rows):
        return rows
    order = sorted(range(len(rows)), key=lambda index: (digest("rows", seed, _canonical(rows[index].row)), index))
    return [rows[index] for index in sorted(order[:limit])]


def _turn(rows: list[Numbered], raw: _Raw, *, conversational: bool) -> list[AnyRow]:
    turned: list[AnyRow] = []
    problems: list[Problem] = []
    for numbered in rows:
        wrong = row_problem(numbered.row, raw.way.columns)
        try:
            if wrong is None:
                row = convert(numbered.row, raw.way, conversational=conversational)
                turned.append(_with_handed(row, numbered.row, raw.taken) if is_conversational(row) else row)
        except NoWay as error:
            wrong = str(error)
        if wrong:
            unplaced = Problem(what=f"row {numbered.number}: {wrong}")
            problems.append(of_row(raw.file, numbered, wrong) if raw.file else unplaced)
        if len(problems) == MOST:
            break
    if problems:
        raise DataError(problems=tuple(problems))
    if len({is_conversational(row) for row in turned}) > 1:
        where = Location(file=raw.file) if raw.file else None
        what = "some rows are text and others lists of messages"
        raise DataError(problems=(Problem(what=what, where=where, hint="set data.conversational: true"),))
    return turned


def _with_handed(row: AnyRow, given: AnyRow, names: Sequence[str]) -> AnyRow:
    """A turned row with what of the given one is for the chat template."""
    wrong = wrong_handed(given, names)
    if wrong:
        raise NoWay(wrong[1])
    return {**row, **handed(given, names)}


def _split(
    data: Mapping[str, Any], raw: _Raw, rows: list[Numbered], turned: list[AnyRow]
) -> tuple[list[Numbered], list[Numbered]]:
    """The turned rows for training, and those kept for evaluation."""
    held = _held(rows, raw.way, float(data.get("eval_fraction", 0.0)), int(data.get("seed", 0)))
    numbered = [Numbered(row.number, turned_row) for row, turned_row in zip(rows, turned, strict=True)]
    return (
        [row for row, kept in zip(numbered, held, strict=True) if not kept],
        [row for row, kept in zip(numbered, held, strict=True) if kept],
    )


def _held(rows: list[Numbered], way: Way, fraction: float, seed: int) -> list[bool]:
    """Whether each row is kept for evaluation: by its content before it is turned, so in every format the same."""
    if fraction == 0.0:
        return [False] * len(rows)
    used = ({name: numbered.row.get(name) for name in way.columns} for numbered in rows)
    return [digest("split", seed, _canonical(row)) < fraction * 2**64 for row in used]


def _split_notes(data: Mapping[str, Any], train: list[AnyRow], evaluation: list[AnyRow]) -> list[str]:
    if not train:
        raise DataError.of(
            f"no row is left for training: all {len(evaluation)} fell into evaluation", hint="lower data.eval_fraction"
        )
    notes = []
    if data.get("eval_fraction") and not evaluation:
        notes.append(f"no row fell into evaluation: {len(train)} rows are too few for data.eval_fraction")
    if data.get("rows") and len(train) + len(evaluation) < int(data["rows"]):
        notes.append(f"data.rows asks for {data['rows']} rows; there are {len(train) + len(evaluation)}")
    return notes


def _canonical(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
