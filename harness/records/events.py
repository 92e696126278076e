"""events.jsonl: what happened in one attempt, in order. Append-only; a torn last line is legal.

Every line is a JSON object with `t` (seconds since the attempt's start, monotonic) and `kind`:

    phase    name, edge ("start"|"end"), unsure?    import, model, data, trainer, train, eval, save, …;
                                                    `unsure`: the clock went back meanwhile
    step     step, wall_s, data_s, real_tokens, padded_tokens, loss_tokens, reference_tokens, samples, measured
             one optimizer step; `measured` is false during warm-up; tokens are those of the forward batches.
             Where they can be had: device_s (CUDA events), model_flops, hardware_flops
    log      step, values                           TRL's own log: loss, grad_norm, learning_rate, rewards/…, eval_loss
    memory   step, values, phase?                   bytes by name: host_uss, device_allocated, …; at the end of `phase`
    breakdown values, device                        bytes held for weights, gradients, optimizer, reference, buffers; on
                                                    cuda workspace, rounding, allocated and unexplained too;
                                                    device: cpu or cuda; the last one counts
    batch    rows, length                           the largest batch that a training step forwarded, in positions
    oom      phase, values                          memory ran out: requested_bytes, device, total, free, allocated, …
    compute  values                                 FLOPs per token by part, peak FLOP/s, and where they come from
    device   device, values, silent?, energy_from?  NVML's figures, sampled by a process beside the worker; no step;
                                                    null where it did not answer; the first also says name, hz, origin,
                                                    and `owners`: processes listed before the trial;
                                                    `silent`: seconds without a sample right before this line;
                                                    `energy_from`: energy is by power, or by the counter, from here on
    host     values                                 CPU seconds of the cores, own and others', over the measured window
    finding  name, step, level, text                what the health of the training shows: loss_spike, …
    process  own_libraries?, origin?                the attempt's start on the machine's monotonic clock, where several
                                                    processes train; whether it loaded the training libraries itself
    active   values                                 the resolved configuration and what was really active
    note     level ("info"|"warning"), text         something a reader of the result should know
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.records.lines import at_once

Event = dict[str, Any]

_BLOCK = 1_000


def encode(event: Event) -> str:
    """One event as one line. Non-finite numbers become the strings "NaN", "Infinity", "-Infinity"."""
    try:
        return json.dumps(event, allow_nan=False, separators=(",", ":")) + "\n"
    except ValueError:
        return json.dumps(_finite(event), allow_nan=False, separators=(",", ":")) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def read_events(path: Path) -> Iterator[Event]:
    """Every whole event of the file, in order; a torn last line and a missing file end the reading quietly.

    Raises:
        ValueError: a line before the last is not a JSON object (the file is damaged, not merely cut off).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    lines = raw.split(b"\n")
    for first in range(0, len(lines), _BLOCK):
        block = [line for line in lines[first : first + _BLOCK] if line and not line.isspace()]
        found = at_once(block)
        yield from _one_by_one(path, lines, first) if found is None else found


def _one_by_one(path: Path, lines: Sequence[bytes], first: int) -> Iterator[Event]:
    for number, line in enumerate(lines[first : first + _BLOCK], start=first + 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                return  # torn: the writer was killed inside this line
            raise ValueError(f"{path}:{number}: not a JSON object: {error}") from error
        if isinstance(event, dict):
            yield event


def placed(events: Iterable[Event]) -> Iterator[tuple[str | None, Event]]:
    """Each event with the innermost phase that was open before it; None outside of all."""
    open_phases: list[str] = []
    for event in events:
        yield (open_phases[-1] if open_phases else None), event
        if event.get("kind") != "phase":
            continue
        name = str(event.get("name"))
        if event.get("edge") == "start":
            open_phases.append(name)
        elif name in open_phases:
            del open_phases[len(open_phases) - 1 - open_phases[::-1].index(name)]


def last_phase(events: Iterable[Event]) -> str | None:
    """The innermost phase that was begun and not ended; when all have ended, the last one begun; None before any."""
    open_phases: list[str] = []
    begun: str | None = None
    for event in events:
        if event.get("kind") != "phase":
            continue
        name = str(event.get("name"))
        if event.get("edge") == "start":
            open_phases.append(name)
            begun = name
        elif name in open_phases:
            del open_phases[len(open_phases) - 1 - open_phases[::-1].index(name)]
    return open_phases[-1] if open_phases else begun
