"""YAML text to nodes.

PyYAML's parser delivers events, and nothing is ever constructed from them but nodes. Limits are checked event
by event, so whatever is too large is refused before it is there.
"""

from collections.abc import Iterator
from typing import NoReturn

import yaml

from mxtrain.config.nodes import (
    MAX_DEPTH,
    MAX_NODES,
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    broken,
    canonical,
    clipped,
    depth,
    dotted,
    is_unicode,
    plain,
    size,
)
from mxtrain.config.report import Report
from mxtrain.config.scalars import ScalarError, resolve
from mxtrain.config.source import Text, read_text, refuse_control_characters
from mxtrain.config.syntax import explain_syntax
from mxtrain.errors import Location
from mxtrain.types import describe

LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The faster of PyYAML's parsers that is there."""

_Path = tuple[str | int, ...]


def read_file(source: str, report: Report) -> MapNode:
    """The mapping that a file holds."""
    text = read_text(source, report)
    node = _Reader(text, report).document(())
    if node is None:
        report.fail("", "the file is empty", Location(source))
    if not isinstance(node, MapNode):
        got = describe(plain(node))
        report.fail("", f"the file must hold a mapping, as in `seed: 1`, got {got}", node.location)
    return node


def read_value(value: str, source: str, path: tuple[str | int, ...], report: Report) -> Node:
    """The value of one `--set`, by the rules for a value in a file."""
    text = Text(source, value, has_lines=False)
    refuse_control_characters(text, report)
    node = _Reader(text, report).document(path)
    return ScalarNode(None, Location(source)) if node is None else node


class _Reader:
    """Composes the nodes of one text."""

    def __init__(self, text: Text, report: Report) -> None:
        self.text = text
        self.report = report
        self.events = self._events()
        self.anchors: dict[str, Node | None] = {}
        self.nodes = 0

    def document(self, path: _Path) -> Node | None:
        """The one document of the text; None where there is nothing."""
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
            self.report.fail("", *explain_syntax(error, self.text))
        except (ValueError, OverflowError):
            # The parser in pure Python converts the digits of escapes and of versions without a look.
            self.report.fail("", "an escape or a version number is out of range", Location(self.text.source))

    def _node(self, event: yaml.Event, path: _Path, level: int, key: Location | None = None) -> Node:
        """The node that begins with an event; `key` is the place to point at where nothing is written."""
        self._count(1, event)
        match event:
            case yaml.AliasEvent():
                return self._alias(event, path, level)
            case yaml.ScalarEvent():
                node: Node = self._scalar(event, path, key)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._refuse_tag(event, path)
                if level == MAX_DEPTH:
                    self._fail(f"nested deeper than {MAX_DEPTH} levels", event)
                if event.anchor:
                    self.anchors[event.anchor] = None
                compose = self._mapping if isinstance(event, yaml.MappingStartEvent) else self._list
                node = compose(event, path, level + 1)
            case _:
                raise AssertionError(f"PyYAML gave {event} where a value begins")
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _mapping(self, start: yaml.Event, path: _Path, level: int) -> MapNode:
        entries: dict[str, Entry] = {}
        whole = True
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                return MapNode(entries, self._place(start, event), broken=not whole)
            place = self._place(event)
            key = self._key(event, path, level)
            name = None if key is None else canonical(key)
            value = self._node(next(self.events), (*path, "?" if name is None else name), level, place)
            if key is None or name is None:
                whole = False
            elif name in entries:
                self.report.add(dotted((*path, name)), _twice(entries[name], key), place)
            else:
                entries[name] = Entry(key, value, place)
        raise AssertionError("PyYAML ended a mapping without saying so")

    def _list(self, start: yaml.Event, path: _Path, level: int) -> ListNode:
        items: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                return ListNode(tuple(items), self._place(start, event))
            items.append(self._node(event, (*path, len(items)), level))
        raise AssertionError("PyYAML ended a list without saying so")

    def _key(self, event: yaml.Event, path: _Path, level: int) -> str | None:
        """The text of a key; None for what cannot be one, which is reported."""
        place = self._place(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, path, level)
            got = {yaml.AliasEvent: "an alias", yaml.MappingStartEvent: "a mapping"}.get(type(event), "a list")
            self.report.add(dotted(path), f"a key must be a string, got {got}", place)
            return None
        if event.value == "<<" and event.implicit[0]:
            self.report.add(dotted(path), "merge keys are not supported; use extends, or repeat the values", place)
            return None
        if event.implicit[0] and not _is_text(event.value):
            got = clipped(event.value) or "null"
            self.report.add(dotted(path), f"a key must be a string, got {got}; put it in quotes", place)
            return None
        node = self._scalar(event, path, None)
        return None if node.broken else event.value

    def _scalar(self, event: yaml.ScalarEvent, path: _Path, key: Location | None) -> ScalarNode:
        is_plain = event.implicit[0]
        place = key if key is not None and is_plain and not event.value else self._place(event)
        if self._refuse_tag(event, path):
            return broken(place)
        try:
            value = resolve(event.value) if is_plain else event.value
        except ScalarError as error:
            self.report.add(dotted(path), str(error), place)
            return broken(place)
        if isinstance(value, str) and not is_unicode(value):
            self.report.add(dotted(path), "must be a Unicode string, got half of a surrogate pair", place)
            return broken(place)
        return ScalarNode(value, place)

    def _alias(self, event: yaml.AliasEvent, path: _Path, level: int) -> Node:
        place = self._place(event)
        name = event.anchor or ""
        if name not in self.anchors:
            self.report.add(dotted(path), f"the alias *{clipped(name)} has no anchor before it", place)
            return broken(place)
        node = self.anchors[name]
        if node is None:
            self.report.add(dotted(path), f"the alias *{clipped(name)} stands inside of what it repeats", place)
            return broken(place)
        self._count(size(node) - 1, event)
        if level + depth(node) > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels", event)
        return node

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: _Path) -> bool:
        if event.tag is None:
            return False
        tag = clipped(event.tag.replace("tag:yaml.org,2002:", "!!"))
        self.report.add(dotted(path), f"tags are not supported; remove {tag}", self._place(event))
        return True

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._fail(f"more than {MAX_NODES:,} values", event)

    def _fail(self, message: str, event: yaml.Event) -> NoReturn:
        self.report.fail("", message, self._place(event))

    def _place(self, start: yaml.Event, end: yaml.Event | None = None) -> Location:
        # What ends a mapping or list without brackets is no text, and stands where the next thing begins.
        stop = start if end is None or _is_empty(end) else end
        first, last = start.start_mark, stop.end_mark
        assert first is not None, "PyYAML marks every event"
        assert last is not None, "PyYAML marks every event"
        return self.text.between(first, last)


def _is_text(plain: str) -> bool:
    try:
        return isinstance(resolve(plain), str)
    except ScalarError:
        return False


def _is_empty(event: yaml.Event) -> bool:
    start, end = event.start_mark, event.end_mark
    return start is not None and end is not None and start.index == end.index


def _twice(first: Entry, key: str) -> str:
    where = f", first at line {first.location.line}" if first.location and first.location.line else ""
    if first.key == key:
        return f"given twice{where}; keep one"
    return f"{clipped(key)} and {clipped(first.key)} are two names of one value; keep one"
