from __future__ import annotations

import pytest

from harness.models import KERNELS, is_of_hub


@pytest.mark.slow
def test_the_known_kernels_are_those_of_the_installed_transformers() -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    trains = {name for name in ALL_ATTENTION_FUNCTIONS if not name.startswith("paged|")}
    assert set(KERNELS) == {"eager", *trains}


def test_a_kernel_of_the_hub_is_told_by_its_owner() -> None:
    assert is_of_hub("kernels-community/flash-attn2")
    assert not any(map(is_of_hub, KERNELS))
