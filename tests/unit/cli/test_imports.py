from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "lm_eval",
    "duckdb",
    "pandas",
    "numpy",
    "pyarrow",
    "matplotlib",
    "pydantic",
    "ruamel",
    "rich",
)


def _modules_after(code: str) -> set[str]:
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1]))


def test_the_command_line_imports_nothing_heavy() -> None:
    loaded = _modules_after("import harness.cli, harness.cli.app, harness.__main__")
    assert "harness.cli.run" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_imports_nothing_heavy() -> None:
    loaded = _modules_after(
        "import contextlib, io\nfrom harness.__main__ import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): assert run(['--help']) == 0"
    )
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_pipeline_leaves_the_training_stack_to_its_children() -> None:
    loaded = _modules_after("import harness.pipeline")
    assert loaded.isdisjoint({"torch", "transformers", "trl", "peft", "datasets", "lm_eval", "pandas", "vllm"})
