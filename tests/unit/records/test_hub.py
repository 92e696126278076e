"""Errors of the hub's libraries, told by the names of their classes."""

import pytest

from harness.records.hub import hub_problem


def _error(name: str, *bases: type[Exception]) -> Exception:
    made: type[Exception] = type(name, bases or (Exception,), {})
    return made("long explanation\nwith lines")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (_error("GatedRepoError", type("RepositoryNotFoundError", (OSError,), {})), "consent"),
        (_error("RepositoryNotFoundError"), "no such repository"),
        (_error("RevisionNotFoundError"), "no such revision"),
        (_error("LocalEntryNotFoundError", type("EntryNotFoundError", (OSError,), {})), "cannot be reached"),
        (_error("OfflineModeIsEnabled", ConnectionError), "cannot be reached"),
        (_error("EntryNotFoundError"), "lacks a file"),
        (_error("SomethingNew", ValueError), "SomethingNew: long explanation"),
    ],
)
def test_the_reason_is_named(error: Exception, said: str) -> None:
    problem = hub_problem(error, kind="model", name="a/b", revision="main")
    assert said in (problem.why or "")
    assert "'a/b' at revision main" in problem.what


def test_the_cause_behind_a_general_error_counts() -> None:
    try:
        try:
            raise _error("ConnectError")
        except Exception as inner:
            raise OSError("we could not connect") from inner
    except OSError as error:
        problem = hub_problem(error, kind="dataset", name="a/b", revision=None)
    assert "cannot be reached" in (problem.why or "")
    assert "path" in (problem.hint or "")


def test_an_empty_message_does_not_break_it() -> None:
    assert "OSError" in (hub_problem(OSError(), kind="model", name="a", revision=None).why or "")
