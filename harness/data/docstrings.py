"""Collects the standard library's docstrings and prints them as JSON: `python -I -S docstrings.py`.

Run as a script of its own, in a fresh interpreter without site-packages: packages such as transformers replace parts
of `logging` and `inspect` when imported, so that inside a worker the docstrings are not the library's own.
It imports nothing but the standard library.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

MIN_LENGTH = 40  # characters; shorter docstrings answer nothing

# Modules that every CPython has and whose import only defines things: no window, no network, no optional library.
_NAMES = (
    "abc argparse array ast asyncio base64 binascii bisect builtins calendar cmath cmd code codecs codeop "
    "collections compileall concurrent.futures configparser contextlib contextvars copy copyreg csv "
    "dataclasses datetime decimal difflib dis doctest email.charset email.feedparser email.generator "
    "email.header email.headerregistry email.message email.parser email.policy email.utils enum filecmp "
    "fileinput fnmatch fractions ftplib functools gc getopt gettext glob graphlib heapq hmac html html.parser "
    "http.client http.cookiejar http.cookies http.server importlib.abc importlib.machinery importlib.metadata "
    "importlib.util inspect io ipaddress itertools json json.decoder json.encoder linecache locale logging "
    "logging.config logging.handlers marshal math mimetypes netrc numbers operator optparse os pathlib pickle "
    "pkgutil platform plistlib poplib posixpath pprint profile pstats py_compile queue quopri random re "
    "reprlib runpy sched secrets select selectors shelve shlex shutil signal smtplib socket socketserver "
    "statistics string struct subprocess symtable sys sysconfig tarfile tempfile textwrap threading time "
    "timeit tokenize trace traceback tracemalloc types typing unicodedata unittest unittest.mock urllib.parse "
    "urllib.request urllib.robotparser uuid warnings wave weakref xml.dom.minidom xml.etree.ElementTree "
    "xml.sax.handler xml.sax.saxutils xmlrpc.client xmlrpc.server zipapp zipfile"
)
MODULES = _NAMES.split()

Found = tuple[str, str, str]
"""Dotted name; class, function, method or property; docstring."""


def collect() -> list[Found]:
    """Every documented public object of MODULES, one per docstring, sorted by name."""
    found: dict[str, Found] = {}
    for name in MODULES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated modules and attributes warn when looked at
            for entry in _of_module(importlib.import_module(name), name):
                found.setdefault(entry[2], entry)
    return sorted(found.values())


def _of_module(module: ModuleType, where: str) -> Iterator[Found]:
    top = where.split(".", 1)[0]
    for name, value in sorted(vars(module).items()):
        home = str(getattr(value, "__module__", None) or where).lstrip("_").split(".", 1)[0]
        # A name that a module merely imported is documented at its home; C modules have homes such as `_io`, `posix`.
        if name.startswith("_") or (home not in (top, "posix") and home in sys.stdlib_module_names):
            continue
        if inspect.isclass(value):
            yield from _entry(f"{where}.{name}", "class", value)
            yield from _of_class(value, f"{where}.{name}")
        elif inspect.isroutine(value):
            yield from _entry(f"{where}.{name}", "function", value)


def _of_class(owner: type, where: str) -> Iterator[Found]:
    for name, value in sorted(vars(owner).items()):
        if name.startswith("_"):
            continue
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if isinstance(inner, property):
            yield from _entry(f"{where}.{name}", "property", inner)
        elif inspect.isroutine(inner):
            yield from _entry(f"{where}.{name}", "method", inner)


def _entry(name: str, kind: str, value: Any) -> Iterator[Found]:
    text = getattr(value, "__doc__", None)
    if not isinstance(text, str):
        return
    text = inspect.cleandoc(text).strip()
    if len(text) >= MIN_LENGTH and " at 0x" not in text:  # an address differs from one process to the next
        yield name.removeprefix("builtins."), kind, text


if __name__ == "__main__":
    json.dump(collect(), sys.stdout)
