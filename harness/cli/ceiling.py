"""What the devices here do at most: asked of a child that measures, or of what it kept before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_IMPORT_S = 60.0
_DEVICE_S = 60.0
"""How long importing torch and measuring one device may take: several times what they do."""


def measured_ceilings(
    *,
    devices: int = 0,
    command: Sequence[str] = (sys.executable, "-m", "harness.measure.ceiling"),
    limit_s: float = 0.0,
) -> tuple[Mapping[str, Any], ...]:
    """Measures in a child process, so that nothing of torch or CUDA stays here; the child keeps what it found.

    `devices`: how many torch sees besides the CPU. Each entry is `harness.measure.ceiling.measure`'s, with `datasheet`
    (FLOP/s) and `share` of it beside each product that a datasheet has a figure for.

    Raises:
        RuntimeError: the child failed, took too long, or measured nothing.
    """
    limit = limit_s or _IMPORT_S + _DEVICE_S * max(1, devices)
    try:
        answer = subprocess.run(list(command), capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no answer within {limit:.0f} s") from error
    except OSError as error:
        raise RuntimeError(str(error)) from error
    if answer.returncode != 0:
        last = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        raise RuntimeError(last[0])
    try:
        found = json.loads(answer.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise RuntimeError("its answer cannot be read") from error
    if not any(ceiling.get("gemm") for ceiling in found):
        raise RuntimeError("no matrix product ran")
    return tuple(_beside_datasheet(ceiling) for ceiling in found)


def kept_ceilings(torch: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What was measured before on the devices that torch sees (`torch_devices`), the CPU where it sees none."""
    from harness.measure import ceiling
    from harness.measure.nvml import bare

    keys = [f"{device['name']} {bare(str(device.get('uuid', '')))}" for device in torch.get("devices", [])]
    if not keys and "threads" in torch:
        keys = [ceiling.cpu_key(int(torch["threads"]))]
    found = (ceiling.kept(key) for key in keys)
    return tuple(_beside_datasheet(each) for each in found if each is not None)


def _beside_datasheet(ceiling: Mapping[str, Any]) -> dict[str, Any]:
    from harness.measure import peaks

    products = {}
    for dtype, measured in ceiling.get("gemm", {}).items():
        peak = peaks.peak(str(ceiling.get("name")), dtype)
        more = {"datasheet": peak, "share": measured["flops_per_second"] / peak} if peak else {}
        products[dtype] = {**measured, **more}
    return {**ceiling, "gemm": products}


def ceiling_lines(ceilings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The doctor's lines; none where nothing was measured."""
    return [line for ceiling in ceilings for line in _lines(ceiling)]


def _lines(ceiling: Mapping[str, Any]) -> Iterator[str]:
    from harness.cli.output import many

    threads = f", {many(int(ceiling['threads']), 'thread')}" if "threads" in ceiling else ""
    when = str(ceiling.get("measured_at", ""))[:10]
    yield f"ceiling   {ceiling['device']} {ceiling['name']}{threads}, measured {when} ({_kept(ceiling)})"
    yield " " * 10 + ", ".join(_product(dtype, found) for dtype, found in ceiling["gemm"].items())
    copies = [f"{_copy(name)} {_tera(rate, 'B/s')}" for name, rate in ceiling.get("copy", {}).items()]
    if copies:
        yield " " * 10 + "copies: " + ", ".join(copies)


def _kept(ceiling: Mapping[str, Any]) -> str:
    if _reasons(ceiling):
        return "not kept, see below"
    return f"not kept: {ceiling['not_kept']}" if "not_kept" in ceiling else "kept in the user's cache"


def refusals(ceilings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why what was just measured is not kept, and what to do: one line for each device of which it is not."""
    return [
        f"the ceiling of {ceiling['device']} is not kept: {'; '.join(reasons)}. {_cure(ceiling)}"
        for ceiling in ceilings
        if (reasons := _reasons(ceiling))
    ]


def _reasons(ceiling: Mapping[str, Any]) -> list[str]:
    return [*ceiling.get("impossible", ()), *ceiling.get("disturbed", ())]


def _cure(ceiling: Mapping[str, Any]) -> str:
    if "impossible" in ceiling:
        return "Measure it again; if that stays, it is a bug in harness, torch or the driver"
    return "Measure it again when nothing else runs there: harness doctor --ceiling"


def _product(dtype: str, found: Mapping[str, Any]) -> str:
    rate = f"{dtype} {_tera(found['flops_per_second'], 'FLOP/s')}"
    if "share" not in found:
        return rate
    return f"{rate} ({found['share']:.0%} of the datasheet's {_tera(found['datasheet'], 'FLOP/s')})"


def _copy(name: str) -> str:
    return name.replace("_pinned", " (pinned)").replace("_pageable", " (pageable)").replace("_", " ")


def _tera(rate: float, unit: str) -> str:
    """`989 TFLOP/s`, `70.4 GFLOP/s`, `4.02 TB/s`: three digits."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if rate >= size:
            return f"{rate / size:.3g} {prefix}{unit}" if rate < 999.5 * size else f"{rate / size:,.0f} {prefix}{unit}"
    return f"{rate:.3g} {unit}"
