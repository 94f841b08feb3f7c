"""Node tree of a config: values with their source locations, and conversion from and to Python values.

Nodes are immutable; merging and overriding create new nodes that share the unchanged ones.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from numbers import Integral, Real
from pathlib import PurePath
from typing import TypeAlias

from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.config.yaml.text_positions import TextSpan
from mxtrain.errors import Location
from mxtrain.kinds import instance_problem
from mxtrain.names import LETTERS, display_name, is_unicode, normalize
from mxtrain.optim.groups.group import group_settings
from mxtrain.optim.rules import Rule
from mxtrain.optim.schedules.function import Function, MomentumFunction, is_function
from mxtrain.types import Config, describe

MAX_NODES = 10_000
"""Limit for the values in one config; an alias counts as the values that it repeats."""
MAX_DEPTH = 32
"""Limit for the levels of nested mappings and lists."""

SETTINGS = ("model", "settings")
"""The path below which names are chosen by the user."""
GROUPS = ("optimizer", "groups")
"""The path below which names are selectors of parameters."""


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value.

    Attributes:
        invalid: True if a problem of it was already reported; further ones are suppressed.
        span: the part of a file that a string was read from.
    """

    value: object
    location: Location | None = None
    invalid: bool = False
    span: TextSpan | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    items: tuple["Node", ...]
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping as it was typed, its value, and the location of the key.

    Attributes:
        path: the whole path as an override gave it; None for a key of a file or a dict.
    """

    key: str
    value: "Node"
    location: Location | None = None
    path: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping, by the canonical names of its keys.

    Attributes:
        invalid: True if keys were rejected, so that it is unknown which fields are missing.
        atomic: True if it is a single value, which is replaced as a whole and never merged.
    """

    entries: Mapping[str, Entry]
    location: Location | None = None
    invalid: bool = False
    atomic: bool = False


Node: TypeAlias = ScalarNode | ListNode | MapNode


def invalid_scalar(location: Location | None) -> ScalarNode:
    """Return the node of a value that could not be read."""
    return ScalarNode(None, location, invalid=True)


def canonical_name(key: str) -> str:
    """Return the one name for all spellings of a key, in any model.

    >>> canonical_name("learning_rate"), canonical_name("µ"), canonical_name("epochs")
    ('η', 'μ', 'epochs')
    """
    folded = normalize(key)
    return LETTERS.get(folded, folded)


def format_path(path: Iterable[str | int]) -> str:
    """Return a path as error messages show it.

    >>> format_path(["optimizer", "ε"]), format_path(["model", "hidden", 1])
    ('optimizer.ϵ', 'model.hidden.1')
    """
    return ".".join(shorten(".".join(map(display_name, str(name).split(".")))) for name in path)


def typed_path(tree: Node, path: str) -> str:
    """Return a dotted path in the spelling of a config: each name as it was typed, others as documented.

    >>> tree = MapNode({"optimizer": Entry("optimizer", MapNode({"η": Entry("lr", ScalarNode(1.0))}))})
    >>> typed_path(tree, "optimizer.η"), typed_path(tree, "optimizer.ϵ")
    ('optimizer.lr', 'optimizer.ϵ')
    """
    node, typed, rest = tree, list[str](), path.split(".")
    while rest:
        if isinstance(node, MapNode):
            # Keys of `sweep.search` hold dots.
            sizes = (i for i in range(len(rest), 0, -1) if normalize(".".join(rest[:i])) in node.entries)
            if (size := next(sizes, 0)) == 0:
                break
            entry = node.entries[normalize(".".join(rest[:size]))]
            typed.append(entry.key)
            if entry.path is not None:
                typed = [*typed[: len(typed) - len(entry.path)], *entry.path]
            node, rest = entry.value, rest[size:]
        elif isinstance(node, ListNode) and rest[0].isdecimal() and int(rest[0]) < len(node.items):
            node = node.items[int(rest[0])]
            typed.append(rest.pop(0))
        else:
            break
    return ".".join(filter(None, (format_path(typed), ".".join(rest))))


def shorten(text: str, width: int = 60) -> str:
    """Return the text, cut to the width of a message."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def find_node(tree: Node, path: Iterable[str | int]) -> tuple[Node | None, Location | None]:
    """Return the node at a path, or None, and the location of the last key of the path that exists.

    A key may hold dots, as in the paths of `schedules`: it stands for several names.
    """
    node: Node = tree
    place = tree.location
    names = list(path)
    while names:
        if isinstance(node, MapNode) and (size := key_size(node, names)):
            entry = node.entries[canonical_name(".".join(map(str, names[:size])))]
            node, place, names = entry.value, entry.location, names[size:]
        elif isinstance(node, ListNode) and isinstance(names[0], int) and names[0] < len(node.items):
            node, names = node.items[names[0]], names[1:]
            place = node.location
        elif isinstance(names[0], str) and "." in names[0]:
            names = [*names[0].split("."), *names[1:]]
        else:
            return None, place
    return node, place


def key_size(node: MapNode, names: Sequence[str | int]) -> int:
    """Return how many names, joined by dots, are a key of a mapping; 0 if the first names are none."""
    if canonical_name(str(names[0])) in node.entries:
        return 1
    sizes = range(2, len(names) + 1) if any("." in key for key in node.entries) else ()
    return next((i for i in sizes if canonical_name(".".join(map(str, names[:i]))) in node.entries), 0)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below a node."""
    match node:
        case MapNode():
            return tuple(entry.value for entry in node.entries.values())
        case ListNode():
            return node.items
    return ()


