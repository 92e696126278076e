"""How a command ends badly: what is said on stderr, and the exit code."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence

from harness.cli.output import width, wrapped
from harness.errors import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK, HarnessError, Problem
from harness.records.refusal import REFUSALS
from harness.records.secrets import clean

BROKEN_PIPE = 141  # 128 + SIGPIPE, as a program without a handler would end
BUG = 70  # EX_SOFTWARE of sysexits.h


def of_problems(error: HarnessError) -> int:
    """Every problem of an expected error on stderr."""
    print_problems(error.problems or (Problem(what=str(error) or type(error).__name__),))
    return error.exit_code


def print_problems(problems: Sequence[Problem], severity: str = "error") -> None:
    """Problems on stderr; nothing where there are none."""
    if problems:
        _say(rendered(problems, severity))


def rendered(problems: Sequence[Problem], severity: str = "error") -> str:
    """Problems as stderr shows them, an empty line between those that take several lines."""
    texts = [clean(problem.render(severity)) for problem in problems]  # a log keeps what stderr shows
    if sys.stderr.isatty():
        texts = [laid_out(text) for text in texts]
    gap = "\n\n" if any("\n" in text for text in texts) else "\n"
    return gap.join(texts)


def laid_out(text: str) -> str:
    """A rendered problem for a terminal: long lines broken between words and hung under where their text begins.

    Lines quoted from a file and words longer than a line stay whole, so that places and paths can be copied.
    """
    return "\n".join(_hung(line) for line in text.split("\n"))


def _hung(line: str) -> str:
    if len(line) <= width() or re.match(r" *\d* \| ", line):
        return line
    return wrapped(line, indent=7 if line.startswith(("  why: ", "  try: ")) else 2)


def of_exit(stop: SystemExit) -> int:
    """The code typer chose; an interrupt and a broken pipe, which it turns into exits, get their own."""
    if isinstance(stop.__context__, BrokenPipeError):
        return BROKEN_PIPE
    if stop.code == EXIT_INTERRUPTED:
        return of_interrupt()
    if stop.code is None:
        return EXIT_OK
    if isinstance(stop.code, int):
        return stop.code
    _say(str(stop.code))
    return EXIT_INPUT


def of_interrupt() -> int:
    """Ctrl-C outside a run, which ends its trials by itself."""
    _say("interrupted")
    return EXIT_INTERRUPTED


def of_system(error: OSError) -> int:
    """What the machine refused: full disk, no permission, read-only, …; anything unknown is a bug."""
    known = REFUSALS.get(error.errno or 0)
    if known is None:
        return of_bug(error, sys.argv[1:])
    if _debugging():
        _traceback(error)
    why, hint = known
    if error.filename is not None:
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        what = f"cannot use {path}"
    else:
        what = "the machine refused to read or write"
    print_problems([Problem(what=what, why=why, hint=hint)])
    return EXIT_INPUT


def of_bug(error: BaseException, arguments: Sequence[str]) -> int:
    """Anything unforeseen: one paragraph, and the traceback in a file (or here, with HARNESS_DEBUG=1)."""
    said = " ".join(str(error).split())
    said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    shown = said if len(said) <= 300 else said[:300] + " …"
    if _debugging():
        _traceback(error)
        where = "The traceback is above."
    else:
        where = _save_traceback(error, arguments)
    _say(
        f"error: {shown}\n"
        f"This is a bug in harness, not in what you gave it. Finished trials are kept. {where}\n"
        "Please report it with that file and the output of `harness doctor`."
    )
    return BUG


def _save_traceback(error: BaseException, arguments: Sequence[str]) -> str:
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="harness-bug-", suffix=".txt", delete=False
        ) as file:
            file.write(f"command: harness {shlex.join(arguments)}\npython: {sys.version}\n\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        _traceback(error)
        return "The traceback could not be saved to the temporary folder; it is above."
    return f"The traceback is in {file.name} (HARNESS_DEBUG=1 shows it here)."


def _debugging() -> bool:
    return os.environ.get("HARNESS_DEBUG", "") not in ("", "0")


def _traceback(error: BaseException) -> None:
    import traceback

    _say("".join(traceback.format_exception(error)).rstrip("\n"))


def tolerate_narrow_encodings() -> None:
    """Prints what stdout and stderr cannot encode as escapes, rather than ending in an error about printing."""
    import io

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def close_output(code: int) -> int:
    """Flushes stdout while an error can still be told; a reader that went away is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return code or BROKEN_PIPE
    except OSError as error:
        _discard_stdout()
        return of_system(error)
    return code


def _discard_stdout() -> None:
    """Keeps the interpreter's own flush at exit from failing once more, out of our reach."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _say(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        return  # stderr is gone as well: the exit code still tells
