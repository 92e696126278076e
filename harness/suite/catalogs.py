"""The fields of `train` in the environments that a suite trains in: each has a TRL of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InputError
from harness.methods import catalog
from harness.methods.catalog import NOT_BUILT, Catalog, Say, tell
from harness.records.suite import Setup, Suite
from harness.suite.document import Node

if TYPE_CHECKING:
    from harness.environments import Declaration


def catalog_of(suite: Suite, own: Catalog | None = None, *, say: Say | None = tell) -> Catalog:
    """The catalogue of the installed TRL (`own`, where it is at hand) with those of the suite's environments beside it.

    Raises:
        InputError: TRL is not installed.
    """
    known = own or catalog.load(say)
    return with_environments(known, suite.environments, trained_in(suite), say=say)


def with_environments(
    own: Catalog, declared: Mapping[str, Mapping[str, Any]], names: Iterable[str], *, say: Say | None = tell
) -> Catalog:
    """The catalogue with those of some declared environments beside it; nothing is built for it.

    Asking an environment for its catalogue takes some seconds, once. One whose declaration is wrong is passed over.
    """
    beside: dict[str, Catalog] = {}
    unread: dict[str, str] = {}
    for name in names:
        try:
            beside[name] = _of(name, declared[name], say)
        except HarnessError as error:
            unread[name] = "; ".join(one.why or one.what for one in error.problems)
        except KeyError:
            continue
    return replace(own, beside=beside, unread=unread) if beside or unread else own


def _of(name: str, fields: Mapping[str, Any], say: Say | None) -> Catalog:
    from harness import environments  # most suites have none, and `plan` is to start fast

    built = environments.find(declaration(name, fields))
    if built is None:
        raise InputError.of(f"environment {name!r}", why=NOT_BUILT)
    variables, packages = built.variables(), built.lock.packages
    return catalog.load_from(built.python, variables, packages=packages, lock_hash=built.lock.lock_hash, say=say)


def declaration(name: str, fields: Mapping[str, Any]) -> Declaration:
    """The declaration of a suite's environment.

    Raises:
        InputError: something is wrong with it.
    """
    from harness import environments

    return environments.declare(name, fields)


def trained_in(suite: Suite) -> tuple[str, ...]:
    """The environments that cells and stages of a suite may be trained in, beside the harness's own."""
    setups: list[Setup] = [suite.base, *suite.stages.values()]
    levels = [level.sets for axis in suite.matrix for level in axis.levels]
    sets = [*levels, *(include.sets for include in suite.include)]
    said = [*(setup.environment for setup in setups), *(one.get("environment") for one in sets)]
    return tuple(dict.fromkeys(name for name in said if isinstance(name, str)))


def chosen_in(node: Node) -> Iterator[str]:
    """The same of a suite's file: every text under a key `environment`, alone, in a list or by level name."""
    for key, inner in node.entries.items():
        if key == "environment":
            values = [inner, *inner.items, *inner.entries.values()]
            yield from (value.value for value in values if isinstance(value.value, str))
        elif not inner.is_scalar and key not in ("train", "lora", "model", "data", "measure", "limits"):
            yield from chosen_in(inner)
    for inner in node.items:
        yield from chosen_in(inner)
