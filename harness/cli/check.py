"""`harness check`: whether something got worse since a baseline was saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.run import EngineName
from harness.records import commands

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.records.gate import Absent, Ended, Gate, Judged

_MOST = 20
"""Lines of one kind that are printed; --json has all."""


def check(
    baseline: Annotated[str, typer.Option("--baseline", metavar="NAME", help="The baseline's name, or its file.")],
    suite: Annotated[
        str | None,
        typer.Argument(metavar="SUITE", help="A suite file, or the name of a suite with results; else the baseline's."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", metavar="METRIC", help="Judge this metric; repeatable. Without it the usual ones."
        ),
    ] = None,
    only: options.Only = None,
    skip: options.Skip = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 3 where something could not be told.")] = False,
    fail_on_improvement: Annotated[
        bool, typer.Option("--fail-on-improvement", help="An improvement fails too, until it is accepted.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Cells and figures that are gone do not fail.")
    ] = False,
    across: Annotated[
        bool, typer.Option("--across", help="Compare with another machine's baseline what does not depend on it.")
    ] = False,
    confirm: Annotated[
        int, typer.Option("--confirm", metavar="N", min=0, help="Train up to N more replicates of each doubtful cell.")
    ] = 0,
    engine: Annotated[
        EngineName, typer.Option(help="For --confirm: `local` trains on this machine; `debug` makes results up.")
    ] = EngineName.local,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Judge a suite's trials beside a baseline.

    Ends with 0 when nothing got worse, 1 when something did or is gone, 3 when something could not be told (--strict),
    4 when there is no baseline of this machine, 5 when trials failed that did not before.

    \b
    Examples:
      harness check --baseline h100-trl-1.16 suites/nightly.yaml
      harness check --baseline h100-trl-1.16 suites/nightly.yaml --confirm 5
    """
    from harness import gating
    from harness.cli import watch
    from harness.cli.output import print_json
    from harness.cli.run import engine_of
    from harness.records.gate import Rules

    asked = gating.Asked(
        baseline=baseline,
        suite=suite,
        choice=options.choice(only, skip),
        metrics=options.listed(metric),
        rules=Rules(strict=strict, fail_on_improvement=fail_on_improvement, allow_missing=allow_missing),
        across=across,
        confirm=confirm,
    )
    with watch.observing(f"check {baseline}", quiet=quiet or not confirm) as observer:
        gate = gating.check(asked, options.places(results), engine=lambda: engine_of(engine, {}), observer=observer)
    if as_json:
        print_json(document(gate))
    else:
        _print(gate)
    file = suite or _file_of(gate) or gate.suite
    anew = f"{commands.run(_file_of(gate) or 'SUITE', str(results))} --force"
    _tell(gate, _accept(baseline, file), anew)


def document(gate: Gate) -> dict[str, Any]:
    """The gate as one JSON document: all that was judged, with its exit code."""
    from dataclasses import asdict

    lists = ("regressed", "improved", "undecided", "insufficient")
    known = {name: value for name, value in asdict(gate).items() if name not in (*lists, "comparison", "refused")}
    return {
        "exit_code": gate.exit_code,
        **known,
        "counts": _counts(gate),
        "refused": [{"cell": cell, "metric": name, "why": why} for cell, name, why in gate.refused],
        "metrics": list(gate.comparison.metrics),
        "verdicts": [
            {"cell": cell.candidate, "kind": cell.kind, **asdict(verdict)}
            for cell in gate.comparison.cells
            for verdict in cell.verdicts.values()
        ],
    }


def _counts(gate: Gate) -> dict[str, int]:
    return {
        "regressed": len(gate.regressed) + len(gate.ended),
        "missing": len(gate.missing),
        "failed": len(gate.failed),
        "improved": len(gate.improved),
        "inconclusive": len(gate.undecided),
        "insufficient": len(gate.insufficient),
        "refused": len(gate.refused),
        "equivalent": gate.equivalent,
    }


def _print(gate: Gate) -> None:
    from harness.cli.output import many, wrapped

    _ends("regressed", gate.ended)
    _table("regressed", gate.regressed)
    _absent(gate.missing)
    _ends("failed", gate.failed)
    _table("improved", gate.improved)
    _table("undecided", gate.undecided)
    _few(gate.insufficient)
    _refused(gate.refused)
    for finding in gate.findings:
        print(wrapped(f"note: {finding}", indent=2))
    if gate.extra:
        print(wrapped(f"note: Cells that the baseline lacks: {_named(gate.extra)}.", indent=2))
    if gate.added:
        count = sum(len(seeds) for seeds in gate.added.values())
        print(wrapped(f"note: {count} more replicates were trained to be sure: {_named(list(gate.added))}.", indent=2))
    told = ", ".join(f"{count:,} {name}" for name, count in _counts(gate).items() if count)
    cells = many(len(gate.comparison.cells), "cell")
    print(wrapped(f"{gate.suite} beside baseline {gate.baseline}, {cells}: {told or 'nothing'}", indent=2))


def _table(heading: str, judged: Sequence[Judged]) -> None:
    from harness.cli.output import room, shortened, table, wrapped
    from harness.records.changes import change_said, detectable_said, n_said
    from harness.records.figures import title

    if not judged:
        return
    columns = (heading, "metric", "change", "runs", "sees")
    rows = [
        [one.cell, title(one.metric), change_said(one.verdict), n_said(one.verdict), detectable_said(one.verdict)]
        for one in judged[:_MOST]
    ]
    most = max(12, room(columns, rows))
    table(columns, [[shortened(row[0], most), *row[1:]] for row in rows], right=columns[3:])
    for why in dict.fromkeys(one.verdict.why for one in judged[:_MOST] if one.verdict.why):
        print(wrapped(f"  {why}", indent=4))
    _rest(len(judged))
    print()


