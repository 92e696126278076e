"""Long names of cells made short enough for a chart, so that they still tell the cells apart."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 44
"""Characters of a name that a chart has room for."""
_WORDS = (24, 18, 14, 10)
"""Characters that are left of each word, of the first that suffices; fewer could not be read."""
_GAP = "…"


def shortnames(names: Sequence[str], most: int = MOST) -> dict[str, str]:
    """Each name as charts write it: as it is unless it is longer than `most`, never two alike.

    Of long ones the words that all of them have are left out, and then the middles of words; a few are still
    longer then.
    """
    long = list(dict.fromkeys(name for name in names if len(name) > most))
    told = {name: name for name in names}
    if not long:
        return told
    parts = {name: _apart(name, long) for name in long}
    for letters in _WORDS:
        made = {name: "-".join(_cut(word, letters) for word in words) for name, words in parts.items()}
        if len({*(told | made).values()}) < len(told):
            break  # so short, some are alike
        told |= made
        if max(map(len, made.values())) <= most:
            break
    return told


def _apart(name: str, names: Sequence[str]) -> list[str]:
    """The words of a name that not all names have, with a gap where some were left out."""
    words = name.split("-")
    common = set(words).intersection(*(other.split("-") for other in names)) if len(names) > 1 else set()
    kept: list[str] = []
    for word in words:
        if word not in common:
            kept.append(word)
        elif not kept or kept[-1] != _GAP:
            kept.append(_GAP)
    return kept


def _cut(word: str, most: int) -> str:
    """At most so many characters, the middle left out: ends of words hold their numbers."""
    if len(word) <= most:
        return word
    end = most // 2
    return f"{word[: most - 1 - end]}{_GAP}{word[len(word) - end :]}"
