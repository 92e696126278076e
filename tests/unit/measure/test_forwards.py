"""What a forward amounts to, by the tensors it is called with."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.forwards import Counted, seen
from harness.measure.tokens import Padding, positions

pytestmark = pytest.mark.slow  # torch


def _read(padded_to: int | None = None, *, compact: bool = False, **kwargs: Any) -> Counted:
    forward = seen("policy", (), kwargs, padded_to=padded_to, compact=compact, loss=0)
    return forward.read(
        {name: torch.as_tensor(values).reshape(-1).tolist() for name, values in forward.tensors.items()}
    )


@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.integers(1, 8))
def test_documents_of_a_padding_free_row_are_told_from_what_fills_it_up(lengths: list[int], multiple: int) -> None:
    padding = -sum(lengths) % multiple
    boundaries = [0, *accumulate([*lengths, *[1] * padding])]
    places = [place for length in [*lengths, *[1] * padding] for place in range(length)]
    row = {"input_ids": torch.zeros(1, len(places))}
    for told in ({"cu_seq_lens_q": torch.tensor(boundaries)}, {"position_ids": torch.tensor([places])}):
        assert _read(multiple, **row, **told).lengths == lengths
    by_position = {**row, "position_ids": torch.tensor([places])}
    assert positions((), by_position, Padding(token=0, multiple=multiple)) == (sum(lengths), len(places))


def test_padding_is_shorter_than_the_multiple() -> None:
    """So of five documents of one token at the end three are padding at most, and none where nothing is padded."""
    row = {"input_ids": torch.zeros(1, 8), "cu_seq_lens_q": torch.tensor([0, 3, 4, 5, 6, 7, 8])}
    assert _read(4, **row).lengths == [3, 1, 1]
    assert _read(**row).lengths == [3, 1, 1, 1, 1, 1]
    by_position = {"input_ids": row["input_ids"], "position_ids": torch.tensor([[0, 1, 2, 0, 0, 0, 0, 0]])}
    assert positions((), by_position, Padding(token=0, multiple=4)) == (5, 8)
    assert positions((), by_position) == (8, 8)


def test_what_a_model_is_given_by_position_counts_as_by_name() -> None:
    ids, mask = torch.zeros(2, 4), torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    assert positions((ids, mask), {}) == positions((ids,), {"attention_mask": mask}) == (4, 8)
    assert seen("policy", (ids, mask), {}, padded_to=None, compact=False, loss=0).tensors["mask"].tolist() == [3, 1]


@pytest.mark.parametrize(("compact", "logits"), [(True, 3), (False, 2 * 5 - 2)])
def test_a_fused_head_makes_logits_of_labelled_positions_where_it_is_compact(compact: bool, logits: int) -> None:
    """Elsewhere of every position but each row's last; a label at the first position is nobody's."""
    labels = torch.tensor([[7, -100, 7, 7, -100], [-100, -100, -100, -100, 7]])
    batch = {"input_ids": torch.zeros(2, 5), "attention_mask": torch.ones(2, 5, dtype=torch.long), "labels": labels}
    assert _read(compact=compact, fused_lm_head=True, **batch).done((None,), dense=False).heads == logits
    assert _read(compact=compact, **batch).done((None,), dense=False).heads == 2 * 5  # not fused: of all
    batch.pop("labels")
    assert _read(compact=compact, fused_lm_head=True, **batch).done((None,), dense=False).heads == 2 * 5 - 2
