"""What of the data that cells name would stop them later, found before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness import data
from harness.errors import Location, Problem
from harness.methods import METHODS
from harness.plan.places import place_of
from harness.records.plan import Cell
from harness.records.suite import Suite


def unready(declared: Suite, cells: Sequence[Cell]) -> list[Problem]:
    """What would stop the cells' data later, found now without loading any of it.

    A cell without a method may have any: only what is wrong for each of them is told.
    """
    uses: dict[tuple[str, str | None], Cell] = {}
    for cell in cells:
        if cell.config["data"] is not None:
            uses.setdefault((json.dumps(cell.config["data"], sort_keys=True), cell.config["method"]), cell)
    told: dict[tuple[str, Location | None], dict[Problem, list[str]]] = {}
    for (_, method), cell in uses.items():
        for name, problem in _of_data(cell, [method] if method else list(METHODS), declared.file.parent):
            placed = _placed(problem, declared, cell)
            told.setdefault((placed.what, placed.where), {}).setdefault(placed, []).append(name)
    return [*(_for_methods(same) for same in told.values()), *_silent(declared, cells)]


def _silent(declared: Suite, cells: Sequence[Cell]) -> list[Problem]:
    """Cells whose loss shall fall on what the assistant says, in rows where nobody speaks: TRL refuses them."""
    found: dict[Problem, None] = {}
    for cell in cells:
        if cell.config["method"] != "sft" or cell.config["train"].get("assistant_only_loss") is not True:
            continue
        named = cell.config["data"]
        if named is None or data.speaks(named, declared.file.parent, METHODS["sft"].formats) is not False:
            continue
        rows = named.get("path") or named["source"]
        problem = Problem(
            what=f"train.assistant_only_loss takes messages, and {rows} has rows of text",
            where=place_of(declared, cell, "train.assistant_only_loss"),
            why="only messages say what the assistant speaks",
            hint="set data: {conversational: true} for rows of prompts and answers; on text leave it out",
        )
        found[problem] = None
    return list(found)


def _of_data(cell: Cell, methods: Sequence[str], root: Path) -> list[tuple[str, Problem]]:
    """The problems that the cell's data has for each of the methods, every time with the method."""
    found = {
        name: data.check(cell.config["data"], root, METHODS[name].formats, METHODS[name].template_columns)
        for name in methods
    }
    shared = set.intersection(*({(one.what, one.where) for one in problems} for problems in found.values()))
    return [(name, one) for name, problems in found.items() for one in problems if (one.what, one.where) in shared]


def _for_methods(same: Mapping[Problem, Sequence[str]]) -> Problem:
    """One problem for one that several methods have for reasons of their own."""
    first, *others = same
    if not others:
        return first
    why = "; ".join(f"for {' and '.join(methods)}: {problem.why}" for problem, methods in same.items())
    return replace(first, why=why)


def _placed(problem: Problem, declared: Suite, cell: Cell) -> Problem:
    """The problem at its line of the data file; else where the suite names the data."""
    if problem.where and problem.where.line:
        return problem
    about = f"{problem.where.file.name}: " if problem.where else ""
    path = "data.path" if "path" in cell.config["data"] else "data"
    if problem.what.startswith("data.columns"):
        path = "data.columns"
    where = place_of(declared, cell, path)
    return replace(problem, what=about + problem.what, where=where)
