"""Ctrl-C, counted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from harness.execute.interrupts import Interrupts


def test_the_first_stops_the_second_hurries_the_third_raises() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        assert (interrupts.stop, interrupts.now) == (False, False)
        signal.raise_signal(signal.SIGTERM)
        assert (interrupts.stop, interrupts.now, interrupts.name) == (True, False, "SIGTERM")
        signal.raise_signal(signal.SIGINT)
        assert (interrupts.stop, interrupts.now, interrupts.name) == (True, True, "SIGINT")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.stop
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_no_handler_is_touched() -> None:
    seen: list[bool] = []

    def enter() -> None:
        with Interrupts() as interrupts:
            seen.append(interrupts.stop)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]


def test_importing_the_room_loads_nothing_heavy() -> None:
    heavy = "torch transformers trl peft datasets lm_eval pandas numpy duckdb psutil"
    code = f"import sys, harness.execute; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
