"""Why the Hugging Face hub did not give what was asked, as a problem a user can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import Problem

# By the class names of huggingface_hub, datasets, httpx and requests: importing them for `isinstance` costs seconds.
_REASONS: Mapping[str, tuple[str, str]] = {
    "GatedRepoError": (
        "its owner asks for consent first",
        "accept its terms on its page, then `hf auth login` or set HF_TOKEN",
    ),
    "RevisionNotFoundError": ("it has no such revision", "give a commit, tag or branch that its page lists"),
    "RepositoryNotFoundError": (
        "there is no such repository, or it is private",
        "check the id; for a private one `hf auth login` or set HF_TOKEN",
    ),
    "DatasetNotFoundError": (
        "there is no such dataset that you may read",
        "check the id; for a private or gated one `hf auth login` or set HF_TOKEN",
    ),
    "HFValidationError": ("that is not a repository id", "an id reads owner/name"),
}
_OFFLINE = {
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "ConnectionError",
    "ConnectTimeout",
    "ConnectError",
    "ReadTimeout",
    "MaxRetryError",
    "ProxyError",
    "NameResolutionError",
    "gaierror",
}


def hub_problem(error: BaseException, *, kind: str, name: str, revision: str | None) -> Problem:
    """The problem behind an error of a hub library. `kind` is model or dataset."""
    at = f" at revision {revision}" if revision else ""
    what = f"the {kind} {name!r}{at} cannot be had from the hub"
    names = [base.__name__ for cause in _causes(error) for base in type(cause).__mro__]
    # The specific reasons first: several of them derive from, or are raised on top of, the general ones.
    for known, (why, hint) in _REASONS.items():
        if known in names:
            return Problem(what=what, why=why, hint=hint)
    if _OFFLINE.intersection(names):
        return Problem(
            what=what,
            why="the hub cannot be reached (or HF_HUB_OFFLINE is set), and it is not in the local cache",
            hint=f"download it where there is a network (`hf download {name}`), or name a local folder with `path`",
        )
    if "EntryNotFoundError" in names:
        return Problem(what=what, why="it lacks a file that is needed", hint="check on its page that it holds it")
    return Problem(what=what, why=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")


def _causes(error: BaseException) -> Iterator[Any]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
