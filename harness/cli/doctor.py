"""`harness doctor`: what can this machine do?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.cli.machine import Extra, Machine

_QUICKSTART = Path("suites/quickstart.yaml")
_INDENT = 10  # columns of what a line is about


def doctor(
    results: options.Results = options.RESULTS,
    ceiling: Annotated[
        bool, typer.Option("--ceiling", help="Measure matrix products and copies on each device (half a minute each).")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Tell what this machine can do, in one screen.

    Versions, devices, disk, and what is missing. Ends with 2 when something needed is broken.

    With --ceiling it measures what each device does at most and keeps that in the user's cache: trials on a device that
    no datasheet of the harness covers take their MFU from it. What others on the device disturbed, or what cannot be
    true, is not kept: it ends with 2 then, too.

    \b
    Examples:
      harness doctor
      harness doctor --ceiling
    """
    from harness.cli.machine import examine
    from harness.cli.output import print_json, say
    from harness.errors import EXIT_INPUT

    if ceiling:
        say("measuring matrix products and copies; while anything else runs here the result is not kept …")
    machine = examine(results, measure=ceiling)
    if as_json:
        print_json(machine)
    else:
        print("\n".join(lines(machine)))
    if machine.problems:
        raise typer.Exit(EXIT_INPUT)


def lines(machine: Machine) -> list[str]:
    """The screen, line by line, none longer than the terminal is wide."""
    from harness.cli.output import wrapped

    return [part for line in _lines(machine) for part in wrapped(line, indent=_INDENT).split("\n")]


def _lines(machine: Machine) -> list[str]:
    from harness.cli.ceiling import ceiling_lines
    from harness.records.units import format_size

    memory = format_size(machine.memory) if machine.memory else "unknown"
    free = format_size(machine.results_free) if machine.results_free is not None else "unknown"
    writable = "writable" if machine.results_writable else "NOT writable"
    said = [
        f"harness   {machine.harness or 'not installed as a package'}",
        f"python    {machine.python}",
        f"system    {machine.platform}",
        f"cpu       {machine.cpus} cores, {memory} memory",
        *_devices(machine),
        *ceiling_lines(machine.ceilings),
        f"results   {machine.results}: {writable}, {free} free",
        f"hub       {machine.hub_cache}{' (offline)' if machine.hub_offline else ''}",
        "",
        *_packages(machine),
        "",
        *(_extra(extra) for extra in machine.extras),
        "",
    ]
    return said + _verdict(machine)


def _devices(machine: Machine) -> list[str]:
    from harness.records.units import format_size

    found = machine.torch.get("devices", [])
    said = [
        f"device    cuda:{device['index']} {device['name']}, {format_size(device['memory'])}, "
        f"capability {device['capability']}{', bf16' if machine.torch.get('bf16') else ''}"
        for device in found
    ]
    if not said:
        said = ["device    none for torch: training runs on the CPU (use_cpu: true, bf16: false)"]
    if "driver" in machine.nvml:
        names = ", ".join(
            f"{device['name']} ({format_size(device['used'])} of {format_size(device['memory'])} used)"
            for device in machine.nvml["devices"]
        )
        said.append(f"nvml      driver {machine.nvml['driver']}: {names or 'no devices'}")
    else:
        said.append(f"nvml      absent ({machine.nvml['absent']}): no device memory, power or clocks are recorded")
    return said


def _packages(machine: Machine) -> list[str]:
    named = [f"{name} {found or 'MISSING'}" for name, found in machine.packages.items()]
    rows = [", ".join(named[start : start + 3]) for start in range(0, len(named), 3)]
    return [("" if number else "packages").ljust(_INDENT) + row for number, row in enumerate(rows)]


def _extra(extra: Extra) -> str:
    if not extra.missing:
        versions = ", ".join(f"{name} {found}" for name, found in extra.packages.items())
        return f"extra     {extra.name}: {versions}"
    missing = ", ".join(extra.missing)
    return f"extra     {extra.name}: without {missing}; pip install 'trl-harness[{extra.name}]' for {extra.enables}"


def _verdict(machine: Machine) -> list[str]:
    if machine.problems:
        return [f"problem   {problem}" for problem in machine.problems]
    where = "on " + machine.torch["devices"][0]["name"] if machine.torch.get("devices") else "on the CPU"
    return [f"ready     trains {where}; try: harness {_first_step()}"]


def _first_step() -> str:
    """The quickstart lies in a checkout; where the package alone is installed there is no such file."""
    return f"run {_QUICKSTART}" if _QUICKSTART.is_file() else "init suite.yaml"
