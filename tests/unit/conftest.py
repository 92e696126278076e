"""What every unit test runs under."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes says more of the machine than of the code: no test is timed. The examples are the same at
# every run, so that a change does not fail for what it never touched; `explore` draws others, and many.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

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


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name has an address, wherever these tests run, and nobody who asks waits before asking again."""

    def nobody(*asked: object, **how: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
