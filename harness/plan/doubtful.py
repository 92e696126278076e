"""Which of a cell's values are in doubt, where something wrong was left out of the suite (see `records.doubts`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.plan.draft import Draft, Losses
from harness.records.doubts import Doubts, Scope, overlap
from harness.records.suite import Step


def losses_of(doubts: Doubts, levels: Mapping[str, str], origin: tuple[Step, ...], sets: Collection[str]) -> Losses:
    """What the parts of the suite lack that a cell is made of, but for what its levels and overrides (`sets`) say."""
    scopes: list[Scope] = [("matrix", axis, level) for axis, level in levels.items()]
    scopes.append(origin or ("matrix",))
    found = {(scope, loss) for scope in scopes for loss in doubts.losses.get(scope, ())}
    for loss in doubts.losses.get(("base",), ()):
        said = not loss.vague and any(loss.path == path or loss.path.startswith(f"{path}.") for path in sets)
        if not said:
            found.add((("base",), loss))
    return frozenset(found)


def doubtful(draft: Draft, path: str, *, loosely: bool = False) -> bool:
    """Whether the draft's value of a field path may be another once the file is right.

    `loosely`: also where only something near it may have been meant.
    """
    return any(
        overlap(loss.path, path) and (not loss.vague or (loosely and loss.path != "")) for _, loss in draft.losses
    )


def may_be_set(draft: Draft, name: str) -> bool:
    """Whether something that was left out may have set a field; an entry that nobody understands may have, too."""
    return any(overlap(loss.path, name) for _, loss in draft.losses)
