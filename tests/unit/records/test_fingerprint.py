"""Hashes of values and files: what moves them, what does not, and that the memory of them never lies."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import fingerprint
from harness.records.fingerprint import of_file, of_value

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), _VALUES))
def test_the_order_of_keys_does_not_count(value: dict[str, object]) -> None:
    assert of_value(value) == of_value(dict(reversed(list(value.items()))))


@pytest.mark.parametrize(("one", "other"), [([1, 2], [2, 1]), ({"a": 1}, {"a": 1.5}), (None, "null"), (1, "1")])
def test_different_values_differ(one: object, other: object) -> None:
    assert of_value(one) != of_value(other)


def test_a_lone_surrogate_can_be_hashed() -> None:
    assert len(of_value({"text": "\ud800"})) == 64


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "_REMEMBER_FROM", 10)
    return tmp_path / "cache" / "trl-harness" / "hashes"


def _old(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


def test_a_file_hash_is_that_of_its_bytes(tmp_path: Path, cache: Path) -> None:
    file = _old(tmp_path / "rows", b"0123456789abc")
    assert of_file(file) == hashlib.sha256(b"0123456789abc").hexdigest()


def test_a_large_settled_file_is_hashed_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", -(10**18))  # as if it had been written long ago
    file = _old(tmp_path / "weights", b"0123456789abc")
    first = of_file(file)
    assert [entry.read_text() for entry in cache.iterdir()] == [first]
    monkeypatch.setattr(fingerprint, "_hash", lambda path: pytest.fail("hashed again"))
    assert of_file(file) == first


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"0123456789abc")
    of_file(file)
    assert not cache.exists()


def test_a_change_of_content_of_equal_size_and_time_is_seen(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", -(10**18))
    file = _old(tmp_path / "weights", b"0123456789abc")
    first = of_file(file)
    file.unlink()
    assert of_file(_old(file, b"0123456789abd")) != first


def test_a_damaged_memory_is_not_believed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", -(10**18))
    file = _old(tmp_path / "weights", b"0123456789abc")
    first = of_file(file)
    next(cache.iterdir()).write_text("torn")
    assert of_file(file) == first


def test_a_home_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", -(10**18))
    (tmp_path / "cache").write_text("a file where the folder should be")
    file = _old(tmp_path / "weights", b"0123456789abc")
    assert of_file(file) == hashlib.sha256(b"0123456789abc").hexdigest()
