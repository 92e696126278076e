"""The parent imports these rooms: neither may drag the training stack in."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "tokenizers", "safetensors", "pyarrow", "pandas", "numpy")


@pytest.mark.parametrize(
    "use",
    [
        "import harness.data, harness.models",
        "from harness.data import heldout; heldout('arithmetic'); heldout('pydoc')",
        "from pathlib import Path; from harness.data import check, identity\n"
        "check({'source': 'pydoc'}, Path(), ('preference',)); identity({'source': 'pydoc'}, Path())",
        "from pathlib import Path; from harness.models import identity; identity({'shape': 'tiny'}, Path())",
    ],
)
def test_light_use_imports_nothing_heavy(use: str) -> None:
    script = f"{use}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == ""
