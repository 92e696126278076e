"""Environments are removed where nobody uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import environments
from harness.environments import Declaration, locks
from harness.errors import BuildError, InputError
from tests.unit.environments.conftest import Uv, visible


def test_using_what_was_removed_is_told(uv: Uv, tiny: Declaration) -> None:
    uv()
    built = environments.build(tiny)
    environments.remove(environments.removable(["tiny"]))
    with pytest.raises(BuildError, match="harness env build tiny"), built.in_use():
        pass


def test_removing_spares_what_is_in_use_or_being_built(uv: Uv, tiny: Declaration, cache: Path) -> None:
    uv()
    built = environments.build(tiny)
    other = environments.build(environments.declare("other", {"requirements": ["six==1.16.0"]}))
    with built.in_use():
        gone_now, kept = environments.remove(environments.removable(everything=True))
    assert [one.place.key for one in gone_now] == [other.place.key]
    assert len(kept) == 1
    assert visible(cache) == [built.folder.name]
    with locks.alone(built.place.build_lock):
        assert environments.remove(environments.removable(["tiny"]))[0] == []
    assert len(environments.remove(environments.removable(["tiny"]))[0]) == 1
    assert visible(cache) == []


def test_stale_is_what_nobody_needs(uv: Uv, tiny: Declaration, cache: Path) -> None:
    uv()
    keep = environments.build(tiny)
    outdated = cache / "vllm-0123456789ab"
    keep.folder.rename(outdated)  # as an earlier version of this program declared it
    keep = environments.build(tiny)
    (cache / ".building-other-0123456789ab-1_ab").mkdir()
    (cache / "half-0123456789ab").mkdir()
    found = {one.place.key for one in environments.removable(stale=True)}
    assert found == {"vllm-0123456789ab", "half-0123456789ab", "other-0123456789ab"}
    environments.remove(environments.removable(stale=True))
    assert visible(cache) == [keep.folder.name]


def test_an_unknown_name_cannot_be_removed(uv: Uv, tiny: Declaration) -> None:
    uv()
    environments.build(tiny)
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        environments.removable(["tinny"])
