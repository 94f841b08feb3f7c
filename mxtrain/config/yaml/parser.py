"""Parse YAML text into nodes.

PyYAML yields events, from which nodes are built here, because `yaml.compose` stops at the first undefined alias, cannot
tell `!!str 1` from `'1'`, and crashes on deep nesting before any limit could be checked. Plain scalars follow the core
schema of YAML 1.2: `no`, `off`, `1_000` and `2024-01-01` are strings, and `1e-3` is a number.
"""

import math
import re
from collections.abc import Iterator
from typing import NoReturn

import yaml

from mxtrain.config.yaml.nodes import (
    MAX_DEPTH,
    MAX_NODES,
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    canonical_name,
    depth,
    format_path,
    invalid_scalar,
    shorten,
    size,
    to_python,
)
from mxtrain.config.yaml.source_text import ProblemReport, SourceText, read_text, reject_control_characters
from mxtrain.config.yaml.text_positions import TextSpan
from mxtrain.errors import Location
from mxtrain.names import is_unicode
from mxtrain.types import describe

MAX_NUMBER = 100
"""Limit for the characters of a number."""

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class ScalarError(ValueError):
    """A plain scalar looks like a number but is not finite, or is too long."""


def parse_scalar(text: str) -> None | bool | int | float | str:
    """Return the value of a plain scalar; raise ScalarError for a number that is not finite, or too long.

    >>> parse_scalar("1e-3"), parse_scalar("010"), parse_scalar("0xFF"), parse_scalar("no"), parse_scalar("~")
    (0.001, 10, 255, 'no', None)
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(_check_length(text), base)
    if _FLOAT.fullmatch(text):
        number = float(_check_length(text))
        if math.isfinite(number):
            return number
    elif not _NOT_FINITE.fullmatch(text):
        return text
    raise ScalarError(f"must be a finite number, got {text}")


def _check_length(text: str) -> str:
    if len(text) > MAX_NUMBER:
        raise ScalarError(f"a number may have at most {MAX_NUMBER} characters, got {len(text)}")
    return text


_MESSAGES_AT_START = {
    r"unexpected end of stream|unexpected document": "these quotes are never closed",
    r"could not find expected ':'": "a key needs a colon, a space and a value after it",
    r"alphabetic or numeric": "a name must follow & or *; if this is a string, put it in quotes",
    r"expected( the)? '>'|tag|'!'": "tags are not supported; remove it, or put the text in quotes",
    r"chomping|indentation indicator|comment or (a )?line ?break": "a new line must follow | or >",
}
"""Messages for errors that are reported where the construct begins, by PyYAML's message."""

_MESSAGES_AT_ERROR = {
    r"mapping values": "a colon is not allowed here; put the text in quotes, or check the indentation",
    r"sequence entries": "a list cannot start here; start it on a new line",
    r"mapping keys": "a question mark is not allowed here; put the text in quotes",
    r"hexd?ecimal|hexadecimal|Unicode character escape": (
        "not a valid character code; \\x takes 2, \\u 4, \\U 8 hexadecimal digits"
    ),
    r"expected (<block end>|key|'-' indicator|'?<document start>)": (
        "unexpected text; check the indentation, the quotes and the brackets"
    ),
    r"directive|incompatible YAML": "this directive is not supported; remove it",
}
"""Messages for errors that are reported where the parser found them, by PyYAML's message."""


def translate_syntax_error(error: yaml.MarkedYAMLError, text: SourceText) -> tuple[str, Location]:
    """Return the message for a syntax error, and its location."""
    problem = error.problem or ""
    mark = error.problem_mark or error.context_mark
    assert mark is not None, "PyYAML marks every syntax error"
    start = error.context_mark or mark
    here = text.at(mark.line, mark.column)
    character = text.character(mark)
    at_the_end = not any(text.lines[mark.line :]) or (mark.line, mark.column) >= _end_of_text(text)

    if re.search(r"cannot start any token|tab character", problem):
        if character == "\t":
            return "a tab is not allowed here; use spaces", here
        return f"a value cannot start with {character}; put it in quotes", here
    if re.search(r"expected( the)? node content", problem):
        return (
            f"a value is missing before {'the end' if at_the_end else character or 'the end of the line'}",
            here,
        )
    if closing := re.search(r"expected ',' or '(.)'", problem):
        opening = text.character(start)
        if at_the_end:
            return f"this {opening} is never closed", text.at(start.line, start.column)
        return f"expected a comma or {closing[1]}; the {opening} on line {start.line + 1} is still open", here
    if "unknown escape" in problem:
        column = mark.column if character == "\\" else mark.column - 1
        return "unknown escape; write \\\\ for a backslash, or use single quotes", text.at(mark.line, column, 2)
    for pattern, message in _MESSAGES_AT_START.items():
        if re.search(pattern, problem):
            return message, text.at(start.line, start.column)
    for pattern, message in _MESSAGES_AT_ERROR.items():
        if re.search(pattern, problem):
            return message, here
    return f"not valid YAML: {problem}", here


