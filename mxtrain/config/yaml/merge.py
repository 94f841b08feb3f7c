"""Merge node trees: files that extend others, and overrides of single values."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

from mxtrain.config.yaml.nodes import (
    GROUPS,
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    canonical_name,
    find_node,
    format_path,
    key_size,
    shorten,
    to_python,
)
from mxtrain.config.yaml.parser import read_file
from mxtrain.config.yaml.source_text import ProblemReport, UnreadableError
from mxtrain.errors import Location
from mxtrain.paths import expand_home, url_problem
from mxtrain.types import describe

MAX_CHAIN = 10
"""Limit for the files in one chain of `extends`."""


def merge_nodes(base: Node, own: Node) -> Node:
    """Merge a node over its base: mappings are merged key by key; every other value replaces that of the base.

    A mapping also replaces one of a different kind, because each kind has its own fields.
    """
    if not (isinstance(base, MapNode) and isinstance(own, MapNode)) or base.atomic or own.atomic:
        return own
    return merge_mappings(base, own)


def merge_mappings(base: MapNode, own: MapNode) -> MapNode:
    """Merge a mapping over its base."""
    if _changes_kind(base, own):
        return own
    entries = dict(base.entries)
    for name, entry in own.entries.items():
        below = entries.get(name)
        value = entry.value if below is None else merge_nodes(below.value, entry.value)
        entries[name] = replace(entry, value=value)
    return MapNode(entries, own.location, base.invalid or own.invalid, base.atomic)


def _changes_kind(base: MapNode, own: MapNode) -> bool:
    if "kind" not in base.entries or "kind" not in own.entries:
        return False
    was, now = base.entries["kind"].value, own.entries["kind"].value
    return isinstance(was, ScalarNode) and isinstance(now, ScalarNode) and was.value != now.value


TreeTransform: TypeAlias = Callable[[MapNode, ProblemReport], MapNode]


def read_tree(source: str, report: ProblemReport, transform: TreeTransform) -> MapNode:
    """Read a file, merged over the files that it extends.

    Args:
        source: the path of the file.
        report: collects its problems.
        transform: normalizes the tree of each file before it is merged.
    """
    try:
        return _merge_bases(transform(read_file(source, report), report), (source,), report, transform)
    except UnreadableError as error:
        report.fail("", str(error), Location(source))


def _merge_bases(own: MapNode, chain: tuple[str, ...], report: ProblemReport, transform: TreeTransform) -> MapNode:
    if "extends" not in own.entries:
        return own
    rest = {name: entry for name, entry in own.entries.items() if name != "extends"}
    value = own.entries["extends"].value
    place = value.location
    if not isinstance(value, ScalarNode) or not isinstance(value.value, str) or not value.value:
        got = describe(to_python(value))
        report.fail("extends", f"must be the path of one file, got {got}", place)

    if problem := url_problem(value.value):
        report.fail("extends", problem, place)
    base = str(Path(chain[-1]).parent / expand_home(value.value))
    shown = shorten(" → ".join((*chain, base)), 1000)
    if len(chain) == MAX_CHAIN:
        report.fail("extends", f"more than {MAX_CHAIN} files extend each other: {shown}", place)
    if any(_is_same_file(base, file) for file in chain):
        report.fail("extends", f"files extend each other in a circle: {shown}", place)
    try:
        tree = transform(read_file(base, report), report)
    except UnreadableError as error:
        report.fail("extends", f"{shorten(base, 200)}: {error}", place)
    below = _merge_bases(tree, (*chain, base), report, transform)
    return merge_mappings(below, MapNode(rest, own.location, own.invalid))


def _is_same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False  # reported when it is read


@dataclass(frozen=True, slots=True)
class Override:
    """A value that replaces the value at a path.

    Args:
        keys: the names of the path as they were typed; in `sweep.search` a name may be a dotted path.
        value: the new value.
        location: the location of the override.
    """

    keys: tuple[str, ...]
    value: Node
    location: Location | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The canonical names of the path."""
        return tuple(".".join(map(canonical_name, key.split("."))) for key in self.keys)

    def apply(self, tree: MapNode, report: ProblemReport) -> MapNode:
        """Return the tree with the new value; raise a ConfigError if the path leads below a single value."""
        return _OverrideMerger(self._with_whole_selector(tree), report).in_mapping(tree, 0)

    def _with_whole_selector(self, tree: MapNode) -> "Override":
        """Return the override with the selector of an existing group as one key, although its names may have dots."""
        groups = find_node(tree, GROUPS)[0] if self.path[:2] == GROUPS else None
        for stop in range(len(self.keys), 3, -1):
            selector = ".".join(self.keys[2:stop])
            if isinstance(groups, MapNode) and canonical_name(selector) in groups.entries:
                return replace(self, keys=(*self.keys[:2], selector, *self.keys[stop:]))
        return self


@dataclass(frozen=True, slots=True)
class _OverrideMerger:
    override: Override
    report: ProblemReport

    def in_mapping(self, node: MapNode, level: int) -> MapNode:
        size = key_size(node, self.override.path[level:]) or 1  # a key of `schedules` may hold dots
        end = level + size
        name, key = ".".join(self.override.path[level:end]), ".".join(self.override.keys[level:end])
        place = self.override.location
        if end == len(self.override.path):
            entry = Entry(key, self.override.value, place, self.override.keys)
            return merge_mappings(node, MapNode({name: entry}, node.location))
        below = node.entries.get(name, Entry(key, ScalarNode(None), place))
        entry = replace(below, value=self._merge_below(below.value, end))
        return replace(node, entries={**node.entries, name: entry})

    def _merge_below(self, node: Node, level: int) -> Node:
        """Return the node at the first `level` names of the path, with the new value in it."""
        if level == len(self.override.path):
            return merge_nodes(node, self.override.value)
        if isinstance(node, ListNode):
            return self._in_list(node, level)
        if isinstance(node, ScalarNode):
            if node.value is not None:
                got = describe(node.value)
                self._fail(level, f"is {got}, which has no fields to set")
            node = MapNode({}, self.override.location)
        return self.in_mapping(node, level)

    def _in_list(self, node: ListNode, level: int) -> ListNode:
        name, count = self.override.keys[level], len(node.items)
        if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name) < count):
            here = f"its items are 0 to {count - 1}" if count else "it is empty"
            self._fail(level, f"has no item {name}; {here}")
        i = int(name)
        return ListNode(
            (*node.items[:i], self._merge_below(node.items[i], level + 1), *node.items[i + 1 :]), node.location
        )

    def _fail(self, level: int, message: str) -> NoReturn:
        self.report.fail(format_path(self.override.keys[:level]), message, self.override.location)
