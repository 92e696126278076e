from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("room", ["store", "compare", "report"])
def test_importing_a_room_imports_nothing_heavy(room: str) -> None:
    heavy = "duckdb pyarrow numpy matplotlib pandas torch transformers trl peft datasets lm_eval"
    code = f"import sys, harness.{room}; print(*[name for name in '{heavy}'.split() if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
