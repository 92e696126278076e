"""`harness env`: the Python environments that the harness runs others' code in."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.environments import Declaration, Environment, Found, State

app = typer.Typer(help="Python environments for scoring and training.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="YAML", help="A suite with a section `environments`, or a file that declares one environment."
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The environment: vllm, vllm-cpu, or one of --file.")]


@app.callback()
def _top() -> None:
    """Python environments for scoring and training: declared by name, built with uv, locked by exact versions.

    They lie in the user's cache (XDG_CACHE_HOME or ~/.cache, trl-harness/environments), one folder per declaration.
    """


@app.command("list")
def list_(file: File = None, as_json: options.Json = False) -> None:
    """List the environments there are, and whether they are built.

    \b
    Example:
      harness env list
    """
    from harness import environments
    from harness.cli.output import print_json, table

    declared = environments.read_file(file).values() if file else ()
    states = environments.overview(declared)
    if as_json:
        print_json([_state(one) for one in states])
        return
    table(
        ("name", "hash", "state", "size", "built", "python", "for"),
        [_row(one) for one in states],
        right=("size",),
    )


@app.command("build")
def build(
    name: Name,
    file: File = None,
    force: Annotated[bool, typer.Option("--force", help="Build it anew even where it is ready.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Build an environment, unless it is ready.

    Packages come from where pip takes them on this machine (its index, find-links, certificates), unless uv was
    configured itself. A build that fails leaves nothing that is used; the old environment stays where --force fails.

    \b
    Examples:
      harness env build vllm-cpu
      harness env build trl-old --file suite.yaml
    """
    import time

    from harness import environments
    from harness.cli.output import many, print_json, say
    from harness.records.units import format_duration

    began = time.monotonic()
    built = environments.build(_declared(name, file), tell=None if quiet else say, force=force)
    if as_json:
        print_json(_shown(built.declaration, built))
        return
    took = format_duration(time.monotonic() - began)
    print(
        f"{built.name} ready in {took}: {many(len(built.lock.packages), 'package')}, lock {built.lock.lock_hash[:12]}"
    )
    print(f"  {built.folder}")


@app.command("show", short_help="Show what is declared of one, what is in it and where.")
def show(name: Name, file: File = None, as_json: options.Json = False) -> None:
    """Show how an environment is declared, what is in it and where it lies.

    \b
    Example:
      harness env show vllm-cpu
    """
    from harness import environments
    from harness.cli.output import print_json

    built = environments.cached(name) if file is None and name not in environments.BUILT_IN else None
    declaration = built.declaration if built else _declared(name, file)
    built = built or environments.find(declaration)
    if as_json:
        print_json(_shown(declaration, built))
        return
    print("\n".join(_described(declaration, built)))


