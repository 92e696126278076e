"""The words of a text as far as they decide whether two texts say the same."""

from __future__ import annotations

import re
import unicodedata


class _Spaces(dict[int, str]):
    """For `str.translate`: letters, marks and digits stay, and every other character becomes a space."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        category = unicodedata.category(letter)
        if category == "Cf":  # joiners and marks of direction, which nobody sees
            made = ""
        elif category[0] not in "LMN":
            made = " "
        else:
            made = f" {letter} " if _is_unspaced(code) else letter
        self[code] = made
        return made


_SPACES = _Spaces()
_UNSPACED = ((0x3005, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))  # of Unicode 15


def _is_unspaced(code: int) -> bool:
    """Chinese characters and kana: written without spaces, so each is a word."""
    return any(first <= code <= last for first, last in _UNSPACED)


_SIGN = re.compile(r"[0-9)]\s*([-+*/^%<>×÷–−])\s*(?=[0-9(])")
_SAME_SIGN = str.maketrans("×÷–−", "*/--")


def words(text: str) -> list[str]:
    """The words that are compared: NFKC, without regard to case, punctuation and symbols dropped, split at white space.

    A hyphen, an apostrophe or a decimal point ends a word too. A sign between two numbers is a word, since 7+5 and 7-5
    are different questions; so are Chinese characters and kana, one each.
    """
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    found: list[str] = []
    at = 0
    for sign in _SIGN.finditer(text):
        found += text[at : sign.start(1)].translate(_SPACES).split()
        found.append(sign[1].translate(_SAME_SIGN))
        at = sign.end(1)
    return found + text[at:].translate(_SPACES).split()
