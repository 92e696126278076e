"""What every unit test runs under."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes says more of the machine than of the code: no test is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Tests run side by side, one on each core. Threads of one tiny training that wait for those of another make both take
# many times as long; a user's own setting stays.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _no_overrides_of_an_earlier_optimizer() -> Iterator[None]:
    """transformers tells bitsandbytes to keep an embedding's state in 32 bits, and bitsandbytes keeps that for all
    the process by the parameter's place: the next test's model would get it at that place. A trial is a process."""
    yield
    if "bitsandbytes" in sys.modules:
        sys.modules["bitsandbytes"].optim.GlobalOptimManager.get_instance().initialize()