@app.command("remove", short_help="Remove environments, never one that is in use.")
def remove(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Environments, or NAME-HASH for one of several.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    stale: Annotated[
        bool,
        typer.Option("--stale", help="Only broken and outdated ones, and what builds that did not end have left."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> None:
    """Remove environments, never one that is in use; without --yes tell first what that frees.

    \b
    Examples:
      harness env remove vllm-cpu
      harness env remove --stale --yes
    """
    from harness import environments
    from harness.cli.output import say
    from harness.errors import HeldError, InputError

    if bool(names) == everything and not (stale and not names):
        raise InputError.of(
            "name the environments to remove, or give --all or --stale; names and --all exclude another"
        )
    found = environments.removable(names or (), everything=everything, stale=stale)
    if not found:
        print("nothing to remove")
        return
    for line in _would_free(found):
        (say if yes else print)(line)
    if not yes and not _agreed():
        return
    gone, kept = environments.remove(found)
    print(f"removed {', '.join(one.place.key for one in gone) or 'nothing'}")
    if kept:
        raise HeldError(problems=tuple(problem for error in kept for problem in error.problems))


def _agreed() -> bool:
    from harness.cli.output import say

    if not sys.stdin.isatty():
        say("nothing removed; add --yes to remove")
        return False
    return typer.confirm("remove?", err=True)


def _declared(name: str, file: Path | None) -> Declaration:
    """The declaration of the file, else the built-in one."""
    from harness import environments
    from harness.errors import BuildError, did_you_mean

    if file is None:
        return environments.known(name)
    declared = environments.read_file(file, name=name)
    if name in declared:
        return declared[name]
    if name in environments.BUILT_IN:
        return environments.known(name)
    hint = did_you_mean(name, [*declared, *environments.BUILT_IN])
    raise BuildError.of(f"{file} declares no environment {name!r}", hint=hint)


def _row(state: State) -> Sequence[Any]:
    from harness.records.units import format_size

    lock = state.lock
    return (
        state.name,
        state.place.hash,
        f"{state.condition}: {state.why}" if state.why else state.condition,
        format_size(state.size_bytes) if state.size_bytes else None,
        lock.built_at[:10] if lock else None,
        lock.python if lock else state.declaration and state.declaration.wanted_python,
        _first(state.packages()),
    )


def _state(state: State) -> Mapping[str, Any]:
    lock = state.lock
    return {
        "name": state.name,
        "state": state.condition,
        "why": state.why,
        "built_in": state.declaration is not None and _is_built_in(state.declaration),
        "spec_hash": lock.spec_hash if lock else state.declaration and state.declaration.spec_hash(),
        "lock_hash": lock.lock_hash if lock else None,
        "folder": state.place.folder,
        "size_bytes": state.size_bytes,
        "built_at": lock.built_at if lock else None,
        "python": lock.python if lock else None,
        "packages": state.packages(),
    }


def _is_built_in(declaration: Declaration) -> bool:
    from harness import environments

    return environments.BUILT_IN.get(declaration.name) == declaration


def _shown(declaration: Declaration, built: Environment | None) -> Mapping[str, Any]:
    from harness import environments

    place, why_not = built.place if built else environments.place_of(declaration), environments.buildable(declaration)
    return {
        "name": declaration.name,
        "state": "ready" if built else environments.state_of(place, declaration).condition,
        "declaration": declaration.shown(),
        "spec": built.lock.spec if built else declaration.spec(),
        "spec_hash": built.lock.spec_hash if built else declaration.spec_hash(),
        "buildable": why_not is None,
        "why_not": why_not,
        "folder": place.folder,
        "python": built.python if built else None,
        "log": place.log,
        "built_at": built.lock.built_at if built else None,
        "seconds": built.lock.seconds if built else None,
        "uv": built.lock.uv if built else None,
        "record": built.record() if built else None,
    }


def _described(declaration: Declaration, built: Environment | None) -> list[str]:
    from harness import environments
    from harness.cli.output import many

    place, shown = built.place if built else environments.place_of(declaration), declaration.shown()
    spec = built.lock.spec if built else declaration.spec()
    own = sorted(set(spec["requirements"]) - set(shown["requirements"]))
    lines = [
        f"{declaration.name}{': ' + declaration.about if declaration.about else ''}",
        f"  requires   {', '.join(shown['requirements'])}",
        *([f"  harness    {', '.join(own)}"] if own else []),
        *([f"  overrides  {', '.join(shown['overrides'])}"] if shown["overrides"] else []),
        f"  python     {built.lock.python if built else declaration.wanted_python}",
        f"  spec       {built.lock.spec_hash if built else declaration.spec_hash()}",
    ]
    if built is None:
        state = environments.state_of(place, declaration)
        lines.append(f"  state      {state.condition}{': ' + state.why if state.why else ''}")
        why = environments.buildable(declaration)
        return [*lines, f"  build      {why or f'harness env build {declaration.name}'}"]
    return [
        *lines,
        f"  lock       {built.lock.lock_hash}",
        f"  built      {_minute(built.lock.built_at)} in {built.lock.seconds:,.1f} s with uv {built.lock.uv}",
        f"  folder     {built.folder}",
        f"  log        {place.log}",
        f"  {many(len(built.lock.packages), 'package')}",
        *(f"    {line}" for line in built.lock.frozen()),
    ]


def _would_free(found: Sequence[Found]) -> list[str]:
    from harness.records.units import format_size

    lines = [
        f"{one.place.key}: {one.condition}, {format_size(one.size_bytes)}, frees {format_size(one.frees_bytes)}"
        for one in found
    ]
    if sum(one.frees_bytes for one in found) < sum(one.size_bytes for one in found) / 2:
        lines.append("the rest are files that uv's cache holds too; `uv cache prune` or `uv cache clean` frees those")
    return lines


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ") + " UTC"


def _first(packages: Mapping[str, str]) -> str | None:
    """The package that an environment is there for; `harness env show` has the others."""
    return next((f"{name} {version}" for name, version in packages.items()), None)