def size(node: Node) -> int:
    """Return the number of values in a node, including itself."""
    return 1 + sum(size(child) for child in children(node))


def depth(node: Node) -> int:
    """Return the number of levels of mappings and lists in a node."""
    return 0 if isinstance(node, ScalarNode) else 1 + max(map(depth, children(node)), default=0)


def to_python(node: Node, path: tuple[str | int, ...] = ()) -> object:
    """Return the values without locations, by canonical names; by the keys as typed for settings and groups."""
    match node:
        case MapNode():
            is_free = path[: len(SETTINGS)] == SETTINGS or path == GROUPS
            return {
                entry.key if is_free else name: to_python(entry.value, (*path, name))
                for name, entry in node.entries.items()
            }
        case ListNode():
            return [to_python(item, (*path, i)) for i, item in enumerate(node.items)]
    return node.value


_Path = tuple[str | int, ...]
_MAX_BITS = 10_000
"""Limit for the bits of an integer; Python does not print much longer ones."""


class _UnsupportedValue:
    """Placeholder for an object that no file can hold: equal to no value, and printed like the object."""

    def __init__(self, value: object) -> None:
        self._text = describe(value)

    def __repr__(self) -> str:
        return self._text


def from_python(value: object, report: ProblemReport, path: _Path = ()) -> Node:
    """Return the node of a Python value, which is not changed; report values that no YAML file can hold."""
    return _to_node(value, report, path, 0, iter(range(MAX_NODES)))


def _to_node(value: object, report: ProblemReport, path: _Path, level: int, remaining: Iterator[int]) -> Node:
    if next(remaining, None) is None:
        report.fail("", f"more than {MAX_NODES:,} values")
    if level > MAX_DEPTH:
        report.fail("", f"nested deeper than {MAX_DEPTH} levels, or inside itself")
    match value:
        case Function() | MomentumFunction():
            return ScalarNode(value)
        case Config():
            if problem := instance_problem(value):
                report.add(format_path((*path, "kind")), problem)
                return invalid_scalar(None)
            is_in_groups = path[:-1] in (GROUPS, GROUPS[1:])
            plain = group_settings(value) if is_in_groups and isinstance(value, Rule) else value.to_dict()
            return _to_node(plain, report, path, level, remaining)
        case Mapping():
            return _to_mapping_node(value, report, path, level + 1, remaining)
        case list() | tuple():
            items = (_to_node(item, report, (*path, i), level + 1, remaining) for i, item in enumerate(value))
            return ListNode(tuple(items))
        case bool() | None:
            return ScalarNode(value)
        case Integral():
            whole = int(value)
            return ScalarNode(whole if whole.bit_length() <= _MAX_BITS else _UnsupportedValue(whole))
        case Real():
            return _to_number_node(value, report, path)
        case str():
            return _text(str.__str__(value), report, path)
        case PurePath():
            return _text(os.fspath(value), report, path)
    if _is_numpy_bool(value):
        return ScalarNode(bool(value))
    if is_function(value):
        return ScalarNode(value)  # the schedule of a rule that is built in Python
    return ScalarNode(_UnsupportedValue(value))


def _is_numpy_bool(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.bool_)


def _text(value: str, report: ProblemReport, path: _Path) -> ScalarNode:
    if is_unicode(value):
        return ScalarNode(value)
    report.add(format_path(path), "must be a Unicode string, got half of a surrogate pair")
    return invalid_scalar(None)


def _to_mapping_node(
    value: Mapping[object, object], report: ProblemReport, path: _Path, level: int, remaining: Iterator[int]
) -> MapNode:
    entries: dict[str, Entry] = {}
    has_all_keys = True
    for key, item in value.items():
        if not isinstance(key, str) or not is_unicode(key):
            report.add(format_path(path), f"a key must be a string, got {describe(key)}")
            has_all_keys = False
            continue
        key = str.__str__(key)  # the text alone of NumPy strings and enumerations
        name = canonical_name(key)
        node = _to_node(item, report, (*path, key), level, remaining)
        if name in entries:
            message = f"{shorten(key)} and {shorten(entries[name].key)} are two names of one value; keep one"
            report.add(format_path((*path, key)), message)
        else:
            entries[name] = Entry(key, node)
    return MapNode(entries, invalid=not has_all_keys)


def _to_number_node(value: Real, report: ProblemReport, path: _Path) -> ScalarNode:
    if value != value or abs(value) == inf:  # noqa: PLR0124 - NaN alone differs from itself
        report.add(format_path(path), f"must be a finite number, got {float(value)}")
        return invalid_scalar(None)
    try:
        return ScalarNode(float(value))
    except OverflowError:
        report.add(format_path(path), "must be a number that fits in float64")
        return invalid_scalar(None)
