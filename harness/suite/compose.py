"""YAML text → nodes. Strict where YAML is lax: duplicate keys, tags, endless aliases and deep nesting are problems.

ruamel.yaml parses; scalars are resolved here by YAML 1.2 alone, so a suite reads the same everywhere and never
makes Python objects. Aliases share their node; merge keys (`<<`) are allowed, own entries win.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from harness.errors import SuiteError
from harness.suite.document import Lost, Node, Place, Problems
from harness.suite.scalars import resolve

MOST_DEEP = 50
MOST_VALUES = 2_000_000
"""Values a file may come to with its aliases expanded; more is a mistake or an attack."""

_KEPT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

_HINTS = (
    ("mapping values are not allowed", "indent it under its key; a value that holds ': ' needs quotes"),
    ("could not find expected ':'", "a key ends with a colon and a space; check the line above too"),
    ("found undefined alias", "define it earlier in the file with &name, or quote text that begins with *"),
    ("expected <block end>", "check the indentation: entries of one mapping start in the same column"),
    ("expected ',' or", "close the bracket or brace, and separate entries with commas"),
    ("found unexpected end of stream", "a quote or a bracket is not closed"),
    ("found character '%'", "quote text that begins with %"),
    ("found character '@'", "quote text that begins with @"),
    ("found character '`'", "quote text that begins with a backtick"),
)


def compose(text: str, problems: Problems) -> Node | None:
    """The file's value; None for an empty file. Duplicate keys, tags and bad numbers are added to `problems`.

    Raises:
        SuiteError: it is not YAML, or not one document, or aliases make it explode.
    """
    composer = _Composer(problems)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            composer.take(event)
    except MarkedYAMLError as error:
        raise _syntax(error, problems) from error
    except YAMLError as error:  # the reader's errors carry no mark: characters that YAML does not allow
        raise _unreadable(text, problems) from error
    if composer.root is not None and composer.root.size > MOST_VALUES:
        raise _fatal(
            problems,
            f"aliases make this file {composer.root.size:,} values large",
            composer.root.place,
            why=f"a suite has at most {MOST_VALUES:,}",
        )
    return composer.root


class _Open:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("key", "key_place", "keyless", "merged", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key: str | None = None
        self.key_place: Place = (0, 0)
        self.keyless = False  # the key that was read is none
        self.merged: list[Node] = []


class _Composer:
    """Builds nodes from parser events, with a stack instead of recursion."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.documents = 0

    def take(self, event: Any) -> None:
        """Takes the parser's next event."""
        kind = type(event)
        if kind is events.ScalarEvent:
            self._scalar(event)
        elif kind is events.MappingStartEvent:
            self._start(event, {})
        elif kind is events.SequenceStartEvent:
            self._start(event, [])
        elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
            self._end()
        elif kind is events.AliasEvent:
            self._alias(event)
        elif kind is events.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                raise _fatal(self.problems, "a suite file is one YAML document", _place(event), hint="remove the '---'")

    def _scalar(self, event: Any) -> None:
        node = Node(event.value, _place(event), event.value)
        if not event.value.isascii():
            node.value = node.raw = self._whole_characters(node)
        if event.ctag is not None:
            self._refuse_tag(event, node)
        elif event.implicit[0]:
            try:
                node.value = resolve(node.raw)
            except ValueError as error:
                self.problems.add(str(error), node)
                node.value = 0
        self._name(event, node)
        self._add(node)

    def _whole_characters(self, node: Node) -> str:
        r"""The text with escapes such as \ud83d\ude00, halves of one character as JSON writes them, put together."""
        try:
            return node.raw.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.problems.add("half a character (a lone surrogate escape)", node, hint="write the character itself")
            return ""

    def _start(self, event: Any, value: dict[str, Node] | list[Node]) -> None:
        place = _place(event)
        if len(self.open) >= MOST_DEEP:
            raise _fatal(self.problems, f"nested more than {MOST_DEEP} levels deep", place)
        node = Node(value, place)
        if event.ctag is not None:
            self._refuse_tag(event, node)
        node.size = 0  # not finished: an alias to it from inside itself is a circle
        self._name(event, node)
        self.open.append(_Open(node))

    def _end(self) -> None:
        done = self.open.pop()
        for source in done.merged:  # what is there already wins, so earlier ones win over later ones
            self._merge(done.node, source)
        node = done.node
        inner = list(node.entries.values()) or node.items
        node.size = 1 + sum(child.size for child in inner)
        node.depth = 1 + max((child.depth for child in inner), default=0)
        if node.depth > MOST_DEEP:  # through aliases; written out it is noticed at the start
            raise _fatal(self.problems, f"nested more than {MOST_DEEP} levels deep", node.place)
        self._add(node)

    def _alias(self, event: Any) -> None:
        node = self.anchors.get(event.anchor)
        if node is None:
            raise _fatal(self.problems, f"unknown alias *{event.anchor}", _place(event), hint=_HINTS[2][1])
        if node.size == 0:
            raise _fatal(self.problems, f"the alias *{event.anchor} stands inside the value it names", _place(event))
        self._add(node, _place(event))

    def _name(self, event: Any, node: Node) -> None:
        if event.anchor is not None:
            self.anchors[event.anchor] = node

    def _add(self, node: Node, place: Place | None = None) -> None:
        """Puts a finished node where it belongs: the root, the open list, or the open mapping as key or value."""
        if not self.open:
            self.root = node
            return
        holder = self.open[-1]
        if isinstance(holder.node.value, list):
            holder.node.value.append(node)
        elif holder.key is None:
            self._key(holder, node, place or node.place)
        else:
            self._value(holder, node)
            holder.key = None

    def _key(self, holder: _Open, node: Node, place: Place) -> None:
        if not node.is_scalar:
            self.problems.add(
                "a key must be text, not a list or a mapping", place, hint="quote text that begins with [ or {"
            )
        holder.keyless = not node.is_scalar
        holder.key = node.raw if node.is_scalar else "?"
        holder.key_place = place

    def _value(self, holder: _Open, node: Node) -> None:
        assert holder.key is not None
        entries, key = holder.node.entries, holder.key
        if holder.keyless:
            holder.node.lost += (Lost(key, node),)
        elif key == "<<":
            holder.merged.extend(node.items if node.is_list else [node])
        elif key in entries:
            first = holder.node.keys[key][0]
            self.problems.add(
                f"duplicate key {key!r}",
                holder.key_place,
                why=f"it stands in line {first} already, and only one of them could count",
                blames=entries[key],
            )
        else:
            if node.value is None and not node.raw:
                node.place = holder.key_place  # an empty value stands nowhere; YAML puts it before whatever follows
            entries[key] = node
            holder.node.keys[key] = holder.key_place

    def _merge(self, target: Node, source: Node) -> None:
        if not source.is_mapping:
            self.problems.add("<< merges a mapping, or a list of mappings", source)
            target.lost += (Lost("<<", source),)
            return
        own, places = dict(target.entries), dict(target.keys)
        target.value = {**source.entries, **own}
        target.keys = {**source.keys, **places}

    def _refuse_tag(self, event: Any, node: Node) -> None:
        tag = str(event.ctag)
        if tag not in _KEPT_TAGS:
            self.problems.add(
                f"the tag {tag} is not allowed", node, why="a suite is data: it never makes objects or runs code"
            )


