"""`harness` and `python -m harness`: runs the command line and turns what went wrong into words and an exit code."""

from __future__ import annotations

import sys

from harness.cli import failure
from harness.errors import EXIT_INTERRUPTED, EXIT_OK, HarnessError


def main() -> None:
    """Runs one command and ends the process with its exit code; bad input never gets a traceback."""
    failure.tolerate_narrow_encodings()
    sys.exit(failure.close_output(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """One command, errors rendered to stderr; gives the exit code."""
    try:
        from harness.cli.app import app

        app(args=arguments, prog_name="harness")
    except SystemExit as stop:  # typer ends every command so, good or bad
        return failure.of_exit(stop)
    except HarnessError as error:
        return failure.of_problems(error)
    except KeyboardInterrupt:
        return failure.of_interrupt()
    except BrokenPipeError:
        return failure.BROKEN_PIPE
    except OSError as error:
        return failure.of_system(error)
    except Exception as error:
        return failure.of_bug(error, arguments)
    return EXIT_OK


__all__ = ["EXIT_INTERRUPTED", "main", "run"]

if __name__ == "__main__":
    main()
