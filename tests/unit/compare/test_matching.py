"""Which cells of two sides belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from harness.compare.matching import pairs_of
from harness.records.plan import Kind
from harness.records.results import TrialResult
from tests.unit.compare.made import cell, plan, result


def trials(
    cells: Mapping[str, Mapping[str, str]], *, version: str = "", kind: Kind = "cell", seeds: int = 2
) -> list[TrialResult]:
    """Cells by name with their levels; another version has other ids."""
    made = [
        dataclasses.replace(cell(name, kind=kind), levels=levels, id=f"{name}{version}")
        for name, levels in cells.items()
    ]
    return [result(trial, {}) for trial in plan(made, seeds=seeds).trials]


def names(reference: Sequence[TrialResult], candidate: Sequence[TrialResult]) -> list[tuple[str, str]]:
    return [(pair.reference[0].cell_name, pair.candidate[0].cell_name) for pair in pairs_of(reference, candidate).pairs]


SFT = {"sft-full": {"recipe": "sft", "lora": "none"}, "sft-r8": {"recipe": "sft", "lora": "r8"}}
DPO = {"dpo-r8": {"recipe": "dpo", "lora": "r8"}, "dpo-full": {"recipe": "dpo", "lora": "none"}}


def test_two_levels_of_an_axis_pair_along_the_others_in_the_references_order() -> None:
    assert names(trials(SFT), trials(DPO)) == [("sft-full", "dpo-full"), ("sft-r8", "dpo-r8")]


def test_the_same_cells_pair_by_id_with_all_their_trials() -> None:
    found = pairs_of(trials(SFT), trials(SFT, seeds=3))

    assert [(len(pair.reference), len(pair.candidate)) for pair in found.pairs] == [(2, 3), (2, 3)]


def test_cells_of_another_version_pair_by_their_levels_whatever_their_names() -> None:
    renamed = {"a": SFT["sft-r8"], "b": SFT["sft-full"]}

    assert names(trials(SFT), trials(renamed, version="-2")) == [("sft-full", "b"), ("sft-r8", "a")]


def test_stages_pair_by_name_and_never_by_having_no_levels() -> None:
    before = trials({"one": {}, "two": {}}, kind="stage")
    after = trials({"two": {}, "three": {}, "four": {}}, kind="stage", version="-2")

    found = pairs_of(before, after)

    assert [(pair.reference[0].cell_name, pair.candidate[0].cell_name) for pair in found.pairs] == [("two", "two")]
    assert found.only_reference == ("one",)
    assert found.only_candidate == ("three", "four")


def test_one_cell_a_side_pair_whatever_they_are() -> None:
    assert names(trials({"floor": {}}, kind="floor"), trials({"dpo-r8": DPO["dpo-r8"]})) == [("floor", "dpo-r8")]


def test_what_several_cells_share_joins_none_of_them() -> None:
    before = trials({"a": {"recipe": "sft"}, "b": {"recipe": "sft"}})
    after = trials({"c": {"recipe": "dpo"}, "d": {"recipe": "dpo"}, "e": {"recipe": "dpo"}})

    found = pairs_of(before, after)

    assert found.pairs == ()
    assert (found.only_reference, found.only_candidate) == (("a", "b"), ("c", "d", "e"))


def test_a_missing_and_an_extra_cell_are_named() -> None:
    found = pairs_of(trials(SFT), trials({"sft-full": SFT["sft-full"], "sft-r16": {"recipe": "sft", "lora": "r16"}}))

    assert len(found.pairs) == 1
    assert (found.only_reference, found.only_candidate) == (("sft-r8",), ("sft-r16",))


@pytest.mark.parametrize("sides", [([], []), (trials(SFT), []), ([], trials(DPO))])
def test_an_empty_side_pairs_nothing(sides: tuple[list[TrialResult], list[TrialResult]]) -> None:
    assert pairs_of(*sides).pairs == ()