def _place(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _fatal(
    problems: Problems, what: str, place: Place | None, *, why: str | None = None, hint: str | None = None
) -> SuiteError:
    """The error for something that nothing sensible can be read after."""
    problems.add(what, place, why=why, hint=hint)
    return SuiteError(problems=(problems.found[-1],))


def _syntax(error: Any, problems: Problems) -> SuiteError:
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else None
    tab = _indenting_tab(problems.lines, mark.line) if mark else None
    if tab is not None:
        return _fatal(problems, "tabs cannot indent YAML; use spaces", tab)
    said = str(error.problem or error.context or "it cannot be parsed")
    hint = next((hint for start, hint in _HINTS if start in said), None)
    began = error.context_mark
    why = str(error.context) if error.context and error.context != said else None
    if why and began and mark and began.line != mark.line:
        why = f"{why} in line {began.line + 1}"
    return _fatal(problems, f"not valid YAML: {said}", place, why=why, hint=hint)


def _indenting_tab(lines: list[str], at: int) -> Place | None:
    """The first tab in the indentation of the line of an error or of the one before it."""
    for number in (at - 1, at):
        if 0 <= number < len(lines):
            line = lines[number]
            indent = line[: len(line) - len(line.lstrip(" \t"))]
            if "\t" in indent:
                return number + 1, indent.index("\t") + 1
    return None


def _unreadable(text: str, problems: Problems) -> SuiteError:
    for number, line in enumerate(problems.lines, start=1):
        for column, character in enumerate(line, start=1):
            if not (character.isprintable() or character in "\t\r\x85\xa0\u200b\ufeff"):
                what = f"the character U+{ord(character):04X} is not allowed in YAML"
                return _fatal(problems, what, (number, column), hint="remove it; it is invisible in most editors")
    return _fatal(problems, "not valid YAML", None)
