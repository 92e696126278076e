"""The live table on a real (pseudo) terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _on_a_terminal(width: int, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, and everything written to a terminal of this width that is the command's stderr."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            piece = os.read(controller, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(controller)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out.decode(), written.decode()


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_table_fits_and_leaves_plain_lines_behind(width: int, suite: Path) -> None:
    code, out, drawn = _on_a_terminal(
        width, suite.parent, "run", suite.name, "--engine", "debug", "--pretend", "*0.001*=slow"
    )
    assert code == 0, drawn
    assert "report: reports/tiny/report.md" in out
    lines = _ESCAPES.sub("", drawn).replace("\r", "\n").splitlines()
    table = [line for line in lines if " done" in line or line.startswith("trial ")]
    assert table, "the table was never drawn"
    assert max(map(len, table)) <= width
    assert any("tokens/s" in line for line in table)
    assert any(": ok in " in line for line in lines)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h")  # the cursor is shown again as often as it was hidden
    assert drawn.count("tokens/s   loss") < 40  # drawn a few times a second, not at every step


def test_a_failure_shows_under_the_table_and_not_in_it(suite: Path) -> None:
    code, _, drawn = _on_a_terminal(80, suite.parent, "run", suite.name, "--engine", "debug", "--pretend", "*=oom")
    assert code == 5
    lines = _ESCAPES.sub("", drawn).rstrip().splitlines()
    hint = max(number for number, line in enumerate(lines) if line.startswith("  try: "))
    assert all(line.startswith("       ") for line in lines[hint + 1 :]), "nothing is drawn over it"
    assert lines[-1].endswith("tries them again")
    assert max(len(line) for line in lines[hint:]) <= 80


def test_tables_are_drawn_on_a_terminal_only(suite: Path) -> None:
    _, out, _ = _on_a_terminal(80, suite.parent, "plan", suite.name)
    assert "\x1b[" not in out
