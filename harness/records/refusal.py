"""What the machine refused — full disk, no permission, read-only, … — in words a user can act on."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

_KEPT = "what finished is kept: run the same command again and it resumes from there"
_SPACE = (
    "free some space there (checkpoints are the largest files), or choose another folder with --results "
    f"(--reports for reports); {_KEPT}"
)
_WRITABLE = "choose a folder that this user can write to, with --results (--reports for reports)"

REFUSALS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("your disk quota is used up", _SPACE),
    errno.EFBIG: ("the file would grow past what this process may write", "raise the file size limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", _WRITABLE),
    errno.EACCES: ("permission denied", _WRITABLE),
    errno.EPERM: ("the operation is not permitted", _WRITABLE),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "choose another folder with --results or --reports"),
    errno.EISDIR: ("this is a folder, not a file", "name a file"),
    errno.EEXIST: (
        "it exists already and is not what is needed here",
        "move it away, or choose another with --results",
    ),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "use a shorter path or name"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n)"),
    errno.ENOMEM: ("this machine is out of memory", "close other programs, or run fewer at once"),
    errno.EIO: ("the disk reported an error", "check the disk, or choose another folder with --results"),
}
"""Why and what to do next, by errno."""


def try_writing(folder: Path) -> None:
    """Writes a file without a name to `folder` and leaves nothing: permissions alone don't tell, least of all to root.

    Raises:
        OSError: the folder is not there, or cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        error.filename = str(folder)  # rather than a name nobody has heard of
        raise