def _rest(count: int) -> None:
    if count > _MOST:
        print(f"  and {count - _MOST:,} more; --json has all")


def _ends(heading: str, ended: Sequence[Ended]) -> None:
    for one in ended[:_MOST]:
        (before, of), (now, all_) = one.before, one.now
        seeds = f"seed{'' if len(one.seeds) == 1 else 's'} {', '.join(map(str, one.seeds))}"
        print(f"{heading}  {one.cell}: {now} of {all_} {one.outcome} ({seeds}), {before} of {of} in the baseline")
    _rest(len(ended))
    if ended:
        print()


def _absent(missing: Sequence[Absent]) -> None:
    from harness.cli.output import wrapped
    from harness.records.figures import title

    alike: dict[tuple[str | None, str], list[str]] = {}
    for one in missing:
        alike.setdefault((one.metric, one.why), []).append(one.cell)
    for (metric, why), cells in list(alike.items())[:_MOST]:
        what = f"{title(metric)} of " if metric else ""
        print(wrapped(f"missing  {what}{_named(cells)}: {why}", indent=2))
    _rest(len(alike))
    if missing:
        print()


def _few(judged: Sequence[Judged]) -> None:
    """Those with too few runs for any verdict, together by the reason."""
    from harness.cli.output import many, wrapped

    alike: dict[str, list[Judged]] = {}
    for one in judged:
        alike.setdefault(one.verdict.why, []).append(one)
    for why, those in list(alike.items())[:_MOST]:
        cells = list(dict.fromkeys(one.cell for one in those))
        print(wrapped(f"insufficient  {many(len(those), 'figure')} of {_named(cells)}: {why}", indent=2))


def _refused(refused: Sequence[tuple[str, str, str]]) -> None:
    from harness.cli.output import many, wrapped

    alike: dict[str, list[tuple[str, str]]] = {}
    for cell, metric, why in refused:
        alike.setdefault(why, []).append((cell, metric))
    for why, those in list(alike.items())[:_MOST]:
        cells = list(dict.fromkeys(cell for cell, _ in those))
        print(wrapped(f"not compared  {many(len(those), 'figure')} of {_named(cells)}: {why}", indent=2))


def _named(names: Sequence[str]) -> str:
    from harness.compare.naming import named

    return named(names, 0)


def _file_of(gate: Gate) -> str | None:
    from harness.records.commands import shown_path

    return shown_path(gate.suite_file) if gate.suite_file else None


def _accept(baseline: str, suite: str) -> str:
    """The command line that takes these trials for the baseline from now on."""
    import shlex
    from pathlib import PurePath

    from harness.store.baselines import SUFFIX

    name = PurePath(baseline).name.removesuffix(SUFFIX)
    return shlex.join(["harness", "baseline", "save", name, suite, "--replace"])


def _tell(gate: Gate, accept: str, anew: str) -> None:
    """Raises what the exit code stands for; by then everything else is printed."""
    from harness.cli.output import many
    from harness.errors import Problem, Regressed, TrialsFailed, Undecided

    if gate.regression:
        raise Regressed(problems=list(_reasons(gate, accept, anew)))
    if gate.failed:
        trials = sum(one.now[0] for one in gate.failed)
        what = f"{trials} trials failed that did not in the baseline"
        raise TrialsFailed(problems=[Problem(what=what, hint=f"harness list {gate.suite} names them")])
    if gate.exit_code:
        spent = gate.insufficient or gate.added
        few = "more replicates of each cell" if spent else "--confirm N trains more of these cells"
        what = f"{many(len(gate.unsure), 'figure')} could not be told"
        raise Undecided(problems=[Problem(what=what, why="the check is strict", hint=few)])


def _reasons(gate: Gate, accept: str, anew: str) -> list[Any]:
    """`accept` is the command that takes these trials for the baseline, `anew` the one that measures them again."""
    from harness.errors import Problem

    found = []
    worse = len(gate.regressed) + len(gate.ended)
    if worse:
        what = f"{worse} regression{'' if worse == 1 else 's'} since baseline {gate.baseline}"
        found.append(Problem(what=what, hint=f"if it is meant to be so: {accept}"))
    if not gate.rules.allow_missing:
        found += _gone(gate, accept, anew)
    if gate.rules.fail_on_improvement and gate.improved:
        what = f"{len(gate.improved)} unexpected improvement{'' if len(gate.improved) == 1 else 's'}"
        why = "until it is accepted, what is lost of it later would not be seen"
        found.append(Problem(what=what, why=why, hint=f"accept it: {accept}"))
    return found


def _gone(gate: Gate, accept: str, anew: str) -> Iterator[Problem]:
    """What is not measured any more; and what was not measured anew, which is no loss and cannot be judged."""
    from harness.cli.output import many
    from harness.errors import Problem

    idle = [one for one in gate.missing if one.idle]
    if idle:
        of = f" of {many(len(idle), 'cell')}" if gate.comparison.cells or len(idle) < len(gate.missing) else ""
        yield Problem(
            what=f"nothing{of} was measured since baseline {gate.baseline} was saved",
            why="beside its own runs a baseline shows no change, and a check of nothing does not pass",
            hint=f"measure anew: {anew}; or --allow-missing",
        )
    if len(idle) < len(gate.missing):
        what = f"{len(gate.missing) - len(idle)} of what baseline {gate.baseline} has cannot be found"
        yield Problem(what=what, hint=f"run it ({anew}), or --allow-missing, or: {accept}")
