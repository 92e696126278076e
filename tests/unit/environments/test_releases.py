"""Releases of a package, by a pip that says what it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.environments.releases import between, listed, releases
from harness.errors import InputError

SAID = "six (1.17.0)\nAvailable versions: 1.17.0, 1.16.0, 1.10.0, 1.9.0\n  INSTALLED: 1.16.0\n"


def pip(folder: Path, text: str, *, error: str = "", code: int = 0) -> tuple[str, str]:
    script = folder / "pip.py"
    script.write_text(
        f"import sys\nassert sys.argv[1:4] == ['index', 'versions', 'six']\nprint({text!r})\n"
        f"print({error!r}, file=sys.stderr)\nsys.exit({code})\n"
    )
    return sys.executable, str(script)


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    known = releases("six", command=pip(tmp_path, SAID))
    assert known == ("1.9.0", "1.10.0", "1.16.0", "1.17.0")
    assert between(known, "1.9.0", "1.16.0") == ("1.9.0", "1.10.0", "1.16.0")


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("1.9.1", "1.17.0", "--good 1.9.1 is no release"),
        ("1.9.0", "9", "--bad 9 is no release"),
        ("1.17.0", "1.9.0", "is not before"),
        ("1.9.0", "1.9.0", "is not before"),
    ],
)
def test_ends_that_are_none(good: str, bad: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        between(("1.9.0", "1.10.0", "1.17.0"), good, bad)


def test_pip_s_own_words_are_passed_on(tmp_path: Path) -> None:
    command = pip(tmp_path, "", error="WARNING: experimental\nERROR: No matching distribution found for six", code=1)
    with pytest.raises(InputError) as caught:
        releases("six", command=command)
    (problem,) = caught.value.problems
    assert problem.why == "ERROR: No matching distribution found for six"
    assert "--versions" in str(problem.hint)
    with pytest.raises(InputError, match="cannot be listed"):
        releases("six", command=(str(tmp_path / "no-pip"),))


def test_releases_by_hand_keep_their_order_and_may_name_the_ends() -> None:
    assert listed("1", "4", ["1", "3", "2", "4"]) == ("1", "3", "2", "4")
    assert listed("1", "4", []) == ("1", "4")
    assert listed("1.9.0", "1.10.0", []) == ("1.9.0", "1.10.0")


def test_ends_that_are_turned_round_are_no_question() -> None:
    with pytest.raises(InputError, match=r"--good 1\.16\.0 is not before --bad 1\.14\.2"):
        listed("1.16.0", "1.14.2", ["1.15.0"])
