"""The real command line, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as for unit tests: they run side by side, one on each core

SUITE = """\
name: tiny
question: Which learning rate?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic, rows: 200}
  train: {max_steps: 10}
matrix:
  train.learning_rate: [1.0e-3, 2.0e-3]
replicates: {seeds: [0]}
score: {tasks: [arithmetic_mc], backend: hf, limit: 10}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts the real command line is slow, even where nothing is trained."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


Answer = subprocess.CompletedProcess[str]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would change the command line's answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HARNESS_", "PYTEST_"))}
    return {**kept, "COLUMNS": "80", "HF_HUB_OFFLINE": "1", **(extra or {})}


def call(cwd: Path, *arguments: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Answer:
    """`harness` with these arguments in the folder `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        **options,
    )


@pytest.fixture
def harness(tmp_path: Path) -> Callable[..., Answer]:
    """`harness(*arguments)` in `tmp_path`; gives exit code, stdout and stderr."""

    def run(
        *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout: float = 120
    ) -> Answer:
        return call(tmp_path, *arguments, env=env, input=stdin, timeout=timeout)

    return run


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A small right suite: two cells, one seed, scored; with the floor three trials."""
    file = tmp_path / "tiny.yaml"
    file.write_text(SUITE, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def a_finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the suite, its results and its report, made up once for all tests; to be copied, not used."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(SUITE, encoding="utf-8")
    answer = call(folder, "run", "tiny.yaml", "--engine", "debug", "--quiet", timeout=120)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def ran(a_finished_run: Path, tmp_path: Path) -> Path:
    """The suite, run to its end in `tmp_path`."""
    shutil.copytree(a_finished_run, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tiny.yaml"
