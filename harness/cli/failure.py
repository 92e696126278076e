"""How a command ends badly: what is said on stderr, and the exit code."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Sequence

from harness.errors import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK, HarnessError, Problem

BROKEN_PIPE = 141  # 128 + SIGPIPE, as a program without a handler would end
BUG = 70  # EX_SOFTWARE of sysexits.h

_KEPT = "what finished is kept: run the same command again and it goes on from there"
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", f"free some space, or choose another folder with --results; {_KEPT}"),
    errno.EDQUOT: ("your disk quota is used up", f"free some space, or choose another folder with --results; {_KEPT}"),
    errno.EFBIG: ("the file would grow past what this process may write", "raise the file size limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "choose a folder you can write to with --results and --reports"),
    errno.EACCES: ("permission denied", "choose a folder you can write to with --results and --reports"),
    errno.EPERM: ("the operation is not permitted", "choose a folder you can write to with --results and --reports"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "choose another folder with --results or --reports"),
    errno.EISDIR: ("this is a folder, not a file", "name a file"),
    errno.EEXIST: ("it exists already and is not what is needed here", "move it away, or choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "use a shorter path or name"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n)"),
    errno.ENOMEM: ("this machine is out of memory", "close other programs, or run fewer at once"),
    errno.EIO: ("the disk reported an error", "check the disk"),
}


def of_problems(error: HarnessError) -> int:
    """Every problem of an expected error on stderr."""
    print_problems(error.problems or (Problem(what=str(error) or type(error).__name__),))
    return error.exit_code


def print_problems(problems: Sequence[Problem], severity: str = "error") -> None:
    """Problems on stderr, an empty line between those that take several lines."""
    rendered = [problem.render(severity) for problem in problems]
    gap = "\n\n" if any("\n" in text for text in rendered) else "\n"
    _say(gap.join(rendered))


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
    known = _REASONS.get(error.errno or 0)
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
