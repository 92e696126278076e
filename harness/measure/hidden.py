"""Installed packages that are not the ones imported: a folder that Python looks into first has one of their name.

PYTHONPATH with a checkout in it does that, and `python -m` in one: the installed version is then not what ran.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

_SITES = ("site-packages", "dist-packages")
_COMMON = {"conftest", "docs", "examples", "scripts", "setup", "test", "tests"}
"""What many folders have, some packages install, and nothing imports."""


def hidden(
    distributions: Mapping[str, metadata.Distribution], editable: Mapping[str, Path], path: Sequence[str]
) -> dict[str, Path]:
    """The folder whose code is imported in place of a package's own, by the name of the package.

    `editable`: folders of those installed from one. `path`: where Python looks, in order (`sys.path`).
    """
    sites = {root(one) for key, one in distributions.items() if key not in editable and not checkout(one)}
    found: dict[str, Path] = {}
    for folder in _before(path, sites):
        here = {name: place for name, place in _importable(folder) if name not in _COMMON}
        for key in editable.keys() - found.keys():
            own = editable[key].resolve()
            theirs = dict([*_importable(own), *_importable(own / "src")])
            others = [here[name] for name in here.keys() & theirs.keys() if not here[name].is_relative_to(own)]
            if others:
                found[key] = others[0].parent
        installed = {name for name in here if any(_has(site, name) for site in sites)}
        for key, one in distributions.items() if installed else ():
            instead = installed & set(_names(one))
            if instead and key not in editable and key not in found:
                found[key] = here[min(instead)].parent
    return found


def root(distribution: metadata.Distribution) -> Path:
    """The folder on Python's path that a distribution was found in."""
    return Path(str(distribution.locate_file(""))).resolve()


def checkout(distribution: metadata.Distribution) -> bool:
    """Whether it was found beside its sources (setuptools' egg-info), not where an installer put it."""
    if distribution.read_text("RECORD") is not None or distribution.read_text("SOURCES.txt") is None:
        return False
    return root(distribution).name not in _SITES


def _before(path: Sequence[str], sites: Collection[Path]) -> Iterator[Path]:
    """The folders that Python looks into before what is installed, its own library left out."""
    library = Path(sysconfig.get_paths()["stdlib"]).resolve()
    for entry in path:
        folder = Path(entry or ".").resolve()
        if folder in sites:
            return
        if folder.is_dir() and not folder.is_relative_to(library):
            yield folder


def _importable(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names of the packages and modules in a folder, and where they lie behind links.

    One without `__init__.py` hides nothing.
    """
    try:
        inside = list(folder.iterdir())
    except OSError:
        return
    for one in inside:
        if one.suffix == ".py" or (one / "__init__.py").is_file():
            yield one.name.removesuffix(".py"), one.resolve()


def _has(site: Path, name: str) -> bool:
    return (site / name).is_dir() or (site / f"{name}.py").is_file()


def _names(distribution: metadata.Distribution) -> Iterator[str]:
    """What a distribution installs at the top: packages and modules."""
    for file in distribution.files or ():
        yield file.parts[0].removesuffix(".py")
