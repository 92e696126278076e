"""The nightly recipe as it ships: the script runs, and whoever is to start it starts what is there."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from ruamel.yaml import YAML

from tests.functional.conftest import SUITE, call, environment

ROOT = Path(__file__).parents[2]
NIGHTLY = ROOT / "examples" / "nightly"
HARNESS = """\
#!{python}
import os, sys
made_up = ["--engine", "debug"] if sys.argv[1] in ("run", "check") else []
os.execv(sys.executable, [sys.executable, "-m", "harness", *sys.argv[1:], *made_up])
"""


def _night(folder: Path) -> subprocess.CompletedProcess[str]:
    """The script as cron calls it, with the engine that makes results up."""
    command = folder / "harness"
    command.write_text(HARNESS.format(python=sys.executable), encoding="utf-8")
    command.chmod(0o755)
    return subprocess.run(
        ["bash", NIGHTLY / "nightly.sh", "suite.yaml", "nightly"],
        cwd=folder,
        env=environment({"HARNESS": str(command), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_night_is_trained_judged_and_told(tmp_path: Path) -> None:
    suite = SUITE.replace("seeds: [0]", "seeds: [0, 1]").replace("score:", "# score:")
    (tmp_path / "suite.yaml").write_text(suite, encoding="utf-8")

    first = _night(tmp_path)
    assert first.returncode == 4, first.stderr  # there is no baseline yet
    assert "no baseline" in first.stderr
    assert (tmp_path / "night" / "summary.md").read_text(encoding="utf-8").strip()
    assert not (tmp_path / "night" / "check.json").exists()

    assert call(tmp_path, "baseline", "save", "nightly", "suite.yaml").returncode == 0
    second = _night(tmp_path)
    assert second.returncode == 0, second.stderr
    checked = json.loads((tmp_path / "night" / "check.json").read_text(encoding="utf-8"))
    assert checked["exit_code"] == 0
    assert list(ET.parse(tmp_path / "night" / "junit.xml").getroot().iter("testcase"))

    (tmp_path / "suite.yaml").write_text("name: broken", encoding="utf-8")
    assert _night(tmp_path).returncode == 2
    assert list((tmp_path / "night").iterdir()) == []  # nothing of the night before is taken for this one's


def test_whoever_starts_it_starts_what_is_there() -> None:
    workflow = YAML(typ="safe").load(NIGHTLY / "github-workflow.yml")
    runs = [step["run"] for step in workflow["jobs"]["nightly"]["steps"] if "run" in step]
    unit = configparser.ConfigParser(strict=False, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(NIGHTLY / "harness-nightly.service")
    commands = [*runs, unit["Service"]["ExecStart"], (NIGHTLY / "crontab").read_text(encoding="utf-8")]
    named = [found for command in commands for found in re.findall(r"(?:examples|suites)/[\w./-]+", command)]
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert sum("nightly.sh" in name for name in named) == 3
    assert "schedule" in workflow.get("on", workflow.get(True, {}))
