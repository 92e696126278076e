"""`harness init`: a suite to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    where: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="The suite file to write, or the folder to write it in.")
    ] = Path("suite.yaml"),
    template: Annotated[
        str, typer.Option(metavar="NAME", help="minimal, or alignment: SFT, DPO and ORPO.")
    ] = "minimal",
) -> None:
    """Write a commented suite to start from. Nothing is ever overwritten.

    \b
    Example:
      harness init experiments/packing.yaml
    """
    from harness import suite
    from harness.errors import InputError

    text = suite.template(template)
    file = where if where.suffix in (".yaml", ".yml") else where / f"{template}.yaml"
    text = text.rstrip("\n").replace(f"name: {template}\n", f"name: {_name(file, template)}\n", 1) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise InputError.of(
            f"{file} exists already", why="init never overwrites", hint=f"name another file: harness init {_free(file)}"
        ) from None
    print(file)
    typer.echo(f"next: harness plan {file}, then: harness run {file}", err=True)


def _name(file: Path, otherwise: str) -> str:
    """The file's own name where a suite may be called so: suites of one name would share their results."""
    import re

    return file.stem if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", file.stem) else otherwise


def _free(file: Path) -> Path:
    """The first name beside `file` that is not taken."""
    for number in range(2, 1000):
        other = file.with_stem(f"{file.stem}-{number}")
        if not other.exists():
            return other
    return file.with_stem(f"{file.stem}-new")
