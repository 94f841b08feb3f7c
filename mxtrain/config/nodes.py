"""The tree of a config: values, and the places where they were written.

Nodes are never changed; merging and overriding make new ones that share what stays the same.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mxtrain.errors import Location
from mxtrain.names import LETTERS, fold, spelling

MAX_NODES = 10_000
"""Values in one config, counted as often as an alias repeats them."""
MAX_DEPTH = 32
"""Levels of mappings and lists inside each other."""

SETTINGS = ("model", "settings")
"""The path below which names mean nothing to mxtrain."""
_GROUPS = ("optimizer", "groups")
"""The path at which names are those of parameters."""

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value. A broken one was already reported, so nothing more is said about it."""

    value: object
    location: Location | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    items: tuple["Node", ...]
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it was written, the place of the key, and its value."""

    key: str
    value: "Node"
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping by canonical name; in a broken one, keys were refused, so nobody knows what is missing.

    An atomic one is one value: another value replaces it as a whole, and nothing is ever merged with it.
    """

    entries: Mapping[str, Entry]
    location: Location | None = None
    broken: bool = False
    atomic: bool = False


Node: TypeAlias = ScalarNode | ListNode | MapNode


def broken(location: Location | None) -> ScalarNode:
    """Stands where a value could not be read."""
    return ScalarNode(None, location, broken=True)


def canonical(key: str) -> str:
    """The one name for all spellings of a key, whatever model it will belong to.

    >>> canonical("learning_rate"), canonical("µ"), canonical("epochs")
    ('η', 'μ', 'epochs')
    """
    folded = fold(key)
    return LETTERS.get(folded, folded)


def dotted(path: Iterable[str | int]) -> str:
    """A path as messages show it.

    >>> dotted(["optimizer", "ε"]), dotted(["model", "hidden", 1])
    ('optimizer.ϵ', 'model.hidden.1')
    """
    return ".".join(clipped(".".join(map(spelling, str(name).split(".")))) for name in path)


def clipped(text: str, width: int = 60) -> str:
    """The text, or as much of it as a message has room for."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def find(tree: Node, path: Iterable[str | int]) -> tuple[Node | None, Location | None]:
    """The node at a path, and the place of the last key on the way that was really written."""
    node: Node | None = tree
    place = tree.location
    for name in path:
        if isinstance(node, MapNode) and (key := canonical(str(name))) in node.entries:
            entry = node.entries[key]
            node, place = entry.value, entry.location
        elif isinstance(node, ListNode) and isinstance(name, int) and name < len(node.items):
            node = node.items[name]
            place = node.location
        else:
            return None, place
    return node, place


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below a node."""
    match node:
        case MapNode():
            return tuple(entry.value for entry in node.entries.values())
        case ListNode():
            return node.items
    return ()


def size(node: Node) -> int:
    """How many values a node holds, itself included."""
    return 1 + sum(size(child) for child in children(node))


def depth(node: Node) -> int:
    """How many levels of mappings and lists a node has."""
    return 0 if isinstance(node, ScalarNode) else 1 + max(map(depth, children(node)), default=0)


def plain(node: Node, path: tuple[str | int, ...] = ()) -> object:
    """The values alone, under their canonical names; of settings and groups, whose names are the user's, as written."""
    match node:
        case MapNode():
            is_free = path[: len(SETTINGS)] == SETTINGS or path == _GROUPS
            return {
                entry.key if is_free else name: plain(entry.value, (*path, name))
                for name, entry in node.entries.items()
            }
        case ListNode():
            return [plain(item, (*path, i)) for i, item in enumerate(node.items)]
    return node.value


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; half of a surrogate pair cannot."""
    return _SURROGATES.search(text) is None