def _end_of_text(text: SourceText) -> tuple[int, int]:
    return len(text.lines) - 1, len(text.lines[-1])


LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The faster of PyYAML's parsers, if it was built with libyaml."""

_Path = tuple[str | int, ...]


def read_file(source: str, report: ProblemReport) -> MapNode:
    """Read the mapping in a file."""
    text = read_text(source, report)
    node = _Composer(text, report).document(())
    if node is None:
        report.fail("", "the file is empty", Location(source))
    if not isinstance(node, MapNode):
        got = describe(to_python(node))
        report.fail("", f"the file must hold a mapping, as in `seed: 1`, got {got}", node.location)
    return node


def read_value(value: str, source: str, path: tuple[str | int, ...], report: ProblemReport) -> Node:
    """Parse the value of an override, by the rules for a value in a file."""
    text = SourceText(source, value, has_lines=False)
    reject_control_characters(text, report)
    node = _Composer(text, report).document(path)
    return ScalarNode(None, Location(source)) if node is None else node


class _Composer:
    """Composer of the nodes of one text."""

    def __init__(self, text: SourceText, report: ProblemReport) -> None:
        self.text = text
        self.report = report
        self.events = self._events()
        self.anchors: dict[str, Node | None] = {}
        self.nodes = 0

    def document(self, path: _Path) -> Node | None:
        """Return the only document of the text; None if it is empty."""
        next(self.events)  # the start of the stream
        if not isinstance(next(self.events), yaml.DocumentStartEvent):
            return None
        first = next(self.events)
        node = self._node(first, path, 0)
        next(self.events)  # the end of the document
        if isinstance(following := next(self.events), yaml.DocumentStartEvent):
            self._fail("a second document begins here; a file holds one", following)
        is_empty = isinstance(first, yaml.ScalarEvent) and first.implicit[0] and not first.value
        return None if is_empty else node

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.text.content, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            self.report.fail("", *translate_syntax_error(error, self.text))
        except (ValueError, OverflowError):
            # The parser in pure Python converts the digits of escapes and versions unchecked.
            self.report.fail("", "an escape or a version number is out of range", Location(self.text.source))

    def _node(self, event: yaml.Event, path: _Path, level: int, key: Location | None = None) -> Node:
        """Return the node that begins with an event; `key` is the location of an empty value."""
        self._count(1, event)
        match event:
            case yaml.AliasEvent():
                return self._alias(event, path, level)
            case yaml.ScalarEvent():
                node: Node = self._scalar(event, path, key)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._reject_tag(event, path)
                if level == MAX_DEPTH:
                    self._fail(f"nested deeper than {MAX_DEPTH} levels", event)
                if event.anchor:
                    self.anchors[event.anchor] = None
                compose = self._mapping if isinstance(event, yaml.MappingStartEvent) else self._list
                node = compose(event, path, level + 1)
            case _:
                raise AssertionError(f"PyYAML emitted {event} where a value begins")
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _mapping(self, start: yaml.Event, path: _Path, level: int) -> MapNode:
        entries: dict[str, Entry] = {}
        has_all_keys = True
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                return MapNode(entries, self._locate(start, event), invalid=not has_all_keys)
            place = self._locate(event)
            key = self._key(event, path, level)
            name = None if key is None else canonical_name(key)
            value = self._node(next(self.events), (*path, "?" if key is None else key), level, place)
            if key is None or name is None:
                has_all_keys = False
            elif name in entries:
                self.report.add(format_path((*path, key)), _duplicate_key_message(entries[name], key), place)
            else:
                entries[name] = Entry(key, value, place)
        raise AssertionError("PyYAML emitted no end of a mapping")

    def _list(self, start: yaml.Event, path: _Path, level: int) -> ListNode:
        items: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                return ListNode(tuple(items), self._locate(start, event))
            items.append(self._node(event, (*path, len(items)), level))
        raise AssertionError("PyYAML emitted no end of a list")

    def _key(self, event: yaml.Event, path: _Path, level: int) -> str | None:
        """Return the text of a key; report anything else and return None."""
        place = self._locate(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, path, level)
            got = {yaml.AliasEvent: "an alias", yaml.MappingStartEvent: "a mapping"}.get(type(event), "a list")
            self.report.add(format_path(path), f"a key must be a string, got {got}", place)
            return None
        if event.value == "<<" and event.implicit[0]:
            self.report.add(format_path(path), "merge keys are not supported; use extends, or repeat the values", place)
            return None
        if event.implicit[0] and not _is_string(event.value):
            got = shorten(event.value) or "null"
            self.report.add(format_path(path), f"a key must be a string, got {got}; put it in quotes", place)
            return None
        node = self._scalar(event, path, None)
        return None if node.invalid else event.value

    def _scalar(self, event: yaml.ScalarEvent, path: _Path, key: Location | None) -> ScalarNode:
        is_plain = event.implicit[0]
        place = key if key is not None and is_plain and not event.value else self._locate(event)
        if self._reject_tag(event, path):
            return invalid_scalar(place)
        try:
            value = parse_scalar(event.value) if is_plain else event.value
        except ScalarError as error:
            self.report.add(format_path(path), str(error), place)
            return invalid_scalar(place)
        if isinstance(value, str) and not is_unicode(value):
            self.report.add(format_path(path), "must be a Unicode string, got half of a surrogate pair", place)
            return invalid_scalar(place)
        return ScalarNode(value, place, span=self._span(event) if isinstance(value, str) else None)

    def _span(self, event: yaml.ScalarEvent) -> TextSpan:
        first, last = event.start_mark, event.end_mark
        assert first is not None, "PyYAML marks every event"
        assert last is not None, "PyYAML marks every event"
        return TextSpan(self.text, (first.line, first.column), (last.line, last.column), event.style or "")

    def _alias(self, event: yaml.AliasEvent, path: _Path, level: int) -> Node:
        place = self._locate(event)
        name = event.anchor or ""
        if name not in self.anchors:
            self.report.add(format_path(path), f"the alias *{shorten(name)} has no anchor before it", place)
            return invalid_scalar(place)
        node = self.anchors[name]
        if node is None:
            self.report.add(format_path(path), f"the alias *{shorten(name)} is inside the value that it repeats", place)
            return invalid_scalar(place)
        self._count(size(node) - 1, event)
        if level + depth(node) > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels", event)
        return node

    def _reject_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: _Path) -> bool:
        if event.tag is None:
            return False
        tag = shorten(event.tag.replace("tag:yaml.org,2002:", "!!"))
        self.report.add(format_path(path), f"tags are not supported; remove {tag}", self._locate(event))
        return True

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._fail(f"more than {MAX_NODES:,} values", event)

    def _fail(self, message: str, event: yaml.Event) -> NoReturn:
        self.report.fail("", message, self._locate(event))

    def _locate(self, start: yaml.Event, end: yaml.Event | None = None) -> Location:
        # The end of a mapping or list without brackets has no text; its mark is where the next token begins.
        stop = start if end is None or _is_empty_event(end) else end
        first, last = start.start_mark, stop.end_mark
        assert first is not None, "PyYAML marks every event"
        assert last is not None, "PyYAML marks every event"
        return self.text.between(first, last)


def _is_string(text: str) -> bool:
    try:
        return isinstance(parse_scalar(text), str)
    except ScalarError:
        return False


def _is_empty_event(event: yaml.Event) -> bool:
    start, end = event.start_mark, event.end_mark
    return start is not None and end is not None and start.index == end.index


def _duplicate_key_message(first: Entry, key: str) -> str:
    where = f", first at line {first.location.line}" if first.location and first.location.line else ""
    if first.key == key:
        return f"given twice{where}; keep one"
    return f"{shorten(key)} and {shorten(first.key)} are two names of one value; keep one"
