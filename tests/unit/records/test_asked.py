"""Metrics that are asked for by name."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.records.asked import metrics_asked


def test_each_name_once_in_the_order_it_was_asked_for() -> None:
    assert metrics_asked(["mfu", "final_loss", "mfu"]) == ("mfu", "final_loss")
    assert metrics_asked([], {"mfu"}) == ()
    assert metrics_asked(["score.a.acc"], {"score.a.acc"}) == ("score.a.acc",)


def test_all_that_is_wrong_is_told_at_once_with_the_nearest_names() -> None:
    with pytest.raises(InputError) as caught:
        metrics_asked(["final_los", "real_tokens", "mfu", "score.b.acc", "final_loss"], {"final_loss", "score.a.acc"})
    told = [(problem.what, problem.hint or "") for problem in caught.value.problems]
    assert [what for what, _ in told] == [
        "unknown metric 'final_los'",
        "real_tokens cannot be judged",
        "no trial has mfu",
        "no trial has score.b.acc",
    ]
    assert "'final_loss'" in told[0][1]
    assert "'score.a.acc'" in told[3][1]
