"""Whose code is imported: an installed package's, or that of a folder which Python looks into first."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.measure.packages import git, installed


def _write(file: Path, text: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """site-packages with a package `lib`, and one that is called otherwise than what it installs."""
    folder = tmp_path / "site-packages"
    for name, package in (("lib", "lib"), ("lib-tools", "tools")):
        _write(folder / package / "__init__.py")
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        _write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        _write(info / "RECORD", f"{package}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    return folder


def _checkout(folder: Path, package: str = "lib") -> Path:
    _write(folder / package / "__init__.py")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(folder), *identity, *command], check=True)
    return folder


def _editable(*path: Path) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    search = [str(folder) for folder in path]
    versions, editable, _ = installed(metadata.distributions(path=search), search)
    return versions, editable


def test_a_checkout_before_the_installed_package_is_what_ran(tmp_path: Path, site: Path) -> None:
    checkout = _checkout(tmp_path / "checkout")
    versions, editable = _editable(checkout, site)
    assert versions == {"lib": "1.0", "lib-tools": "1.0"}
    assert editable == {"lib": {"hides": "1.0", **git(checkout)}}
    assert len(editable["lib"]["commit"]) == 40


def test_a_package_is_known_by_what_it_installs(tmp_path: Path, site: Path) -> None:
    assert set(_editable(_checkout(tmp_path / "checkout", "tools"), site)[1]) == {"lib-tools"}


def test_a_folder_without_a_repository_hides_too(tmp_path: Path, site: Path) -> None:
    _write(tmp_path / "loose" / "lib.py")
    assert _editable(tmp_path / "loose", site)[1] == {"lib": {"hides": "1.0"}}


def test_what_python_does_not_import_instead_hides_nothing(tmp_path: Path, site: Path) -> None:
    after = _checkout(tmp_path / "after")
    (tmp_path / "namespace" / "lib").mkdir(parents=True)  # no __init__.py: the installed one is imported all the same
    _write(tmp_path / "other" / "script.py")
    assert _editable(tmp_path / "namespace", tmp_path / "other", tmp_path / "gone", site, after)[1] == {}


def test_an_editable_package_is_hidden_by_another_checkout_and_not_by_its_own(tmp_path: Path, site: Path) -> None:
    own, other = _checkout(tmp_path / "own"), _checkout(tmp_path / "other")
    _write(own / "lib" / "more.py")
    direct = f'{{"url": "file://{own}", "dir_info": {{"editable": true}}}}'
    _write(site / "lib-1.0.dist-info" / "direct_url.json", direct)
    assert _editable(own, site)[1] == {"lib": git(own)}
    (tmp_path / "linked").symlink_to(own)
    assert _editable(tmp_path / "linked", site)[1] == {"lib": git(own)}
    assert _editable(site, own)[1] == {"lib": git(own)}
    assert _editable(other, site)[1] == {"lib": {"hides": "1.0", **git(other)}}
    direct = f'{{"url": "file://{tmp_path}/linked", "dir_info": {{"editable": true}}}}'
    _write(site / "lib-1.0.dist-info" / "direct_url.json", direct)
    assert _editable(own, site)[1] == {"lib": git(own)}
    links = tmp_path / "links"  # as a program of another environment is found
    links.mkdir()
    (links / "lib").symlink_to(own / "lib")
    assert _editable(links, site)[1] == {"lib": git(own)}
    (links / "lib").unlink()
    (links / "lib").symlink_to(other / "lib")
    assert _editable(links, site)[1] == {"lib": {"hides": "1.0", **git(other)}}


def test_sources_with_an_egg_info_beside_them_are_told_by_their_commit(tmp_path: Path, site: Path) -> None:
    checkout = _checkout(tmp_path / "checkout")
    _write(checkout / "lib.egg-info" / "PKG-INFO", "Metadata-Version: 2.1\nName: lib\nVersion: 2.0.dev0\n")
    _write(checkout / "lib.egg-info" / "SOURCES.txt", "lib/__init__.py\n")
    versions, editable = _editable(checkout, site)
    assert versions["lib"] == "2.0.dev0"
    assert editable == {"lib": git(checkout)}
